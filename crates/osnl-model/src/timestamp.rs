//! Points in time, in every spelling that services use.
//!
//! | spelling | written by |
//! |---|---|
//! | `2026-11-20 06:36:22.662155`, the fraction left out when it is zero | oslo.messaging's own, nova's audit periods |
//! | `2026-11-20T06:36:22.662155` | nova legacy (`launched_at`), designate, cinder |
//! | `2026-11-20T06:36:22Z` | neutron, glance, nova and ironic, versioned |
//! | `2026-11-20 06:36:22+00:00`, `2026-11-20T06:36:22.5+00:00` | nova legacy (`created_at`), cinder |
//! | `2026-11-20T06:36:22.662155+0000` | CADF |
//! | `2026-11-20T06:36:22UTC+09:00`, `2026-11-20T06:36:22UTC` | versioned objects, of a time with a fixed offset |
//!
//! UTC and GMT are the only zones that are read by name, because other names such as `JST` are
//! ambiguous.
//!
//! A time without a zone is UTC: no service sends local time.

use std::fmt;
use std::time::SystemTime;

use jiff::civil::DateTime;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// The time of an event as services write it, comparable between services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// The reason for which a text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{0}\" is not a date and time, such as 2026-11-20T06:36:22Z or 2026-11-20 06:36:22.662155")]
pub struct TimestampError(String);

impl Timestamp {
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let zoned = || text.parse::<jiff::Timestamp>().ok();
        let named = || {
            let (before, offset) = text.split_once("UTC").or_else(|| text.split_once("GMT"))?;
            let offset = if offset.is_empty() { "Z" } else { offset };
            format!("{}{offset}", before.trim_end()).parse::<jiff::Timestamp>().ok()
        };
        let bare = || {
            let read: DateTime = text.parse().ok().filter(|_| text.len() > "2026-11-20".len())?;
            Some(read.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        };
        usual(text)
            .or_else(zoned)
            .or_else(bare)
            .or_else(named)
            .map(Self)
            .ok_or_else(|| TimestampError(crate::error::excerpt(text)))
    }

    /// Returns the time of a clock; `None` after the year 9999.
    #[must_use]
    pub fn from_system(at: SystemTime) -> Option<Self> {
        jiff::Timestamp::try_from(at).ok().map(Self)
    }

    #[must_use]
    pub fn as_microseconds(self) -> i64 {
        self.0.as_microsecond()
    }
}

/// Reads oslo.messaging's own spelling at a tenth of the general parser's cost. Nearly every
/// notification has several such times.
fn usual(text: &str) -> Option<jiff::Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        bytes.get(from..to)?.iter().try_fold(0_i32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0'))
        })
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && (is(10, b' ') || is(10, b'T')) && is(13, b':') && is(16, b':')) {
        return None;
    }
    let microsecond = match bytes.len() {
        19 => 0,
        26 if is(19, b'.') => number(20, 26)?,
        _ => return None,
    };
    let two = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let year = i16::try_from(number(0, 4)?).ok()?;
    let read =
        DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, microsecond * 1000).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(read).ok()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_time() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Timestamp::parse(text).ok().map(|t| t.to_string()).as_deref(), expected, "{text}");
        };
        for text in [
            "2026-11-20 06:36:22",
            "2026-11-20T06:36:22",
            "2026-11-20T06:36:22Z",
            "2026-11-20 06:36:22+00:00",
            "2026-11-20T06:36:22+0000",
            "2026-11-20T06:36:22.000000+00:00",
            "2026-11-20T08:36:22+02:00",
            "2026-11-20T06:36:22UTC",
            "2026-11-20 06:36:22 UTC",
            "2026-11-20T06:36:22GMT",
            "2026-11-20T15:36:22UTC+09:00",
            "2026-11-20T01:36:22UTC-05:00",
            "2026-11-20T01:06:22-05:30",
        ] {
            check(text, Some("2026-11-20T06:36:22Z"));
        }
        check("2026-11-20 06:36:22.662155", Some("2026-11-20T06:36:22.662155Z"));
        check("2026-11-20T06:36:22.662155+0000", Some("2026-11-20T06:36:22.662155Z"));
        for text in
            ["", "2026-11-20", "06:36:22", "2026-02-30 00:00:00", "yesterday", "None", "2026-11-20T06:36:22+"]
        {
            check(text, None);
        }
    }

    #[test]
    fn the_usual_spelling_is_read_as_the_others_are() {
        let check = |text: &str, by_hand: bool| {
            let read: Option<DateTime> = text.parse().ok();
            let others = read.and_then(|read| read.to_zoned(jiff::tz::TimeZone::UTC).ok());
            let others = others.map(|zoned| zoned.timestamp()).filter(|_| text.len() > "2026-11-20".len());
            assert_eq!(usual(text), others.filter(|_| by_hand), "{text}");
        };
        for text in [
            "2026-11-20 06:36:22.662155",
            "2026-11-20T06:36:22.000001",
            "2026-11-20 06:36:22",
            "2024-02-29T23:59:59.999999",
            "0001-01-01 00:00:00",
            "1969-12-31 23:59:59.500000",
            "2026-02-29 00:00:00",
            "2026-13-01 00:00:00",
            "2026-11-20 24:00:00",
        ] {
            check(text, true);
        }
        for text in [
            "2026-11-20 06:36:22.66215",
            "2026-11-20 06:36:22.6621557",
            "2026-11-20 06:36:60",
            "2026-11-20 06:36:2\u{661}",
            "+026-11-20 06:36:22",
            "2026-11-20 06:36:22Z",
            "2026-11-20",
            "",
        ] {
            check(text, false);
        }
    }
}
