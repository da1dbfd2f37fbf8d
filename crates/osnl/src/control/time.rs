use std::time::SystemTime;

use jiff::{Timestamp, Unit};
use osnl_core::epoch;
use tokio::time::Instant;

#[must_use]
pub fn shown(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{:.3}", at.round(Unit::Millisecond).unwrap_or(at))
}

pub(super) fn read(text: &str) -> Option<SystemTime> {
    Some(text.parse::<Timestamp>().ok()?.into())
}

/// `42 s`, `12 min`, `3 h`, `5 d`: a duration for people.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[must_use]
pub fn ago(seconds: Option<u64>) -> String {
    seconds.map_or("-".to_owned(), |seconds| format!("{} ago", span(seconds)))
}

/// `12 min ago (2026-11-26T10:00:00.000Z)`, `in 12 s (…)`: a moment of an answer for people. Another text stays.
#[must_use]
pub fn relative(at: &str) -> String {
    from_now(at).map_or_else(|| at.to_owned(), |words| format!("{words} ({at})"))
}

/// `12 min ago`, `in 12 s`; `None` for a text that is no moment.
#[must_use]
pub fn from_now(at: &str) -> Option<String> {
    let time = read(at)?;
    Some(match time > SystemTime::now() {
        true => format!("in {}", span(until(time))),
        false => format!("{} ago", span(age(time))),
    })
}

pub(super) fn age(at: SystemTime) -> u64 {
    epoch::now().duration_since(at).unwrap_or_default().as_secs()
}

/// Whole seconds until then, rounded up; 0 for a moment in the past.
pub(super) fn until(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64().ceil() as u64
}

pub(super) fn wall_time(at: Instant) -> SystemTime {
    SystemTime::now() + at.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_come_back_as_they_went() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_120);
        assert_eq!(shown(at), "2026-09-21T14:13:20.120Z");
        assert_eq!(read(&shown(at)), Some(at));
        assert_eq!(read("2026-09-21T16:13:20.12+02:00"), Some(at));
        assert_eq!(read("yesterday"), None);
        assert_eq!(relative("yesterday"), "yesterday");
        let past = shown(SystemTime::now() - Duration::from_secs(3 * 3600 + 60));
        assert_eq!(relative(&past), format!("3 h ago ({past})"));
        let ahead = shown(SystemTime::now() + Duration::from_secs(3 * 3600 + 60));
        assert_eq!(relative(&ahead), format!("in 3 h ({ahead})"));
    }
}
