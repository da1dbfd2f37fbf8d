//! A notification to be sent, as oslo.messaging's Notifier writes it.
//!
//! Payload and context are JSON text, not trees: keys keep their order and numbers their digits.
//! The rest is written in Python's style (see [`to_python_json`]), so a body of oslo.messaging is
//! reproduced byte for byte.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::envelope::{framed, is_own_request, json_text, not_json, priority};
use crate::python_json::{parse_python_json, parse_python_json_as, to_python_json};
use crate::redact::mask_secrets;
use crate::{Budget, DecodeError, Notification, Part, Priority, resource_key};

/// The frame of a notification that osnl sends; readers of the different drivers expect different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    Bare,
    Envelope,
    /// The envelope around a notification whose context is one object, `_context`, as
    /// oslo.messaging's Kafka driver writes for both drivers. Its reader stops at a message that
    /// has no `_context`.
    Kafka,
}

/// A notification that osnl sends, with the fields in the order of oslo.messaging.
#[derive(Clone)]
pub struct Emission {
    /// A UUID, the same for all topics. Like the other optional fields, `None` is written as null.
    pub message_id: Option<String>,
    /// The service and its host, such as `network.node1`.
    pub publisher_id: Option<String>,
    /// The event type, such as `port.delete.end`.
    pub event_type: Option<String>,
    /// The priority, which is also a part of the routing key.
    pub priority: Option<Priority>,
    /// The payload as written, so that numbers keep their digits.
    pub payload: Box<RawValue>,
    /// The time of the event, in UTC without a zone.
    pub timestamp: Option<String>,
    /// 32 hex digits, different for each topic. Left out when it is `None`.
    pub unique_id: Option<String>,
    /// The request context, in order.
    pub context: Vec<(String, Box<RawValue>)>,
    /// Further members of the notification, in order.
    pub extra: Vec<(String, Box<RawValue>)>,
}

impl Emission {
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        Self::read_within(body, &Budget::MOST)
    }

    pub fn read_within(body: &[u8], budget: &Budget) -> Result<Self, DecodeError> {
        budget.check_size(body)?;
        let text = json_text(body)?;
        let mut outer: Pairs =
            parse_python_json_as(text).map_err(|error| not_json(text, Part::Body, &error))?;
        let context_beside = outer.take_request()?;
        let (version, message) = (outer.value("oslo.version")?, outer.value("oslo.message")?);
        let mut read = match framed(version.as_ref(), message.as_ref())? {
            Some(inner) => {
                let pairs =
                    parse_python_json_as(inner).map_err(|error| not_json(inner, Part::Message, &error))?;
                Self::from_pairs(pairs)?
            }
            None => Self::from_pairs(outer)?,
        };
        read.add_context(context_beside);
        Ok(read)
    }

    fn add_context(&mut self, context: Vec<(String, Box<RawValue>)>) {
        let known: HashSet<String> = self.context.iter().map(|(key, _)| key.clone()).collect();
        self.context.extend(context.into_iter().filter(|(key, _)| !known.contains(key)));
    }

    pub fn read_object(text: &str) -> Result<Vec<(String, Box<RawValue>)>, DecodeError> {
        let pairs: Pairs = parse_python_json_as(text).map_err(|error| not_json(text, Part::Body, &error))?;
        Ok(pairs.0)
    }

    pub fn body(&self, framing: Framing) -> Result<String, serde_json::Error> {
        let inner = match framing {
            Framing::Bare => return to_python_json(self),
            Framing::Envelope => to_python_json(self)?,
            Framing::Kafka => to_python_json(&WithOneContext(self))?,
        };
        Ok(format!("{{\"oslo.version\": \"2.0\", \"oslo.message\": {}}}", to_python_json(&inner)?))
    }

    #[must_use]
    pub fn resource_key(&self) -> Option<String> {
        let body = self.body(Framing::Bare).ok()?;
        resource_key(&Notification::decode(body.as_bytes()).ok()?)
    }

    fn from_pairs(pairs: Pairs) -> Result<Self, DecodeError> {
        let text = |key: &str| -> Result<Option<String>, DecodeError> {
            Ok(pairs.value(key)?.and_then(|value| value.as_str().map(str::to_owned)))
        };
        let mut read = Self {
            message_id: text("message_id")?,
            publisher_id: text("publisher_id")?,
            event_type: text("event_type")?,
            priority: priority(pairs.value("priority")?.as_ref())?,
            payload: RawValue::NULL.to_owned(),
            timestamp: text("timestamp")?,
            unique_id: text("_unique_id")?,
            context: Vec::new(),
            extra: Vec::new(),
        };
        let mut whole_context = Vec::new();
        for (key, value) in pairs.0 {
            match key.as_str() {
                "message_id" | "publisher_id" | "event_type" | "priority" | "timestamp" | "_unique_id" => {}
                "payload" => read.payload = value,
                "_context" if value.get().starts_with('{') => whole_context = Self::read_object(value.get())?,
                other => match other.strip_prefix("_context_") {
                    Some(key) => read.context.push((key.to_owned(), value)),
                    None => read.extra.push((key, value)),
                },
            }
        }
        read.add_context(whole_context);
        Ok(read)
    }

    fn write_head<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("message_id", &self.message_id)?;
        map.serialize_entry("publisher_id", &self.publisher_id)?;
        map.serialize_entry("event_type", &self.event_type)?;
        map.serialize_entry("priority", &self.priority.as_ref().map(|p| p.as_str().to_uppercase()))?;
        map.serialize_entry("payload", &self.payload)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        if let Some(id) = &self.unique_id {
            map.serialize_entry("_unique_id", id)?;
        }
        Ok(())
    }

    fn write_extra<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.extra.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
    }
}

impl Serialize for Emission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write_head(&mut map)?;
        for (key, value) in &self.context {
            map.serialize_entry(&format!("_context_{key}"), value)?;
        }
        self.write_extra(&mut map)?;
        map.end()
    }
}

/// Serializes an emission with its context as one object, `_context`, instead of a key for each value.
struct WithOneContext<'a>(&'a Emission);

impl Serialize for WithOneContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.write_head(&mut map)?;
        self.0.write_extra(&mut map)?;
        map.serialize_entry("_context", &OrderedObject(&self.0.context))?;
        map.end()
    }
}

/// Serializes pairs as an object, in their order.
struct OrderedObject<'a>(&'a [(String, Box<RawValue>)]);

impl Serialize for OrderedObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl fmt::Debug for Emission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = to_python_json(self).ok().and_then(|text| parse_python_json(&text).ok());
        f.debug_tuple("Emission").field(&mask_secrets(&whole.unwrap_or_default())).finish()
    }
}

/// The last value of a repeated key counts, in the first's place.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl Pairs {
    fn value(&self, key: &str) -> Result<Option<Value>, DecodeError> {
        let Some((_, raw)) = self.0.iter().find(|(name, _)| name == key) else { return Ok(None) };
        let text = raw.get();
        parse_python_json(text).map(Some).map_err(|error| not_json(text, Part::Body, &error))
    }

    fn take_request(&mut self) -> Result<Vec<(String, Box<RawValue>)>, DecodeError> {
        let object = |key: &str| {
            let found = self.0.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.get()).filter(|text| text.starts_with('{'))
        };
        let is_own = is_own_request(|key| self.0.iter().any(|(name, _)| name == key));
        let Some(request) = object("request").filter(|_| !is_own) else { return Ok(Vec::new()) };
        let request = Emission::read_object(request)?;
        let context = object("context").map(Emission::read_object).transpose()?;
        self.0 = request;
        Ok(context.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, Box<RawValue>)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    match places.get(&key).and_then(|at| pairs.get_mut(*at)) {
                        Some(before) => before.1 = value,
                        None => {
                            places.insert(key.clone(), pairs.len());
                            pairs.push((key, value));
                        }
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
