//! The query of an address, read as members of a request, and written from them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The form of a parameter's value. A query repeats the parameter for each entry of a list.
#[derive(Clone, Copy, Debug)]
pub enum ValueForm {
    Text,
    Number,
    Count(u64),
    Flag,
    Texts,
    Numbers,
}

/// A parameter of an address.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// The member of the request that has the value as one of its own members, such as `filter`.
    pub within: Option<&'static str>,
    pub member: &'static str,
    pub form: ValueForm,
    /// Whether only the server of the control socket knows the parameter.
    pub is_own: bool,
}

impl Parameter {
    /// Returns the parameter of a member. A list has the name of one of its entries, since a query repeats it.
    pub(super) fn new(within: Option<&'static str>, member: &'static str, schema: &Value) -> Self {
        let form = ValueForm::from_schema(schema);
        let of_list = matches!(form, ValueForm::Texts | ValueForm::Numbers);
        let name = member.strip_suffix('s').filter(|_| of_list).unwrap_or(member);
        let is_own = schema["x-control-socket-only"] == true;
        Self { name, within, member, form, is_own }
    }

    /// Returns the parameter of a query that is no request.
    #[must_use]
    pub const fn for_query(name: &'static str, form: ValueForm) -> Self {
        Self { name, within: None, member: name, form, is_own: false }
    }
}

impl ValueForm {
    fn from_schema(schema: &Value) -> Self {
        // A member that may be missing has the type null too.
        let is = |schema: &Value, wanted: &str| match &schema["type"] {
            Value::Array(types) => types.iter().any(|one| one == wanted),
            one => one == wanted,
        };
        match schema["maximum"].as_u64() {
            _ if is(schema, "array") && is(&schema["items"], "integer") => Self::Numbers,
            _ if is(schema, "array") => Self::Texts,
            _ if is(schema, "boolean") => Self::Flag,
            Some(most) if is(schema, "integer") => Self::Count(most),
            None if is(schema, "integer") => Self::Number,
            Some(_) | None => Self::Text,
        }
    }
}

pub fn read<'a>(
    query: &str,
    rows: impl IntoIterator<Item = &'a Parameter>,
) -> Result<Map<String, Value>, String> {
    let rows: Vec<&Parameter> = rows.into_iter().collect();
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, text) = (plain(name)?, plain(text)?);
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{name:?} is not an option of this query; allowed: {known}"));
        };
        let value = value(row, &text)?;
        match (row.form, member(&mut object, row)) {
            (ValueForm::Texts | ValueForm::Numbers, Value::Array(list)) => list.push(value),
            (ValueForm::Texts | ValueForm::Numbers, empty) => *empty = json!([value]),
            (_, empty @ Value::Null) => *empty = value,
            _ => return Err(format!("{name} is given twice")),
        }
    }
    Ok(object)
}

pub(super) fn value(row: &Parameter, text: &str) -> Result<Value, String> {
    let name = row.name;
    match row.form {
        ValueForm::Text | ValueForm::Texts => Ok(json!(text)),
        ValueForm::Number | ValueForm::Numbers => {
            // The largest number that a journal counts to.
            let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
            number.map(Value::from).ok_or_else(|| {
                format!("{name}: {text:?} is not a number; allowed: a whole number from 0 to {}", i64::MAX)
            })
        }
        ValueForm::Count(most) => {
            let count = text.parse::<u64>().ok().filter(|count| (1..=most).contains(count));
            count.map(Value::from).ok_or_else(|| format!("{name}: allowed are 1 to {most}"))
        }
        ValueForm::Flag => {
            let flag = text.parse::<bool>().map(Value::from);
            flag.map_err(|_| format!("{name}: {text:?} is not a flag; allowed: true, false"))
        }
    }
}

pub(super) fn write<'a>(
    object: Map<String, Value>,
    rows: impl IntoIterator<Item = &'a Parameter>,
) -> Result<String, String> {
    let mut object = Value::Object(object);
    let mut pairs = Vec::new();
    for row in rows {
        let owner = match row.within {
            Some(within) => object.get_mut(within),
            None => Some(&mut object),
        };
        let values = match owner.and_then(|owner| owner.get_mut(row.member)).map(Value::take) {
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
            pairs.push(format!("{}={}", row.name, utf8_percent_encode(&text, RESERVED)));
        }
    }
    match left(&object) {
        Some(name) => Err(format!("{name} is no option of an address")),
        None => Ok(pairs.join("&")),
    }
}

fn left(object: &Value) -> Option<&str> {
    object.as_object()?.iter().find_map(|(name, value)| match value {
        Value::Null => None,
        Value::Object(_) => left(value),
        Value::Array(values) if values.is_empty() => None,
        _ => Some(name.as_str()),
    })
}

fn member<'a>(object: &'a mut Map<String, Value>, row: &Parameter) -> &'a mut Value {
    match row.within {
        Some(within) => &mut object.entry(within).or_insert(Value::Null)[row.member],
        None => object.entry(row.member).or_insert(Value::Null),
    }
}

pub fn plain(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                // A sign would be read as a part of the number.
                let hex = behind.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
                let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
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
    fn options_become_members_and_others_are_refused() {
        let of_filter = |name, member, form| Parameter {
            within: Some("filter"),
            member,
            ..Parameter::for_query(name, form)
        };
        let rows = [
            of_filter("action", "action", ValueForm::Text),
            of_filter("state", "states", ValueForm::Texts),
            of_filter("event", "event", ValueForm::Number),
            Parameter::for_query("limit", ValueForm::Count(1000)),
            Parameter::for_query("raw", ValueForm::Flag),
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
        let number = "is not a number; allowed: a whole number from 0 to 9223372036854775807";
        check("event=x", Err(&format!("event: \"x\" {number}")));
        check("event=-1", Err(number));
        check("event=9223372036854775808", Err(number));
        check("event=9223372036854775807", Ok(json!({"filter": {"event": i64::MAX}})));
        check("raw=true", Ok(json!({"raw": true})));
        check("raw=1", Err("raw: \"1\" is not a flag; allowed: true, false"));
        check("action=a&action=b", Err("action is given twice"));
        check("nothing=1", Err("allowed: action, state, event, limit, raw"));
        check("action=%zz", Err("hexadecimal"));
        check("action=%f", Err("hexadecimal"));
        check("action=%+f", Err("hexadecimal"));
        check("action=%ff", Err("UTF-8"));
    }
}
