//! Secrets in foreign texts: a target or a broker may repeat a password or a token in its answer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use percent_encoding::percent_decode_str;

const MASK: &str = "***";
/// A shorter secret would match parts of innocent words.
const SHORTEST: usize = 4;
const NESTED: usize = 2;
const LONGEST_ENTITY: usize = 12;

/// Removes osnl's secrets from the reply of a target or a broker, which may repeat what osnl has sent.
///
/// A secret may come back as sent, encoded for a URL, a form, JSON, HTML, or a `Basic` login, also twice, or cut by the end of
/// the text. Each such place becomes `***`. A secret of fewer than four bytes stays, and so does a part that a caller has cut:
/// scrub first, then cut.
#[derive(Clone, Default)]
pub struct Scrubber(Vec<Arc<[Needle]>>);

/// A form of a secret that replies are searched for.
struct Needle {
    text: Vec<u8>,
    is_base64: bool,
}

impl Scrubber {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
        let plain = |secret: &str| Needle { text: secret.into(), is_base64: false };
        // A secret in a URL is written encoded, and a receiver may repeat the decoded text.
        let meaning = |secret: &str| {
            let means = percent_decode_str(secret).decode_utf8().ok()?;
            (means != secret && means.len() >= SHORTEST).then(|| plain(&means))
        };
        Self(vec![
            secrets
                .flat_map(|secret| {
                    std::iter::once(plain(secret)).chain(meaning(secret)).chain(in_base64(secret))
                })
                .collect(),
        ])
    }

    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().cloned());
        self
    }

    #[must_use]
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut places = Vec::new();
        if self.0.iter().any(|needles| !needles.is_empty()) {
            let spans = (0..text.len()).map(|at| (at, at + 1)).collect();
            self.search(&Reading { bytes: text.into(), spans }, NESTED, &mut places);
        }
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        places.sort_unstable();
        let (mut scrubbed, mut kept) = (String::new(), 0);
        for (start, end) in places {
            if start >= kept {
                scrubbed.push_str(&text[kept..start]);
                scrubbed.push_str(MASK);
            }
            kept = kept.max(end.unwrap_or(text.len()));
        }
        Cow::Owned(scrubbed + &text[kept..])
    }

    fn search(&self, reading: &Reading, deeper: usize, places: &mut Vec<Place>) {
        for needle in self.0.iter().flat_map(|needles| &**needles) {
            reading.find(needle, places);
        }
        if deeper > 0 {
            let decoders: [fn(&[u8]) -> Escape; 3] = [percent, backslash, entity];
            let decoded = decoders.into_iter().filter_map(|decoder| reading.decoded(decoder));
            let form = reading.bytes.contains(&b'+').then(|| reading.decoded(form)).flatten();
            decoded.chain(form).for_each(|decoded| self.search(&decoded, deeper - 1, places));
        }
    }
}

/// Returns the characters of base64 that a secret always has, for each of the three places of the first octet in a
/// group. The characters at the ends, which have bits of the neighbours too, are left out.
fn in_base64(secret: &str) -> impl Iterator<Item = Needle> {
    (0..3).map(move |before| {
        let text = [&b"\0\0"[..before], secret.as_bytes()].concat();
        let own = (before * 8).div_ceil(6)..text.len() * 8 / 6;
        Needle { text: BASE64_STANDARD_NO_PAD.encode(&text).as_bytes()[own].to_vec(), is_base64: true }
    })
}

impl Needle {
    fn is_same(&self, own: u8, other: u8) -> bool {
        let standard = match other {
            b'-' if self.is_base64 => b'+',
            b'_' if self.is_base64 => b'/',
            other => other,
        };
        own.eq_ignore_ascii_case(&standard)
    }
}

/// The end is `None` if the end of the text cuts the secret.
type Place = (usize, Option<usize>);

/// A decoded form of a text, with the place of each of its bytes in the text as received.
#[derive(Default)]
struct Reading {
    bytes: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

/// The escape at the beginning of some bytes: its meaning, and its length in bytes.
enum Escape {
    None,
    Byte(u8, usize),
    Char(char, usize),
    Cut,
}

impl Reading {
    fn decoded(&self, decoder: impl Fn(&[u8]) -> Escape) -> Option<Self> {
        let (mut decoded, mut has_escapes, mut at) = (Self::default(), false, 0);
        while at < self.bytes.len() {
            let mut text = [0; 4];
            let (means, length) = match decoder(&self.bytes[at..]) {
                Escape::None => (&self.bytes[at..=at], 1),
                Escape::Byte(byte, length) => {
                    text[0] = byte;
                    (&text[..1], length)
                }
                Escape::Char(means, length) => (means.encode_utf8(&mut text).as_bytes(), length),
                Escape::Cut => {
                    has_escapes = true;
                    break;
                }
            };
            has_escapes |= length > 1 || means != &self.bytes[at..=at];
            let span = (self.spans[at].0, self.spans[at + length - 1].1);
            decoded.bytes.extend_from_slice(means);
            decoded.spans.resize(decoded.bytes.len(), span);
            at += length;
        }
        has_escapes.then_some(decoded)
    }

    /// Adds the places of a secret; of base64, with the letters and digits around it, which are part of the same login.
    fn find(&self, needle: &Needle, places: &mut Vec<Place>) {
        let is_part = |byte: &&u8| needle.is_base64 && byte.is_ascii_alphanumeric();
        let mut at = 0;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let known = needle
                .text
                .iter()
                .zip(rest)
                .take_while(|(own, other)| needle.is_same(**own, **other))
                .count();
            let is_cut = known == rest.len() && known < needle.text.len();
            if known < needle.text.len() && !(is_cut && known >= SHORTEST) {
                at += 1;
                continue;
            }
            let before = self.bytes[..at].iter().rev().take_while(is_part).count();
            let behind = rest[known..]
                .iter()
                .take_while(|byte| is_part(byte) || needle.is_base64 && **byte == b'=')
                .count();
            let end = at + known + behind;
            places.push((self.spans[at - before].0, (!is_cut).then(|| self.spans[end - 1].1)));
            at = end;
        }
    }
}

fn percent(text: &[u8]) -> Escape {
    match (text, number(text, 1..3, 16).and_then(|number| u8::try_from(number).ok())) {
        ([b'%', ..], Some(byte)) => Escape::Byte(byte, 3),
        ([b'%'] | [b'%', _], None) => Escape::Cut,
        _ => Escape::None,
    }
}

fn form(text: &[u8]) -> Escape {
    if text.first() == Some(&b'+') { Escape::Byte(b' ', 1) } else { percent(text) }
}

fn backslash(text: &[u8]) -> Escape {
    let unit = |at: usize| number(text, at + 2..at + 6, 16).and_then(|number| u16::try_from(number).ok());
    let control = match text {
        [b'\\', b'u', ..] if text.len() < 6 => return Escape::Cut,
        [b'\\', b'u', ..] => {
            let second = if text[6..].starts_with(b"\\u") { unit(6) } else { None };
            let units = unit(0).into_iter().chain(second);
            return match char::decode_utf16(units).next() {
                Some(Ok(means)) => Escape::Char(means, 6 * means.len_utf16()),
                Some(Err(_)) if text.len() < 12 => Escape::Cut,
                Some(Err(_)) | None => Escape::None,
            };
        }
        [b'\\', b'x', ..] if text.len() < 4 => return Escape::Cut,
        [b'\\', b'x', ..] => match number(text, 2..4, 16).and_then(char::from_u32) {
            Some(means) => return Escape::Char(means, 4),
            None => return Escape::None,
        },
        [b'\\', b'n', ..] => b'\n',
        [b'\\', b'r', ..] => b'\r',
        [b'\\', b't', ..] => b'\t',
        [b'\\', same, ..] if same.is_ascii_punctuation() => *same,
        [b'\\'] => return Escape::Cut,
        _ => return Escape::None,
    };
    Escape::Byte(control, 2)
}

fn entity(text: &[u8]) -> Escape {
    let [b'&', name @ ..] = text else { return Escape::None };
    let is_of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'#';
    let end = name.iter().take(LONGEST_ENTITY).take_while(is_of_name).count();
    let means = match (&name[..end], name.get(end)) {
        (_, None) => return Escape::Cut,
        (b"amp", Some(b';')) => Some('&'),
        (b"quot", Some(b';')) => Some('"'),
        (b"apos", Some(b';')) => Some('\''),
        (b"lt", Some(b';')) => Some('<'),
        (b"gt", Some(b';')) => Some('>'),
        ([b'#', b'x' | b'X', ..], Some(b';')) => number(name, 2..end, 16).and_then(char::from_u32),
        ([b'#', ..], Some(b';')) => number(name, 1..end, 10).and_then(char::from_u32),
        _ => None,
    };
    means.map_or(Escape::None, |means| Escape::Char(means, end + 2))
}

fn number(text: &[u8], digits: std::ops::Range<usize>, radix: u32) -> Option<u32> {
    let digits = text.get(digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const SECRET: &str = "pä/s3cr\"t <&x>%41\\n+😀";

    fn check(text: &str, expected: &str) {
        assert_eq!(Scrubber::new([SECRET, "hunter2"]).scrub(text), expected, "{text}");
    }

    fn percent(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    fn form(text: &str) -> String {
        percent(text).replace("%20", "+")
    }

    fn json(text: &str) -> String {
        Value::from(text).to_string().trim_matches('"').to_owned()
    }

    fn ascii_json(text: &str) -> String {
        let unit = |unit: u16| match u8::try_from(unit) {
            Ok(ascii @ (b'0'..=b'9' | b'a'..=b'z')) => char::from(ascii).to_string(),
            _ => format!("\\u{unit:04x}"),
        };
        text.encode_utf16().map(unit).collect()
    }

    fn html(text: &str) -> String {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#x27;")
    }

    #[test]
    fn a_secret_is_found_in_every_encoding_and_in_encodings_of_these() {
        let encodings: [fn(&str) -> String; 7] =
            [str::to_owned, percent, form, json, ascii_json, html, |text| percent(text).to_ascii_lowercase()];
        for outer in encodings {
            for inner in encodings {
                check(&format!("a {} b", outer(&inner(SECRET))), "a *** b");
            }
        }
        check("(hunter2, HUNTER2,hunter2)", "(***, ***,***)");
        check("hunter 2, hunte", "hunter 2, ***");
        check("nothing", "nothing");
    }

    #[test]
    fn base64_hides_a_secret_behind_any_user_and_before_any_rest() {
        for around in ["", "u", "us", "use", "user"] {
            let login = format!("{around}:{SECRET}{around}");
            for encoded in [BASE64_STANDARD.encode(&login), BASE64_URL_SAFE.encode(&login)] {
                let shown = Scrubber::new([SECRET]).scrub(&format!("Basic {encoded}.")).into_owned();
                assert!(shown.contains("***") && shown.len() < "Basic ***.".len() + 12, "{encoded}: {shown}");
            }
        }
        check("Basic dXNlcjpodW50ZXIy, dXNlcjpodW50ZXIzMw==", "Basic ***, dXNlcjpodW50ZXIzMw==");
        check("Authorization%3DdXNlcjpodW50ZXIyeA%3D%3D", "Authorization%***");
    }

    #[test]
    fn a_secret_that_the_end_cuts_is_removed_if_it_can_be_told() {
        for (text, expected) in [
            ("x hunter", "x ***"),
            ("x hunt", "x ***"),
            ("x hun", "x hun"),
            ("x hunter.", "x hunter."),
            ("x hunt%6", "x ***"),
            ("x hunt\\u00", "x ***"),
            ("x hunt&#1", "x ***"),
            ("hunt&#1; x", "hunt&#1; x"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_short_is_not_searched_for_and_others_are_added() {
        assert_eq!(Scrubber::new(["a", "", "abc"]).scrub("abc a"), "abc a");
        let both = Scrubber::new(["first"]).and(&Scrubber::new(["second", "first and more"]));
        assert_eq!(both.scrub("first, second, first and more, third"), "***, ***, ***, third");
        assert_eq!(format!("{both:?}"), "Scrubber");
        assert_eq!(Scrubber::new(["a%26%62c", "%41%42"]).scrub("a%26%62c, a&bc, AB"), "***, ***, AB");
        assert!(matches!(Scrubber::default().scrub("first"), Cow::Borrowed("first")));
    }

    #[test]
    fn no_text_takes_long() {
        let secrets = ["\\".repeat(200) + "x", "%25".repeat(70) + "x", "&amp;".repeat(50) + "x"];
        let scrubber = Scrubber::new(secrets.iter().map(String::as_str));
        let began = Instant::now();
        for piece in ["\\", "%25", "%", "&amp;", "&", "+"] {
            let text = piece.repeat(16 * 1024 / piece.len());
            assert!(scrubber.scrub(&text).len() <= text.len());
        }
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_and_any_secret_are_survived(
            secrets in prop::collection::vec("\\PC{0,12}|[%&;#u0-9\\\\]{0,12}", 0..4),
            text in "\\PC{0,80}|[%&;#u0-9\\\\]{0,80}",
        ) {
            let scrubber = Scrubber::new(secrets.iter().map(String::as_str));
            let _ = scrubber.scrub(&text);
            for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
                let scrubbed = scrubber.scrub(secret).into_owned();
                prop_assert_eq!(scrubbed, MASK);
            }
        }
    }
}
