//! Messages as JSON objects: for scripts (secrets masked), and for a file (as received).
//!
//! Printed: `received`, `exchange`, `routing_key`, then `timestamp`, `priority`, `event_type`,
//! `publisher_id`, `message_id`, `project_id`, `user_id`, `resource` (`id`, `ids`, `name`),
//! `format` (`legacy`, `CADF` or the class, with its `version`), `outcome` of CADF, `context`,
//! `payload`; or `unreadable` (the reason) and `body_escaped`. With `--raw` also `body`, or
//! `body_base64` where it is no UTF-8.
//!
//! Saved: `received`, `exchange`, `routing_key`, `properties` under AMQP's names, `body` or
//! `body_base64`: enough to publish the message again. Nothing is masked.
//!
//! Both are serialised directly from the decoded message without a copy, since a tap must keep up
//! with a busy broker.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use osnl_model::MaskedJson;
use osnl_transport::{TapMessage, TapProperties};
use serde::Serialize;
use serde_json::{Map, Value};

use super::event::{TapEvent, UnreadableBody};
use super::resource::ShownForm;
use crate::clean;

pub(super) fn event(message: &TapMessage, event: &TapEvent, received: Timestamp, raw: bool) -> String {
    let n = &event.notification;
    let about = &event.about;
    let (format, version) = match &about.form {
        ShownForm::Versioned(class, version) => (class.as_str(), Some(version.as_str())),
        ShownForm::Legacy => ("legacy", None),
        ShownForm::Cadf(_) => ("CADF", None),
    };
    let outcome = match &about.form {
        ShownForm::Cadf(outcome) => outcome.as_deref(),
        ShownForm::Versioned(..) | ShownForm::Legacy => None,
    };
    let (body, body_base64) = if raw { body(message) } else { (None, None) };
    written(&ShownEvent {
        received: &time(received),
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        timestamp: n.timestamp.as_deref(),
        priority: n.priority.as_ref().map(|priority| priority.as_str()),
        event_type: n.event_type.as_deref(),
        publisher_id: n.publisher_id.as_deref(),
        message_id: n.message_id.as_deref(),
        project_id: about.project.as_deref(),
        user_id: about.user.as_deref(),
        resource: JsonResource {
            id: about.ids.first().map(String::as_str),
            ids: &about.ids,
            name: about.name.as_deref(),
        },
        format,
        version,
        outcome,
        context: MaskedJson::object(&n.context),
        payload: MaskedJson::value(&n.payload),
        body,
        body_base64,
    })
}

pub(super) fn body_masked(event: &TapEvent) -> String {
    let n = &event.notification;
    let whole = Whole { context: MaskedJson::object(&n.context), payload: MaskedJson::value(&n.payload) };
    clean::json(serde_json::to_string_pretty(&whole).unwrap_or_default())
}

pub(super) fn unreadable(
    message: &TapMessage,
    why: &UnreadableBody,
    received: Timestamp,
    raw: bool,
) -> String {
    let (body, body_base64) = if raw { body(message) } else { (None, None) };
    written(&ShownUnread {
        received: &time(received),
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        unreadable: &why.reason,
        body_escaped: &why.body,
        body,
        body_base64,
    })
}

pub(super) fn saved(message: &TapMessage, received: Timestamp) -> String {
    let (body, body_base64) = body(message);
    let saved = SavedEvent {
        received: &time(received),
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        properties: properties(&message.properties),
        body,
        body_base64,
    };
    text(&saved)
}

#[derive(Serialize)]
struct ShownEvent<'a> {
    received: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
    timestamp: Option<&'a str>,
    priority: Option<&'a str>,
    event_type: Option<&'a str>,
    publisher_id: Option<&'a str>,
    message_id: Option<&'a str>,
    project_id: Option<&'a str>,
    user_id: Option<&'a str>,
    resource: JsonResource<'a>,
    format: &'a str,
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    context: MaskedJson<'a>,
    payload: MaskedJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Serialize)]
struct JsonResource<'a> {
    id: Option<&'a str>,
    ids: &'a [String],
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Whole<'a> {
    context: MaskedJson<'a>,
    payload: MaskedJson<'a>,
}

#[derive(Serialize)]
struct ShownUnread<'a> {
    received: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
    unreadable: &'a str,
    body_escaped: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Serialize)]
struct SavedEvent<'a> {
    received: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
    properties: JsonProperties<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Serialize)]
struct JsonProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    headers: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_mode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<&'a str>,
}

fn properties(from: &TapProperties) -> JsonProperties<'_> {
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
    JsonProperties {
        content_type: content_type.as_deref(),
        content_encoding: content_encoding.as_deref(),
        headers,
        delivery_mode: *delivery_mode,
        priority: *priority,
        correlation_id: correlation_id.as_deref(),
        reply_to: reply_to.as_deref(),
        expiration: expiration.as_deref(),
        message_id: message_id.as_deref(),
        timestamp: *timestamp,
        kind: kind.as_deref(),
        user_id: user_id.as_deref(),
        app_id: app_id.as_deref(),
    }
}

fn time(received: Timestamp) -> String {
    format!("{received:.6}")
}

fn body(message: &TapMessage) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(&message.body) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(&message.body))),
    }
}

fn written(object: &impl Serialize) -> String {
    clean::json(text(object))
}

/// Serialises an object; cannot fail, because all map keys are texts.
fn text(object: &impl Serialize) -> String {
    serde_json::to_string(object).unwrap_or_default()
}
