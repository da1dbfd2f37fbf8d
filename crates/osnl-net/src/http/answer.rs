//! An answer over HTTP: its status, its place in a redirect, and the beginning of its body, without secrets.

use std::time::Duration;

use bytes::Bytes;
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

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body is complete. The rest beyond the limit is not read, and the connection is
    /// closed.
    pub whole: bool,
}

impl Answer {
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
        // Some servers compress although the request does not allow it.
        if let Some(coding) = self.headers.get(CONTENT_ENCODING).filter(|_| !self.body.is_empty())
            && coding != "identity"
        {
            let coding: String = String::from_utf8_lossy(coding.as_bytes())
                .chars()
                .filter(|c| !c.is_control())
                .take(20)
                .collect();
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
        let text = String::from_utf8_lossy(place.as_bytes());
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
        Answer { status: StatusCode::IM_A_TEAPOT, headers, body: Bytes::from_static(body), whole: true }
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
