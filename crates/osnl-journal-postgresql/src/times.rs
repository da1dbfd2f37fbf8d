//! The time that can have passed in a window since a member has read it: no more than by the member's own clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use osnl_journal::store::clock::whole_millis;

use crate::clock::LeaseClock;

/// The times at which a member has read windows, by its own clock.
#[derive(Debug)]
pub(crate) struct WindowTimes {
    clock: Arc<dyn LeaseClock>,
    /// The time of a window, and the moment before it was asked for.
    seen: Mutex<HashMap<Vec<u8>, (i64, Duration)>>,
}

impl WindowTimes {
    pub(crate) fn new(clock: Arc<dyn LeaseClock>) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    /// Returns the time of its clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns the latest time that a window can have by now.
    pub(crate) fn latest(&self, name: &[u8], now: Duration) -> Option<i64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, asked) = seen.get(name)?;
        Some(time + whole_millis(now.saturating_sub(*asked)) + 1)
    }

    /// Takes note of a window that was asked for at a moment.
    pub(crate) fn saw(&self, name: &[u8], time: i64, asked: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(name.to_vec(), (time, asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_never_allows_less_than_has_passed() {
        #[derive(Debug)]
        struct Still;
        impl LeaseClock for Still {
            fn now(&self) -> Duration {
                Duration::ZERO
            }
        }
        let times = WindowTimes::new(Arc::new(Still));
        let at = Duration::from_millis;
        assert_eq!(times.latest(b"w", at(5)), None);
        times.saw(b"w", 1000, at(5));
        assert_eq!(times.latest(b"w", Duration::from_micros(7_900)), Some(1003));
        assert_eq!(times.latest(b"other", at(9)), None);
    }
}
