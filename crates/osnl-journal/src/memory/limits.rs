use std::sync::PoisonError;
use std::time::Duration;

use super::MemoryJournal;

/// The bytes of bodies of dead letters and unreadable messages as received; a thousand may be 4 MiB each.
pub(super) const DEAD_BYTES: usize = 64 << 20;

/// The longest time for which a message stays with this process unsettled: half of RabbitMQ's consumer time-out.
pub const STAY: Duration = Duration::from_secs(15 * 60);

/// The bounds of the journal, which follow from `prefetch`.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Messages that the broker hands over before it waits for the first to be settled.
    pub window: usize,
    /// Entries that may be open at once; at the bound the daemon reads no more from the broker. The default
    /// is twice the window, so that messages redelivered after a lost connection can be read while their
    /// entries are open.
    pub entries: usize,
    /// Deliveries that may wait for a retry before the latest due are returned to the broker.
    pub waiting: usize,
    /// The longest time for a message to stay unsettled, by default [`STAY`].
    pub unsettled: Duration,
    /// Bodies kept of dead letters and unreadable messages, within 64 MiB; the oldest are removed first.
    pub dead: usize,
}

impl MemoryLimits {
    #[must_use]
    pub fn for_prefetch(prefetch: u16) -> Self {
        let window = usize::from(prefetch);
        let prefetch = window.max(2);
        Self { window, entries: prefetch * 2, waiting: prefetch / 2, unsettled: STAY, dead: 1000 }
    }
}

impl MemoryJournal {
    pub(super) fn limits(&self) -> MemoryLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn make_room(&self, prefetch: u16) {
        let MemoryLimits { window, entries, waiting, .. } = MemoryLimits::for_prefetch(prefetch);
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.add_permits(entries.saturating_sub(limits.entries));
        limits.window = limits.window.max(window);
        limits.entries = limits.entries.max(entries);
        limits.waiting = limits.waiting.max(waiting);
    }
}
