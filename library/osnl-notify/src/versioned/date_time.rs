//! Points in time as oslo.versionedobjects writes them: whole seconds, and one of four forms of zone.

use std::fmt;
use std::time::SystemTime;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::ser::Serializer;

use super::{FieldError, FieldKind, FieldType, Json};

/// A point in time: `2016-01-26T20:41:03Z`.
///
/// Fractions of a second are cut, not rounded. The form of the zone is kept, so that a time that was read is
/// written the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime {
    local: civil::DateTime,
    zone: Zone,
}

/// The zone behind the seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// `Z`: UTC, also for a text without a zone.
    Utc,
    /// `+09:00`: seconds east of UTC, as Python writes a date-time that was parsed.
    Offset(i32),
    /// `UTC+09:00`, `UTC+05:53:28`: seconds east of UTC, as Python names its own fixed offsets. oslo's parser cannot
    /// read this form.
    UtcOffset(i32),
    /// A zone's name or abbreviation: of `JST` and `Europe/Paris` the instant is unknown, `-03` is three hours.
    Named(String),
}

/// The error of a malformed date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a date and time is written as 2016-01-26T20:41:03Z, or with +09:00, UTC+09:00 or a zone's name at its end"
)]
pub struct DateTimeError;

impl DateTime {
    /// Makes a point in time from a local time and a zone.
    pub fn new(local: civil::DateTime, zone: Zone) -> Self {
        let whole = local - SignedDuration::from_nanos(local.subsec_nanosecond().into());
        Self { local: whole, zone }
    }

    /// Returns the local time of the zone.
    pub const fn local(&self) -> civil::DateTime {
        self.local
    }

    /// Returns the zone as it is written.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Returns the instant; `None` if the zone is only a name, or the instant is out of range.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let east = match &self.zone {
            Zone::Utc => 0,
            Zone::Offset(seconds) | Zone::UtcOffset(seconds) => *seconds,
            Zone::Named(name) if name == "UTC" || name == "GMT" => 0,
            Zone::Named(name) => abbreviation(name)?,
        };
        let local = TimeZone::UTC.to_timestamp(self.local).ok()?;
        local.checked_sub(SignedDuration::from_secs(east.into())).ok()
    }

    /// Reads the forms of oslo.versionedobjects; a space may replace `T`, a fraction is cut, a missing zone
    /// is UTC.
    ///
    /// # Errors
    /// The text is not a date and time.
    pub fn parse(text: &str) -> Result<Self, DateTimeError> {
        const SECONDS: usize = "2016-01-26T20:41:03".len();
        let (local, rest) = text.split_at_checked(SECONDS).ok_or(DateTimeError)?;
        let local: civil::DateTime = local.parse().map_err(|_| DateTimeError)?;
        let rest = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        Ok(Self { local, zone: zone(rest).ok_or(DateTimeError)? })
    }
}

fn zone(text: &str) -> Option<Zone> {
    if text.is_empty() || text == "Z" {
        return Some(Zone::Utc);
    }
    if text.starts_with(['+', '-']) {
        let named = || abbreviation(text).map(|_| Zone::Named(text.to_owned()));
        return offset(text).map(Zone::Offset).or_else(named);
    }
    if let Some(seconds) = text.strip_prefix("UTC").and_then(offset) {
        return Some(Zone::UtcOffset(seconds));
    }
    let of_place = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let is_name = match text.contains('/') {
        true => text.len() <= 40 && text.starts_with(char::is_alphabetic) && text.bytes().all(of_place),
        false => text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_alphabetic()),
    };
    is_name.then(|| Zone::Named(text.to_owned()))
}

/// Reads `+09:00`; Python adds the seconds of an offset that has some.
fn offset(text: &str) -> Option<i32> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let number = |text: &str, most: i32| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_plain && *number <= most)
    };
    let mut parts = clock.split(':');
    let east = number(parts.next()?, 23)? * 3600 + number(parts.next()?, 59)? * 60;
    let seconds = parts.next().map_or(Some(0), |text| number(text, 59))?;
    parts.next().is_none().then_some(sign * (east + seconds))
}

/// Reads a numeric abbreviation of the time zone database: `-03`, `+0545`.
fn abbreviation(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_at_checked(3)?;
    offset(&format!("{hours}:{}", if minutes.is_empty() { "00" } else { minutes }))
}

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self::new(TimeZone::UTC.to_datetime(instant), Zone::Utc)
    }
}

impl From<SystemTime> for DateTime {
    /// Clamps times that jiff cannot hold (before the year -9999, after 9999).
    fn from(time: SystemTime) -> Self {
        let instant = Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        Self::from(instant)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.local.date(), self.local.time());
        let [century, year] = [date.year() / 100, date.year() % 100].map(|part| part.unsigned_abs() as u8);
        let [month, day, hour, minute, second] =
            [date.month(), date.day(), time.hour(), time.minute(), time.second()].map(i8::unsigned_abs);
        if date.year() < 0 {
            f.write_str("-")?;
        }
        // Digit by digit: a payload has several dates, of six padded numbers each.
        let mut text = *b"0000-00-00T00:00:00";
        for (at, part) in
            [(0, century), (2, year), (5, month), (8, day), (11, hour), (14, minute), (17, second)]
        {
            text[at] += part / 10;
            text[at + 1] += part % 10;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)?;
        match &self.zone {
            Zone::Utc => f.write_str("Z"),
            Zone::Offset(seconds) => write_offset(f, *seconds),
            Zone::UtcOffset(seconds) => {
                f.write_str("UTC")?;
                write_offset(f, *seconds)
            }
            Zone::Named(name) => f.write_str(name),
        }
    }
}

fn write_offset(f: &mut fmt::Formatter<'_>, seconds: i32) -> fmt::Result {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (minutes, rest) = (seconds.unsigned_abs() / 60, seconds.unsigned_abs() % 60);
    write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)?;
    if rest == 0 { Ok(()) } else { write!(f, ":{rest:02}") }
}

impl FieldType for DateTime {
    const KIND: FieldKind = FieldKind::named("DateTime");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        let text = value.as_text().ok_or_else(|| FieldError::kind("a text", value))?;
        Self::parse(text).map_err(|_| FieldError::value("date and time, such as 2016-01-26T20:41:03Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_form_is_read_and_written_the_same() {
        let check = |text: &str, utc: Option<&str>| {
            let read = DateTime::parse(text).unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.timestamp().map(|instant| instant.to_string()).as_deref(), utc, "{text}");
        };
        check("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05Z"));
        check("2016-01-26T20:41:03+00:00", Some("2016-01-26T20:41:03Z"));
        check("2024-01-02T03:04:05+09:00", Some("2024-01-01T18:04:05Z"));
        check("2024-01-02T03:04:05-05:30", Some("2024-01-02T08:34:05Z"));
        check("2024-01-02T03:04:05UTC+09:00", Some("2024-01-01T18:04:05Z"));
        check("2024-01-02T03:04:05UTC-05:00", Some("2024-01-02T08:04:05Z"));
        check("2024-01-02T03:04:05UTC+05:53:28", Some("2024-01-01T21:10:37Z"));
        check("2024-01-02T03:04:05-03", Some("2024-01-02T06:04:05Z"));
        check("2024-01-02T03:04:05+0545", Some("2024-01-01T21:19:05Z"));
        check("2024-01-02T03:04:05JST", None);
        check("2024-01-02T03:04:05Europe/Paris", None);
    }

    #[test]
    fn fractions_are_cut_and_no_zone_is_utc() {
        for text in ["2024-01-02T03:04:05", "2024-01-02 03:04:05.999999", "2024-01-02T03:04:05.9Z"] {
            assert_eq!(DateTime::parse(text).unwrap().to_string(), "2024-01-02T03:04:05Z", "{text}");
        }
        let late: Timestamp = "1969-12-31T23:59:59.9Z".parse().unwrap();
        assert_eq!(DateTime::from(late).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "yesterday",
            "2024-01-02",
            "2024-13-02T03:04:05Z",
            "2024-01-02T03:04:05+9",
            "2024-01-02T03:04:05UTC+9",
            "2024-01-02T03:04:05UTC+05:53:28:00",
            "2024-01-02T03:04:05/etc/x",
            "2024-01-02T03:04:05+99:00",
            "2024-01-02T03:04:05 x y",
            "2024-01-02T03:04:0é5",
        ] {
            assert_eq!(DateTime::parse(text), Err(DateTimeError), "{text}");
        }
    }
}
