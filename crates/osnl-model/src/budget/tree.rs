//! `serde_json`'s own parser of [`Value`] is not used for texts of other programs. That parser has no limits, and parses
//! an object whose one key is `$serde_json::private::RawValue` again as JSON, with a fresh count of levels: texts within
//! texts exceed any stack, also those that osnl has kept and reads again.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Excess, Purse};

/// The size of a B-tree node with the allocator's share. Every node but the last has a least number of members.
const NODE: usize = 640;
const MEMBERS: usize = 6;

const ALLOCATION: usize = 16;

/// Parses one value at a depth, and pays for it from the message's purse.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    purse: &'a Purse,
    depth: usize,
}

impl<'a> Tree<'a> {
    pub(crate) const fn new(purse: &'a Purse, depth: usize) -> Self {
        Self { purse, depth }
    }

    fn text<E: Error>(self, bytes: usize) -> Result<(), E> {
        self.purse.take(if bytes == 0 { 0 } else { bytes + ALLOCATION }).map_err(error)
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        let inner = Self { depth: self.depth + 1, ..self };
        self.purse.enter(inner.depth).map_err(error)?;
        self.purse.take(0).map_err(error)?;
        Ok(inner)
    }

    fn more_memory<E: Error>(self, bytes: usize) -> Result<(), E> {
        let limit = self.purse.most_memory;
        self.purse.take_memory(bytes).map_err(|()| error(self.purse.exceeded(Excess::Memory { limit })))
    }
}

/// Ends the parsing. The caller takes the excess from the purse, so this error is never shown.
fn error<E: Error>(excess: Excess) -> E {
    E::custom(excess)
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.text(0)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.text(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.text(0)?;
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.text(0)?;
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.text(0)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.text(value.len())?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items: Vec<Value> = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            if items.len() == items.capacity() {
                let more = items.capacity().max(4);
                inner.more_memory(more * size_of::<Value>() + if more == 4 { ALLOCATION } else { 0 })?;
            }
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Map::new();
        let mut count = 0_usize;
        while let Some(key) = map.next_key::<String>()? {
            if count.is_multiple_of(MEMBERS) {
                inner.more_memory(NODE)?;
            }
            count += 1;
            if !key.is_empty() {
                inner.more_memory(key.len() + ALLOCATION)?;
            }
            let value = map.next_value_seed(inner)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// A value of JSON that another program has written. Its reader has no limits of its own, and no key has a meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignJson(pub Value);

impl<'de> Deserialize<'de> for ForeignJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        foreign_json(deserializer).map(Self)
    }
}

/// Reads a field as [`ForeignJson`] does.
pub fn foreign_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let purse = Purse::new(usize::MAX, usize::MAX, usize::MAX);
    Tree::new(&purse, 0).deserialize(deserializer)
}

/// Returns the approximate memory of a value beside its own node, by the rules of
/// [`Budget::memory`](crate::Budget::memory).
#[must_use]
pub fn memory_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text_memory(text),
        Value::Array(items) => {
            let own = items.capacity() * size_of::<Value>() + ALLOCATION;
            own + items.iter().map(memory_of).sum::<usize>()
        }
        Value::Object(members) => members_memory(members),
    }
}

pub(crate) fn members_memory(members: &Map<String, Value>) -> usize {
    let inner = members.iter().map(|(key, value)| text_memory(key) + memory_of(value));
    members.len().div_ceil(MEMBERS) * NODE + inner.sum::<usize>()
}

fn text_memory(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.len() + ALLOCATION }
}
