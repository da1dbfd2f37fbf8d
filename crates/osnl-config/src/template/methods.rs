//! Python's methods, from minijinja-contrib, with bounded variants of some, and `removeprefix` and
//! `removesuffix`.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::conversion::python_text;
use super::limits::bound;
use super::vocabulary::METHODS;
use super::work;

pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.is_undefined() {
        // The engine's error has the name of the undefined value.
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    if args.iter().any(Value::is_undefined) {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if !METHODS.contains(&method) {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    work::method(value, args, || known(state, value, method, args))
}

fn known(state: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.kind(), method) {
        // As in Jinja, null has no attributes, so this counts as a missing name.
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

/// As in Python, a word begins behind any character that is no letter.
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

/// Joins as the filter `join`; the attribute may be a keyword argument.
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
