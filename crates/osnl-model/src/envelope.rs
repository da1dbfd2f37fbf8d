//! The two framings of a notification, and the head, which is read without the rest.
//!
//! Bare (driver `messaging`): the body is the notification, a JSON object. Enveloped (driver
//! `messagingv2`): the body is `{"oslo.version": "2.0", "oslo.message": "<JSON text of the
//! notification>"}`. oslo.messaging's AMQP 1.0 driver puts either into `{"request": …, "context": …}`, with the
//! context beside the notification.
//!
//! No rule matches most messages, which `event_type`, `publisher_id` and `priority` decide.
//! oslo.messaging writes these fields before the payload, so [`read_head`] normally stops there
//! (see `fast`). Any other order of keys, and anything unusual, needs a whole parse with the same
//! result.
//!
//! A read that stops early does not notice a damaged payload or a cut-off end.
//!
//! Both readers of a head must agree: `tests/it/heads.rs` compares them.

mod fast;

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::budget::{Purse, Tree};
use crate::error::excerpt;
use crate::python_json::repairing;
use crate::{Budget, DecodeError, JsonKind, Part, Priority};

/// A field is None when it is missing or null; `event_type` and `publisher_id` also when the value
/// is no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    pub event_type: Option<Cow<'a, str>>,
    pub publisher_id: Option<Cow<'a, str>>,
    pub priority: Option<Priority>,
}

impl Head<'_> {
    pub fn into_owned(self) -> Head<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Head {
            event_type: self.event_type.map(own),
            publisher_id: self.publisher_id.map(own),
            priority: self.priority,
        }
    }
}

pub fn read_head(body: &[u8]) -> Result<Head<'_>, DecodeError> {
    head_within(body, &Budget::DEFAULT)
}

impl Budget {
    pub fn read_head<'a>(&self, body: &'a [u8]) -> Result<Head<'a>, DecodeError> {
        head_within(body, self)
    }
}

fn head_within<'a>(body: &'a [u8], budget: &Budget) -> Result<Head<'a>, DecodeError> {
    match fast::read_head(body) {
        Some(head) => Ok(head),
        None => {
            budget.check_size(body)?;
            slow_head(body, budget)
        }
    }
}

fn slow_head<'a>(body: &'a [u8], budget: &Budget) -> Result<Head<'a>, DecodeError> {
    let text = json_text(body)?;
    let purse = Purse::for_budget(budget);
    let read = |text: &str, part, depth| {
        let keys = repairing(text, |text| HeadKeys::parse(text, &purse, depth));
        keys.map_err(|error| refused(text, part, &error, &purse))
    };
    let keys = read(text, Part::Body, 0)?.for_request();
    let Some(message) = framed(keys.version.as_ref(), keys.message.as_ref())? else {
        return keys.into_head();
    };
    read(message, Part::Message, 2)?.into_head()
}

pub(crate) fn json_text(body: &[u8]) -> Result<&str, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(DecodeError::ByteOrderMark);
    }
    std::str::from_utf8(body).map_err(|error| DecodeError::NotUtf8 { offset: error.valid_up_to() })
}

/// Returns whether a body with these keys is a notification of its own, so that its `request` is an ordinary key and not
/// the notification of the AMQP 1.0 driver.
pub(crate) fn is_own_request(has: impl FnMut(&'static str) -> bool) -> bool {
    ["oslo.version", "oslo.message", "event_type"].into_iter().any(has)
}

pub(crate) fn framed<'a>(
    version: Option<&Value>,
    message: Option<&'a Value>,
) -> Result<Option<&'a str>, DecodeError> {
    let (version, message) = match (version, message) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(DecodeError::NoVersion),
        (Some(_), None) => return Err(DecodeError::NoMessage),
        (Some(version), Some(message)) => (version, message),
    };
    match version.as_str() {
        Some(version) if is_2_0(version) => {}
        Some(other) => return Err(DecodeError::UnsupportedVersion { version: excerpt(other) }),
        None => return Err(DecodeError::VersionNotText { found: JsonKind::from_value(version) }),
    }
    match message.as_str() {
        Some(text) => Ok(Some(text)),
        None => Err(DecodeError::MessageNotText { found: JsonKind::from_value(message) }),
    }
}

/// Decides as oslo.messaging, which compares three numbers and ignores further ones: `2.0.0` is 2.0.
fn is_2_0(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.trim().parse().ok()).collect();
    matches!(numbers.as_deref(), Some([2, 0] | [2, 0, 0, ..]))
}

pub(crate) fn priority(value: Option<&Value>) -> Result<Option<Priority>, DecodeError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Priority::parse(text))),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            Err(DecodeError::PriorityNotText { found: JsonKind::from_value(other) })
        }
    }
}

pub(crate) fn refused(text: &str, part: Part, error: &serde_json::Error, purse: &Purse) -> DecodeError {
    purse.excess().map_or_else(|| not_json(text, part, error), DecodeError::from)
}

pub(crate) fn not_json(text: &str, part: Part, error: &serde_json::Error) -> DecodeError {
    if error.is_data() {
        let found = match text.trim_start().bytes().next() {
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::Array,
            Some(b'"') => JsonKind::Text,
            Some(b't' | b'f') => JsonKind::Bool,
            Some(b'n' | b'N' | b'I') => JsonKind::Null,
            Some(_) | None => JsonKind::Number,
        };
        return DecodeError::NotAnObject { part, found };
    }
    DecodeError::NotJson { part, reason: error.to_string() }
}

/// The keys that the slow way keeps, of either framing. Of a repeated key the last value counts.
#[derive(Default)]
struct HeadKeys {
    request: Option<Value>,
    version: Option<Value>,
    message: Option<Value>,
    event_type: Option<Value>,
    publisher_id: Option<Value>,
    priority: Option<Value>,
}

impl HeadKeys {
    fn into_head(self) -> Result<Head<'static>, DecodeError> {
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(Cow::Owned(text)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))
            | None => None,
        };
        Ok(Head {
            priority: priority(self.priority.as_ref())?,
            event_type: text(self.event_type),
            publisher_id: text(self.publisher_id),
        })
    }
}

impl HeadKeys {
    fn for_request(mut self) -> Self {
        let is_own = is_own_request(|key| self.place(key).is_some_and(|place| place.is_some()));
        let Some(Value::Object(mut request)) = self.request.take().filter(|_| !is_own) else {
            return self;
        };
        let mut keys = Self::default();
        for key in ["oslo.version", "oslo.message", "event_type", "publisher_id", "priority"] {
            if let (Some(place), value @ Some(_)) = (keys.place(key), request.remove(key)) {
                *place = value;
            }
        }
        keys
    }

    fn place(&mut self, key: &str) -> Option<&mut Option<Value>> {
        Some(match key {
            "request" => &mut self.request,
            "oslo.version" => &mut self.version,
            "oslo.message" => &mut self.message,
            "event_type" => &mut self.event_type,
            "publisher_id" => &mut self.publisher_id,
            "priority" => &mut self.priority,
            _ => return None,
        })
    }

    fn parse(text: &str, purse: &Purse, depth: usize) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let keys = (&mut deserializer).deserialize_map(HeadKeysVisitor { purse, depth })?;
        deserializer.end()?;
        Ok(keys)
    }
}

/// Reads the keys of a head from an object, and skips all others.
struct HeadKeysVisitor<'a> {
    purse: &'a Purse,
    depth: usize,
}

impl<'de> Visitor<'de> for HeadKeysVisitor<'_> {
    type Value = HeadKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadKeys, A::Error> {
        let mut keys = HeadKeys::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match keys.place(&key) {
                Some(place) => *place = Some(map.next_value_seed(Tree::new(self.purse, self.depth + 1))?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(keys)
    }
}
