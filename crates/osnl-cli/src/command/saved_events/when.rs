//! Moments as people write them.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A time with its offset, a time or a date in UTC, or so long ago.
pub(super) fn parse(text: &str) -> Result<SystemTime, String> {
    let allowed = || "a time, 2026-11-20T06:30 or 2026-11-20 (UTC), or how long ago: 30m, 2h, 7d".to_owned();
    if let Some(ago) = osnl::native::parse_duration(text) {
        return SystemTime::now().checked_sub(ago).ok_or_else(allowed);
    }
    let utc = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let civil = || text.parse::<DateTime>().ok().and_then(utc);
    let date =
        || text.parse::<Date>().ok().and_then(|date| utc(date.to_datetime(jiff::civil::Time::midnight())));
    let found = text.parse::<Timestamp>().ok().or_else(civil).or_else(date);
    found.map(SystemTime::from).ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        for text in
            ["2026-11-20T06:30:00Z", "2026-11-20T06:30", "2026-11-20 06:30:00", "2026-11-20T07:30+01:00"]
        {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_156_200);
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800);
        assert_eq!(parse("2026-11-20"), Ok(midnight));
        let ago = SystemTime::now().duration_since(parse("2h").unwrap()).unwrap().as_secs();
        assert!((7190..7210).contains(&ago), "{ago}");
        for text in ["", "yesterday", "2026-13-01", "-2h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
