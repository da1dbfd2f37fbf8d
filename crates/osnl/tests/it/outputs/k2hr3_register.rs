use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;
use serde_json::json;

use super::{native, start};
use crate::harness::{SOON, instance, port_deleted, publish};

#[test]
fn each_address_is_registered_with_the_token_that_the_file_has_then() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let sink = Sink::start();
    sink.reply_when(|request| {
        let renewed = request.header("x-auth-token") == Some("U=renewed");
        (!renewed).then_some(Reply::Status(401))
    });
    let action = format!(
        "driver = k2hr3_register\napi_url = {}\nrole = web\ntoken_file = {}\nretry_interval = 0s\nmax_attempts = 1000000",
        sink.url("/v1/role"),
        token.display()
    );
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &action), &broker);
    let mut payload = port_deleted(&instance(1), "10.0.0.1");
    payload["port"]["fixed_ips"] = json!([
        {"ip_address": "10.0.0.1"}, {"ip_address": "2001:db8::16"}, {"ip_address": "2001:db8::6"},
    ]);
    publish(&broker, &payload);
    daemon.wait_for_log("token_file");
    std::fs::write(&token, "U=expired\n").unwrap();
    sink.wait_for(1, SOON);
    std::fs::write(&token, "U=renewed\n").unwrap();
    daemon.wait_until("it is registered", |c| c.delivered.get() == 1);
    daemon.wait_for_log("2001:db8::16");
    assert!(daemon.log().iter().all(|line| !line.contains("renewed") && !line.contains("expired")));
    daemon.stop().unwrap();
    let requests = sink.requests();
    let last: Vec<String> =
        requests[requests.len() - 2..].iter().map(|r| format!("{} {}", r.method, r.target)).collect();
    let target = |host: &str| {
        format!("PUT /v1/role/web?host={host}&port=0&cuk={}&extra=openstack-auto-v1", instance(1))
    };
    assert_eq!(last, [target("10.0.0.1"), target("2001%3Adb8%3A%3A6")]);
}
