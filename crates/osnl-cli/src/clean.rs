//! Keeps a message from acting on the terminal that shows it, and from showing a secret.

use std::borrow::Cow;
use std::fmt::Write as _;

use osnl_model::{is_secret_key, mask_text, mask_url_passwords};
pub(crate) use osnl_model::{one_line as text, one_line_json as json};
use serde_json::Value;

pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&text(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Whether a scan of a body finds its secrets. In UTF-16, a pickle, or MessagePack, no sign is between a name and its
/// value.
pub(crate) fn is_text(body: &[u8]) -> bool {
    let may_be_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    !body.contains(&0) && (may_be_json || std::str::from_utf8(body).is_ok())
}

/// Returns the bytes that tell the kind of a file, too few to hold a secret with its name.
pub(crate) fn hex(body: &[u8]) -> String {
    body.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Hides the passwords of URLs in all texts of a value. Only for osnl's own words, where a name
/// before a colon is no secret; payloads need `osnl_model::mask_secrets`.
pub(crate) fn mask_urls(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask_url_passwords(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_urls),
        Value::Object(object) => object.values_mut().for_each(mask_urls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces texts behind keys that look secret in a body that is no readable JSON. Best effort: the
/// body is scanned, not parsed. Quotes may be escaped any number of times, as in an envelope.
pub(crate) fn mask_unreadable(body: &str) -> String {
    let mut masked = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(open) = rest.find('"') {
        let (before, after) = rest.split_at(open + 1);
        masked.push_str(before);
        let Some(close) = after.find('"') else {
            rest = after;
            break;
        };
        let key = after[..close].trim_end_matches('\\');
        let behind = after[close + 1..].trim_start();
        let value = behind.strip_prefix(':').map(str::trim_start);
        rest = &after[close..];
        let Some(value) = value.filter(|_| is_secret_key(key) || key == "key") else {
            // In unreadable text the closing quote may also open the next text.
            masked.push_str(&after[..close]);
            continue;
        };
        let colon = rest.len() - value.len();
        masked.push_str(&after[..close]);
        masked.push_str(&rest[..colon]);
        let (opened, ends) = value_end(value);
        masked.push_str(opened);
        masked.push_str("***");
        rest = &value[ends..];
    }
    masked.push_str(rest);
    mask_text(&masked).into_owned()
}

fn value_end(value: &str) -> (&str, usize) {
    let quoted = value.trim_start_matches('\\');
    let escapes = value.len() - quoted.len();
    if !quoted.starts_with('"') {
        return ("", unquoted_end(value));
    }
    let start = escapes + 1;
    let mut backslashes = 0;
    for (at, byte) in value.bytes().enumerate().skip(start) {
        match byte {
            b'\\' => backslashes += 1,
            b'"' if backslashes <= escapes => return (&value[..start], at - backslashes),
            _ => backslashes = 0,
        }
    }
    (&value[..start], value.len())
}

fn unquoted_end(value: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let check = |from: &str, expected: &str| assert_eq!(text(from), expected);
        check("port.delete.end", "port.delete.end");
        check("仮想 é", "仮想 é");
        check("a\x1b[2Jb\r\n\t\x07\x7f", "a\\x1b[2Jb\\r\\n\\t\\x07\\x7f");
        check("\u{9b}31m\u{202e}\u{feff}", "\\u{9b}31m\\u{202e}\\u{feff}");
        assert_eq!(bytes(b"\xff\x1b]0;x\x07ok"), "\\xff\\x1b]0;x\\x07ok");
        let object = json!({"a\u{9b}": "\x1b\x7f\u{202e}é"});
        let written = json(object.to_string());
        assert_eq!(written, r#"{"a\u009b":"\u001b\u007f\u202eé"}"#);
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), object);
    }

    #[test]
    fn passwords_of_urls_are_hidden() {
        let mut value =
            json!({"a": ["see mysql://u:S3C:RET@h/db, rabbit://a:S3C@h1,b:RET@h2/ ok", "x@y", "http://h/@"]});
        mask_urls(&mut value);
        assert_eq!(
            value,
            json!({"a": ["see mysql://u:***@h/db, rabbit://a:***@h1,b:***@h2/ ok", "x@y", "http://h/@"]})
        );
    }

    #[test]
    fn secrets_in_what_cannot_be_read_are_hidden() {
        let check = |from: &str, expected: &str| assert_eq!(mask_unreadable(from), expected);
        check(r#"{"_context_auth_token": "S3C", "a": 1"#, r#"{"_context_auth_token": "***", "a": 1"#);
        check(r#"{"m": "{\"adminPass\": \"S\\\"3C\", \"b\""#, r#"{"m": "{\"adminPass\": \"***\", \"b\""#);
        check(r#"{"password": "a\"b", "x"#, r#"{"password": "***", "x"#);
        check(r#"{"password":"cut off"#, r#"{"password":"***"#);
        check(r#"{"secret": 77, "b": 1"#, r#"{"secret": ***, "b": 1"#);
        check(r#"{"key": "S3C", "key_name": "k""#, r#"{"key": "***", "key_name": "k""#);
        check(r#"{"token": {"a": ["S3C", "S3C"], "b": "S3C"}, "c": 1"#, r#"{"token": ***, "c": 1"#);
        check("no quotes", "no quotes");
        check(r#"{"a": "token"}"#, r#"{"a": "token"}"#);
    }

    #[test]
    fn a_body_in_which_no_scan_finds_secrets_is_no_text() {
        let text = r#"{"adminPass": "S3C"}"#;
        let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let pickle = b"\x80\x04}\x94\x8c\x09adminPass\x94\x8c\x03S3C\x94s.";
        for body in [&utf_16[..], pickle, b"\x81\xa9adminPass\xa3S3C", b"adminPass\0S3C"] {
            assert!(!is_text(body), "{body:?}");
        }
        for body in [text.as_bytes(), b"", b" {\"password\": \"\xe9\"", b"adminPass=\xc3\xa9"] {
            assert!(is_text(body), "{body:?}");
        }
        assert_eq!(hex(&utf_16), "7b 00 22 00 61 00 64 00");
    }
}
