#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::path::Path;

use osnl_model::{Emission, Framing, Notification, Priority, parse_python_json};
use serde_json::Value;

fn recordings() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, parse_python_json(&std::fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_body_that_oslo_wrote_comes_out_byte_for_byte() {
    let mut compared = 0;
    for (name, recorded) in recordings() {
        let by_oslo = recorded["published_by"].as_str().unwrap().contains("Notifier");
        let Some(body) = recorded["body_text"].as_str().filter(|_| by_oslo) else { continue };
        let framing = if name.contains("-v1-") { Framing::Bare } else { Framing::Envelope };
        let emission = Emission::read(body.as_bytes()).unwrap();
        assert_eq!(emission.body(framing).unwrap(), body, "{name}");
        assert!(emission.extra.is_empty(), "{name}");
        compared += 1;
    }
    assert!(compared >= 24, "only {compared} recordings were compared");
}

#[test]
fn what_is_written_is_what_was_read_in_either_framing() {
    let text = r#"{"payload": {"z": 123456789012345678901234567890, "a": "é"}, "event_type": "e", "more": [1],
        "priority": "audit", "_context_b": {"y": 1, "x": 2}, "_context_a": null}"#;
    let emission = Emission::read(text.as_bytes()).unwrap();
    let inner = concat!(
        r#"{"message_id": null, "publisher_id": null, "event_type": "e", "priority": "AUDIT", "#,
        r#""payload": {"z": 123456789012345678901234567890, "a": "\u00e9"}, "timestamp": null, "#,
        r#""_context_b": {"y": 1, "x": 2}, "_context_a": null, "more": [1]}"#
    );
    assert_eq!(emission.body(Framing::Bare).unwrap(), inner);
    for framing in [Framing::Bare, Framing::Envelope] {
        let body = emission.body(framing).unwrap();
        let read = Notification::decode(body.as_bytes()).unwrap();
        assert_eq!((read.event_type.as_deref(), read.priority), (Some("e"), Some(Priority::Audit)));
        assert_eq!(Emission::read(body.as_bytes()).unwrap().body(framing).unwrap(), body);
    }
}

#[test]
fn the_context_of_kafka_is_one_object() {
    let bare = r#"{"event_type": "port.delete.end", "payload": {"port_id": "7b2f"}, "_unique_id": "1f", "more": 1,
        "_context_auth_token": "t", "_context_user": "é"}"#;
    let emission = Emission::read(bare.as_bytes()).unwrap();
    let body = emission.body(Framing::Kafka).unwrap();
    let document = parse_python_json(&body).unwrap();
    assert_eq!(document["oslo.version"], "2.0");
    assert_eq!(
        document["oslo.message"],
        concat!(
            r#"{"message_id": null, "publisher_id": null, "event_type": "port.delete.end", "priority": null, "#,
            r#""payload": {"port_id": "7b2f"}, "timestamp": null, "_unique_id": "1f", "more": 1, "#,
            r#""_context": {"auth_token": "t", "user": "\u00e9"}}"#
        )
    );
    let read = Emission::read(body.as_bytes()).unwrap();
    assert_eq!(read.body(Framing::Bare).unwrap(), emission.body(Framing::Bare).unwrap());
    assert_eq!(read.body(Framing::Kafka).unwrap(), body);
    assert_eq!(read.resource_key().as_deref(), Some("7b2f"));
    // An empty context is written too, because oslo.messaging's reader needs one.
    let empty = Emission::read(b"{}").unwrap().body(Framing::Kafka).unwrap();
    assert!(empty.ends_with(r#"\"_context\": {}}"}"#), "{empty}");
    assert_eq!(Emission::read(br#"{"_context": [1]}"#).unwrap().extra.len(), 1);
}

#[test]
fn debug_shows_no_secrets_and_what_cannot_be_read_is_refused() {
    let body = br#"{"_context_auth_token": "S3CRET", "payload": {"adminPass": "S3CRET"}}"#;
    let shown = format!("{:?}", Emission::read(body).unwrap());
    assert!(!shown.contains("S3CRET") && shown.contains("***"), "{shown}");
    for (body, expected) in [
        ("[]", "the body is an array, not an object"),
        (r#"{"priority": 3}"#, "priority is a number, not a text"),
        (r#"{"oslo.version": "3.0", "oslo.message": "{}"}"#, "unsupported oslo.version"),
        (
            r#"{"oslo.version": "2.0", "oslo.message": "[]"}"#,
            "the text of oslo.message is an array, not an object",
        ),
    ] {
        let error = Emission::read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{body}: {error}");
    }
}
