//! The clock of due times, guards, and silence: milliseconds since 1970 from a clock that does not jump while the
//! process runs.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::epoch::{self, from_millis, millis};

/// The least difference in milliseconds that is a step of the system clock.
const STEP: u64 = 1000;
const MOST_STEPS: usize = 64;

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

/// A clock that also knows the times of day before a step of the system clock. Clones share the steps.
#[derive(Clone, Debug)]
pub struct SteppedClock {
    clock: Clock,
    spans: Arc<Mutex<VecDeque<ClockSpan>>>,
}

/// An interval without a step, until the next one or the present.
#[derive(Clone, Copy, Debug)]
struct ClockSpan {
    from: i64,
    /// The milliseconds by which the system clock was ahead.
    ahead: i64,
}

impl Default for SteppedClock {
    fn default() -> Self {
        let first = ClockSpan { from: i64::MIN, ahead: 0 };
        Self { clock: Clock::start(), spans: Arc::new(Mutex::new([first].into())) }
    }
}

impl SteppedClock {
    #[must_use]
    pub fn millis(&self, at: Instant) -> i64 {
        self.clock.millis(at)
    }

    /// Notes a step of the system clock since the latest look.
    pub fn look(&self) {
        drop(self.spans());
    }

    /// Returns the time of a time of day, by the system clock as it was then. Of two such times, the later one.
    #[must_use]
    pub fn millis_of(&self, at: SystemTime) -> i64 {
        let (at, spans) = (millis(at), self.spans());
        let times = with_ends(&spans, self.clock.now()).map(|(span, end)| {
            let time = at.saturating_sub(span.ahead);
            let outside = span.from.saturating_sub(time).max(time.saturating_sub(end)).max(0);
            (outside, Reverse(time))
        });
        times.min().map_or(at, |(_, Reverse(time))| time)
    }

    /// Returns the time of day of a time, by the present system clock.
    #[must_use]
    pub fn time_of_day(&self, millis: i64) -> SystemTime {
        let ahead = self.spans().back().map_or(0, |span| span.ahead);
        from_millis(millis.saturating_add(ahead))
    }

    /// Returns a time of day as the present system clock would have shown it. A time from before the start stays.
    #[must_use]
    pub fn by_present(&self, at: SystemTime) -> SystemTime {
        if millis(at) < self.clock.at { at } else { self.time_of_day(self.millis_of(at)) }
    }

    /// Returns the age of a time of day, by the system clock as it was then.
    #[must_use]
    pub fn age(&self, at: SystemTime) -> Duration {
        let age = self.clock.now().saturating_sub(self.millis_of(at));
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// Returns the earliest time of day that the system clock may have shown within this time before now.
    #[must_use]
    pub fn earliest(&self, within: Duration) -> SystemTime {
        let (now, spans) = (self.clock.now(), self.spans());
        let since = now.saturating_sub(whole_millis(within));
        let at = |span: ClockSpan, time: i64| time.saturating_add(span.ahead);
        let parts = with_ends(&spans, now).filter(|(_, end)| *end >= since);
        let shown = parts.map(|(span, _)| at(span, span.from.max(since)));
        let present = spans.back().map(|span| at(*span, since));
        shown.chain(present).min().map_or(UNIX_EPOCH, from_millis)
    }

    fn spans(&self) -> MutexGuard<'_, VecDeque<ClockSpan>> {
        // Locked first: the looks of several threads have the order of their times.
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let span = ClockSpan { from: self.clock.now(), ahead: self.clock.ahead() };
        if spans.back().is_none_or(|known| known.ahead.abs_diff(span.ahead) >= STEP) {
            spans.push_back(span);
            if spans.len() > MOST_STEPS {
                spans.pop_front();
            }
        }
        spans
    }
}

fn with_ends(spans: &VecDeque<ClockSpan>, now: i64) -> impl Iterator<Item = (ClockSpan, i64)> {
    let ends = spans.iter().skip(1).map(|next| next.from).chain([now]);
    spans.iter().copied().zip(ends)
}

#[must_use]
pub fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
