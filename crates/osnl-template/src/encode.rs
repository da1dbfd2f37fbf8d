//! Texts for the formats that templates are written in: `xml`, `urlencode`, `form`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::conversion::{python_text, there};
use super::limits::bound;
use super::preview_placeholder::Placeholder;

/// The characters that Python's `urllib.parse.quote` escapes with `safe=""`.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
/// And with its default, which Jinja's `urlencode` has for texts.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Text and attribute values of XML 1.0 and HTML. What XML cannot hold at all is U+FFFD.
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
            // As they are, readers make blanks of them in attributes, and \n of \r everywhere.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
        bound(escaped.len())?;
    }
    Ok(escaped)
}

/// Jinja's `urlencode`: of a text all but `/` and what is never escaped, of an object or of pairs as [`form`].
pub(super) fn url(value: &Value) -> Result<String, Error> {
    match there(value)?.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => form(value),
        _ => bounded(utf8_percent_encode(&python_text(value), PATH).to_string()),
    }
}

/// A value of a query or of `application/x-www-form-urlencoded`; of an object, or of a list of pairs, all of it.
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

/// One segment of a path, or one value: nothing in it separates anything.
pub(super) fn segment(value: &Value) -> Result<String, Error> {
    bounded(utf8_percent_encode(&python_text(there(value)?), STRICT).to_string())
}

/// One word of a routing key.
pub(super) fn word(value: &Value) -> Result<String, Error> {
    let text = python_text(there(value)?);
    // Of a preview: where a value will stand.
    let placeholder = value.downcast_object_ref::<Placeholder>().is_some();
    bounded(if placeholder { text } else { text.replace(['.', '*', '#'], "_") })
}

/// Some words of a routing key, none of which is a pattern.
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
