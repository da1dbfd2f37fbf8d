//! The spans of an event. Attributes have the names of OpenTelemetry where it has one, else those of the log.

use std::sync::Arc;
use std::time::SystemTime;

use osnl_model::Notification;

use super::{SpanId, TraceContext};
use crate::attempt::{ActionError, CLASSES, Completion};
use crate::event::Event;
use crate::received::{Origin, ReceivedMessage};

/// The longest text of an attribute, in bytes: an error may quote a reply.
const LONGEST: usize = 1024;

/// A part of an event's course.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub context: TraceContext,
    /// Its id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// A short text with few values.
    pub name: String,
    /// Its place between systems.
    pub kind: SpanKind,
    /// When it began.
    pub begin: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// The known facts, by name.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// The reason of a failure. No secret.
    pub error: Option<String>,
}

/// The place of a span between systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Within osnl.
    Internal,
    /// A call on a target.
    Client,
    /// The receipt of a message.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// A truth.
    Flag(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(bounded(text))
    }
}

impl Span {
    /// Returns the span of an event that is in the journal now.
    #[must_use]
    pub fn of_event(notification: &Notification, received: &ReceivedMessage) -> Self {
        let context = TraceContext::of(notification, received);
        let Origin { listener, queue, exchange, routing_key, redelivered, received: begin } =
            &received.origin;
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("messaging.system", "rabbitmq".into()),
            ("messaging.operation.type", "receive".into()),
            ("messaging.destination.name", exchange.as_str().into()),
            ("messaging.rabbitmq.destination.routing_key", routing_key.as_str().into()),
            ("messaging.message.body.size", Attribute::Number(received.body.len() as u64)),
            ("listener.name", (&**listener).into()),
            ("queue.name", (&**queue).into()),
            ("redelivered", Attribute::Flag(*redelivered)),
        ];
        let known = [
            ("messaging.message.id", notification.message_id.as_deref()),
            ("event_type", notification.event_type.as_deref()),
            ("publisher_id", notification.publisher_id.as_deref()),
            ("published", notification.timestamp.as_deref()),
        ];
        attributes.extend(known.into_iter().filter_map(|(name, text)| Some((name, text?.into()))));
        Self {
            id: SpanId::of_event(notification, received),
            parent: context.parent.clone(),
            context,
            name: format!("receive {queue}"),
            kind: SpanKind::Consumer,
            begin: *begin,
            end: SystemTime::now(),
            attributes,
            error: None,
        }
    }

    /// Returns the span of a delivery that has ended now; `failure` is why it was given up.
    #[must_use]
    pub fn of_delivery(event: &Event, id: &dyn ToString, outcome: &str, failure: Option<&str>) -> Self {
        let context = event.trace();
        let mut attributes = about(event, id);
        attributes.push(("outcome", outcome.into()));
        Self {
            id: SpanId::of_delivery(&event.idempotency_key()),
            parent: Some(SpanId::of_event(&event.notification, &event.received)),
            context,
            name: format!("deliver {}", event.action),
            kind: SpanKind::Internal,
            begin: event.received.origin.received,
            end: SystemTime::now(),
            attributes,
            error: failure.map(bounded),
        }
    }

    /// Returns the span of an attempt that began at this moment and has ended now.
    #[must_use]
    pub fn of_attempt(
        event: &Event,
        id: &dyn ToString,
        began: SystemTime,
        result: &Result<Completion, ActionError>,
    ) -> Self {
        let key = event.idempotency_key();
        let mut attributes = about(event, id);
        let class = result.as_ref().err().map(|error| CLASSES[error.class.place()]);
        attributes.extend(class.map(|class| ("error.type", class.into())));
        Self {
            id: SpanId::of_attempt(&key, began),
            parent: Some(SpanId::of_delivery(&key)),
            context: event.trace(),
            name: format!("attempt {}", event.action),
            kind: SpanKind::Client,
            begin: began,
            end: SystemTime::now(),
            attributes,
            error: result.as_ref().err().map(|error| bounded(&error.to_string())),
        }
    }
}

fn about(event: &Event, id: &dyn ToString) -> Vec<(&'static str, Attribute)> {
    let text = |text: &Arc<str>| Attribute::from(&**text);
    vec![
        ("delivery.id", id.to_string().as_str().into()),
        ("action.name", text(&event.action)),
        ("rule.name", text(&event.rule)),
    ]
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}
