use std::collections::BTreeSet;
use std::fs;

use osnl_testkit::{Notice, Reply, wait_until};
use regex::Regex;
use serde_json::{Value, json};

use crate::reloading::{LISTENER, Rig, SOON};

const JSON: &str = "[DEFAULT]\nlog_format = json\ndebug = true\n";
const RULE: &str = "[rule:r]\nevent_type = ^port\\.delete\\.end$\nkey = payload.port.name\nactions = roles\n";
const ACTION: &str = "[action:roles]\ndriver = http\nurl = SINK\nretry_interval = 1s\nmax_attempts = 2\n";

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "two\nlines\r\n{\"timestamp\": \"x\", \"message\": \"forged\"}",
        "quo\"te \\ back\\\\slash \\u0022}, {",
        "\u{1b}]0;title\u{7}\u{8}\u{7f}\u{9b}2J",
        "\u{202e}turned\u{202c} \u{2066}isolated\u{2069} \u{200f}",
        "line\u{2028}paragraph\u{2029}next\u{85}",
        "plain",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(1 << 20));
    names
}

fn listed() -> BTreeSet<String> {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/log.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `([a-z_.]+)` \|").unwrap();
    row.captures_iter(&page).map(|found| found[1].to_owned()).collect()
}

#[test]
fn each_line_is_one_object_whatever_a_resource_is_called() {
    let mut rig = Rig::with("structured-logs", &[JSON, LISTENER, RULE, ACTION]);
    rig.sink.reply_with(Reply::Status(409));
    let names = names();
    let notices: Vec<Notice> = names
        .iter()
        .map(|name| Notice {
            publisher_id: format!("network.{}", name.get(..20).unwrap_or("h")),
            payload: json!({"port": {"id": "p", "name": name}}),
            ..Notice::default()
        })
        .collect();
    rig.publisher.notify_all(&notices);
    wait_until(SOON, "all are given up", || rig.target("roles")["dead"] == names.len());
    let log = rig.log();
    let is_dangerous = |c: char| {
        c != '\n'
            && (c.is_control() || "\u{200f}\u{2028}\u{2029}\u{202c}\u{202e}\u{2066}\u{2069}".contains(c))
    };
    assert!(!log.contains(is_dangerous), "{:?}", log.chars().find(|c| is_dangerous(*c)));
    let (fields, timestamp) =
        (listed(), Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$").unwrap());
    let mut about = Vec::new();
    for line in log.lines() {
        assert!(line.len() < 100_000, "{} bytes", line.len());
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let members: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["fields", "level", "message", "target", "timestamp"], "{line}");
        assert!(timestamp.is_match(object["timestamp"].as_str().unwrap()), "{line}");
        let target = object["target"].as_str().unwrap();
        if target.split('.').next() != Some("osnl") {
            continue;
        }
        for field in object["fields"].as_object().unwrap().keys() {
            assert!(fields.contains(field), "docs/reference/log.md has no {field}: {line}");
        }
        if object["fields"]["attempt"].is_number() && target.starts_with("osnl.delivery") {
            about.push(object["fields"].clone());
        }
    }
    assert_eq!(about.len(), 2 * names.len());
    let ids: BTreeSet<&str> = about.iter().map(|fields| fields["delivery.id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), names.len());
    for name in &names {
        let expected = match name.len() {
            0..1000 => name.clone(),
            // A key above this length is shortened to its digest.
            _ => osnl_model::BodyDigest::new(name.as_bytes()).to_string(),
        };
        let lines = about.iter().filter(|fields| fields["resource.id"] == *expected).count();
        assert_eq!(lines, 2, "{expected:?}");
    }
}
