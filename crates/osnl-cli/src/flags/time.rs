use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Parses an age (`2h`), a local date or time (`2026-11-20`, `2026-11-20T06:30`), or a time with
/// offset or `Z`.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_in(text, TimeZone::system())
}

fn parse_in(text: &str, here: TimeZone) -> Result<Timestamp, String> {
    let ago = osnl_config::duration::parse(text.trim_end_matches(" ago")).filter(|_| !text.contains('-'));
    if let Some(ago) = ago {
        let at = SystemTime::now().checked_sub(ago);
        return at.and_then(|at| Timestamp::try_from(at).ok()).ok_or_else(|| "too long ago".to_owned());
    }
    let local = || Some(text.parse::<DateTime>().ok()?.to_zoned(here).ok()?.timestamp());
    text.parse::<Timestamp>().ok().or_else(local).ok_or_else(|| {
        "write 90m, 2h, 7d, 2026-11-20 or 2026-11-20T06:00 (local time), or add Z or +01:00".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;

    use super::*;

    #[test]
    fn times_are_ago_or_then() {
        let now = Timestamp::now().as_second();
        let ago = |text: &str| now - parse(text).unwrap().as_second();
        for (text, expected) in [("2h", 7200), ("90m", 5400), ("1d", 86_400), ("2h ago", 7200), ("30", 30)] {
            assert!((expected - 1..=expected + 1).contains(&ago(text)), "{text}: {}", ago(text));
        }
        for text in ["", "yesterday", "-2h", "2026-13-01", "99999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_names_no_offset_is_local_time() {
        let check = |text: &str, expected: &str| {
            let found = parse_in(text, TimeZone::fixed(offset(2))).unwrap();
            assert_eq!(found.to_string(), expected, "{text}");
        };
        check("2026-11-20", "2026-11-19T22:00:00Z");
        for text in ["2026-11-20T06:30", "2026-11-20 06:30:00"] {
            check(text, "2026-11-20T04:30:00Z");
        }
        for text in ["2026-11-20T06:30:00Z", "2026-11-20 06:30:00Z", "2026-11-20T07:30+01:00"] {
            check(text, "2026-11-20T06:30:00Z");
        }
    }
}
