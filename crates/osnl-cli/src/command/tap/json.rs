//! What is seen as JSON objects: for scripts (secrets masked), and for a file (as received).
//!
//! Printed: `received`, `exchange`, `routing_key`, then `timestamp`, `priority`, `event_type`, `publisher_id`,
//! `message_id`, `project_id`, `user_id`, `resource` (`id`, `ids`, `name`), `format` (`legacy`, `CADF` or the class,
//! with its `version`), `context`, `payload`; or `unreadable` (the reason) and `body_escaped`. With `--raw` also
//! `body`, or `body_base64` where it is no UTF-8.
//!
//! Saved: `received`, `exchange`, `routing_key`, `properties` under AMQP's names, `body` or `body_base64`: all that
//! is needed to publish it again. Nothing is masked there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use osnl_transport::{TapMessage, TapProperties};
use serde_json::{Map, Value, json};

use super::clean;
use super::event::{Event, Unreadable};
use super::resource::Form;

/// The object of an event, without its end.
pub(super) fn event(message: &TapMessage, event: &Event, received: Timestamp, raw: bool) -> String {
    let n = &event.notification;
    let about = &event.about;
    let (context, payload) = event.masked();
    let (format, version) = match &about.form {
        Form::Versioned(class, version) => (class.as_str(), Some(version)),
        Form::Legacy => ("legacy", None),
        Form::Cadf => ("CADF", None),
    };
    let mut object = place(message, received);
    for (key, value) in [
        ("timestamp", json!(n.timestamp)),
        ("priority", json!(n.priority.as_ref().map(|priority| priority.as_str()))),
        ("event_type", json!(n.event_type)),
        ("publisher_id", json!(n.publisher_id)),
        ("message_id", json!(n.message_id)),
        ("project_id", json!(about.project)),
        ("user_id", json!(about.user)),
        ("resource", json!({"id": about.ids.first(), "ids": about.ids, "name": about.name})),
        ("format", json!(format)),
        ("version", json!(version)),
        ("context", context),
        ("payload", payload),
    ] {
        object.insert(key.to_owned(), value);
    }
    written(object, message, raw)
}

/// The object of a body that cannot be read, without its end.
pub(super) fn unreadable(message: &TapMessage, why: &Unreadable, received: Timestamp, raw: bool) -> String {
    let mut object = place(message, received);
    object.insert("unreadable".to_owned(), json!(why.reason.to_string()));
    object.insert("body_escaped".to_owned(), json!(why.body));
    written(object, message, raw)
}

/// The object to be saved, without its end.
pub(super) fn saved(message: &TapMessage, received: Timestamp) -> String {
    let mut object = place(message, received);
    object.insert("properties".to_owned(), Value::Object(properties(&message.properties)));
    body(&mut object, message);
    Value::Object(object).to_string()
}

fn place(message: &TapMessage, received: Timestamp) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("received".to_owned(), json!(format!("{received:.6}")));
    object.insert("exchange".to_owned(), json!(message.exchange));
    object.insert("routing_key".to_owned(), json!(message.routing_key));
    object
}

fn written(mut object: Map<String, Value>, message: &TapMessage, raw: bool) -> String {
    if raw {
        body(&mut object, message);
    }
    clean::json(Value::Object(object).to_string())
}

fn body(object: &mut Map<String, Value>, message: &TapMessage) {
    let (key, value) = match std::str::from_utf8(&message.body) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_base64", json!(STANDARD.encode(&message.body))),
    };
    object.insert(key.to_owned(), value);
}

/// Those that were set, under AMQP's names.
fn properties(from: &TapProperties) -> Map<String, Value> {
    let TapProperties {
        content_type,
        content_encoding,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        headers,
    } = from;
    let headers = (!headers.is_empty()).then_some(headers);
    [
        ("content_type", json!(content_type)),
        ("content_encoding", json!(content_encoding)),
        ("headers", json!(headers)),
        ("delivery_mode", json!(delivery_mode)),
        ("priority", json!(priority)),
        ("correlation_id", json!(correlation_id)),
        ("reply_to", json!(reply_to)),
        ("expiration", json!(expiration)),
        ("message_id", json!(message_id)),
        ("timestamp", json!(timestamp)),
        ("type", json!(kind)),
        ("user_id", json!(user_id)),
        ("app_id", json!(app_id)),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_null())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
