//! The ages of a listener's events when first read: the latest age, and the ages of old events for which actions are
//! called.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::age::OLD;

/// The time for which an old event counts after it ran.
const LASTING: Duration = Duration::from_secs(300);

/// Shows that actions are called for events that are old, as after a long stop.
#[derive(Debug, Default)]
pub struct OldEvents(Mutex<SeenAges>);

/// The ages seen by one listener.
#[derive(Clone, Copy, Debug, Default)]
struct SeenAges {
    /// The age of the latest event; `None` if it had no timestamp.
    last: Option<Duration>,
    /// The greatest age of the old events that ran lately, and the latest time of one.
    oldest: Option<(Duration, SystemTime)>,
}

impl OldEvents {
    pub fn read(&self, age: Option<Duration>) {
        self.seen().last = age;
    }

    pub fn runs(&self, age: Duration, now: SystemTime) {
        if age > OLD {
            let before = self.running(now).unwrap_or_default();
            self.seen().oldest = Some((age.max(before), now));
        }
    }

    #[must_use]
    pub fn last(&self) -> Option<Duration> {
        self.seen().last
    }

    #[must_use]
    pub fn running(&self, now: SystemTime) -> Option<Duration> {
        let (age, at) = self.seen().oldest?;
        let since = now.duration_since(at).unwrap_or_default();
        (since < LASTING).then_some(age)
    }

    fn seen(&self) -> MutexGuard<'_, SeenAges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_events_are_known_while_they_run_and_for_a_while() {
        let seen = OldEvents::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(seen.running(at(0)), None);
        seen.runs(days(1), at(0));
        assert_eq!(seen.running(at(0)), None, "a day is not old");
        for (age, read, expected) in [(200, 0, 200), (9, 100, 200), (300, 200, 300)] {
            seen.runs(days(age), at(read));
            assert_eq!(seen.running(at(read)), Some(days(expected)));
        }
        assert_eq!((seen.running(at(499)), seen.running(at(500))), (Some(days(300)), None));
        seen.runs(days(2), at(600));
        assert_eq!(seen.running(at(600)), Some(days(2)), "a new run begins anew");
    }
}
