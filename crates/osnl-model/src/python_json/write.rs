//! Writing JSON as Python's `json.dumps` does by default: `", "` and `": "` as separators,
//! non-ASCII and control characters as `\uXXXX` (surrogate pairs beyond the basic plane), floats as
//! in `repr`.
//!
//! Payloads are written as text: a tree would sort the keys and round numbers beyond 64 bits.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

pub fn to_python_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonFormatter))?;
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

/// Formats JSON as `json.dumps` does by default.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        fragment(out, text)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, out: &mut W, value: f32) -> io::Result<()> {
        out.write_all(repr(&format!("{value:e}")).as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(repr(&format!("{value:e}")).as_bytes())
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, out: &mut W, raw: &str) -> io::Result<()> {
        restyle(out, raw)
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn fragment<W: ?Sized + Write>(out: &mut W, mut text: &str) -> io::Result<()> {
    while let Some(at) = text.bytes().position(|byte| !is_plain(byte)) {
        let (plain, rest) = text.split_at(at);
        out.write_all(plain.as_bytes())?;
        let mut chars = rest.chars();
        for char in chars.by_ref().take(1) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        text = chars.as_str();
    }
    out.write_all(text.as_bytes())
}

fn string<W: ?Sized + Write>(out: &mut W, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => CharEscape::Quote,
            b'\\' => CharEscape::ReverseSolidus,
            0x08 => CharEscape::Backspace,
            0x0c => CharEscape::FormFeed,
            b'\n' => CharEscape::LineFeed,
            b'\r' => CharEscape::CarriageReturn,
            b'\t' => CharEscape::Tab,
            _ => continue,
        };
        fragment(out, &text[plain..at])?;
        CompactFormatter.write_char_escape(out, escape)?;
        plain = at + 1;
    }
    fragment(out, &text[plain..])?;
    out.write_all(b"\"")
}

fn restyle<W: ?Sized + Write>(out: &mut W, raw: &str) -> io::Result<()> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at),
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => at + 1,
            _ => bytes[at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b',' | b':' | b' ' | b'\n' | b'\r' | b'\t'))
                .map_or(bytes.len(), |length| at + length),
        };
        let token = &raw[at..end];
        match byte {
            b'"' if token.bytes().all(|byte| is_plain(byte) && byte != b'\\') => {
                out.write_all(token.as_bytes())?;
            }
            // A text that is no valid Rust string (a lone surrogate) stays unchanged.
            b'"' => match serde_json::from_str::<String>(token) {
                Ok(text) => string(out, &text)?,
                Err(_) => fragment(out, token)?,
            },
            b',' => out.write_all(b", ")?,
            b':' => out.write_all(b": ")?,
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => out.write_all(token.as_bytes())?,
        }
        at = end;
    }
    Ok(())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn repr(shortest: &str) -> String {
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let padding = |zeros: i32| "0".repeat(usize::try_from(zeros).unwrap_or_default());
    let point = usize::try_from(exponent + 1).unwrap_or_default();
    match exponent {
        0..16 if digits.len() <= point => {
            format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()))
        }
        0..16 => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        -4..0 => format!("{sign}0.{}{digits}", padding(-exponent - 1)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let direction = if exponent < 0 { '-' } else { '+' };
            format!("{sign}{first}{dot}{rest}e{direction}{:02}", exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let check = |value: Value, expected: &str| {
            assert_eq!(to_python_json(&value).unwrap(), expected);
        };
        check(json!({"b": [1, true, null], "a": {}}), r#"{"a": {}, "b": [1, true, null]}"#);
        check(json!([]), "[]");
        check(json!("é😀~\u{7f}\u{2028}\u{1}\n\"\\/"), r#""\u00e9\ud83d\ude00~\u007f\u2028\u0001\n\"\\/""#);
        check(json!(u64::MAX), "18446744073709551615");
    }

    #[test]
    fn floats_are_written_as_repr_shows_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e22, "1.25e+22"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(to_python_json(&value).unwrap(), expected, "{value:e}");
        }
        assert_eq!(to_python_json(&0.1_f32).unwrap(), "0.1");
    }

    #[test]
    fn raw_json_is_restyled_and_keeps_its_order_and_its_numbers() {
        let check = |raw: &str, expected: &str| {
            let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
            assert_eq!(to_python_json(&raw).unwrap(), expected);
        };
        check(
            "{\"z\":1,\n \"a\" : [ 123456789012345678901234567890 ,1E400,1.10]}",
            r#"{"z": 1, "a": [123456789012345678901234567890, 1E400, 1.10]}"#,
        );
        check(r#"["\u00E9\/\u0041", "é\u007f", "a,b:c"]"#, r#"["\u00e9/A", "\u00e9\u007f", "a,b:c"]"#);
        check(r#"["\"\\", "\ud83d\ude00", "\b\f\n\r\t"]"#, r#"["\"\\", "\ud83d\ude00", "\b\f\n\r\t"]"#);
    }
}
