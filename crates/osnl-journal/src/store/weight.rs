//! The bytes that deliveries in memory take.
//!
//! Numbers alone bound no memory: a compressed message of a few hundred bytes may take 20 MiB decoded. Deliveries of one
//! message share it, so it counts once for each action.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

/// The bytes of an action's messages from which no further delivery that has never failed is brought into memory.
pub const OF_ACTION: usize = 64 << 20;
/// The same of all actions together.
pub const OF_ALL: usize = 192 << 20;
/// A message that takes less is kept decoded while it waits for its place; a larger one is read again.
pub const LIGHT: usize = 64 << 10;
/// The fewest entries among which those of messages that have gone are looked for.
const MANY: usize = 1024;

/// Returns about how many bytes a message takes, decoded and as it came.
#[must_use]
pub fn bytes_of(received: &ReceivedMessage, notification: &Notification) -> usize {
    received.body.len() + notification.memory()
}

/// The messages of one action that are in memory.
#[derive(Debug)]
pub struct Weights {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    messages: HashMap<u64, Weak<Weight>>,
    /// With so many entries, those of messages that have gone are swept out.
    sweep_at: usize,
}

/// The bytes of one message, which count until the last one of its deliveries is dropped.
#[derive(Debug)]
pub struct Weight {
    bytes: usize,
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.own.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Weights {
    /// Weights of an action, beside others that count together in `all`.
    #[must_use]
    pub fn new(all: Arc<AtomicUsize>) -> Self {
        Self { own: Arc::default(), all, messages: HashMap::new(), sweep_at: MANY }
    }

    /// Counts a delivery of a message; `bytes` is asked when none of its deliveries counts.
    pub fn weigh(&mut self, message: u64, bytes: impl FnOnce() -> usize) -> Arc<Weight> {
        if let Some(weight) = self.messages.get(&message).and_then(Weak::upgrade) {
            return weight;
        }
        if self.messages.len() >= self.sweep_at {
            self.messages.retain(|_, weight| weight.strong_count() > 0);
            self.sweep_at = MANY.max(self.messages.len() * 2);
        }
        let bytes = bytes();
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let weight = Arc::new(Weight { bytes, own: self.own.clone(), all: self.all.clone() });
        self.messages.insert(message, Arc::downgrade(&weight));
        weight
    }

    /// Whether nothing counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.load(Ordering::Relaxed) == 0
    }

    /// Returns the bytes that may be added, with this share of the bound beside it; none of them is a bound for one message.
    #[must_use]
    pub fn room(&self, spare: usize) -> usize {
        let (own, all) = (self.own.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        (OF_ACTION + spare).saturating_sub(own).min((OF_ALL + spare).saturating_sub(all))
    }
}
