//! Conditions on notifications, in the terms of oslo.messaging's `NotificationFilter`.
//!
//! Every given condition must hold: `publisher_id` and `event_type` (one pattern each), and the
//! named top-level keys of context, metadata (`message_id` and `timestamp`) and payload. An absent
//! key, or a value that is no text, is a mismatch. For a payload that is no object oslo raises an
//! exception and redelivers the message without end; here it is a mismatch.
//!
//! Patterns have the meaning of Python's `re.match`, see [`Pattern`].

mod pattern;
mod python_regex;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::redact::mask_text;
use crate::{Head, JsonKind, Notification, is_secret_path, shortened};

pub use pattern::{Pattern, PatternError, StepLimit};

/// The conditions of oslo.messaging's `NotificationFilter`, all of which a notification must fulfil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    pub publisher_id: Option<Pattern>,
    pub event_type: Option<Pattern>,
    pub context: BTreeMap<String, Pattern>,
    /// Patterns for `message_id` and `timestamp`; no other key ever matches.
    pub metadata: BTreeMap<String, Pattern>,
    pub payload: BTreeMap<String, Pattern>,
}

impl NotificationFilter {
    /// Whether a message with this head can match. A missing field never matches a pattern.
    pub fn wants(&self, head: &Head<'_>) -> bool {
        self.holds_for(head).unwrap_or(false)
    }

    /// A pattern exceeded its limit of steps: the message does not match.
    pub fn holds_for(&self, head: &Head<'_>) -> Result<bool, StepLimit> {
        Ok(self.holds_for_publisher(head.publisher_id.as_deref())?
            && self.holds_for_event_type(head.event_type.as_deref())?)
    }

    pub fn holds_for_publisher(&self, publisher_id: Option<&str>) -> Result<bool, StepLimit> {
        holds(self.publisher_id.as_ref(), publisher_id)
    }

    pub fn holds_for_event_type(&self, event_type: Option<&str>) -> Result<bool, StepLimit> {
        holds(self.event_type.as_ref(), event_type)
    }

    pub fn matches(&self, n: &Notification) -> Result<(), Mismatch> {
        if let Some(pattern) = &self.publisher_id {
            hold(pattern, field(n.publisher_id.as_deref()), || Predicate::PublisherId)?;
        }
        if let Some(pattern) = &self.event_type {
            hold(pattern, field(n.event_type.as_deref()), || Predicate::EventType)?;
        }
        for (key, pattern) in &self.context {
            hold(pattern, member(&n.context, key), || Predicate::Context(key.clone()))?;
        }
        for (key, pattern) in &self.metadata {
            let value = match key.as_str() {
                "message_id" => n.message_id.as_deref(),
                "timestamp" => n.timestamp.as_deref(),
                _ => None,
            };
            hold(pattern, field(value), || Predicate::Metadata(key.clone()))?;
        }
        for (key, pattern) in &self.payload {
            let value = match &n.payload {
                Value::Object(object) => member(object, key),
                other => Err(Observed::NoKeys(JsonKind::from_value(other))),
            };
            hold(pattern, value, || Predicate::Payload(key.clone()))?;
        }
        Ok(())
    }
}

fn holds(pattern: Option<&Pattern>, value: Option<&str>) -> Result<bool, StepLimit> {
    match (pattern, value) {
        (Some(pattern), Some(value)) => pattern.matches(value),
        (Some(_), None) => Ok(false),
        (None, _) => Ok(true),
    }
}

type TextOrCause<'a> = Result<&'a str, Observed>;

fn field(text: Option<&str>) -> TextOrCause<'_> {
    text.ok_or(Observed::Absent)
}

fn member<'a>(object: &'a Map<String, Value>, key: &str) -> TextOrCause<'a> {
    match object.get(key) {
        None => Err(Observed::Absent),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Observed::NotText(JsonKind::from_value(other))),
    }
}

fn hold(
    pattern: &Pattern,
    value: TextOrCause<'_>,
    predicate: impl FnOnce() -> Predicate,
) -> Result<(), Mismatch> {
    let observed = match value.map(|text| (text, pattern.matches(text))) {
        Ok((_, Ok(true))) => return Ok(()),
        Ok((text, Ok(false))) => Observed::Text(text.to_owned()),
        Ok((text, Err(StepLimit { .. }))) => Observed::StepLimit { length: text.len() },
        Err(instead) => instead,
    };
    let predicate = predicate();
    Err(Mismatch {
        pattern: pattern.as_str().to_owned(),
        observed: observed.shown_for(&predicate),
        predicate,
    })
}

/// The first condition that a notification fails, for `osnl explain` and the reasons of unmatched messages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{predicate} is {observed}, which does not match \"{}\"", self.shown_pattern())]
pub struct Mismatch {
    pub predicate: Predicate,
    pub pattern: String,
    pub observed: Observed,
}

impl Mismatch {
    /// Returns the pattern, masked for a secret key, since it may be secret too.
    #[must_use]
    pub fn shown_pattern(&self) -> &str {
        self.predicate.shown(&self.pattern)
    }
}

/// The value of a notification that a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Predicate {
    PublisherId,
    EventType,
    Context(String),
    Metadata(String),
    Payload(String),
}

impl Predicate {
    /// Returns a pattern for the value, masked for a secret key.
    #[must_use]
    pub fn shown<'a>(&self, pattern: &'a str) -> &'a str {
        if self.is_secret() { "***" } else { pattern }
    }

    fn is_secret(&self) -> bool {
        match self {
            // A lone `key` is secret, as in designate's zone transfers.
            Self::Payload(key) => key == "key" || is_secret_path(key),
            Self::Context(key) => is_secret_path(key),
            Self::PublisherId | Self::EventType | Self::Metadata(_) => false,
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublisherId => f.write_str("publisher_id"),
            Self::EventType => f.write_str("event_type"),
            Self::Context(key) => write!(f, "context.{key}"),
            Self::Metadata(key) => write!(f, "metadata.{key}"),
            Self::Payload(key) => write!(f, "payload.{key}"),
        }
    }
}

/// The text under a key that looks secret is `***`, and so are secrets in a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Observed {
    Absent,
    NotText(JsonKind),
    NoKeys(JsonKind),
    Text(String),
    StepLimit { length: usize },
}

impl Observed {
    fn shown_for(self, predicate: &Predicate) -> Self {
        match self {
            Self::Text(_) if predicate.is_secret() => Self::Text("***".to_owned()),
            Self::Text(text) => Self::Text(mask_text(&text).into_owned()),
            shown @ (Self::Absent | Self::NotText(_) | Self::NoKeys(_) | Self::StepLimit { .. }) => shown,
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::NotText(kind) => kind.fmt(f),
            Self::NoKeys(kind) => write!(f, "absent (the payload is {kind})"),
            Self::Text(text) => write!(f, "\"{}\"", shortened(text)),
            Self::StepLimit { length } => {
                write!(f, "a text of {length} bytes, given up after too many steps")
            }
        }
    }
}
