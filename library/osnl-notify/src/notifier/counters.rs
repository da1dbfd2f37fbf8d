use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A counter of a notifier's events.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the count since the start.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// The counters of a notifier, each of which only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Notifications that callers have emitted.
    pub emitted: Counter,
    /// Messages that the broker has confirmed: one for each topic and messaging driver.
    pub confirmed: Counter,
    /// Failed attempts that are retried.
    pub retried: Counter,
    /// Messages given up. Each has a log line, except those that are `unplaced`.
    pub lost: Counter,
    /// Notifications refused because the buffer was full. The caller received an error.
    pub refused: Counter,
    /// Versioned notifications that found the buffer full; `lost` counts them too. The log has a line at the
    /// begin and the end of such a time.
    pub unplaced: Counter,
    failure: Mutex<Option<String>>,
}

impl Counters {
    /// Returns the error of the latest failed attempt.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failed(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}
