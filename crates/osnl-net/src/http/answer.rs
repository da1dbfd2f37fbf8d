//! An answer over HTTP: its status, its place in a redirect, and the beginning of its body, without secrets.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use hyper::header::{CONTENT_ENCODING, DATE, LOCATION, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use osnl_model::{Scrubber, mask_text};

use crate::http::failure::{Failure, FailureClass};

/// A longer pause is cut: the target is tried once an hour at least.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
const EXCERPT_CHARACTERS: usize = 120;
/// The part of a reply that is searched for secrets, and of which something is shown.
const SEARCHED: usize = 16 * 1024;
/// The most codings of a body that are undone, one after the other: servers use one.
const MOST_CODINGS: usize = 2;

/// The answer to a request, up to the limit of its body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub end: AnswerEnd,
}

/// The end of an answer's body. The status counts in each case, since the target sent it; the connection of a body
/// without an end is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerEnd {
    #[error("the reply is complete")]
    Whole,
    #[error("the reply is longer than its limit")]
    TooLong,
    #[error("the reply broke off: {0}")]
    BrokenOff(Arc<str>),
    #[error("the reply has no end within {} s", .0.as_secs_f64())]
    Late(Duration),
}

impl Answer {
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.end == AnswerEnd::Whole
    }

    /// Returns the answer to a question, which is asked again if the answer broke off.
    pub fn complete(self) -> Result<Self, Failure> {
        match &self.end {
            AnswerEnd::Whole | AnswerEnd::TooLong => Ok(self),
            end @ (AnswerEnd::BrokenOff(_) | AnswerEnd::Late(_)) => {
                Err(Failure::new(FailureClass::Reset, end.to_string()))
            }
        }
    }

    /// Removes gzip and deflate, which some servers use although the request does not allow it. A body that cannot be
    /// decoded stays, as does one in more than [`MOST_CODINGS`] or in several streams of gzip.
    #[must_use]
    pub(crate) fn decoded(mut self, limit: usize) -> Self {
        let codings = self.headers.get_all(CONTENT_ENCODING).iter();
        let codings: Option<Vec<String>> =
            codings.map(|value| value.to_str().ok().map(str::to_ascii_lowercase)).collect();
        let codings = codings.map(|codings| codings.join(",")).unwrap_or_default();
        let is_simple = codings.split(',').count() <= MOST_CODINGS;
        if codings.is_empty() || !is_simple || self.body.is_empty() || !self.is_whole() {
            return self;
        }
        let mut body = self.body.clone();
        for coding in codings.rsplit(',').map(str::trim) {
            let decoded = match coding {
                "gzip" | "x-gzip" => {
                    let mut stream = GzDecoder::new(&body[..]);
                    let plain = inflated(&mut stream, limit);
                    plain.filter(|plain| plain.len() > limit || stream.into_inner().is_empty())
                }
                "deflate" => inflated(ZlibDecoder::new(&body[..]), limit)
                    .or_else(|| inflated(DeflateDecoder::new(&body[..]), limit)),
                // The latter are no codings, but servers write them for plain text.
                "identity" | "" | "none" | "utf-8" | "utf8" => continue,
                _ => None,
            };
            let Some(decoded) = decoded else { return self };
            body = decoded;
        }
        if body.len() > limit {
            body.truncate(limit);
            self.end = AnswerEnd::TooLong;
        }
        self.headers.remove(CONTENT_ENCODING);
        Self { body, ..self }
    }

    /// Returns the coding of a body that could not be decoded.
    #[must_use]
    pub fn coding(&self) -> Option<String> {
        let coding = self.headers.get(CONTENT_ENCODING).filter(|coding| *coding != "identity")?;
        let coding = String::from_utf8_lossy(coding.as_bytes());
        Some(coding.chars().filter(|c| !c.is_control()).take(20).collect())
    }

    /// Returns the text of the body, without our secrets, which a target may repeat.
    #[must_use]
    pub fn text(&self, secrets: &Scrubber) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(SEARCHED)]);
        secrets.scrub(&text).into_owned()
    }

    /// Returns the start of the body on one line, or the length of a compressed body; `None`
    /// without a body.
    #[must_use]
    pub fn excerpt(&self, secrets: &Scrubber) -> Option<String> {
        if let Some(coding) = self.coding().filter(|_| !self.body.is_empty()) {
            return Some(format!("reply: {} bytes of {coding}", self.body.len()));
        }
        let text: String = self
            .text(secrets)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(EXCERPT_CHARACTERS)
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| format!("reply: {text}"))
    }

    /// Returns `Retry-After`, an hour at most. A date counts from the answer's own `Date`, so that
    /// the target's clock may be wrong; without that it is ignored.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let header = |name| Some(self.headers.get(name)?.to_str().ok()?.trim());
        let value = header(RETRY_AFTER)?;
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let wait = if is_number {
            value.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs)
        } else {
            let wait = http_date(value)?.duration_since(http_date(header(DATE)?)?);
            Duration::try_from(wait).unwrap_or_default()
        };
        Some(wait.min(LONGEST_RETRY_AFTER))
    }

    /// Returns the place that a redirect names, without secrets, and up to its path. A number behind the path that is
    /// new in each answer would make a new reason of each attempt.
    #[must_use]
    pub fn leads_to(&self, secrets: &Scrubber) -> Option<String> {
        let place = self.headers.get(LOCATION).filter(|_| self.status.is_redirection())?;
        let text = String::from_utf8_lossy(&place.as_bytes()[..place.len().min(SEARCHED)]);
        let scrubbed = secrets.scrub(&text);
        // Masked before the cut, since a password may have these characters too.
        let masked = mask_text(&scrubbed);
        let end = masked.find(['?', '#', ';']);
        let place = &masked[..end.unwrap_or(masked.len())];
        let mut shown: String = place.chars().filter(|c| !c.is_control()).take(200).collect();
        if let Some(end) = end {
            shown.push_str(&masked[end..=end]);
            shown.push_str("...");
        }
        Some(shown)
    }

    /// Returns the failure for a caller that expected another status: the status's text, the start of
    /// the reply, and the place that a redirect names.
    #[must_use]
    pub fn failure(&self, secrets: &Scrubber) -> Failure {
        let words = self.status.canonical_reason().unwrap_or("no reason");
        let mut reason = match self.excerpt(secrets) {
            Some(excerpt) => format!("{words}, {excerpt}"),
            None => words.to_owned(),
        };
        if let Some(place) = self.leads_to(secrets) {
            reason.push_str(&format!("; it leads to {place}"));
        }
        Failure { class: FailureClass::Status(self.status.as_u16()), reason, retry_after: self.retry_after() }
    }
}

/// Returns at most one byte more than the limit.
fn inflated(coded: impl Read, limit: usize) -> Option<Bytes> {
    let mut plain = Vec::new();
    coded.take((limit as u64).saturating_add(1)).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

/// Reads one of the three forms of RFC 9110 (IMF-fixdate, RFC 850, asctime), or of mail, in UTC. jiff's instants lack
/// the last day of the year 9999.
fn http_date(text: &str) -> Option<DateTime> {
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let read = |form| strtime::parse(form, text).ok()?.to_datetime().ok();
    let mail = || Some(rfc2822::parse(text).ok()?.with_time_zone(TimeZone::UTC).datetime());
    forms.into_iter().find_map(read).or_else(mail)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn answer(headers: &[(hyper::header::HeaderName, &str)], body: &'static [u8]) -> Answer {
        let pair = |(name, value): &(_, &str)| (Clone::clone(name), HeaderValue::from_str(value).unwrap());
        let headers = headers.iter().map(pair).collect();
        Answer {
            status: StatusCode::IM_A_TEAPOT,
            headers,
            body: Bytes::from_static(body),
            end: AnswerEnd::Whole,
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_of_the_targets_own_clock() {
        let check = |value: &str, date: &str, expected: Option<u64>| {
            let found = answer(&[(RETRY_AFTER, value), (DATE, date)], b"").retry_after();
            assert_eq!(found, expected.map(Duration::from_secs), "{value} {date}");
        };
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        check(" 7 ", date, Some(7));
        check("0", date, Some(0));
        check("99999999", date, Some(3600));
        for digits in [19, 20, 21, 4000] {
            check(&"9".repeat(digits), date, Some(3600));
        }
        check(&"0".repeat(30), date, Some(0));
        check("", date, None);
        check("-1", date, None);
        check("1.5", date, None);
        check("soon", date, None);
        check("Wed, 21 Oct 2015 07:28:30 GMT", date, Some(30));
        check("Wed, 21 Oct 2015 07:27:00 GMT", date, Some(0));
        check("Thu, 22 Oct 2015 07:28:00 GMT", date, Some(3600));
        check("Wed, 21 Oct 2015 07:28:30 GMT", "today", None);
        check("Wednesday, 21-Oct-15 07:28:30 GMT", date, Some(30));
        check("Wed Oct 21 07:28:30 2015", date, Some(30));
        check("Sun Nov  1 00:00:05 2015", "Sunday, 01-Nov-15 00:00:00 GMT", Some(5));
        check("Sunday, 06-Nov-94 08:49:37 GMT", date, Some(0));
        check("Sun Nov  6 08:49:37 1994", date, Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", date, Some(3600));
        check("Fri Dec 31 23:59:59 9999", date, Some(3600));
        check("Wed, 21 Oct 2015 09:28:30 +0200", date, Some(30));
        check("Wed, 32 Oct 2015 07:28:30 GMT", date, None);
        assert_eq!(answer(&[(RETRY_AFTER, date)], b"").retry_after(), None);
        assert_eq!(answer(&[], b"").retry_after(), None);
    }

    #[test]
    fn a_redirect_s_place_has_no_secrets_and_no_nonce() {
        let check = |status: StatusCode, place: &str, expected: &str| {
            let answer = Answer { status, ..answer(&[(LOCATION, place)], b"") };
            assert_eq!(answer.failure(&Scrubber::new(["hunter2"])).reason, expected);
        };
        let moved = StatusCode::MOVED_PERMANENTLY;
        let leads = |place: &str, shown: &str| {
            check(moved, place, &format!("Moved Permanently; it leads to {shown}"));
        };
        leads("https://h/a?x=hunter2", "https://h/a?...");
        leads("https://u:p@h/?token=t", "https://u:***@h/?...");
        leads("https://u:p;q@h/a", "https://u:***@h/a");
        leads("https://h/hunter2/b", "https://h/***/b");
        for nonce in ["1", "2"] {
            leads(&format!("/login?nonce={nonce}"), "/login?...");
            leads(&format!("/login;jsessionid={nonce}?a=b"), "/login;...");
            leads(&format!("https://h/#state={nonce}"), "https://h/#...");
        }
        check(StatusCode::CREATED, "/a", "Created");
    }

    #[test]
    fn a_body_that_is_compressed_unasked_is_read() {
        use std::io::Write as _;

        use flate2::Compression;
        use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

        let text = br#"{"ok": true}"#;
        let level = Compression::default;
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), level());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let mut zlib = ZlibEncoder::new(Vec::new(), level());
        zlib.write_all(text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), level());
        raw.write_all(text).unwrap();
        let check = |coding: &str, body: Vec<u8>, limit: usize, expected: (&[u8], bool)| {
            let stays = body == expected.0 && !["identity", "UTF-8", "none"].contains(&coding);
            let coded = Answer { body: body.into(), ..answer(&[(CONTENT_ENCODING, coding)], b"") };
            let found = coded.decoded(limit);
            assert_eq!((&found.body[..], found.is_whole()), expected, "{coding} {limit}");
            assert_eq!(found.coding().is_some(), stays, "{coding}");
        };
        check("gzip", gzip(text), 100, (text, true));
        check("X-GZip", gzip(text), text.len(), (text, true));
        check("gzip, gzip", gzip(&gzip(text)), 1000, (text, true));
        check("gzip", gzip(text), 4, (&text[..4], false));
        check("deflate", zlib.finish().unwrap(), 100, (text, true));
        check("deflate, identity", raw.finish().unwrap(), 100, (text, true));
        for plain in ["identity", "UTF-8", "none"] {
            check(plain, text.to_vec(), 100, (text, true));
        }
        check("br", b"\x0b\x05".to_vec(), 100, (b"\x0b\x05", true));
        // What no server sends, and a hostile one might: each coding and each stream costs time.
        let (thrice, twice) = (gzip(&gzip(&gzip(text))), gzip(text).repeat(2));
        check("gzip, gzip, gzip", thrice.clone(), 1000, (&thrice, true));
        check("gzip", twice.clone(), 1000, (&twice, true));
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        let check = |body: &'static [u8], expected: &str| {
            assert_eq!(answer(&[], body).failure(&Scrubber::new(["hunter2"])).reason, expected);
        };
        check(b"", "I'm a teapot");
        check(b" \n ", "I'm a teapot");
        check(b"no\r\nway\x1b", "I'm a teapot, reply: no  way");
        check(b"\xff", "I'm a teapot, reply: \u{fffd}");
        let none = Scrubber::default();
        let zipped = |coding| answer(&[(CONTENT_ENCODING, coding)], b"\x1f\x8b\x08").excerpt(&none).unwrap();
        assert_eq!(zipped("gzip"), "reply: 3 bytes of gzip");
        assert_eq!(zipped("identity"), "reply: \u{fffd}");
        assert_eq!(answer(&[], &[b'x'; 1000]).excerpt(&none).unwrap().len(), "reply: ".len() + 120);
        let before = "x".repeat(116);
        for (behind, expected) in
            [("hunter2", "***"), ("hunter2 and more", "***"), ("hunt", "***"), ("hun", "hun")]
        {
            let body = format!("{before}{behind}").leak().as_bytes();
            check(body, &format!("I'm a teapot, reply: {before}{expected}"));
        }
    }
}
