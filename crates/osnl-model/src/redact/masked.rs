use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::depth::{RemainingDepth, too_deep};
use super::places::{self, Judgement};
use super::{MASK, is_named_before, says_nothing, text};

/// A value that serializes like the result of [`mask_secrets`](crate::mask_secrets), without that
/// copy.
#[derive(Clone, Copy)]
pub struct MaskedJson<'a>(MaskedNode<'a>);

/// A value, or an object without the value around it.
#[derive(Clone, Copy)]
enum MaskedNode<'a> {
    Value(&'a Value),
    Object(&'a Map<String, Value>),
}

impl<'a> MaskedJson<'a> {
    #[must_use]
    pub const fn value(value: &'a Value) -> Self {
        Self(MaskedNode::Value(value))
    }

    #[must_use]
    pub const fn object(object: &'a Map<String, Value>) -> Self {
        Self(MaskedNode::Object(object))
    }
}

impl std::fmt::Debug for MaskedJson<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl Serialize for MaskedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            MaskedNode::Value(value) => Within { value, depth: RemainingDepth::TOP }.serialize(serializer),
            MaskedNode::Object(object) => serialize_object(object, RemainingDepth::TOP, serializer),
        }
    }
}

/// A value inside others, with the depth that is left for its contents.
struct Within<'a> {
    value: &'a Value,
    depth: RemainingDepth,
}

impl Serialize for Within<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Array(items) => serialize_items(items, self.depth, serializer),
            Value::Object(object) => serialize_object(object, self.depth, serializer),
            Value::String(text) => serializer.serialize_str(&text::masked(text, self.depth)),
            value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value.serialize(serializer),
        }
    }
}

fn serialize_items<S: Serializer>(
    items: &[Value],
    depth: RemainingDepth,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(depth) = depth.inside() else { return too_deep().serialize(serializer) };
    let mut seq = serializer.serialize_seq(Some(items.len()))?;
    for (at, value) in items.iter().enumerate() {
        if is_named_before(items, at) {
            seq.serialize_element(MASK)?;
        } else {
            seq.serialize_element(&Within { value, depth })?;
        }
    }
    seq.end()
}

fn serialize_object<S: Serializer>(
    object: &Map<String, Value>,
    depth: RemainingDepth,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(depth) = depth.inside() else { return too_deep().serialize(serializer) };
    let mut map = serializer.serialize_map(Some(object.len()))?;
    for (key, value) in object {
        match (places::judge(object, key, value), value) {
            (Judgement::Secret, value) if says_nothing(value) => map.serialize_entry(key, value)?,
            (Judgement::Secret, _) => map.serialize_entry(key, MASK)?,
            (Judgement::Within, Value::String(inner)) if !inner.is_empty() => {
                map.serialize_entry(key, &text::masked_within(inner, depth))?;
            }
            (Judgement::Within | Judgement::Plain, value) => {
                map.serialize_entry(key, &Within { value, depth })?;
            }
        }
    }
    map.end()
}
