//! The clock of due times and guards: milliseconds since 1970 from a clock that does not jump while the process runs.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::epoch::{self, millis};

/// A clock that no change of the system clock moves.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    at: i64,
}

/// The time of a retry as the file keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The pause in milliseconds, for a restart after a change of the clock.
    pub pause: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock {
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now(), at: millis(epoch::now()) }
    }

    #[must_use]
    pub fn now(&self) -> i64 {
        self.millis(Instant::now())
    }

    /// Returns the time of a moment: never 0, which is the due time of a delivery that has not failed.
    #[must_use]
    pub fn millis(&self, at: Instant) -> i64 {
        let since = whole_millis(at.saturating_duration_since(self.began));
        let before = whole_millis(self.began.saturating_duration_since(at));
        self.at.saturating_add(since).saturating_sub(before).max(1)
    }

    /// Returns the time of a time of day, by its age at present.
    #[must_use]
    pub fn millis_of(&self, at: SystemTime) -> i64 {
        millis(at).saturating_sub(self.ahead())
    }

    /// Returns the milliseconds by which the system clock is ahead, after steps since the start.
    #[must_use]
    pub fn ahead(&self) -> i64 {
        millis(epoch::now()).saturating_sub(self.now())
    }

    #[must_use]
    pub fn due(&self, at: Instant) -> Due {
        let pause = whole_millis(at.saturating_duration_since(Instant::now()));
        Due { at: self.millis(at), pause }
    }

    /// Returns the moment of a time; a time before the start is the start.
    #[must_use]
    pub fn instant(&self, millis: i64) -> Option<Instant> {
        let since = u64::try_from(millis.saturating_sub(self.at)).unwrap_or(0);
        self.began.checked_add(Duration::from_millis(since))
    }
}

#[must_use]
pub fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
