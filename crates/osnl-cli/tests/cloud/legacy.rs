use std::fs;
use std::process::{Command, Stdio};

use osnl_testkit::{Notice, OsloPublisher, PublisherOptions, RestartableProgram, Sink, Upstream, wait_until};
use serde_json::{Value, json};

use crate::stand::{SOON, Stand, stand, text};

/// Returns the requests without headers, sorted because upstream works on 64 messages at once.
fn made(sink: &Sink) -> Vec<(String, String, String)> {
    let requests = sink.requests();
    let mut made: Vec<(String, String, String)> = requests
        .iter()
        .map(|request| {
            (
                request.method.clone(),
                request.target.clone(),
                String::from_utf8_lossy(&request.body).into_owned(),
            )
        })
        .collect();
    made.sort();
    made
}

fn vm_port(stand: &mut Stand, network: &Value, name: &str, instance: &str) -> Value {
    let port =
        json!({"network_id": network, "name": name, "device_id": instance, "device_owner": "compute:nova"});
    stand.create("port", port)
}

#[test]
fn k2hr3_osnl_asks_for_the_same_as_the_original() {
    let mut stand = stand();
    let (theirs, ours) = (Sink::start(), Sink::start());
    let home = tempfile::tempdir().unwrap();
    let write = |pool: &str, sink: &Sink| {
        let path = home.path().join(format!("{pool}.conf"));
        let text = format!(
            "[oslo_messaging_notifications]\ntransport_url = {}\nevent_type = ^.*delete\\.end$\npublisher_id = ^.*$\n\
             pool = {pool}\n[k2hr3]\napi_url = {}\n",
            stand.vhost.url(),
            sink.url("/v1/role")
        );
        fs::write(&path, text).unwrap();
        path
    };
    let upstream = Upstream::start(&write("theirs", &theirs));
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command
        .arg("k2hr3-osnl")
        .arg("-c")
        .arg(write("ours", &ours))
        .env("HOME", home.path())
        .stdin(Stdio::null());
    let osnl = RestartableProgram::start(command);
    osnl.wait_for("listening at", 1, SOON);
    wait_until(SOON, "the original consumes", || {
        stand.vhost.list_queues().iter().any(|queue| queue.name == "theirs" && queue.consumers == 1)
    });

    let (network, _) = stand.network("k2hr3", "10.4.0.0/24", false);
    let instance = |n: usize| format!("12345678-1234-5678-1234-{n:012}");
    for n in 1..=4 {
        let port = vm_port(&mut stand, &network, "", &instance(n));
        stand.delete("port", &port["id"]);
    }
    let unused = stand.create("port", json!({"network_id": network}));
    stand.delete("port", &unused["id"]);
    wait_until(SOON, "both have asked for all", || made(&theirs).len() >= 4 && made(&ours).len() >= 4);
    assert_eq!(made(&ours), made(&theirs));
    println!("k2hr3_osnl and the original: {} requests, the same", made(&ours).len());
    drop((upstream, osnl));
}

#[test]
fn oss_watcher_tells_of_floating_ips() {
    let mut stand = stand();
    let sink = Sink::start();
    let home = tempfile::tempdir().unwrap();
    let url = stand.vhost.url();
    let (login, place) = url.trim_start_matches("rabbit://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (authority, vhost) = place.split_once('/').unwrap();
    let (host, port) = authority.rsplit_once(':').unwrap();
    let conf = format!(
        "[DEFAULT]\nenabled_plugins=rest_plugin.RESTNotify\nlog_file={}/oss.log\n\
         events_creation=compute.instance.create.end,floatingip.update.end\n\
         events_deletion=compute.instance.delete.end,floatingip.update.end\n\
         [rabbit]\nhost={host}\nport={port}\nuser={user}\npassword={password}\nvirtual_host={vhost}\n\
         watch_queue=notifications.info\n\
         [rest]\nhost=http://127.0.0.1\nport={}\nuser=u\npassword=p\nurl_creation=/made\nurl_deletion=/gone\n",
        home.path().display(),
        sink.port()
    );
    fs::write(home.path().join("oss.conf"), conf).unwrap();
    stand.vhost.ctl(&["purge_queue", "notifications.info"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.args(["oss-watcher", "--config-file=oss.conf"]).current_dir(home.path()).stdin(Stdio::null());
    command.env("HOME", home.path());
    let osnl = RestartableProgram::start(command);
    osnl.wait_for("listening at", 1, SOON);

    let instance = "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001";
    let (outside, _) = stand.network("outside", "198.51.100.0/24", true);
    let (inside, subnet) = stand.network("inside", "10.3.0.0/24", false);
    let gateway = json!({"name": "edge", "external_gateway_info": {"network_id": outside}});
    let router = stand.create("router", gateway);
    let path = format!("/v2.0/routers/{}/add_router_interface", text(&router["id"]));
    stand.cloud.call("neutron", "PUT", &path, json!({"subnet_id": subnet}), 200);
    let port = vm_port(&mut stand, &inside, "", instance);
    let fixed = text(&port["fixed_ips"][0]["ip_address"]);
    // nova is not part of this cloud, so the test publishes its event.
    OsloPublisher::start(&stand.vhost.url(), PublisherOptions::default()).notify(&Notice {
        exchange: "nova".to_owned(),
        publisher_id: "compute.node1".to_owned(),
        event_type: "compute.instance.create.end".to_owned(),
        payload: json!({
            "instance_id": instance, "hostname": "web-1", "display_name": "web 1", "tenant_id": "t",
            "fixed_ips": [{"address": fixed, "type": "fixed", "version": 4, "floating_ips": []}]
        }),
        ..Notice::default()
    });
    let floating = stand.create("floatingip", json!({"floating_network_id": outside}));
    let address = text(&floating["floating_ip_address"]);
    stand.update("floatingip", &floating["id"], json!({"port_id": port["id"]}));
    let told = |path: &str| {
        let requests = sink.requests();
        let about =
            |request: &&osnl_testkit::SinkRequest| String::from_utf8_lossy(&request.body).contains(&address);
        requests.iter().filter(|request| request.target.starts_with(path)).filter(about).count()
    };
    wait_until(SOON, "the association is told", || told("/made") == 1);
    stand.update("floatingip", &floating["id"], json!({"port_id": null}));
    wait_until(SOON, "the release is told", || told("/gone") == 1);
    drop(osnl);
}
