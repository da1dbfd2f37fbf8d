use serde_json::json;

use crate::explain::{conf, json_lines, run, said};
use crate::harness::Place;
use crate::snapshot::is_as_kept;

const PORT: &str = r#"{"event_type": "port.delete.end", "publisher_id": "network.h1", "priority": "INFO", "message_id": "m-1",
 "payload": {"adminPass": "T0KEN", "port": {"device_id": "12345678-1234-5678-1234-567812345678",
  "fixed_ips": [{"ip_address": "10.0.0.1"}]}}}"#;

fn beside(tests: &str) -> Place {
    let place = Place::new();
    let text = conf(&place, "rabbit://u:S3CRET@127.0.0.1:9/", "https://k2hr3.example.com/v1/role");
    let shadow = "[rule:looks-on]\nlisteners = neutron\nevent_type = ^port\nmode = shadow\nactions = audit\n";
    place.write("a.conf", text + shadow);
    std::fs::create_dir(place.path("tests")).unwrap();
    place.write("tests/port.json", PORT);
    place.write("tests/a.test", tests);
    place
}

const GOOD: &str = "\
# What a deleted port must do.
[test:a port is deleted]
event = port.json
listener = neutron
rules = looks-on, forget-ports
actions = audit, roles
[test:nothing hears of a server]
exchange = nova
routing_key = notifications.info
rules = servers
notification = {\"event_type\": \"x\", \"priority\": \"INFO\",
    \"payload\": {\"state\": \"deleted\", \"price\": \"$1\"}}
";

#[test]
fn tests_beside_the_configuration_are_run() {
    let place = beside(GOOD);
    place.write("tests/not-a-test.txt", "nonsense");
    let ok = "ok      tests/a.test:2: a port is deleted\nok      tests/a.test:7: nothing hears of a server\n2 tests pass\n";
    assert_eq!(said(&place, &["test", "-c", "a.conf"]), (Some(0), ok.to_owned()));
    let (code, text) = said(&place, &["test", "-c", "a.conf", "--format", "json", "tests"]);
    let lines = json_lines(&text);
    assert_eq!((code, lines.len()), (Some(0), 3));
    assert_eq!(lines[2], json!({"summary": {"tests": 2, "failed": 0}}));
}

#[test]
fn what_is_not_as_expected_is_said_with_the_reason() {
    let failing = GOOD
        .replace("rules = looks-on, forget-ports", "rules = errors, looks-on")
        .replace("actions = audit, roles", "actions = none")
        .replace("rules = servers", "rules = none\nactions = roles");
    let place = beside(&failing);
    let (code, text) = said(&place, &["test", "-c", "a.conf"]);
    is_as_kept("test-failed", &text);
    assert_eq!(code, Some(1));
    let (code, text) = said(&place, &["test", "-c", "a.conf", "--format", "junit"]);
    is_as_kept("test-failed-junit", &text);
    assert_eq!(code, Some(1));
    let (_, text) = said(&place, &["test", "-c", "a.conf", "--format", "json"]);
    let first = &json_lines(&text)[0];
    assert_eq!((&first["passed"], &first["line"]), (&json!(false), &json!(2)));
    assert!(!text.contains("T0KEN"));
}

/// A rule that cannot be decided makes a dead letter, which no test can expect.
#[test]
fn what_cannot_be_decided_or_read_fails() {
    let place = beside(
        "[test:sum]\nevent = port.json\nrules = none\n[test:broken]\nrules = none\nnotification = {\"oslo.message\": 1}\n",
    );
    let text = place.read("a.conf");
    place.write("a.conf", format!("[rule:sum]\nwhen = event_type + 1 > 2\nactions = audit\n{text}"));
    let (code, text) = said(&place, &["test", "-c", "a.conf"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("rule sum does not match: when cannot be decided"), "{text}");
    assert!(text.contains("2 of 2 tests failed"), "{text}");
}

#[test]
fn a_test_to_begin_with_passes_as_it_is() {
    let place = beside("");
    let (code, text) = said(&place, &["test", "--new", "port.delete.end", "-c", "a.conf"]);
    assert_eq!(code, Some(0));
    is_as_kept("test-new", &text);
    for event in
        ["port.delete.end", "instance.delete.end", "compute.instance.update", "baremetal.node.create.end"]
    {
        let (_, text) = said(&place, &["test", "--new", event, "-c", "a.conf"]);
        place.write("tests/a.test", &text);
        let (code, text) = said(&place, &["test", "-c", "a.conf"]);
        assert_eq!(code, Some(0), "{event}\n{text}");
    }
    let (code, _, stderr) = run(&place, &["test", "--new", "port.deleted.end", "-c", "a.conf"]);
    assert!(code == Some(1) && stderr.contains("did you mean port.delete.end?"), "{stderr}");
    let (code, text, stderr) = run(&place, &["test", "--new", "port.delete.end", "-c", "missing.conf"]);
    assert!(
        code == Some(0) && text.contains("rules = none") && stderr.contains("there is no configuration"),
        "{stderr}"
    );
}

#[test]
fn without_a_test_nothing_has_passed() {
    let place = beside("");
    let (code, stdout, stderr) = run(&place, &["test", "-c", "a.conf"]);
    assert_eq!((code, stdout.as_str()), (Some(1), "0 tests pass\n"));
    assert!(stderr.contains("there is no test; osnl test --new EVENT prints one"), "{stderr}");
    let (code, _, stderr) = run(&place, &["test", "-c", "a.conf", "missing.test"]);
    assert!(code == Some(78) && stderr.contains("missing.test: No such file"), "{stderr}");
    let (code, _, _) = run(&place, &["test", "-c", "missing.conf"]);
    assert_eq!(code, Some(78));
}

#[test]
fn the_manuals_tests_are_run() {
    let page = include_str!("../../../../docs/rule-tests.md");
    let block = |kind: &str| page.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    let place = beside("");
    let text = conf(&place, "rabbit://u:S3CRET@127.0.0.1:9/", "https://k2hr3.example.com/v1/role");
    place.write("a.conf", text.replace("[rule:forget-ports]", "[rule:forget-deleted-ports]"));
    place.write("tests/port-deleted.json", PORT);
    std::fs::remove_file(place.path("tests/a.test")).unwrap();
    place.write("tests/ports.test", block("ini"));
    let (code, text) = said(&place, &["test", "-c", "a.conf"]);
    assert_eq!((code, text), (Some(1), block("text").replace("/etc/osnl/", "")));
}
