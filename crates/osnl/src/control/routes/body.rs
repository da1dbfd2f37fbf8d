//! The body of a request: a JSON object, whose members have the names and types of the request's schema.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The most characters of a wrong value that a refusal shows.
const SHOWN: usize = 40;

/// Reads an object in which each name is there once: of two filters, a person reads one and a program the other.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(UniqueValue(Value::Object(members))) => Ok(members),
        Ok(UniqueValue(other)) => Err(format!("not a JSON object: {}", shown(&other))),
        Err(error) => Err(format!("not a JSON object: {error}")),
    }
}

/// Returns the path of the first member that the request does not have, that is missing, or that has another type, with
/// what is allowed. Members with a name of `elsewhere` are not in the body.
pub(super) fn misfit(body: &Map<String, Value>, schema: &Value, elsewhere: &[&str]) -> Option<String> {
    check_members("", body, schema, elsewhere)
}

fn at(path: &str, value: &Value, schema: &Value) -> Option<String> {
    if let Some(alternatives) = schema["anyOf"].as_array() {
        // The alternatives of an optional member are its type and null.
        let is_fit = alternatives.iter().any(|one| at(path, value, one).is_none());
        return alternatives.first().filter(|_| !is_fit).and_then(|one| at(path, value, one));
    }
    if let Some(wanted) = allowed(value, schema) {
        return Some(format!("{path}: {} is not {wanted}; allowed: {wanted}", shown(value)));
    }
    match value {
        Value::Object(members) => check_members(path, members, schema, &[]),
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(n, value)| at(&format!("{path}[{n}]"), value, &schema["items"]))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn check_members(
    path: &str,
    members: &Map<String, Value>,
    schema: &Value,
    elsewhere: &[&str],
) -> Option<String> {
    let known = schema["properties"].as_object()?;
    let of = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let is_here = |name: &&str| !elsewhere.contains(name);
    let unknown = |name: &&String| schema["additionalProperties"] == false && !known.contains_key(*name);
    if let Some(name) = members.keys().find(unknown) {
        let names: Vec<&str> = known.keys().map(String::as_str).filter(is_here).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Some(format!("{} is not a member; allowed: {names}", of(name)));
    }
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(name) = required.find(|name| is_here(name) && !members.contains_key(*name)) {
        return Some(format!("{} is missing", of(name)));
    }
    members.iter().find_map(|(name, value)| at(&of(name), value, known.get(name)?))
}

/// Returns the allowed type in words if the value has another one.
fn allowed(value: &Value, schema: &Value) -> Option<&'static str> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let is_whole = || match schema["minimum"].as_u64() {
        Some(_) => value.is_u64(),
        None => value.as_i64().is_some(),
    };
    let is = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => is_whole(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    if types.iter().any(is) {
        return None;
    }
    Some(match *types.iter().find(|name| **name != "null")? {
        "boolean" => "true or false",
        "integer" if schema["minimum"].is_u64() => "a whole number from 0 on",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        _ => "an object",
    })
}

/// Returns a value without the content of what may be long.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value in which no object has a name twice.
struct UniqueValue(Value);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(UniqueValue(value)) = values.next_element()? {
            all.push(value);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, UniqueValue(value))) = members.next_entry::<String, _>()? {
            if all.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{name} is given twice")));
            }
            all.insert(name, value);
        }
        Ok(all.into())
    }
}
