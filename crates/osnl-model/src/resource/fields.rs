//! Access to payloads. Empty texts count as absent: nova's legacy form writes `""` instead of null.

use std::borrow::Cow;

use serde_json::Value;

use super::{Address, AddressKind};
use crate::Timestamp;

pub(super) fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

pub(super) fn first<'a>(object: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| text(object, key))
}

pub(super) fn first_id<'a>(object: &'a Value, keys: &[&str]) -> Option<Cow<'a, str>> {
    keys.iter().find_map(|key| match object.get(key)? {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text.as_str())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    })
}

pub(super) fn date(object: &Value, keys: &[&str]) -> Option<Timestamp> {
    keys.iter().find_map(|key| Timestamp::parse(text(object, key)?).ok())
}

pub(super) fn data(value: &Value) -> &Value {
    let inside = value.as_object().into_iter().flatten().find(|(key, _)| key.ends_with("_object.data"));
    inside.map_or(value, |(_, data)| data)
}

pub(super) fn address(object: &Value, key: &str, kind: AddressKind) -> Option<Address> {
    Some(Address { address: text(object, key)?.parse().ok()?, kind })
}

pub(super) fn items<'a>(object: &'a Value, key: &str) -> Option<&'a [Value]> {
    object.get(key)?.as_array().map(Vec::as_slice)
}
