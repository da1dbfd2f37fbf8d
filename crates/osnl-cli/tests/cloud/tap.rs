use std::collections::BTreeSet;

use osnl_testkit::{OsloListener, wait_until};
use serde_json::{Value, json};

use crate::stand::{Osnl, SOON, stand, text};

#[test]
fn tap_sees_what_a_real_listener_receives() {
    let mut stand = stand();
    let targets = [("keystone", "notifications"), ("neutron", "notifications")];
    let real = OsloListener::start(&stand.vhost.url(), &targets, Some("real"), false);
    let osnl = Osnl::new(&stand, "unused", "[rule:r]\nactions = a\n[action:a]\ndriver = dump\n");
    let url = stand.vhost.url();
    let tap = osnl.start(&["tap", &url, "-e", "keystone,neutron", "--format", "json"]);
    tap.wait_for("listening at", 1, SOON);

    let (network, _) = stand.network("seen", "10.9.0.0/24", false);
    let port = stand.create("port", json!({"network_id": network, "name": "vm-1"}));
    stand.update("port", &port["id"], json!({"name": "vm-1b"}));
    stand.delete("port", &port["id"]);
    stand.cloud.fail_to_log_in();
    let user = json!({"user": {"name": "alice", "domain_id": "default", "password": "x"}});
    stand.cloud.call("keystone", "POST", "/v3/users", user, 201);

    // network, subnet: 2 each; port: 6; a failed login, a user, and logins of services.
    let ids = |of: &[Value], at: &str| -> BTreeSet<String> {
        of.iter().filter_map(|event| event.pointer(at)?.as_str().map(str::to_owned)).collect()
    };
    let seen = || -> Vec<Value> {
        tap.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait_until(SOON, "both have the same messages", || {
        let (theirs, ours) = (ids(&real.received(), "/metadata/message_id"), ids(&seen(), "/message_id"));
        theirs.len() >= 12 && theirs == ours
    });
    let seen = seen();
    let of = |event_type: &'static str| seen.iter().filter(move |event| event["event_type"] == event_type);
    assert!(of("port.update.end").any(|event| event["resource"]["name"] == "vm-1b"));
    assert!(of("identity.authenticate").any(|event| event["outcome"] == "failure"));
    assert!(of("port.delete.end").any(|event| text(&event["resource"]["id"]) == text(&port["id"])));
    println!("tap and the real listener: {} messages, the same ids", seen.len());
}
