//! Values with unspecified members: free maps, rows, and texts that hold them.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::Read;
use osnl_model::{mask_secrets, mask_text, parse_python_json, parse_python_literal};

/// A value without a reader. Debug output masks its secrets.
#[derive(Clone, Copy, PartialEq)]
pub struct FreeValue<'a>(pub &'a Value);

impl fmt::Debug for FreeValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", mask_secrets(self.0))
    }
}

impl<'a> Read<'a> for FreeValue<'a> {
    fn read(value: &'a Value) -> Option<Self> {
        Some(Self(value))
    }
}

/// A map of names and values in one of three forms:
///
/// - an object (nova's metadata, ironic's properties);
/// - a list of rows `{"key": …, "value": …}` (cinder's volume metadata, glance's of a volume);
/// - the text of a Python dictionary or of JSON (cinder's snapshot metadata, connection information, nova's
///   exceptions), which is parsed on access.
#[derive(Clone, Copy, PartialEq)]
pub struct Free<'a>(&'a Value);

impl<'a> Free<'a> {
    /// Returns a member. Rows are searched in their order.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'a, Value>> {
        match self.0 {
            Value::Object(object) => object.get(name).map(Cow::Borrowed),
            Value::Array(rows) => {
                rows.iter().find(|row| row["key"].as_str() == Some(name))?.get("value").map(Cow::Borrowed)
            }
            Value::String(text) => Some(Cow::Owned(parsed(text)?.remove(name)?)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// Returns all pairs as one map; empty for a text that is not a map.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match self.0 {
            Value::Object(object) => object.clone(),
            Value::Array(rows) => rows
                .iter()
                .filter_map(|row| Some((row.get("key")?.as_str()?.to_owned(), row.get("value")?.clone())))
                .collect(),
            Value::String(text) => parsed(text).unwrap_or_default(),
            Value::Null | Value::Bool(_) | Value::Number(_) => Map::new(),
        }
    }

    /// Returns the text, if the value is a string.
    #[must_use]
    pub fn as_text(&self) -> Option<&'a str> {
        self.0.as_str()
    }
}

fn parsed(text: &str) -> Option<Map<String, Value>> {
    let read = parse_python_json(text).ok().or_else(|| parse_python_literal(text))?;
    match read {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

impl<'a> Read<'a> for Free<'a> {
    fn read(value: &'a Value) -> Option<Self> {
        (value.is_object() || value.is_array() || value.is_string()).then_some(Self(value))
    }
}

impl fmt::Debug for Free<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => write!(f, "{:?}", mask_text(text)),
            other => write!(f, "{}", mask_secrets(other)),
        }
    }
}
