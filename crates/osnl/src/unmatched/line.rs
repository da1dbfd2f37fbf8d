//! Messages of the ring as lines of JSON; with a body, a line is also a saved event.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{FailedBehind, UnmatchedMessage};
use crate::saved;

pub(super) fn write(unmatched: &UnmatchedMessage) -> String {
    let mut object = Map::new();
    let received = unmatched.received.and_then(|at| Timestamp::try_from(at).ok());
    for (key, value) in [
        ("received", json!(received.map(|at| format!("{at:.6}")))),
        ("listener", json!(&*unmatched.listener)),
        ("queue", json!(&*unmatched.queue)),
        ("exchange", json!(unmatched.exchange)),
        ("routing_key", json!(unmatched.routing_key)),
        ("event_type", json!(unmatched.event_type)),
        ("publisher_id", json!(unmatched.publisher_id)),
        ("priority", json!(unmatched.priority)),
        ("message_id", json!(unmatched.message_id)),
    ] {
        object.insert(key.to_owned(), value);
    }
    if !unmatched.failed.is_empty() {
        let failed = unmatched.failed.iter();
        let failed =
            failed.map(|f| json!({"rule": &*f.rule, "condition": f.condition, "reason": f.reason})).collect();
        object.insert("failed".to_owned(), Value::Array(failed));
    }
    if let Some((body, properties)) = &unmatched.body {
        let headers = properties.compression.as_ref().map(|name| json!({"compression": name}));
        let properties = json!({
            "content_type": properties.content_type,
            "content_encoding": properties.content_encoding,
            "headers": headers,
        });
        object.insert("properties".to_owned(), properties);
        let (key, value) = match std::str::from_utf8(body) {
            Ok(text) => ("body", json!(text)),
            Err(_) => ("body_base64", json!(STANDARD.encode(body))),
        };
        object.insert(key.to_owned(), value);
    }
    Value::Object(object).to_string()
}

/// Returns `None` for an invalid line, such as an unfinished last line after a kill.
pub(super) fn read(line: &str) -> Option<UnmatchedMessage> {
    let value: Value = serde_json::from_str(line).ok()?;
    let object = value.as_object()?;
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let failed = object.get("failed").and_then(Value::as_array).into_iter().flatten().filter_map(|failed| {
        let text = |key: &str| failed.get(key)?.as_str();
        Some(FailedBehind {
            rule: Arc::from(text("rule")?),
            condition: text("condition")?.to_owned(),
            reason: text("reason")?.to_owned(),
        })
    });
    let at: Timestamp = text("received")?.parse().ok()?;
    Some(UnmatchedMessage {
        received: Some(at.into()),
        listener: text("listener")?.into(),
        queue: text("queue")?.into(),
        exchange: text("exchange")?,
        routing_key: text("routing_key")?,
        event_type: text("event_type"),
        publisher_id: text("publisher_id"),
        priority: text("priority"),
        message_id: text("message_id"),
        failed: failed.collect(),
        body: saved::body_of(object).ok().flatten().map(|body| (body.into(), saved::properties_of(object))),
    })
}
