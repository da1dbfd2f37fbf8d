use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the time of day. In a thread with a simulated clock, that clock's.
#[must_use]
pub fn now() -> SystemTime {
    #[cfg(feature = "sample")]
    if let Some(now) = simulated::now() {
        return now;
    }
    SystemTime::now()
}

/// Returns whether this thread has a simulated clock. It does the work of other threads itself then, so that a story is
/// the same on each machine.
#[must_use]
pub fn is_simulated() -> bool {
    #[cfg(feature = "sample")]
    let at = simulated::now();
    #[cfg(not(feature = "sample"))]
    let at: Option<SystemTime> = None;
    at.is_some()
}

/// Returns whether work that began then has taken so long, in real time. In a thread with a simulated clock it never has.
#[must_use]
pub fn has_taken(begun: Instant, longest: Duration) -> bool {
    !is_simulated() && begun.elapsed() >= longest
}

/// A time of day that follows tokio's paused clock, for one thread.
#[cfg(feature = "sample")]
pub mod simulated {
    use std::cell::Cell;
    use std::time::SystemTime;

    use tokio::time::Instant;

    thread_local! {
        static CLOCK: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
    }

    /// Sets the time of day of this thread; `None` is the system's again.
    pub fn set(now: Option<SystemTime>) {
        CLOCK.set(now.map(|now| (Instant::now(), now)));
    }

    pub(super) fn now() -> Option<SystemTime> {
        CLOCK.get().map(|(began, at)| at + began.elapsed())
    }
}

pub fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for (at, expected) in [(0, 0), (1, 1), (-5, 0), (1_790_000_000_123, 1_790_000_000_123)] {
            assert_eq!(millis(from_millis(at)), expected);
        }
    }
}
