//! Messages of the ring as lines of JSON; with a body, a line is also a saved event.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{FailedBehind, UnmatchedMessage};
use crate::saved;

pub(super) fn write(unmatched: &UnmatchedMessage) -> String {
    let received = unmatched.received.and_then(|at| Timestamp::try_from(at).ok());
    let mut line = json!({
        "received": received.map(|at| format!("{at:.6}")),
        "listener": &*unmatched.listener,
        "queue": &*unmatched.queue,
        "exchange": unmatched.exchange,
        "routing_key": unmatched.routing_key,
        "event_type": unmatched.event_type,
        "publisher_id": unmatched.publisher_id,
        "priority": unmatched.priority,
        "message_id": unmatched.message_id,
    });
    if !unmatched.failed.is_empty() {
        line["failed"] = json!(unmatched.failed);
    }
    if let (Value::Object(line), Some((body, properties))) = (&mut line, &unmatched.body) {
        line.extend(saved::body_members(body, properties));
    }
    line.to_string()
}

/// Returns `None` for an invalid line, such as an unfinished last line after a kill.
pub(super) fn read(line: &str) -> Option<UnmatchedMessage> {
    let mut object: Map<String, Value> = serde_json::from_str(line).ok()?;
    let failed =
        object.remove("failed").and_then(|failed| serde_json::from_value::<Vec<FailedBehind>>(failed).ok());
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let at: Timestamp = text("received")?.parse().ok()?;
    Some(UnmatchedMessage {
        number: 0,
        received: Some(at.into()),
        listener: text("listener")?.into(),
        queue: text("queue")?.into(),
        exchange: text("exchange")?,
        routing_key: text("routing_key")?,
        event_type: text("event_type"),
        publisher_id: text("publisher_id"),
        priority: text("priority"),
        message_id: text("message_id"),
        failed: failed.unwrap_or_default(),
        body: saved::body_of(&object).ok().flatten().map(|body| (body.into(), saved::properties_of(&object))),
    })
}
