//! Conversion of text to a typed value, as oslo.config's types read it, and `$name` substitution.

use osnl_model::nearest;

use super::error::{shown, unknown_value};
use super::ini::is_space;
use super::option::{Kind, listed};
use super::typed::ValueRefusal;

/// A typed value. The Debug form is for tests, as a text may be a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Bool(bool),
    Integer(i64),
    Dict(Vec<(String, String)>),
}

impl Value {
    /// Reads `text` as `kind`. With `secret`, errors do not repeat the text.
    ///
    /// `Ok(None)` is a blank integer, which oslo takes for "none".
    ///
    /// # Errors
    /// The text is not of that kind, or an integer does not fit 64 bits.
    pub fn read(kind: Kind, text: &str, secret: bool) -> Result<Option<Self>, ValueRefusal> {
        let echo = || if secret { "the value (not shown)".to_owned() } else { shown(text) };
        // A common mistake: an intended comment that is part of the value.
        let comment = if text.contains(['#', ';']) { "; a comment needs a line of its own" } else { "" };
        let refuse = |what: &str, allowed: String| {
            Err(ValueRefusal::new(format!("{} {what}", echo()), format!("{allowed}{comment}")))
        };
        let unknown = |words: String| {
            Err(ValueRefusal::new(unknown_value(&echo()), format!("allowed: {words}{comment}")))
        };
        match kind {
            Kind::Form(_) => Ok(Some(Self::Text(text.to_owned()))),
            Kind::Choice(words) if words.contains(&text) => Ok(Some(Self::Text(text.to_owned()))),
            Kind::Choice(words) => {
                let suggestion = nearest(text, words.iter().copied()).map(str::to_owned);
                unknown(listed(words)).map_err(|error| ValueRefusal { suggestion, ..error })
            }
            Kind::Bool => match boolean(text) {
                Some(value) => Ok(Some(Self::Bool(value))),
                None => refuse(
                    "is not a boolean",
                    "allowed: true, yes, on, 1, false, no, off, 0, in any case".to_owned(),
                ),
            },
            Kind::Integer if text.chars().all(is_space) => Ok(None),
            Kind::Integer => match integer(text) {
                Some(value) => Ok(Some(Self::Integer(value))),
                None => refuse(
                    "is not a whole number",
                    "allowed: digits, with a sign before them if need be".to_owned(),
                ),
            },
            Kind::Dict => match dict(text) {
                Ok(pairs) => Ok(Some(Self::Dict(pairs))),
                Err(problem) => refuse(problem, "allowed: name:value,name:value".to_owned()),
            },
        }
    }

    pub(super) fn substituted(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Bool(true) => Some("True".to_owned()),
            Self::Bool(false) => Some("False".to_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Dict(_) => None,
        }
    }

    #[must_use]
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn into_dict(self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Reads as Python's `int(text)`, if written in ASCII digits and within bounds.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_space);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    // Underscores must be single and between digits, so no piece is empty.
    if !digits.split('_').all(|piece| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    format!("{sign}{}", digits.replace('_', "")).parse().ok()
}

/// Reads by oslo's rule for commas: a piece without `:` continues in the next, so a name may hold a comma and a value
/// may not.
fn dict(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let text = text.trim_matches(is_space);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Ok(pairs);
    }
    let mut pieces = text.split(',');
    while let Some(piece) = pieces.next() {
        let mut pair = piece.to_owned();
        while !pair.contains(':') {
            let next = pieces.next().ok_or("has a part without `:` (a comma always begins a new part)")?;
            pair.push(',');
            pair.push_str(next);
        }
        let (name, value) = pair.split_once(':').unwrap_or((&pair, ""));
        let (name, value) = (name.trim_matches(is_space), value.trim_matches(is_space));
        if name.is_empty() {
            return Err("has a part without a name before its `:`");
        }
        if pairs.iter().any(|(other, _)| other == name) {
            return Err("has the same name twice");
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Replaces `$name`, `${name}` and `${group.name}` by the result of `lookup`. `$$` and `\$` are a dollar
/// sign, and any other `$` stays.
///
/// A name begins with an ASCII letter or `_`, and continues with these, digits, and dots.
///
/// # Errors
/// Returns the first error of `lookup`.
pub fn substitute<E>(text: &str, mut lookup: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let text = text.replace("\\$", "$$");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.strip_prefix('{').map(leading_name).filter(|name| {
            // `${name}`: one byte for the brace before the name.
            !name.is_empty() && rest[1 + name.len()..].starts_with('}')
        });
        let named = leading_name(rest);
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if !named.is_empty() {
            out.push_str(&lookup(named)?);
            rest = &rest[named.len()..];
        } else if let Some(name) = braced {
            out.push_str(&lookup(name)?);
            rest = &rest[name.len() + 2..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn leading_name(text: &str) -> &str {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    &text[..end.unwrap_or(text.len())]
}
