//! Writing without secrets, without a copy of what is written.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::places::{self, Judgement};
use super::{MASK, mask_text, says_nothing, text};

/// A value that serializes as [`mask_secrets`](crate::mask_secrets) of it would, which is not made for that.
#[derive(Clone, Copy)]
pub struct Masked<'a>(Inner<'a>);

#[derive(Clone, Copy)]
enum Inner<'a> {
    Value(&'a Value),
    Object(&'a Map<String, Value>),
}

impl<'a> Masked<'a> {
    /// Any value.
    #[must_use]
    pub const fn value(value: &'a Value) -> Self {
        Self(Inner::Value(value))
    }

    /// The members of an object, as a context.
    #[must_use]
    pub const fn object(object: &'a Map<String, Value>) -> Self {
        Self(Inner::Object(object))
    }
}

/// As little as it is going to write.
impl std::fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Inner::Value(Value::Array(items)) => serializer.collect_seq(items.iter().map(Masked::value)),
            Inner::Value(Value::Object(object)) | Inner::Object(object) => {
                serializer.collect_map(object.iter().map(|(key, value)| (key, Member { object, key, value })))
            }
            Inner::Value(Value::String(text)) => serializer.serialize_str(&mask_text(text)),
            Inner::Value(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => {
                value.serialize(serializer)
            }
        }
    }
}

struct Member<'a> {
    object: &'a Map<String, Value>,
    key: &'a str,
    value: &'a Value,
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (places::judge(self.object, self.key, self.value), self.value) {
            (Judgement::Secret, value) if says_nothing(value) => value.serialize(serializer),
            (Judgement::Secret, _) => serializer.serialize_str(MASK),
            (Judgement::Within, Value::String(inner)) if !inner.is_empty() => {
                serializer.serialize_str(&text::structured(inner).unwrap_or(MASK.into()))
            }
            (Judgement::Within | Judgement::Plain, value) => Masked::value(value).serialize(serializer),
        }
    }
}
