//! The part of an address behind `?`, as JSON: `action=roles&state=dead&limit=5`.

use serde_json::{Map, Value, json};

/// The form of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueForm {
    Text,
    Number,
    /// May be repeated: a list of texts.
    Texts,
    /// May be repeated: a list of whole numbers.
    Numbers,
}

/// An option of a query: its name there, the path of its member in the request, and its form.
pub type ParameterRow = (&'static str, &'static [&'static str], ValueForm);

/// Reads a query by its rows.
///
/// # Errors
/// The first option that is not known, repeated, or of another form, in words.
pub(crate) fn read(query: &str, rows: &[ParameterRow]) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain(name)?, plain(value)?);
        let Some((_, path, form)) = rows.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = rows.iter().map(|(known, ..)| *known).collect();
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
            (ValueForm::Text, _) if is_new => *place = json!(value),
            (ValueForm::Number, _) if is_new => *place = number()?,
            (ValueForm::Texts, Some(list)) => list.push(json!(value)),
            (ValueForm::Numbers, Some(list)) => list.push(number()?),
            (ValueForm::Text | ValueForm::Number | ValueForm::Texts | ValueForm::Numbers, _) => {
                return Err(format!("{name} is given twice"));
            }
        }
    }
    Ok(object)
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
pub(crate) fn plain(text: &str) -> Result<String, String> {
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
        let rows: [ParameterRow; 4] = [
            ("action", &["filter", "action"], ValueForm::Text),
            ("state", &["filter", "states"], ValueForm::Texts),
            ("event", &["filter", "event"], ValueForm::Number),
            ("limit", &["limit"], ValueForm::Number),
        ];
        let check = |query: &str, expected: Result<Value, &str>| match (read(query, &rows), expected) {
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
    }
}
