//! The counters of a notifier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A number of a notifier.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the number so far.
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

/// Each number only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Notifications that the methods were called for.
    pub emitted: Counter,
    /// Messages that the broker has confirmed: one for each topic and messaging driver.
    pub confirmed: Counter,
    /// Attempts that failed and are made again.
    pub retried: Counter,
    /// Messages given up. Each has a log line, but for those that are `unplaced`.
    pub lost: Counter,
    /// Notifications refused because the buffer was full. The caller received an error.
    pub refused: Counter,
    /// Versioned notifications for which the buffer had no place; `lost` counts them too. The log has the begin and the
    /// end of such a time.
    pub unplaced: Counter,
    failure: Mutex<Option<String>>,
}

impl Counters {
    /// Why the last attempt failed that did.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failed(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}
