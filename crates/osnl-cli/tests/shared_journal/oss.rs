//! An action of oss_watcher: what one daemon has seen, the other one knows.

use osnl_testkit::{Notice, Postgres, wait_until};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const EDITS: [(&str, &str); 4] = [
    (r"event_type = ^port\.delete\.end$", r"event_type = ^(compute\.instance|port|floatingip)\."),
    ("driver = http", "driver = oss_rest"),
    ("url = TARGET", "url_creation = TARGET/came\nurl_deletion = TARGET/went"),
    (r#"body = {"port": "{{ payload.port.id }}", "n": {{ payload.n | default(0) }}}"#, "values = uniform"),
];

fn notice(event_type: &str, payload: Value) -> Notice {
    Notice { event_type: event_type.to_owned(), payload, ..Notice::default() }
}

/// Returns the reports that the target got of an address: `came` or `went`, and the name of the instance.
fn reports(stage: &Stage, address: &str) -> Vec<(String, Value)> {
    let mut reports = Vec::new();
    for request in stage.sink.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if body["IP"] == address {
            reports.push((request.target.rsplit_once('/').unwrap().1.to_owned(), body["FQDN"].clone()));
        }
    }
    // A daemon that is killed may have sent one that it has not recorded.
    reports.dedup();
    reports
}

#[track_caller]
fn wait_for_reports(stage: &Stage, expected: &[&str]) {
    let expected: Vec<(String, Value)> =
        expected.iter().map(|word| ((*word).to_owned(), "web-1".into())).collect();
    for address in ["10.0.0.7", "172.24.4.9"] {
        wait_until(SOON, &format!("{expected:?} of {address}"), || {
            reports(stage, address).len() >= expected.len()
        });
        assert_eq!(reports(stage, address), expected, "{address}");
    }
}

#[test]
fn a_deletion_that_another_daemon_reads_has_the_details_of_the_creation() {
    let mut stage = Stage::new("oss", &Postgres::shared().database());
    let mut reader = stage.daemon_with("a", &EDITS);
    let other = stage.daemon_with("b", &EDITS);
    wait_until(SOON, "the other one to stand by", || stage.status("b")["listeners"][0]["state"] == "standby");
    let associated = |port: Option<&str>| {
        let ip = json!({"id": "f-1", "floating_ip_address": "172.24.4.9", "port_id": port});
        notice("floatingip.update.end", json!({"floatingip": ip}))
    };
    stage.notify(&[
        notice(
            "port.create.end",
            json!({"port": {"id": "p-1", "device_id": "vm-1", "device_owner": "compute:nova",
                "fixed_ips": [{"ip_address": "10.0.0.7"}]}}),
        ),
        notice(
            "compute.instance.create.end",
            json!({"instance_id": "vm-1", "hostname": "web-1", "display_name": "web 1", "memory_mb": 512,
                "fixed_ips": [{"address": "10.0.0.7"}]}),
        ),
        associated(Some("p-1")),
    ]);
    wait_for_reports(&stage, &["came"]);
    stage.wait_for_queue(0);
    reader.kill9();
    // They name neither the instance of the floating IP nor the address and the name of the instance.
    stage.notify(&[associated(None), notice("compute.instance.delete.end", json!({"instance_id": "vm-1"}))]);
    wait_for_reports(&stage, &["came", "went"]);
    stage.wait_for_queue(0);
    // After both have gone the rows are still there.
    drop(other);
    let _again = stage.daemon_with("c", &EDITS);
    stage.notify(&[associated(Some("p-1"))]);
    wait_until(SOON, "the floating IP to come back", || reports(&stage, "172.24.4.9").len() == 3);
    assert_eq!(reports(&stage, "172.24.4.9")[2], ("came".to_owned(), "web-1".into()));
    assert_eq!(reports(&stage, "10.0.0.7").len(), 2);
}
