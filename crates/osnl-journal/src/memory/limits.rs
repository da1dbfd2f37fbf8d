use std::sync::PoisonError;
use std::time::Duration;

use super::MemoryJournal;

/// The bytes of bodies of dead letters and unreadable messages as received; a thousand may be 4 MiB each.
pub(super) const DEAD_BYTES: usize = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Entries that may be open at once; at the bound the daemon reads no more from the broker. The default
    /// is twice the window, so that messages redelivered after a lost connection can be read while their
    /// entries are open.
    pub entries: usize,
    /// Deliveries that may wait for a retry before the latest due are returned to the broker.
    pub waiting: usize,
    /// The longest time for a message to stay unsettled: half the broker's consumer time-out (30 min) by
    /// default.
    pub unsettled: Duration,
    /// Bodies kept of dead letters and unreadable messages, within 64 MiB; the oldest are removed first.
    pub dead: usize,
}

impl MemoryLimits {
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

    pub fn make_room(&self, prefetch: u16) {
        let MemoryLimits { entries, waiting, .. } = MemoryLimits::for_prefetch(prefetch);
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.add_permits(entries.saturating_sub(limits.entries));
        limits.entries = limits.entries.max(entries);
        limits.waiting = limits.waiting.max(waiting);
    }
}
