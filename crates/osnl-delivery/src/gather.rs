//! The number of events that one call takes, and the number of calls within a time. Pure, but for a rate that several daemons
//! keep; the time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use osnl_config::Rate;
use osnl_journal::CallTokens;
use tokio::time::Instant;

/// The events of one call. By default one event, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most events.
    pub most: usize,
    /// The time that the first of them waits for more.
    pub wait: Duration,
    /// The events of a call are one thing for the target, a digest: what fails of it stays together.
    pub whole: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { most: 1, wait: Duration::ZERO, whole: false }
    }
}

/// Calls as they begin, as many as a rate allows. What was before the start is not known.
#[derive(Debug, Default)]
pub(crate) struct CallPace {
    rate: Option<Rate>,
    begun: VecDeque<Instant>,
    /// The rate of several daemons.
    tokens: Option<Arc<dyn CallTokens>>,
}

impl CallPace {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { rate, ..Self::default() }
    }

    /// The rate is kept with other daemons.
    pub(super) fn keep_with(&mut self, tokens: Option<Arc<dyn CallTokens>>) {
        self.tokens = tokens;
    }

    /// Another rate, which the calls that have begun count against too.
    pub(super) fn change(&mut self, rate: Option<Rate>) {
        self.rate = rate;
        if rate.is_none() {
            self.begun.clear();
        }
    }

    /// When the next call may begin; `None` is now.
    pub(crate) fn next_at(&mut self, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        if let Some(tokens) = &self.tokens {
            return tokens.next_at(rate, now);
        }
        while self.begun.front().is_some_and(|begun| *begun + rate.within <= now) {
            self.begun.pop_front();
        }
        let full = self.begun.len() >= usize::try_from(rate.keys).unwrap_or(usize::MAX);
        if full { self.begun.front().map(|begun| *begun + rate.within) } else { None }
    }

    /// The same as it is known: asks no other daemons.
    pub(super) fn known_at(&mut self, now: Instant) -> Option<Instant> {
        match &self.tokens {
            Some(tokens) => self.rate.and_then(|_| tokens.known_at(now)),
            None => self.next_at(now),
        }
    }

    /// A call begins; with other daemons' rate it is reserved, and begins with its token.
    pub(crate) fn begin(&mut self, now: Instant) {
        match (self.rate, &self.tokens) {
            (Some(_), Some(tokens)) => tokens.reserve(),
            (Some(_), None) => self.begun.push_back(now),
            (None, _) => {}
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
