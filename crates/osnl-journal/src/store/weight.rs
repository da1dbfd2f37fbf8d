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
/// The bytes that each action may have all the same: large messages of actions that are held keep no other one waiting.
const OF_EACH: usize = 4 << 20;
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
    /// By the address of the message, which no other one takes while its weight is there.
    messages: HashMap<usize, Weak<Weight>>,
    /// With so many entries, those of messages that have gone are swept out.
    sweep_at: usize,
}

/// The bytes of one message, which count until the last one of its deliveries is dropped.
#[derive(Debug)]
pub struct Weight {
    bytes: usize,
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    /// Keeps the address: a claim may end, and its message go, before the weight does.
    _message: Weak<ReceivedMessage>,
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

    /// Counts a delivery of a message, unless another one of its deliveries counts.
    pub fn weigh(&mut self, received: &Arc<ReceivedMessage>, notification: &Notification) -> Arc<Weight> {
        let address = Arc::as_ptr(received).addr();
        if let Some(weight) = self.messages.get(&address).and_then(Weak::upgrade) {
            return weight;
        }
        if self.messages.len() >= self.sweep_at {
            self.messages.retain(|_, weight| weight.strong_count() > 0);
            self.sweep_at = MANY.max(self.messages.len() * 2);
        }
        let bytes = bytes_of(received, notification);
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let (own, all) = (self.own.clone(), self.all.clone());
        let weight = Arc::new(Weight { bytes, own, all, _message: Arc::downgrade(received) });
        self.messages.insert(address, Arc::downgrade(&weight));
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
        let of_all = (OF_ALL + spare).saturating_sub(all).max(OF_EACH.saturating_sub(own));
        (OF_ACTION + spare).saturating_sub(own).min(of_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_a_little_room_whatever_the_others_take() {
        let all: Arc<AtomicUsize> = Arc::default();
        let mut weights = Weights::new(all.clone());
        assert_eq!(weights.room(0), OF_ACTION);
        all.store(OF_ALL + 1, Ordering::Relaxed);
        assert_eq!(weights.room(0), OF_EACH);
        let message = Arc::new(ReceivedMessage::sample(vec![b' '; OF_EACH], false));
        let weight = weights.weigh(&message, &Notification::default());
        assert_eq!(weights.room(0), 0);
        drop(weight);
        assert_eq!(weights.room(0), OF_EACH);
    }

    /// A claim ends before its end is committed: its message is dropped, and its weight is still there.
    #[test]
    fn a_message_does_not_take_the_weight_of_one_that_has_gone() {
        let mut weights = Weights::new(Arc::default());
        let notification = Notification::default();
        let message = |bytes: usize| Arc::new(ReceivedMessage::sample(vec![b' '; bytes], false));
        let ended: Vec<_> = (0..8).map(|_| weights.weigh(&message(1), &notification)).collect();
        let large = message(1 << 20);
        let weight = weights.weigh(&large, &notification);
        assert!(weights.own.load(Ordering::Relaxed) > 1 << 20);
        let again = weights.weigh(&large, &notification);
        assert!(Arc::ptr_eq(&weight, &again));
        drop((ended, weight));
        assert!(!weights.is_empty());
        drop(again);
        assert!(weights.is_empty());
    }
}
