//! The fast way to a head: a scanner of oslo.messaging's output that stops at the payload and returns None
//! for anything else. Only a value with escapes allocates.
//!
//! A key of the head may be repeated behind the payload, and the last value counts. A search of the rest for the
//! keys' names finds that without reading the payload. A payload with such a key of its own is left to the slow way.
//!
//! An envelope holds the notification as JSON text inside a JSON string, so its quotes are `\"` and
//! its backslashes `\\`. The scanner reads through that layer ([`Layer::Enveloped`]); the slow way
//! handles other escapes of the outer string.
//!
//! The slow way is `slow_head` in `envelope.rs`, which builds a tree. `tests/it/heads.rs` compares both ways.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::Head;
use crate::Priority;

pub(super) fn read_head(body: &[u8]) -> Option<Head<'_>> {
    let mut scanner = Scanner { rest: body, layer: Layer::Bare };
    scanner.byte(b'{')?;
    let mut key = scanner.plain_text()?;
    if key == b"oslo.version" {
        scanner.byte(b':')?;
        if scanner.plain_text()? != b"2.0" {
            return None;
        }
        scanner.byte(b',')?;
        if scanner.plain_text()? != b"oslo.message" {
            return None;
        }
        scanner.byte(b':')?;
        scanner.byte(b'"')?;
        scanner.layer = Layer::Enveloped;
        scanner.byte(b'{')?;
        key = scanner.plain_text()?;
    }
    let head = scanner.head(key)?;
    (!may_repeat_a_key(scanner.rest)).then_some(head)
}

/// Returns whether a key of the head or of the envelope may follow. `json.dumps` escapes no printable ASCII character,
/// so such an escape can hide a key's name or its quote, in either layer.
fn may_repeat_a_key(rest: &[u8]) -> bool {
    static KEYS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?-u)"event_type|"publisher_id|"priority|"oslo\.|\\u00[2-7]"#).ok());
    KEYS.as_ref().is_none_or(|keys| keys.is_match(rest))
}

/// Whether a notification is the body itself, or a text in oslo.messaging's envelope.
#[derive(Clone, Copy)]
enum Layer {
    Bare,
    Enveloped,
}

/// Scans the bytes of a body for the head, without a parser.
struct Scanner<'a> {
    rest: &'a [u8],
    layer: Layer,
}

impl<'a> Scanner<'a> {
    fn head(&mut self, first_key: &'a [u8]) -> Option<Head<'a>> {
        let mut key = first_key;
        let (mut event_type, mut publisher_id, mut priority) = (None, None, None);
        loop {
            self.byte(b':')?;
            match key {
                b"event_type" => event_type = Some(self.text_or_null()?),
                b"publisher_id" => publisher_id = Some(self.text_or_null()?),
                b"priority" => priority = Some(self.text_or_null()?),
                // Any other key before the payload is short and plain (message_id), or unusual.
                _ if key.starts_with(b"oslo.") => return None,
                _ => {
                    self.plain_text()?;
                }
            }
            if let (Some(_), Some(_), Some(_)) = (&event_type, &publisher_id, &priority) {
                return Some(Head {
                    event_type: event_type?,
                    publisher_id: publisher_id?,
                    priority: priority?.map(|text| Priority::parse(&text)),
                });
            }
            self.byte(b',')?;
            key = self.plain_text()?;
        }
    }

    fn text_or_null(&mut self) -> Option<Option<Cow<'a, str>>> {
        self.blanks();
        if let Some(rest) = self.rest.strip_prefix(b"null") {
            self.rest = rest;
            return Some(None);
        }
        self.text().map(Some)
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        self.blanks();
        self.take(expected)
    }

    fn plain_text(&mut self) -> Option<&'a [u8]> {
        self.blanks();
        self.quote()?;
        let text = self.up_to_backslash_or_quote()?;
        self.quote()?;
        Some(text)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.blanks();
        self.quote()?;
        let text = std::str::from_utf8(self.up_to_backslash_or_quote()?).ok()?;
        if self.quote().is_some() {
            return Some(Cow::Borrowed(text));
        }
        let mut literal = String::from("\"");
        literal.push_str(text);
        loop {
            literal.push('\\');
            self.backslash()?;
            match self.rest.first()? {
                b'"' | b'\\' => literal.push(char::from(self.quote_or_backslash()?)),
                _ => {}
            }
            literal.push_str(std::str::from_utf8(self.up_to_backslash_or_quote()?).ok()?);
            if self.quote().is_some() {
                literal.push('"');
                return serde_json::from_str(&literal).ok().map(Cow::Owned);
            }
        }
    }

    fn up_to_backslash_or_quote(&mut self) -> Option<&'a [u8]> {
        let end = end_of_plain(self.rest)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(text)
    }

    fn quote(&mut self) -> Option<()> {
        self.rest = match self.layer {
            Layer::Bare => self.rest.strip_prefix(b"\"")?,
            Layer::Enveloped => self.rest.strip_prefix(b"\\\"")?,
        };
        Some(())
    }

    fn backslash(&mut self) -> Option<()> {
        self.rest = match self.layer {
            Layer::Bare => self.rest.strip_prefix(b"\\")?,
            Layer::Enveloped => self.rest.strip_prefix(b"\\\\")?,
        };
        Some(())
    }

    fn quote_or_backslash(&mut self) -> Option<u8> {
        if self.quote().is_some() {
            return Some(b'"');
        }
        self.backslash().map(|()| b'\\')
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[expected])?;
        Some(())
    }

    fn blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// Returns the place of the first quote, backslash, or control character, which a text may not
/// contain. Eight bytes are tested at once: a head has about two hundred, and most messages are
/// read only up to here.
fn end_of_plain(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // Sets the highest bit of each byte below `limit`. Bytes above the first such byte may be
    // wrong.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & (ONES << 7);
    let (words, rest) = text.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = is(b'"') | is(b'\\') | below(word, 0x20);
        if found != 0 {
            return Some(8 * n + found.trailing_zeros() as usize / 8);
        }
    }
    let end = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
    Some(8 * words.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_the_first_byte_that_is_not_plain() {
        for end in 0..20 {
            for byte in 0..=u8::MAX {
                for around in [b'a', b' ', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']'] {
                    let mut text = [around; 20];
                    text[end] = byte;
                    for after in [around, b'"', 0] {
                        if let Some(next) = text.get_mut(end + 1) {
                            *next = after;
                        }
                        let is_plain = |byte: u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
                        let expected = text.iter().position(|&byte| !is_plain(byte));
                        assert_eq!(end_of_plain(&text), expected, "{text:?}");
                    }
                }
            }
        }
    }

    fn enveloped(message: &str) -> String {
        format!(r#"{{"oslo.version": "2.0", "oslo.message": {}}}"#, serde_json::Value::from(message))
    }

    #[test]
    fn the_head_is_read_up_to_the_payload() {
        let check = |message: &str, event_type, publisher_id, priority: Option<&str>| {
            let expected = Head {
                event_type: Some(Cow::Borrowed(event_type)),
                publisher_id: Some(Cow::Borrowed(publisher_id)),
                priority: priority.map(Priority::parse),
            };
            assert_eq!(read_head(message.as_bytes()).as_ref(), Some(&expected), "{message}");
            assert_eq!(read_head(enveloped(message).as_bytes()), Some(expected), "{message}");
        };
        check(r#"{"event_type":"e","publisher_id":"p","priority":"INFO""#, "e", "p", Some("info"));
        check(
            r#"{ "priority" : null , "event_type" : "é" , "publisher_id" : "" , "payload": {"#,
            "é",
            "",
            None,
        );
        check(
            r#"{"message_id": "m", "publisher_id": "a\"b\\c\/d\n\u4eee\ud83d\ude00", "event_type": "\\", "priority": "x""#,
            "\\",
            "a\"b\\c/d\n仮😀",
            Some("x"),
        );
    }

    #[test]
    fn plain_values_are_borrowed() {
        let body = enveloped(r#"{"event_type": "e", "publisher_id": "p\n", "priority": "INFO"}"#);
        let head = read_head(body.as_bytes()).unwrap();
        assert!(matches!(head.event_type, Some(Cow::Borrowed("e"))));
        assert!(matches!(head.publisher_id, Some(Cow::Owned(_))));
    }

    #[test]
    fn the_unusual_is_left_to_the_slow_way() {
        let head = r#""event_type":"e","publisher_id":"p","priority":"INFO""#;
        for body in [
            "",
            "{",
            "[]",
            r#"{"event_type":"e","publisher_id":"p","payload":"x"}"#,
            r#"{"payload":{},"event_type":"e","publisher_id":"p","priority":"INFO"}"#,
            r#"{"event_type":7,"publisher_id":"p","priority":"INFO"}"#,
            r#"{"event_type":"e","publisher_id":"p","priority":3}"#,
            r#"{"event_type":"\ud800","publisher_id":"p","priority":"INFO"}"#,
            r#"{"event_type":"\x","publisher_id":"p","priority":"INFO"}"#,
            r#"{"event_ty\u0070e":"e","publisher_id":"p","priority":"INFO"}"#,
            "{\"event_type\":\"a\nb\",\"publisher_id\":\"p\",\"priority\":\"INFO\"}",
            r#"{"oslo.version":"3.0","oslo.message":"{}"}"#,
            r#"{"oslo.message":"{}","oslo.version":"2.0"}"#,
            r#"{"oslo.version":"2.0","oslo.message":{"#,
            &format!(r#"{{"oslo.message":"x",{head}}}"#),
            &format!("\u{feff}{{{head}}}"),
            &enveloped(&format!("{{{head}}}")).replace("\\\"e\\\"", "\\u0022e\\\""),
            &format!(r#"{{{head},"payload":{{}},"event_type":"f"}}"#),
            &enveloped(&format!(r#"{{{head},"payload":{{}},"priority" : "WARN"}}"#)),
            &enveloped(&format!(r#"{{{head},"payload":{{}},"publisher\u005Fid":"q"}}"#)),
            &enveloped(&format!("{{{head}}}")).replace("}\"", r#",\u0022event_type\":\"f\"}""#),
            &enveloped(&format!("{{{head}}}")).replace("}\"", r#",\"\u005cu0065vent_type\":\"f\"}""#),
            &enveloped(&format!("{{{head}}}")).replace("}\"}", r#"}","oslo.message":"{}"}"#),
        ] {
            assert_eq!(read_head(body.as_bytes()), None, "{body}");
        }
        assert_eq!(
            read_head(b"{\"event_type\":\"\xff\",\"publisher_id\":\"p\",\"priority\":\"INFO\"}"),
            None
        );
    }
}
