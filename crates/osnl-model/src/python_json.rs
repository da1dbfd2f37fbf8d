//! Python's `json` has two additions to JSON: the words `NaN`, `Infinity` and `-Infinity`, and
//! escapes of lone surrogates (`"\ud800"`, from file names that are not UTF-8). The words, and numbers
//! beyond an `f64` (`1e400`, which Python reads as infinity, and integers of hundreds of digits), are read
//! as `null`, and the escapes as `\ufffd`: neither a JSON number nor a Rust string can hold the original,
//! and the message is worth more than the value.

mod write;

use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::budget::Purse;

pub use write::to_python_json;

/// Reads JSON with Python's additions; `NaN`, both infinities, and numbers beyond an `f64` are null.
pub fn parse_python_json(text: &str) -> Result<Value, serde_json::Error> {
    let purse = Purse::new(usize::MAX, usize::MAX, usize::MAX);
    repairing(text, |text| purse.parse(text, 0))
}

pub(crate) fn repairing<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    match parse(text) {
        Ok(value) => Ok(value),
        Err(error) => with_repaired(text, error, parse),
    }
}

pub fn parse_python_json_as<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, serde_json::Error> {
    repairing(text, |text| serde_json::from_str(text))
}

fn with_repaired<T>(
    text: &str,
    error: serde_json::Error,
    parse: impl FnOnce(&str) -> Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    match repair(text) {
        // The error of the repaired text counts, although its column may differ by the length of
        // earlier replacements.
        Some(repaired) => parse(&repaired),
        None => Err(error),
    }
}

fn repair(text: &str) -> Option<String> {
    let mut repaired = String::new();
    let mut copied = 0;
    scan(text, |place, by| {
        repaired.push_str(&text[copied..place.start]);
        repaired.push_str(by);
        copied = place.end;
    });
    if copied == 0 {
        return None;
    }
    repaired.push_str(&text[copied..]);
    Some(repaired)
}

/// Returns the places of `NaN`, `Infinity` and `-Infinity` outside strings.
#[must_use]
pub fn python_words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    scan(text, |place, _| words.extend(text[place.clone()].ends_with(['N', 'y']).then_some(place)));
    words
}

/// Reports each place that JSON does not allow, with its replacement.
fn scan(text: &str, mut found: impl FnMut(Range<usize>, &str)) {
    let mut at = 0;
    let mut in_string = false;
    while let Some(&byte) = text.as_bytes().get(at) {
        let rest = &text.as_bytes()[at..];
        at += match (in_string, byte) {
            (_, b'"') => {
                in_string = !in_string;
                1
            }
            (true, b'\\') => match surrogates(rest) {
                Surrogates::None => 2,
                Surrogates::Pair => 12,
                Surrogates::Lone => {
                    found(at..at + 6, "\\ufffd");
                    6
                }
            },
            (false, b'N' | b'I' | b'-' | b'0'..=b'9') => match bare_word(rest) {
                Some(length) => {
                    found(at..at + length, "null");
                    length
                }
                None => number(rest).len().max(1),
            },
            (true | false, _) => 1,
        };
    }
}

fn bare_word(rest: &[u8]) -> Option<usize> {
    ["NaN", "Infinity", "-Infinity"]
        .iter()
        .find(|word| rest.starts_with(word.as_bytes()))
        .map(|word| word.len())
        .or_else(|| Some(number(rest)).filter(|number| is_beyond_f64(number)).map(str::len))
}

fn number(rest: &[u8]) -> &str {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..length]).unwrap_or_default()
}

fn is_beyond_f64(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_infinite) && serde_json::from_str::<IgnoredAny>(number).is_ok()
}

/// The surrogates that are escaped at the beginning of a JSON text.
enum Surrogates {
    None,
    Pair,
    Lone,
}

fn surrogates(rest: &[u8]) -> Surrogates {
    match (escaped_unit(rest), rest.get(6..).and_then(escaped_unit)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => Surrogates::Pair,
        (Some(0xd800..=0xdfff), _) => Surrogates::Lone,
        (Some(_) | None, _) => Surrogates::None,
    }
}

fn escaped_unit(rest: &[u8]) -> Option<u16> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    // `from_str_radix` would accept a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_adds_to_json_is_read() {
        let check =
            |text: &str, expected: Value| assert_eq!(parse_python_json(text).unwrap(), expected, "{text}");
        check(
            r#"{"a":NaN,"b":-Infinity,"c":[Infinity],"d":-1}"#,
            json!({"a":null,"b":null,"c":[null],"d":-1}),
        );
        check("NaN", json!(null));
        check(r#"["NaN", "-Infinity", NaN, "\"NaN"]"#, json!(["NaN", "-Infinity", null, "\"NaN"]));
        check(r#"["\\", NaN, "\\\"", NaN]"#, json!(["\\", null, "\\\"", null]));
        check(
            r#"["\ud800", "\udc00x", "\ud83d\ude00", "\\ud800"]"#,
            json!(["\u{fffd}", "\u{fffd}x", "😀", "\\ud800"]),
        );
        check(r#"["\ud800\ud83d\ude00é"]"#, json!(["\u{fffd}😀é"]));
        check(r#"["é", NaN, "é"]"#, json!(["é", null, "é"]));
        let digits = "9".repeat(401);
        check(
            &format!(
                r#"{{"a":1e400,"b":-1e+400,"c":[{digits},-{digits}],"d":1e-400,"e":"1e400","f":-1.5E1}}"#
            ),
            json!({"a":null,"b":null,"c":[null,null],"d":0.0,"e":"1e400","f":-15.0}),
        );
        check("1e400", json!(null));
    }

    #[test]
    fn what_is_not_json_stays_an_error() {
        for text in [
            "",
            "nan",
            "NaNN",
            "-NaN",
            "[NaN",
            "+Infinity",
            "--Infinity",
            "\"\\",
            "\"\\u",
            "\"\\ud8",
            "N",
            "\"\\ud800",
            "[1.e400]",
            "[01e400]",
            "[1e400x]",
            "[1e400 1e400]",
        ] {
            parse_python_json(text).unwrap_err();
        }
        let deep = "[".repeat(3000) + &"]".repeat(3000);
        assert!(parse_python_json(&deep).unwrap_err().to_string().contains("recursion limit"));
    }
}
