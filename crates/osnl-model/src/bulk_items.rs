//! The places of a bulk request's items in the bytes of its body, to write the body of one item.
//!
//! All other bytes stay as they are: the order of keys, the digits of numbers, spaces, and the escapes of the envelope.
//! So the body of one item, read and written again, is the same.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::envelope::json_text;
use crate::resource::list_of;

/// The places of the items in a body of UTF-8 that is not compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItems {
    /// The key of the list in the payload.
    list: String,
    /// The bytes of each item, in the order of the list.
    places: Box<[Range<usize>]>,
}

impl BulkItems {
    /// Finds the items of a body; `None` if the payload has no list of the event type's resources, if a key on the way to
    /// the list is repeated, or if only Python reads the JSON.
    #[must_use]
    pub fn find(body: &[u8], event_type: &str) -> Option<Self> {
        let text = json_text(body).ok()?;
        let list = list_of(event_type);
        let outer = Members::read(text)?;
        let places = match (outer.one("oslo.message"), outer.0.contains_key("request")) {
            (Some(literal), false) => {
                let inner: String = serde_json::from_str(literal).ok()?;
                let at = literal.as_ptr().addr() - text.as_ptr().addr();
                unescaped(literal, &places(&inner, &list)?, at)?
            }
            (None, false) => places(text, &list)?,
            (_, true) => return None,
        };
        Some(Self { list, places: places.into() })
    }

    /// Returns the key of the list in the payload.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the body with this item and the first one; each other is `{}`. The first is what a condition on the whole
    /// message reads as `resource`.
    #[must_use]
    pub fn only(&self, body: &[u8], item: usize) -> Option<Vec<u8>> {
        self.places.get(item)?;
        let mut only = Vec::new();
        let mut copied = 0;
        for (_, place) in self.places.iter().enumerate().filter(|(n, _)| ![0, item].contains(n)) {
            only.extend_from_slice(body.get(copied..place.start)?);
            only.extend_from_slice(b"{}");
            copied = place.end;
        }
        only.extend_from_slice(body.get(copied..)?);
        Some(only)
    }
}

/// Returns the places of the items in the text of a notification.
fn places(text: &str, list: &str) -> Option<Vec<Range<usize>>> {
    let payload = Members::read(text)?.one("payload")?;
    let items: Vec<&RawValue> = serde_json::from_str(Members::read(payload)?.one(list)?).ok()?;
    let place = |item: &&RawValue| {
        let start = item.get().as_ptr().addr() - text.as_ptr().addr();
        start..start + item.get().len()
    };
    Some(items.iter().map(place).collect())
}

/// Returns the places in a string's JSON of places in its value; `at` is the place of the JSON.
fn unescaped(literal: &str, places: &[Range<usize>], at: usize) -> Option<Vec<Range<usize>>> {
    let (mut value, mut written) = (0, 1);
    let mut reach = |wanted: usize| {
        while value < wanted {
            let (long, short) = character(literal.get(written..)?)?;
            (written, value) = (written + long, value + short);
        }
        (value == wanted).then_some(at + written)
    };
    places.iter().map(|place| Some(reach(place.start)?..reach(place.end)?)).collect()
}

/// Returns how many bytes the next character of a string takes in JSON, and in the value.
fn character(rest: &str) -> Option<(usize, usize)> {
    let unit = |at: usize| u16::from_str_radix(rest.get(at..at + 4)?, 16).ok();
    match rest.as_bytes() {
        [b'\\', b'u', ..] => {
            let first = unit(2)?;
            let second = rest.get(6..8).filter(|next| *next == "\\u").and_then(|_| unit(8));
            match char::decode_utf16([first]).next()? {
                Ok(one) => Some((6, one.len_utf8())),
                Err(_) => {
                    let pair = char::decode_utf16([first, second?]).next()?.ok()?;
                    Some((12, pair.len_utf8()))
                }
            }
        }
        [b'\\', _, ..] => Some((2, 1)),
        [b'"', ..] | [] => None,
        [_, ..] => rest.chars().next().map(|one| (one.len_utf8(), one.len_utf8())),
    }
}

/// The members of an object as they are written; `None` for a key that is repeated, whose last value counts.
struct Members<'a>(HashMap<String, Option<&'a str>>);

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn one(&self, key: &str) -> Option<&'a str> {
        *self.0.get(key)?
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Collects the members of an object as raw JSON; a repeated key has no value.
struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = HashMap::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            let is_first = !members.contains_key(&key);
            members.insert(key, is_first.then_some(value.get()));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Notification, bulk_len, bulk_part, to_python_json};

    const EVENT: &str = "port.create.end";

    /// Names with all that JSON escapes, a character beyond the first plane among them.
    fn ports(count: usize) -> serde_json::Value {
        let port =
            |n: usize| json!({"id": n, "name": format!("\"{n}\"\\ \u{7} é 漢 𝄞 ]}}, {{"), "big": 1e30});
        json!({"ports": (0..count).map(port).collect::<Vec<_>>(), "note": "a \"note\""})
    }

    /// Returns the body in each framing, with the escapes of Python and with those of serde.
    fn bodies(payload: &serde_json::Value) -> Vec<String> {
        let message = json!({"event_type": EVENT, "message_id": "1", "payload": payload});
        let mut bodies = Vec::new();
        for inner in [to_python_json(&message).unwrap(), message.to_string(), format!(" {message:#} ")] {
            let outer = json!({"oslo.version": "2.0", "oslo.message": inner});
            bodies.extend([inner, to_python_json(&outer).unwrap(), outer.to_string()]);
        }
        bodies
    }

    #[test]
    fn the_body_of_one_item_reads_as_the_whole_one_does() {
        for body in bodies(&ports(6)) {
            let whole = Notification::decode(body.as_bytes()).unwrap();
            let items = BulkItems::find(body.as_bytes(), EVENT).unwrap();
            assert_eq!((items.list(), items.len()), ("ports", 6), "{body}");
            for n in 0..6 {
                let only = items.only(body.as_bytes(), n).unwrap();
                let read = Notification::decode(&only).unwrap();
                assert_eq!((bulk_len(&read), &read.payload["note"]), (Some(6), &whole.payload["note"]));
                for other in 0..6 {
                    let expected = match other == 0 || other == n {
                        true => bulk_part(&whole, other),
                        false => Some(json!({"port": {}})),
                    };
                    assert_eq!(bulk_part(&read, other), expected, "{n} {other}");
                }
                let again = BulkItems::find(&only, EVENT).unwrap().only(&only, n).unwrap();
                assert_eq!(again, only, "a letter that is given up again has the same body");
            }
            assert_eq!(items.only(body.as_bytes(), 6), None);
        }
    }

    #[test]
    fn a_body_in_doubt_has_no_items() {
        let check = |body: &str| assert_eq!(BulkItems::find(body.as_bytes(), EVENT), None, "{body}");
        check(r#"{"payload": {"port": {}}}"#);
        check(r#"{"payload": {"ports": {}}}"#);
        check(r#"{"payload": {"ports": [1]}, "payload": {"ports": [1]}}"#);
        check(r#"{"payload": {"ports": [1], "p\u006frts": [1]}}"#);
        check(r#"{"payload": {"ports": [NaN]}}"#);
        check(r#"{"request": {}, "payload": {"ports": [1]}}"#);
        check(r#"{"oslo.version": "2.0", "oslo.message": "{\"payload\": {\"ports\": [\"\ud800\"]}}"}"#);
        check(r#"{"oslo.version": "2.0", "oslo.message": 1, "payload": {"ports": [1]}}"#);
        check("[]");
        check("");
    }
}
