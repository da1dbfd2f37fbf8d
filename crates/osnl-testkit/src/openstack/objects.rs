//! Objects of each OpenStack service, with their paths and the service's answer about a missing one.

use serde_json::{Value, json};

use super::answer;
use crate::{Reply, fixture};

const SERVER: &str = "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001";
const PORT: &str = "0d1b5c0c-2d4a-4a92-9c3f-3a6a8b8f0002";
const FLOATING_IP: &str = "7f2f4e4a-9a6e-4f0e-8c76-02d9a5a90003";
const IMAGE: &str = "441d58b5-3117-4991-8b83-7ecabc196179";
const PROJECT: &str = "16f266df259941c7bedf4e5d8802eaf4";
const USER: &str = "6f99ed1c21e64e00a4ce1a8fe9c192fd";
const NETWORK: &str = "a87cc70a-3e15-4acf-8205-9b711a3531b7";
const SUBNET: &str = "a0304c3a-4f08-4c43-88af-d796509c97d2";
const ROUTER: &str = "d23abc8d-2991-4a55-ba98-2aaea84cc72f";
const VOLUME: &str = "b80a4fc2-7b9d-4ffb-8b5a-3a3b0f1f0004";
const NODE: &str = "6d85703a-565d-469a-96ce-30b6de53079d";

pub(super) fn id(kind: &str) -> &'static str {
    match kind {
        "server" => SERVER,
        "port" => PORT,
        "floatingip" => FLOATING_IP,
        "flavor" => "1",
        "image" => IMAGE,
        "project" => PROJECT,
        "user" => USER,
        "node" => NODE,
        "network" => NETWORK,
        "subnet" => SUBNET,
        "router" => ROUTER,
        "volume" => VOLUME,
        "domain" => "default",
        other => panic!("there is no kind {other}"),
    }
}

pub(super) fn service_path(kind: &str) -> &'static str {
    match kind {
        "identity" => "/v3",
        "compute" => "/compute/v2.1",
        "network" => "/network",
        "image" => "/image",
        "volumev3" => "/volume/v3",
        other => panic!("no recorded catalogue has {other}"),
    }
}

pub(super) fn all() -> Vec<(String, Value)> {
    let keystone = fixture::json("openstack/keystone.json");
    let recorded = |label: &str| {
        let exchanges = keystone["exchanges"].as_array().unwrap();
        exchanges.iter().find(|exchange| exchange["label"] == label).unwrap()["response"].clone()
    };
    vec![
        (format!("/compute/v2.1/servers/{SERVER}"), server()),
        ("/compute/v2.1/flavors/1".to_owned(), flavor()),
        (format!("/network/v2.0/ports/{PORT}"), port()),
        (format!("/network/v2.0/floatingips/{FLOATING_IP}"), floating_ip()),
        (
            format!("/image/v2/images/{IMAGE}"),
            fixture::json("openstack/glance-image.json")["image_show"].clone(),
        ),
        (format!("/v3/projects/{PROJECT}"), recorded("project_show")),
        (format!("/v3/users/{USER}"), recorded("user_show_self")),
        (format!("/baremetal/v1/nodes/{NODE}"), node()),
        (format!("/network/v2.0/networks/{NETWORK}"), neutron_object("network", NETWORK, "private")),
        (format!("/network/v2.0/subnets/{SUBNET}"), neutron_object("subnet", SUBNET, "private-v4")),
        (format!("/network/v2.0/routers/{ROUTER}"), neutron_object("router", ROUTER, "edge")),
        (
            format!("/volume/v3/volumes/{VOLUME}"),
            json!({"volume": {"id": VOLUME, "name": "data", "size": 10, "status": "in-use"}}),
        ),
        (
            "/v3/domains/default".to_owned(),
            json!({"domain": {"id": "default", "name": "Default", "enabled": true, "description": ""}}),
        ),
    ]
}

fn neutron_object(kind: &str, id: &str, name: &str) -> Value {
    json!({kind: {"id": id, "name": name, "project_id": PROJECT, "tenant_id": PROJECT, "network_id": NETWORK}})
}

fn server() -> Value {
    let link = |path: &str, id: &str| json!({"id": id, "links": [{"rel": "bookmark", "href": format!("http://127.0.0.1:8774/{path}/{id}")}]});
    json!({"server": {
        "id": SERVER,
        "name": "web 1",
        "status": "ACTIVE",
        "tenant_id": PROJECT,
        "user_id": USER,
        "metadata": {"Owner": "ops", "ApplicationName": "shop"},
        "hostId": "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
        "image": link("images", IMAGE),
        "flavor": link("flavors", "1"),
        "created": "2024-05-06T07:08:09Z",
        "updated": "2024-05-06T07:08:39Z",
        "addresses": {"private": [
            {"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:4c:2c:30"}
        ]},
        "accessIPv4": "",
        "accessIPv6": "",
        "OS-DCF:diskConfig": "AUTO",
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:task_state": null,
        "OS-EXT-STS:vm_state": "active",
        "config_drive": "",
        "key_name": null,
        "progress": 0,
        "security_groups": [{"name": "default"}]
    }})
}

fn port() -> Value {
    json!({"port": {
        "id": PORT,
        "name": "",
        "status": "ACTIVE",
        "admin_state_up": true,
        "device_id": SERVER,
        "device_owner": "compute:nova",
        "mac_address": "fa:16:3e:4c:2c:30",
        "network_id": "a87cc70a-3e15-4acf-8205-9b711a3531b7",
        "project_id": PROJECT,
        "tenant_id": PROJECT,
        "fixed_ips": [{"ip_address": "10.0.0.5", "subnet_id": "a0304c3a-4f08-4c43-88af-d796509c97d2"}],
        "security_groups": [],
        "binding:vnic_type": "normal"
    }})
}

fn floating_ip() -> Value {
    json!({"floatingip": {
        "id": FLOATING_IP,
        "floating_ip_address": "172.24.4.228",
        "fixed_ip_address": "10.0.0.5",
        "floating_network_id": "376da547-b977-4cfe-9cba-275c80debf57",
        "port_id": PORT,
        "router_id": "d23abc8d-2991-4a55-ba98-2aaea84cc72f",
        "project_id": PROJECT,
        "tenant_id": PROJECT,
        "status": "ACTIVE",
        "description": "",
        "port_details": {
            "name": "", "network_id": "a87cc70a-3e15-4acf-8205-9b711a3531b7", "mac_address": "fa:16:3e:4c:2c:30",
            "admin_state_up": true, "status": "ACTIVE", "device_id": SERVER, "device_owner": "compute:nova"
        }
    }})
}

fn flavor() -> Value {
    json!({"flavor": {
        "id": "1",
        "name": "m1.tiny",
        "ram": 512,
        "disk": 20,
        "vcpus": 1,
        "swap": "",
        "rxtx_factor": 1.0,
        "OS-FLV-DISABLED:disabled": false,
        "OS-FLV-EXT-DATA:ephemeral": 5,
        "os-flavor-access:is_public": true
    }})
}

fn node() -> Value {
    json!({
        "uuid": NODE,
        "name": "rack1-07",
        "owner": PROJECT,
        "instance_uuid": SERVER,
        "driver": "ipmi",
        "driver_info": {"ipmi_password": "******", "ipmi_username": "ADMIN"},
        "power_state": "power on",
        "provision_state": "active",
        "properties": {"cpus": "8", "memory_mb": "65536"},
        "resource_class": "baremetal"
    })
}

/// Returns the service's own 404 for a missing object, and nginx's for an unknown path. The forms are those of
/// `fixtures/openstack/not-found.json`.
pub(super) fn missing(path: &str) -> Reply {
    let id = path.rsplit('/').next().unwrap_or_default();
    if path.starts_with("/compute/v2.1/") {
        let message = format!("Instance {id} could not be found.");
        answer(404, &[], &json!({"itemNotFound": {"code": 404, "message": message}}))
    } else if path.starts_with("/volume/v3/") {
        let message = format!("Volume {id} could not be found.");
        answer(404, &[], &json!({"itemNotFound": {"code": 404, "message": message}}))
    } else if path.starts_with("/network/v2.0/") {
        let kind = match path.split('/').nth(3).unwrap_or_default() {
            "floatingips" => "FloatingIP",
            "networks" => "Network",
            "subnets" => "Subnet",
            "routers" => "Router",
            _ => "Port",
        };
        let (message, kind) = (format!("{kind} {id} could not be found."), format!("{kind}NotFound"));
        answer(404, &[], &json!({"NeutronError": {"type": kind, "message": message, "detail": ""}}))
    } else if path.starts_with("/baremetal/v1/") {
        let fault = json!({"faultstring": format!("Node {id} could not be found."), "faultcode": "Client"});
        answer(404, &[], &json!({"error_message": fault.to_string()}))
    } else if path.starts_with("/image/v2/") {
        let page = format!(
            "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  \
             No image found with ID {id}<br /><br />\n </body>\n</html>"
        );
        page_404("text/html; charset=UTF-8", &page)
    } else if path.starts_with("/v3/") {
        let message = format!("Could not find user: {id}.");
        answer(404, &[], &json!({"error": {"code": 404, "message": message, "title": "Not Found"}}))
    } else {
        let page = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1>\
                    </center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
        page_404("text/html", page)
    }
}

fn page_404(content_type: &str, page: &str) -> Reply {
    let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
    Reply::StatusWith { status: 404, headers, body: page.into() }
}
