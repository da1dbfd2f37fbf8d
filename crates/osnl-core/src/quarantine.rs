//! Messages that are kept unread: the body is unreadable, exceeds a budget, or was in hand when the process ended
//! unexpectedly.
//!
//! Nothing here parses a body. A [`Glimpse`] is found by a linear scan of at most `SCAN_LIMIT` bytes without recursion,
//! and a [`preview`] shows no values. The body is stored as received, compressed if that is shorter; a body that is
//! still too large keeps its first bytes ([`StoredBody`]).

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use osnl_transport::BodyBounds;

use crate::received::ReceivedMessage;

/// The longest body that is stored whole. A longer body is not even compressed.
pub const LONGEST_WHOLE: usize = BodyBounds::DEFAULT.whole;
pub(crate) const LARGEST_STORED: usize = 4 << 20;
pub const HEAD: usize = BodyBounds::HEAD;
const SCAN_LIMIT: usize = 64 << 10;
const LONGEST_VALUE: usize = 255;
const PREVIEWED: usize = 2 << 10;
const FIRST_BYTES: usize = 8;

/// The stored part of a body, and its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    Compressed,
    /// Only the first bytes, compressed.
    Head,
}

impl Extent {
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Whole => 0,
            Self::Compressed => 1,
            Self::Head => 2,
        }
    }

    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Whole, Self::Compressed, Self::Head].into_iter().find(|extent| extent.number() == number)
    }

    #[must_use]
    pub fn is_whole(self) -> bool {
        match self {
            Self::Whole | Self::Compressed => true,
            Self::Head => false,
        }
    }
}

/// An unread body in the form in which a journal keeps it, with a bounded size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    pub extent: Extent,
    pub bytes: Vec<u8>,
}

impl StoredBody {
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        if body.len() <= LONGEST_WHOLE {
            let bytes = deflated(body);
            if bytes.len() < body.len() && bytes.len() <= LARGEST_STORED {
                return Self { extent: Extent::Compressed, bytes };
            }
            if body.len() <= LARGEST_STORED {
                return Self { extent: Extent::Whole, bytes: body.to_vec() };
            }
        }
        Self::head(body)
    }

    #[must_use]
    pub fn from_received(received: &ReceivedMessage) -> Self {
        match received.noted.cut {
            Some(_) => Self::head(&received.body),
            None => Self::from_body(&received.body),
        }
    }

    fn head(body: &[u8]) -> Self {
        Self { extent: Extent::Head, bytes: deflated(&body[..HEAD.min(body.len())]) }
    }

    pub fn read(self) -> std::io::Result<Bytes> {
        match self.extent {
            Extent::Whole => Ok(self.bytes.into()),
            Extent::Compressed | Extent::Head => {
                let mut body = Vec::new();
                ZlibDecoder::new(&self.bytes[..]).take(LONGEST_WHOLE as u64).read_to_end(&mut body)?;
                Ok(body.into())
            }
        }
    }
}

fn deflated(body: &[u8]) -> Vec<u8> {
    // The fastest level: every commit waits for this compression.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

pub fn say(received: &ReceivedMessage, reason: &str) {
    let glimpse = Glimpse::from_body(&received.body);
    let shown = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    tracing::error!(
        queue.name = &*received.origin.queue,
        exchange.name = received.origin.exchange,
        publisher.id = shown(&glimpse.publisher_id),
        message.id = shown(&glimpse.message_id),
        message.digest = %received.digest(),
        message.bytes = received.bytes(),
        message.redelivered = received.origin.redelivered,
        reason = reason,
        "message cannot be read; set aside",
    );
}

/// The names that an unreadable body seems to have, so that an operator can tell what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    pub message_id: Option<String>,
    pub publisher_id: Option<String>,
    pub event_type: Option<String>,
}

impl Glimpse {
    /// Searches the first bytes of a body. A publisher can forge these values, so only people see this glimpse.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        let seen = &body[..SCAN_LIMIT.min(body.len())];
        Self {
            message_id: value(seen, b"message_id"),
            publisher_id: value(seen, b"publisher_id"),
            event_type: value(seen, b"event_type"),
        }
    }
}

/// Returns the text behind the first `"key":`. The quotes may be escaped: oslo.messaging puts a message within a
/// message.
fn value(bytes: &[u8], key: &[u8]) -> Option<String> {
    let mut from = 0;
    while let Some(at) = find(&bytes[from..], key) {
        let end = from + at + key.len();
        from = end;
        let mut rest = bytes[end..].iter().copied().enumerate().skip_while(|(_, b)| *b == b'\\');
        if rest.next().map(|(_, b)| b) != Some(b'"') {
            continue;
        }
        let mut rest = rest.skip_while(|(_, b)| b.is_ascii_whitespace());
        if rest.next().map(|(_, b)| b) != Some(b':') {
            continue;
        }
        let mut rest = rest.skip_while(|(_, b)| b.is_ascii_whitespace() || *b == b'\\');
        let Some((quote, b'"')) = rest.next() else { continue };
        let text = &bytes[end + quote + 1..];
        let text = &text[..text.iter().position(|b| *b == b'"' || *b == b'\\').unwrap_or(text.len())];
        let text = String::from_utf8_lossy(&text[..LONGEST_VALUE.min(text.len())]).into_owned();
        return (!text.is_empty()).then_some(text);
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Returns the beginning of a body as one line of printable ASCII. JSON keeps its names and its shape; every value is
/// masked, since any value may be a secret. Of any other body only the first bytes are shown, as hexadecimal: enough for
/// the kind of a file, and too few for a secret behind a name.
#[must_use]
pub fn preview(body: &[u8]) -> String {
    let seen = &body[..PREVIEWED.min(body.len())];
    let (mut shown, most) = match seen.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{' | b'[') => (shape(seen), PREVIEWED),
        Some(_) => (first_bytes(seen), FIRST_BYTES),
        None => (String::new(), PREVIEWED),
    };
    if body.len() > most {
        shown.push_str(" ...");
    }
    shown
}

fn first_bytes(body: &[u8]) -> String {
    body.iter().take(FIRST_BYTES).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Keeps texts between a brace or comma and a colon, since they are names, and masks all other texts, numbers and words.
fn shape(bytes: &[u8]) -> String {
    let mut shown = String::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {
                shown.push(char::from(*byte));
                at += 1;
            }
            b'"' => {
                let length = text_length(&bytes[at + 1..]);
                let after = bytes[at + 1..].get(length + 1..).unwrap_or_default();
                let is_name = after.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                match &bytes[at + 1..at + 1 + length] {
                    name if is_name
                        && shown.ends_with(['{', ','])
                        && name.len() <= 64
                        && name.iter().all(|b| is_of_a_name(*b)) =>
                    {
                        shown.push_str(&format!("\"{}\"", String::from_utf8_lossy(name)));
                    }
                    _ => shown.push_str("\"***\""),
                }
                at += length + 2;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let rest = &bytes[at..];
                at += rest.iter().position(|b| b",:[]{}\" \t\r\n".contains(b)).unwrap_or(rest.len());
                shown.push('*');
            }
        }
    }
    shown
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-: ".contains(&byte)
}

fn text_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_stored_whole_up_to_a_bound_and_by_its_beginning_beyond_it() {
        let noise = |len: usize| -> Vec<u8> {
            let mut state = 1_u64;
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..len).map(next).collect()
        };
        for (body, extent) in [
            (Vec::new(), Extent::Whole),
            (b"{}".to_vec(), Extent::Whole),
            (vec![b' '; 100_000], Extent::Compressed),
            (noise(100_000), Extent::Whole),
            (vec![b'['; LONGEST_WHOLE], Extent::Compressed),
            (vec![b'['; LONGEST_WHOLE + 1], Extent::Head),
            (noise(LARGEST_STORED + 1), Extent::Head),
        ] {
            let stored = StoredBody::from_body(&body);
            assert_eq!(stored.extent, extent, "{} bytes", body.len());
            assert!(stored.bytes.len() <= LARGEST_STORED);
            assert_eq!(Extent::from_number(extent.number()), Some(extent));
            let read = stored.read().unwrap();
            let expected = if extent.is_whole() { &body[..] } else { &body[..HEAD] };
            assert!(read[..] == *expected, "{} bytes", body.len());
        }
    }

    #[test]
    fn a_glimpse_sees_ids_in_both_framings_and_in_what_is_cut() {
        let check = |body: &str, message: Option<&str>, publisher: Option<&str>, event: Option<&str>| {
            let found = Glimpse::from_body(body.as_bytes());
            let text = |text: &Option<String>| text.clone();
            assert_eq!(
                (text(&found.message_id), text(&found.publisher_id), text(&found.event_type)),
                (message.map(Into::into), publisher.map(Into::into), event.map(Into::into)),
                "{body}"
            );
        };
        check(
            r#"{"message_id": "m1", "publisher_id":"network.n1", "event_type" : "port.create.end""#,
            Some("m1"),
            Some("network.n1"),
            Some("port.create.end"),
        );
        check(
            r#"{"oslo.message": "{\"message_id\": \"m1\", \"event_type\": \"e"#,
            Some("m1"),
            None,
            Some("e"),
        );
        check(r#"{"message_id": null, "publisher_id": 7, "event_type": ""}"#, None, None, None);
        check(r#""message_id" message_id: x "message_id": "m2"#, Some("m2"), None, None);
        check("", None, None, None);
        check(&"[".repeat(200_000), None, None, None);
        let late = format!("{}\"message_id\": \"m\"", " ".repeat(SCAN_LIMIT));
        check(&late, None, None, None);
        let long = format!("{{\"message_id\": \"{}\"}}", "x".repeat(1000));
        check(&long, Some(&"x".repeat(LONGEST_VALUE)), None, None);
    }

    #[test]
    fn a_preview_has_names_and_no_values() {
        let check = |body: &[u8], expected: &str| assert_eq!(preview(body), expected);
        check(
            br#"{"event_type": "e", "payload": {"password": "hunter2", "n": [1, true, "x\"y"]}}"#,
            r#"{"event_type":"***","payload":{"password":"***","n":[*,*,"***"]}}"#,
        );
        check(br#"{"hunter2\u001b": 1, "a": "hunt"#, r#"{"***":*,"a":"***""#);
        check(b"\x1f\x8b\x08\x00", "1f 8b 08 00");
        check(b"hunter2", "68 75 6e 74 65 72 32");
        check(b"token: hunter2", "74 6f 6b 65 6e 3a 20 68 ...");
        check(b"user=a&password=hunter2", "75 73 65 72 3d 61 26 70 ...");
        check(b"<token>hunter2</token>", "3c 74 6f 6b 65 6e 3e 68 ...");
        check(br#"{"password": "hunter2": "hunter2"}"#, r#"{"password":"***":"***"}"#);
        check(b"{'password': 'hunter2', u'n': \"hunter2\"}", r#"{*:*,*:"***"}"#);
        check(b"{password: hunter2, n: hunter2}", "{*:*,*:*}");
        check(b"[auth]\ntoken = hunter2\n", "[*]***");
        check(b"{\0\"\0p\0w\0\"\0:\0\"\0h\0\"\0}\0", r#"{*"***"*:*"***"*}*"#);
        for pickle in [
            &b"(dp0\nVpassword\np1\nVhunter2\np2\ns."[..],
            b"}q\0X\x08\0\0\0passwordq\x01X\x07\0\0\0hunter2q\x02s.",
            b"\x80\x02}q\0X\x08\0\0\0passwordq\x01X\x07\0\0\0hunter2q\x02s.",
            b"\x80\x04}\x94\x8c\x08password\x94\x8c\x07hunter2\x94s.",
        ] {
            check(pickle, &format!("{} ...", first_bytes(pickle)));
        }
        check(b"", "");
        check(&[b' '; 20], "");
        let deep = preview(&vec![b'['; 100_000]);
        assert!(deep.len() == PREVIEWED + 4 && deep.ends_with("[ ..."));
        let any: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for start in 0..256 {
            let shown = preview(&[b"{", &any[start..]].concat());
            assert!(shown.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{shown}");
        }
    }
}
