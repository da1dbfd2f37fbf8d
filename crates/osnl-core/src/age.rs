//! The age of an event at its first reading, and the limit that makes dead letters of old events (`max_event_age`).
//!
//! An event without a readable timestamp has no age, and an event from the future is new: neither is too old. The
//! verdict is kept with the delivery, so no retry, redelivery, or restart judges it again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_model::{Notification, Timestamp};

/// The age beyond which an event counts as old where no limit is configured.
pub const OLD: Duration = Duration::from_secs(24 * 3600);

/// The age of an event when osnl first read it, by the publisher's clock: it decides about `max_event_age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventAge {
    pub age: Duration,
    timestamp: Timestamp,
}

impl EventAge {
    #[must_use]
    pub fn from_notification(notification: &Notification, read: SystemTime) -> Option<Self> {
        let timestamp = Timestamp::parse(notification.timestamp.as_deref()?).ok()?;
        let micros = timestamp.as_microseconds();
        let apart = Duration::from_micros(micros.unsigned_abs());
        let published =
            if micros < 0 { UNIX_EPOCH.checked_sub(apart) } else { UNIX_EPOCH.checked_add(apart) };
        let age = published.and_then(|published| read.duration_since(published).ok()).unwrap_or_default();
        Some(Self { age, timestamp })
    }

    #[must_use]
    pub fn exceeds(&self, limit: Option<Duration>) -> Option<String> {
        let limit = limit.filter(|limit| self.age > *limit)?;
        let Self { age, timestamp } = self;
        let (age, limit) = (length(*age), length(limit));
        Some(format!(
            "too old: published {timestamp}, {age} before it was read; the limit is {limit} (max_event_age)"
        ))
    }
}

/// Returns the time by which an event is ordered (`order_by_event_time`): its own, but none after it was read, since else
/// a publisher with a wrong clock would end the later events of others.
#[must_use]
pub fn order_time(notification: &Notification, read: Option<SystemTime>) -> Option<Timestamp> {
    let time = Timestamp::parse(notification.timestamp.as_deref()?).ok()?;
    Some(read.and_then(Timestamp::from_system).map_or(time, |read| time.min(read)))
}

#[must_use]
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("d", 86_400, u64::MAX), ("h", 3600, 24), ("min", 60, 60), ("s", 1, 60)];
    let parts = units.map(|(name, unit, of)| (name, seconds / unit % of));
    let first = parts.iter().position(|(_, count)| *count > 0);
    let Some(first) = first else { return format!("{} s", time.as_secs_f64()) };
    let shown = parts[first..].iter().take(2).filter(|(_, count)| *count > 0);
    shown.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_too_old_by_its_timestamp_alone() {
        let read = UNIX_EPOCH + Duration::from_secs(1_795_608_000);
        let check = |timestamp: Option<&str>, limit: Option<u64>, expected: Option<&str>| {
            let timestamp = timestamp.map(str::to_owned);
            let age =
                EventAge::from_notification(&Notification { timestamp, ..Notification::default() }, read);
            let reason = age.and_then(|age| age.exceeds(limit.map(Duration::from_secs)));
            assert_eq!(reason.as_deref(), expected, "{age:?}");
        };
        let day = Some(86_400);
        for spelling in [
            "2026-03-26 09:00:00",
            "2026-03-26 09:00:00.000000",
            "2026-03-26T09:00:00Z",
            "2026-03-26T09:00:00.000000+0000",
            "2026-03-26T18:00:00+09:00",
        ] {
            let reason = "too old: published 2026-03-26T09:00:00Z, 244 d 3 h before it was read; the limit is 1 d \
                          (max_event_age)";
            check(Some(spelling), day, Some(reason));
            check(Some(spelling), None, None);
        }
        check(Some("2026-11-24 12:00:00"), day, None);
        let reason = "too old: published 2026-11-24T11:59:59.999999Z, 1 d before it was read; the limit is 1 d (max_event_age)";
        check(Some("2026-11-24 11:59:59.999999"), day, Some(reason));
        for not_old in [
            None,
            Some(""),
            Some("soon"),
            Some("2026-01-01"),
            Some("2026-11-26 12:00:00"),
            Some("9999-12-30 00:00:00"),
        ] {
            check(not_old, day, None);
        }
        let reason = "too old: published 1960-01-01T00:00:00Z, 24435 d 12 h before it was read; the limit is 1 h 30 min \
                      (max_event_age)";
        check(Some("1960-01-01 00:00:00"), Some(5400), Some(reason));
    }

    #[test]
    fn an_event_of_the_future_is_ordered_as_of_its_arrival() {
        let read = UNIX_EPOCH + Duration::from_secs(1_795_608_000);
        for (timestamp, expected) in [
            ("9999-12-30 00:00:00", Some("2026-11-25T12:00:00Z")),
            ("2026-11-25 11:59:59", Some("2026-11-25T11:59:59Z")),
            ("soon", None),
        ] {
            let event = Notification { timestamp: Some(timestamp.to_owned()), ..Notification::default() };
            let time = order_time(&event, Some(read)).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{timestamp}");
        }
    }

    #[test]
    fn a_length_has_its_two_largest_units() {
        for (seconds, expected) in [
            (90.0, "1 min 30 s"),
            (60.0, "1 min"),
            (86_400.0, "1 d"),
            (90_061.0, "1 d 1 h"),
            (86_461.0, "1 d"),
            (0.5, "0.5 s"),
        ] {
            assert_eq!(length(Duration::from_secs_f64(seconds)), expected);
        }
    }
}
