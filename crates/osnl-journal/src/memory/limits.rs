//! The bounds of the journal in memory.

use std::sync::PoisonError;
use std::time::Duration;

use super::MemoryJournal;

/// The bytes that bodies of dead letters and unreadable messages may take, as they came: a thousand may be 4 MiB each.
pub(super) const DEAD_BYTES: usize = 64 << 20;

/// The bounds of a [`MemoryJournal`](super::MemoryJournal).
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Entries that may be open at once; at the bound nothing is read from the broker. Twice the window
    /// by default, so that what a lost connection brings back can be read while its entries are open.
    pub entries: usize,
    /// Deliveries that may wait for a retry before far ones are returned to the broker.
    pub waiting: usize,
    /// The longest time that a message may stay unsettled: half the broker's consumer time-out (30 min) by default.
    pub unsettled: Duration,
    /// Bodies kept of dead letters and unreadable messages, as far as they take no more than 64 MiB; the oldest leave first.
    pub dead: usize,
}

impl MemoryLimits {
    /// The limits for one window of `prefetch` unsettled messages.
    #[must_use]
    pub fn for_prefetch(prefetch: u16) -> Self {
        let prefetch = usize::from(prefetch.max(2));
        Self {
            entries: prefetch * 2,
            waiting: prefetch / 2,
            unsettled: Duration::from_secs(15 * 60),
            dead: 1000,
        }
    }
}

impl MemoryJournal {
    pub(super) fn limits(&self) -> MemoryLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has room for a window of so many unsettled messages, should it have less.
    pub fn make_room(&self, prefetch: u16) {
        let MemoryLimits { entries, waiting, .. } = MemoryLimits::for_prefetch(prefetch);
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.add_permits(entries.saturating_sub(limits.entries));
        limits.entries = limits.entries.max(entries);
        limits.waiting = limits.waiting.max(waiting);
    }
}
