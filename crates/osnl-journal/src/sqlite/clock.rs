//! The clock of due times: milliseconds since 1970 from a clock that does not jump while the process runs.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::rows::millis;

/// The wall clock's time at the start, and the time since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    at: i64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), at: millis(SystemTime::now()) }
    }

    pub(super) fn now(&self) -> i64 {
        self.millis(Instant::now())
    }

    /// Never 0, which is the due time of what has not failed.
    pub(super) fn millis(&self, at: Instant) -> i64 {
        let since = whole_millis(at.saturating_duration_since(self.began));
        let before = whole_millis(self.began.saturating_duration_since(at));
        self.at.saturating_add(since).saturating_sub(before).max(1)
    }

    pub(super) fn instant(&self, millis: i64) -> Option<Instant> {
        let since = u64::try_from(millis.saturating_sub(self.at)).unwrap_or(0);
        self.began.checked_add(Duration::from_millis(since))
    }
}

pub(super) fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
