//! Node details of floating IPs whose instance no event has named, completed by a stand-in for the OpenStack APIs.

use osnl::native::load_texts;
use osnl_model::{Priority, Target};
use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Reply, Sink, fixture};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use crate::harness::{DaemonRig, framed, sources};

const SERVER: &str = "/compute/v2.1/servers/33333333-aaaa-4bbb-8ccc-000000000001";
const PORT: &str = "/network/v2.0/ports/c5330e6d-3205-477b-8692-e791283a6bae";
const FLAVOR: &str = "/compute/v2.1/flavors/42";

fn openstack() -> Openstack {
    let openstack = Openstack::start();
    let of = |path: &str, kind: &str| openstack.get(&format!("{path}{}", Openstack::id(kind)));
    let mut server = of("/compute/v2.1/servers/", "server");
    server["server"]["metadata"] = json!({"Owner": "alice", "ApplicationName": "shop"});
    server["server"]["flavor"]["id"] = "42".into();
    let mut flavor = of("/compute/v2.1/flavors/", "flavor");
    flavor["flavor"]["ram"] = 2048.into();
    flavor["flavor"]["vcpus"] = 2.into();
    let mut port = of("/network/v2.0/ports/", "port");
    port["port"]["device_id"] = SERVER.rsplit('/').next().unwrap().into();
    for (path, body) in [(SERVER, server), (FLAVOR, flavor), (PORT, port)] {
        openstack.put(path, body);
    }
    openstack
}

fn associated(change: impl Fn(&mut Value)) -> Value {
    let file = fixture::json("oss/original-behaviour.json");
    let mut payload = file["inputs"]["floatingip.update.end associate, stock neutron"]["payload"].clone();
    change(&mut payload["floatingip"]);
    payload
}

fn port_alone(floatingip: &mut Value) {
    floatingip.as_object_mut().unwrap().remove("port_details");
}

fn expected(nulls: &[&str]) -> Value {
    let file = fixture::json("oss/original-behaviour.json");
    let results = file["results"]["floatingip.update.end associate, patched neutron (top-level port_id)"]
        .as_object()
        .unwrap();
    let (_, first) = results.iter().find(|(commit, _)| commit.starts_with("b29e25e")).unwrap();
    let mut node = first["plugin_calls"][0]["node_detail"].clone();
    // The document's values, which its first version did not write.
    (node["Ram"], node["CreationDate"], node["AdditionalUsers"]) = (json!(2), json!("2024-05-06"), json!([]));
    for key in nulls {
        assert!(node[key] != Value::Null, "{key}");
        node[*key] = Value::Null;
    }
    node
}

struct Stage {
    target: Sink,
    broker: MemoryBroker,
    folder: tempfile::TempDir,
}

impl Stage {
    fn start(openstack: &Openstack, more: &str) -> (Self, DaemonRig) {
        let stage = Self::new();
        let daemon = stage.run(openstack, "", more);
        (stage, daemon)
    }

    fn new() -> Self {
        let (target, broker) = (Sink::start(), MemoryBroker::new());
        target.reply_with(Reply::Status(204));
        Self { target, broker, folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, openstack: &Openstack, journal: &str, more: &str) -> DaemonRig {
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n{journal}\n\
             [listener:l]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
             pool = osnl\n[rule:r]\nevent_type = ^(floatingip|port|instance|compute)\\.\nactions = oss\n\
             [action:oss]\ndriver = oss_rest\nurl_creation = {}\nask = cloud\nretry_interval = 0s\nmax_attempts = 2\n\
             [enrich:cloud]\nkind = project\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss\n{more}",
            self.folder.path().display(),
            self.target.url("/came"),
            openstack.auth_url(),
        );
        let loaded = load_texts(&[("test.conf".to_owned(), text)], &sources());
        let conf = loaded.unwrap_or_else(|errors| panic!("{errors}")).conf;
        DaemonRig::bound(&conf, &self.broker, &["neutron"])
    }

    fn publish(&self, event_type: &str, payload: &Value) -> usize {
        let body = framed("network.vm", event_type, payload);
        self.broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body)
    }

    fn posted(&self) -> Vec<Value> {
        let requests = self.target.requests();
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

#[test]
fn a_node_detail_has_what_the_services_know_and_null_for_what_is_gone() {
    const OF_FLAVOR: [&str; 3] = ["Storage", "Ram", "CPU"];
    const OF_SERVER: [&str; 8] =
        ["FQDN", "OS", "Storage", "Ram", "CPU", "Owner", "ApplicationName", "CreationDate"];
    let stock = |_: &mut Value| {};
    let same = |_: &Openstack| {};
    let set = |path: &'static str, pointer: &'static str, value: Value| {
        move |openstack: &Openstack| {
            let mut body = openstack.get(path);
            *body.pointer_mut(pointer).unwrap() = value.clone();
            openstack.put(path, body);
        }
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Value), Box<dyn Fn(&Openstack)>, &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        ("its port tells the instance", &stock, Box::new(same), &[]),
        ("neutron is asked for the instance", &port_alone, Box::new(same), &[]),
        ("the server is gone", &stock, Box::new(|o| o.remove(SERVER)), &OF_SERVER),
        ("the port is gone", &port_alone, Box::new(|o| o.remove(PORT)), &OF_SERVER),
        (
            "the port is a router's",
            &port_alone,
            Box::new(set(PORT, "/port/device_owner", "network:router_gateway".into())),
            &OF_SERVER,
        ),
        ("it boots from a volume", &stock, Box::new(set(SERVER, "/server/image", "".into())), &["OS"]),
        ("the flavor is gone", &stock, Box::new(|o| o.remove(FLAVOR)), &OF_FLAVOR),
        ("the image is gone", &stock, Box::new(set(SERVER, "/server/image/id", "gone".into())), &["OS"]),
        (
            "the server has no metadata",
            &stock,
            Box::new(set(SERVER, "/server/metadata", json!({}))),
            &["Owner", "ApplicationName"],
        ),
    ];
    for (name, change, prepare, nulls) in cases {
        let openstack = openstack();
        prepare(&openstack);
        let (stage, daemon) = Stage::start(&openstack, "");
        stage.publish("floatingip.update.end", &associated(change));
        daemon.wait_until(name, |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
        assert_eq!(stage.posted(), [expected(nulls)], "{name}");
    }
}

#[test]
fn what_needs_no_keystone_is_posted_while_it_is_away() {
    let openstack = openstack();
    let (stage, daemon) = Stage::start(&openstack, "timeout = 2s\n");
    openstack.sink().stop();
    stage.publish("floatingip.update.end", &associated(|_| {}));
    daemon.wait_until("the floating IP has met it", |c| c.failures.get() > 0);
    let file = fixture::json("emission/captures/nova.json");
    let messages = file["cases"]["legacy_compute_instance_create_end"].as_array().unwrap();
    let mut created = fixture::notification(messages.last().unwrap())["payload"].clone();
    created["instance_id"] = "55555555-aaaa-4bbb-8ccc-000000000001".into();
    stage.publish("compute.instance.create.end", &created);
    daemon.wait_until("the instance is told", |c| c.delivered.get() == 1);
    assert_ne!(stage.posted()[0]["IP"], "172.24.4.174", "the floating IP waits");
    daemon.wait_for_log("a dependency is down");
    openstack.sink().restart();
    daemon.wait_until("the floating IP is told", |c| c.delivered.get() == 2);
    daemon.wait_for_log("a dependency answers again");
    let log = daemon.log().join("\n");
    daemon.stop().unwrap();
    assert!(!log.contains(" is held"), "the target has nothing to do with it: {log}");
}

#[test]
fn a_node_detail_need_not_wait_for_the_services() {
    let openstack = openstack();
    openstack.fail("/v3", Reply::Status(503));
    let (stage, daemon) = Stage::start(&openstack, "on_error = default\n");
    stage.publish("floatingip.update.end", &associated(|_| {}));
    daemon.wait_until("it is told", |c| c.delivered.get() == 1);
    daemon.wait_for_log("the delivery continues without its values");
    daemon.stop().unwrap();
    let posted = stage.posted();
    assert_eq!((&posted[0]["IP"], &posted[0]["FQDN"]), (&"172.24.4.174".into(), &Value::Null));
}

fn renamed(openstack: &Openstack, name: &str) {
    let mut server = openstack.get(SERVER);
    server["server"]["name"] = name.into();
    openstack.put(SERVER, server);
}

#[test]
fn every_attempt_sends_the_same_body() {
    let openstack = openstack();
    let stage = Stage::new();
    let journal = format!("connection = sqlite:///{}/j.db", stage.folder.path().display());
    stage.target.reply_with(Reply::Status(503));
    let daemon = stage.run(&openstack, &journal, "cache_ttl = 0s\n");
    stage.publish("floatingip.update.end", &associated(|_| {}));
    daemon.wait_until("it is tried again", |c| c.failures.get() > 1);
    renamed(&openstack, "web 2");
    let tried = daemon.counters.failures.get();
    daemon.wait_until("after the change too", |c| c.failures.get() > tried);
    daemon.abort().unwrap();
    openstack.remove(SERVER);
    stage.target.reply_with(Reply::Status(204));
    let daemon = stage.run(&openstack, &journal, "cache_ttl = 0s\n");
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let posted = stage.posted();
    assert!(posted.len() > 3 && posted.iter().all(|body| *body == expected(&[])), "{posted:?}");
    assert_eq!(openstack.count(SERVER), 1);
}

/// The API has no deleted server, but earlier answers are kept, also over a restart.
#[test]
fn a_deletion_is_told_with_what_was_asked_before() {
    let openstack = openstack();
    let mut server = openstack.get(SERVER);
    server["server"]["addresses"] = json!({"private": [
        {"addr": "10.0.0.200", "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:83:81:8e"},
        {"addr": "172.24.4.174", "version": 4, "OS-EXT-IPS:type": "floating", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:83:81:8e"},
    ]});
    openstack.put(SERVER, server);
    let stage = Stage::new();
    let journal = format!("connection = sqlite:///{}/j.db", stage.folder.path().display());
    let daemon = stage.run(&openstack, &journal, "");
    stage.publish("floatingip.update.end", &associated(port_alone));
    daemon.wait_until("it is told", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    for gone in [SERVER, PORT, FLAVOR] {
        openstack.remove(gone);
    }
    let daemon = stage.run(&openstack, &journal, "");
    let id = SERVER.rsplit('/').next().unwrap();
    stage.publish("compute.instance.delete.end", &json!({"instance_id": id}));
    daemon.wait_until("its deletion too", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let mut deleted = expected(&[]);
    // Events of instances write sizes in another form.
    deleted["Storage"] = 25.into();
    assert_eq!(stage.posted()[1], deleted);
    assert_eq!(openstack.count(SERVER), 1, "nobody is asked again");
}

/// Nova's versioned events name an image without its operating system, so the action asks glance alone.
#[test]
fn a_versioned_creation_has_the_operating_system_of_its_image() {
    let openstack = openstack();
    let of_image = "/image/v2/images/44444444-aaaa-4bbb-8ccc-000000000001";
    let mut image = openstack.get(&format!("/image/v2/images/{}", Openstack::id("image")));
    image["os"] = "Ubuntu".into();
    openstack.put(of_image, image);
    let (stage, daemon) = Stage::start(&openstack, "");
    let file = fixture::json("emission/captures/nova.json");
    let payload = |case: &str| {
        let messages = file["cases"][case].as_array().unwrap();
        fixture::notification(messages.last().unwrap())["payload"].clone()
    };
    stage.publish("instance.create.end", &payload("instance_create_end"));
    daemon.wait_until("it is told", |c| c.delivered.get() == 1);
    stage.publish("instance.delete.end", &payload("instance_delete_end"));
    daemon.wait_until("its deletion too", |c| c.delivered.get() == 2);
    let volume = |payload: &mut Value| {
        payload["nova_object.data"]["image_uuid"] = "".into();
        payload["nova_object.data"]["uuid"] = "boots-from-a-volume".into();
    };
    let mut from_volume = payload("instance_create_end");
    volume(&mut from_volume);
    stage.publish("instance.create.end", &from_volume);
    daemon.wait_until("that too", |c| c.delivered.get() == 3);
    daemon.stop().unwrap();
    let of = |key: &str| stage.posted().iter().map(|body| body[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("OS"), [json!("Ubuntu"), json!("Ubuntu"), Value::Null]);
    assert_eq!(of("CreationDate"), vec![json!("2024-05-06"); 3]);
    let asked = ["/compute", "/network", "/image"].map(|path| openstack.count(path));
    assert_eq!(asked, [0, 0, 1]);
}

#[test]
fn a_restart_goes_on_where_a_delivery_had_come_to() {
    let openstack = openstack();
    let stage = Stage::new();
    let journal = format!("connection = sqlite:///{}/j.db", stage.folder.path().display());
    let daemon = stage.run(&openstack, &journal, "");
    stage.publish("floatingip.update.end", &associated(|_| {}));
    daemon.wait_until("it is told", |c| c.delivered.get() == 1);
    stage.target.reply_with(Reply::Status(503));
    stage.target.script(vec![Reply::Status(204)]);
    let moved = |floatingip: &mut Value| {
        floatingip["port_id"] = "another-port".into();
        floatingip["port_details"]["device_id"] = "another".into();
        floatingip["revision_number"] = 9.into();
    };
    stage.publish("floatingip.update.end", &associated(moved));
    // The journal has the first attempt when the second begins.
    daemon.wait_until("the allocation is tried twice", |c| c.failures.get() > 1);
    daemon.abort().unwrap();
    stage.target.reply_with(Reply::Status(204));
    let daemon = stage.run(&openstack, &journal, "");
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let requests = stage.target.requests();
    let second = |n: usize| requests[n].header("idempotency-key").unwrap().ends_with("/oss/2");
    assert!(requests.len() > 3 && !second(0) && !second(1));
    assert!((2..requests.len()).all(second), "{requests:?}");
}
