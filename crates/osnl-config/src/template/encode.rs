//! Texts for the formats that templates are written in: `xml`, `urlencode`, `form`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::conversion::{python_text, there};
use super::limits::bound;
use super::preview_placeholder::Placeholder;

/// The characters that Python's `urllib.parse.quote` escapes with `safe=""`.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
/// The characters that `quote` escapes by default, as Jinja's `urlencode` does for texts.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Escapes text and attribute values of XML 1.0 and HTML. Characters that XML cannot represent become U+FFFD.
pub(super) fn xml(value: &Value) -> Result<String, Error> {
    let text = python_text(there(value)?);
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Unescaped, readers make blanks of these in attributes, and \n of \r everywhere.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
        bound(escaped.len())?;
    }
    Ok(escaped)
}

/// Escapes as Jinja's `urlencode`: a text except for `/`, an object or pairs as [`form`].
pub(super) fn url(value: &Value) -> Result<String, Error> {
    match there(value)?.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => form(value),
        _ => bounded(utf8_percent_encode(&python_text(value), PATH).to_string()),
    }
}

/// Escapes a value of a query or of `application/x-www-form-urlencoded`, or all pairs of an object or a list.
pub(super) fn form(value: &Value) -> Result<String, Error> {
    let pairs: Vec<(Value, Value)> = match there(value)?.kind() {
        ValueKind::Map => {
            let pair = |key: Value| value.get_item(&key).map(|item| (key, item));
            value.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let pair = |item: Value| {
                if item.kind() != ValueKind::Seq || item.len() != Some(2) {
                    let problem = "the list has an item that is not a pair of a name and a value";
                    return Err(Error::new(ErrorKind::InvalidOperation, problem));
                }
                let at = |n: usize| item.get_item(&Value::from(n)).and_then(|part| there(&part).cloned());
                Ok::<_, Error>((at(0)?, at(1)?))
            };
            value.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        _ => return one(value),
    };
    let mut text = String::new();
    for (n, (key, item)) in pairs.iter().enumerate() {
        if n > 0 {
            text.push('&');
        }
        text.push_str(&one(key)?);
        text.push('=');
        text.push_str(&one(item)?);
        bound(text.len())?;
    }
    Ok(text)
}

pub(super) fn segment(value: &Value) -> Result<String, Error> {
    bounded(utf8_percent_encode(&python_text(there(value)?), STRICT).to_string())
}

pub(super) fn word(value: &Value) -> Result<String, Error> {
    let text = python_text(there(value)?);
    // A preview shows the placeholder of a value.
    let placeholder = value.downcast_object_ref::<Placeholder>().is_some();
    bounded(if placeholder { text } else { text.replace(['.', '*', '#'], "_") })
}

pub(super) fn words(value: &Value) -> Result<String, Error> {
    bounded(python_text(there(value)?).replace(['*', '#'], "_"))
}

fn one(value: &Value) -> Result<String, Error> {
    bounded(utf8_percent_encode(&python_text(there(value)?), STRICT).to_string().replace("%20", "+"))
}

fn bounded(text: String) -> Result<String, Error> {
    bound(text.len())?;
    Ok(text)
}
