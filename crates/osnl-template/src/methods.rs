//! Python's methods, and the few conversions where texts are made.
//!
//! The methods are minijinja-contrib's. This module adds methods with bounded results, and
//! `removeprefix` and `removesuffix`.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;
use serde_json::Value as Json;

use super::LONGEST_OUTPUT;
use super::error::TOO_LONG;
use super::preview_placeholder::Placeholder;

/// The methods.
pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

/// The engine's callback for methods.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.is_undefined() {
        // The engine says which name it is.
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    if args.iter().any(Value::is_undefined) {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if !METHODS.contains(&method) {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    match (value.kind(), method) {
        // Jinja's: null has no attributes, so this is a name that is not there.
        (ValueKind::None, _) => {
            Err(Error::new(ErrorKind::UndefinedError, format!("text for {method}, the value is null")))
        }
        (ValueKind::String, "replace") => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
            replace(value.as_str().unwrap_or_default(), old, new, count).map(Value::from)
        }
        (ValueKind::String, "join") => {
            let (values,): (&Value,) = from_args(args)?;
            join(values, value.as_str().unwrap_or_default()).map(Value::from)
        }
        (ValueKind::String, "removeprefix" | "removesuffix") => {
            let (part,): (&str,) = from_args(args)?;
            let text = value.as_str().unwrap_or_default();
            let rest =
                if method == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        (ValueKind::String, "title") if args.is_empty() => {
            Ok(Value::from(title(value.as_str().unwrap_or_default())))
        }
        _ => pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// Python's: a word begins behind whatever is no letter.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

/// The filter `replace`.
pub(super) fn bounded_replace(
    text: &Value,
    old: &Value,
    new: &Value,
    count: Option<i64>,
) -> Result<String, Error> {
    for value in [text, old, new] {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
    }
    let [text, old, new] = [text, old, new].map(python_text);
    replace(&text, &old, &new, count)
}

/// The filter `join`; the attribute may be named.
pub(super) fn bounded_join(values: &Value, between: Option<&Value>, kwargs: Kwargs) -> Result<String, Error> {
    if values.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let attribute: Option<String> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    let between = between.map_or_else(String::new, python_text);
    match attribute {
        None => join(values, &between),
        Some(attribute) => {
            let picked: Result<Vec<Value>, Error> =
                values.try_iter()?.map(|value| value.get_attr(&attribute)).collect();
            join(&Value::from(picked?), &between)
        }
    }
}

fn replace(text: &str, old: &str, new: &str, count: Option<i64>) -> Result<String, Error> {
    let most = usize::try_from(count.unwrap_or(-1)).unwrap_or(usize::MAX);
    let found = text.matches(old).take(most).count();
    bound(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, most))
}

fn join(values: &Value, between: &str) -> Result<String, Error> {
    let mut joined = String::new();
    for (n, value) in values.try_iter()?.enumerate() {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        if n > 0 {
            joined.push_str(between);
        }
        joined.push_str(&python_text(&value));
        bound(joined.len())?;
    }
    Ok(joined)
}

pub(super) fn bound(length: usize) -> Result<(), Error> {
    if length > LONGEST_OUTPUT {
        return Err(Error::new(ErrorKind::InvalidOperation, TOO_LONG));
    }
    Ok(())
}

/// The text of Python's `str`, which differs from the engine's spelling: `True`, `False`, `None`.
pub(super) fn python_text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::None => "None".to_owned(),
        _ => value.to_string(),
    }
}

/// As JSON.
pub(super) fn json(value: &Value, depth: u32) -> Result<Json, Error> {
    if depth > 128 {
        return Err(Error::new(ErrorKind::BadSerialization, "it is nested too deeply"));
    }
    if let Some(placeholder) = value.downcast_object_ref::<Placeholder>() {
        return Ok(placeholder.to_string().into());
    }
    Ok(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match (value.as_i64(), value.is_integer()) {
            (Some(number), true) => Json::from(number),
            _ => f64::try_from(value.clone()).map_or(Json::Null, Json::from),
        },
        ValueKind::String => Json::from(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            Json::Array(value.try_iter()?.map(|item| json(&item, depth + 1)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut object = serde_json::Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                object.insert(python_text(&key), json(&item, depth + 1)?);
            }
            Json::Object(object)
        }
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        kind => return Err(Error::new(ErrorKind::BadSerialization, format!("{kind} is no JSON"))),
    })
}
