//! The number of events that one call takes, and the number of calls within a time. Pure: the caller passes the time.

use std::collections::VecDeque;
use std::time::Duration;

use osnl_config::Rate;
use tokio::time::Instant;

/// The size of a call: how many events it takes, and how long the first waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most events of one call; 1 makes a call for each.
    pub most: usize,
    /// The longest wait of the first event for others of its call.
    pub wait: Duration,
    /// Whether the events of a call are one digest for the target, which fails as a whole.
    pub whole: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { most: 1, wait: Duration::ZERO, whole: false }
    }
}

/// Limits calls to a rate. Calls before the start of the process are unknown.
#[derive(Debug, Default)]
pub(crate) struct CallPace {
    rate: Option<Rate>,
    /// The beginnings of the calls within the latest window of the rate.
    begun: VecDeque<Instant>,
}

impl CallPace {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { rate, ..Self::default() }
    }

    pub(super) fn change(&mut self, rate: Option<Rate>) {
        self.rate = rate;
        if rate.is_none() {
            self.begun.clear();
        }
    }

    pub(crate) fn next_at(&mut self, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        while self.begun.front().is_some_and(|begun| *begun + rate.within <= now) {
            self.begun.pop_front();
        }
        let full = self.begun.len() >= usize::try_from(rate.keys).unwrap_or(usize::MAX);
        if full { self.begun.front().map(|begun| *begun + rate.within) } else { None }
    }

    pub(crate) fn begin(&mut self, now: Instant) {
        if self.rate.is_some() {
            self.begun.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_has_more_calls_than_the_rate() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = CallPace::new(Some(Rate { keys: 2, within: Duration::from_secs(10) }));
        for (now, expected) in
            [(0, None), (4, None), (5, Some(10)), (9, Some(10)), (10, None), (11, Some(14))]
        {
            let next = pace.next_at(at(now));
            assert_eq!(next, expected.map(at), "{now}");
            if next.is_none() {
                pace.begin(at(now));
            }
        }
        let mut free = CallPace::new(None);
        (0..9).for_each(|_| free.begin(start));
        assert_eq!((free.next_at(start), free.begun.len()), (None, 0));
    }
}
