//! The part of an address behind `?`, as JSON: `action=roles&state=dead&limit=5`.

use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};

use super::routes::{Parameter, RESERVED, ValueForm};

/// Reads a query by its rows; those of the control socket alone only if the request came by it.
///
/// # Errors
/// The first option that is not known, repeated, or of another form, in words.
pub fn read(query: &str, rows: &[Parameter], is_own: bool) -> Result<Map<String, Value>, String> {
    let rows: Vec<&Parameter> = rows.iter().filter(|row| is_own || !row.is_own).collect();
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain(name)?, plain(value)?);
        let Some(Parameter { member: path, form, .. }) = rows.iter().find(|row| row.name == name) else {
            let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{name:?} is not an option of this query; allowed: {known}"));
        };
        let number = || {
            // The largest number that a journal counts to.
            let read = value.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
            let why = || format!("{name}: {value:?} is not a whole number from 0 to {}", i64::MAX);
            read.map(Value::from).ok_or_else(why)
        };
        let place = member(&mut object, path);
        let is_new = place.is_null();
        if is_new {
            *place = json!([]);
        }
        match (form, place.as_array_mut()) {
            (ValueForm::Text | ValueForm::Choice(_), _) if is_new => *place = json!(value),
            (ValueForm::Number, _) if is_new => *place = number()?,
            (ValueForm::Flag, _) if is_new => *place = json!(flag(&name, &value)?),
            (ValueForm::Texts, Some(list)) => list.push(json!(value)),
            (ValueForm::Numbers, Some(list)) => list.push(number()?),
            _ => return Err(format!("{name} is given twice")),
        }
    }
    Ok(object)
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is neither true nor false"))
}

/// Writes the members of a request as a query.
///
/// # Errors
/// A member has no option.
pub(super) fn write(object: Map<String, Value>, rows: &[Parameter]) -> Result<String, String> {
    let mut object = Value::Object(object);
    let mut pairs = Vec::new();
    for Parameter { name, member, .. } in rows {
        let place = object.pointer_mut(&format!("/{}", member.join("/"))).map(Value::take);
        let values = match place {
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
            None => Vec::new(),
        };
        for value in values {
            let text = match value {
                Value::Null | Value::Bool(false) => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            pairs.push(format!("{name}={}", utf8_percent_encode(&text, RESERVED)));
        }
    }
    match left(&object) {
        Some(name) => Err(format!("{name} is no option of an address")),
        None => Ok(pairs.join("&")),
    }
}

/// A member that has a value.
fn left(object: &Value) -> Option<&str> {
    object.as_object()?.iter().find_map(|(name, value)| match value {
        Value::Null => None,
        Value::Object(_) => left(value),
        Value::Array(values) if values.is_empty() => None,
        _ => Some(name.as_str()),
    })
}

/// The place of a member, created if missing.
fn member<'a>(object: &'a mut Map<String, Value>, path: &[&str]) -> &'a mut Value {
    let mut path = path.iter();
    let first = path.next().copied().unwrap_or_default();
    let mut place = object.entry(first).or_insert(Value::Null);
    for name in path {
        if place.is_null() {
            *place = json!({});
        }
        place = &mut place[*name];
    }
    place
}

/// Without `%XX`; a plus is a space.
///
/// # Errors
/// It is not UTF-8, or a `%` has no digits; in words.
pub fn plain(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(byte.ok_or_else(|| format!("{text:?} has a % without two hexadecimal digits"))?);
                rest = &behind[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_members_and_what_is_not_known_is_refused() {
        let row = |name, member, form, is_own| Parameter {
            name,
            member,
            form,
            is_required: false,
            meaning: "",
            is_own,
        };
        let rows = [
            row("action", &["filter", "action"] as &[&str], ValueForm::Text, false),
            row("state", &["filter", "states"], ValueForm::Texts, false),
            row("event", &["filter", "event"], ValueForm::Number, false),
            row("limit", &["limit"], ValueForm::Number, false),
            row("raw", &["raw"], ValueForm::Flag, true),
        ];
        let check = |query: &str, expected: Result<Value, &str>| match (read(query, &rows, false), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(Value::Object(read), expected, "{query}"),
            (Err(read), Err(expected)) => assert!(read.contains(expected), "{query}: {read}"),
            (read, expected) => panic!("{query}: {read:?}, not {expected:?}"),
        };
        check("", Ok(json!({})));
        check(
            "action=a%20b+c&state=dead&state=held&limit=5",
            Ok(json!({"filter": {"action": "a b c", "states": ["dead", "held"]}, "limit": 5})),
        );
        check("event=x", Err("event: \"x\" is not a whole number from 0 to 9223372036854775807"));
        check("event=-1", Err("not a whole number from 0"));
        check("event=9223372036854775808", Err("not a whole number from 0"));
        check("event=9223372036854775807", Ok(json!({"filter": {"event": i64::MAX}})));
        check("action=a&action=b", Err("twice"));
        check("raw=true", Err("allowed: action, state, event, limit"));
        check("action=%zz", Err("hexadecimal"));
        check("action=%f", Err("hexadecimal"));
        check("action=%ff", Err("UTF-8"));
        assert_eq!(Value::Object(read("raw=true", &rows, true).unwrap()), json!({"raw": true}));
        assert!(read("raw=1", &rows, true).unwrap_err().contains("neither true nor false"));
    }
}
