//! The bytes that deliveries in memory take.
//!
//! Numbers alone bound no memory: a compressed message of a few hundred bytes may take 20 MiB decoded. Deliveries of one
//! message share it, so it counts once for each action. The values of its enrichments are each delivery's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use osnl_core::event::{EnrichedValues, Event};
use osnl_core::received::ReceivedMessage;
use osnl_model::{Notification, memory_of};
use serde_json::Value;

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

/// Returns about how many bytes the values of a delivery's enrichments take.
#[must_use]
pub fn bytes_of_values(values: Option<&EnrichedValues>) -> usize {
    let of = |(name, value): (&String, &Value)| name.len() + memory_of(value);
    values.into_iter().flatten().map(of).sum()
}

/// The messages of one action that are in memory.
#[derive(Debug)]
pub struct Weights {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    /// By the address of the message, which no other one takes while its weight is there.
    messages: HashMap<usize, Weak<MessageWeight>>,
    /// With so many entries, those of messages that have gone are swept out.
    sweep_at: usize,
}

/// The bytes of one delivery, which count until it is dropped.
#[derive(Debug)]
pub struct Weight {
    _message: Arc<MessageWeight>,
    /// The bytes of the values that it does not share.
    _own: CountedBytes,
}

/// The bytes of one message, which count until the last one of its deliveries is dropped.
#[derive(Debug)]
struct MessageWeight {
    _bytes: CountedBytes,
    /// Keeps the address: a claim may end, and its message go, before the weight does.
    _message: Weak<ReceivedMessage>,
}

/// Bytes that count until they are dropped.
#[derive(Debug)]
struct CountedBytes {
    bytes: usize,
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Drop for CountedBytes {
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

    /// Counts a delivery: its message, unless another one of its deliveries counts, and what it has of its own.
    pub fn weigh(&mut self, event: &Event) -> Weight {
        let message = self.message(&event.received, &event.notification);
        Weight { _message: message, _own: self.count(bytes_of_values(event.enriched.as_deref())) }
    }

    fn message(
        &mut self,
        received: &Arc<ReceivedMessage>,
        notification: &Notification,
    ) -> Arc<MessageWeight> {
        let address = Arc::as_ptr(received).addr();
        if let Some(weight) = self.messages.get(&address).and_then(Weak::upgrade) {
            return weight;
        }
        if self.messages.len() >= self.sweep_at {
            self.messages.retain(|_, weight| weight.strong_count() > 0);
            self.sweep_at = MANY.max(self.messages.len() * 2);
        }
        let bytes = self.count(bytes_of(received, notification));
        let weight = Arc::new(MessageWeight { _bytes: bytes, _message: Arc::downgrade(received) });
        self.messages.insert(address, Arc::downgrade(&weight));
        weight
    }

    fn count(&self, bytes: usize) -> CountedBytes {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        CountedBytes { bytes, own: self.own.clone(), all: self.all.clone() }
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

    fn event(bytes: usize) -> Event {
        let message = ReceivedMessage::sample(vec![b' '; bytes], false);
        Event::new(message, Notification::default(), "r", "a")
    }

    #[test]
    fn an_action_has_a_little_room_whatever_the_others_take() {
        let all: Arc<AtomicUsize> = Arc::default();
        let mut weights = Weights::new(all.clone());
        assert_eq!(weights.room(0), OF_ACTION);
        all.store(OF_ALL + 1, Ordering::Relaxed);
        assert_eq!(weights.room(0), OF_EACH);
        let weight = weights.weigh(&event(OF_EACH));
        assert_eq!(weights.room(0), 0);
        drop(weight);
        assert_eq!(weights.room(0), OF_EACH);
    }

    /// A claim ends before its end is committed: its message is dropped, and its weight is still there.
    #[test]
    fn a_message_does_not_take_the_weight_of_one_that_has_gone() {
        let mut weights = Weights::new(Arc::default());
        let ended: Vec<_> = (0..8).map(|_| weights.weigh(&event(1))).collect();
        let large = event(1 << 20);
        let weight = weights.weigh(&large);
        let bytes = weights.own.load(Ordering::Relaxed);
        assert!(bytes > 1 << 20);
        let again = weights.weigh(&large);
        assert_eq!(weights.own.load(Ordering::Relaxed), bytes);
        drop((ended, weight));
        assert!(!weights.is_empty());
        drop(again);
        assert!(weights.is_empty());
    }

    #[test]
    fn the_values_of_enrichments_count_with_each_delivery() {
        let all: Arc<AtomicUsize> = Arc::default();
        let mut weights = Weights::new(all.clone());
        let values = EnrichedValues::from([("host".to_owned(), Value::from("v".repeat(1 << 20)))]);
        let plain = event(1);
        let enriched = Event { enriched: Some(Arc::new(values)), ..plain.clone() };
        let weight = weights.weigh(&plain);
        let without = all.load(Ordering::Relaxed);
        let more = [weights.weigh(&enriched), weights.weigh(&enriched)];
        assert!(all.load(Ordering::Relaxed) > without + (2 << 20));
        drop(more);
        assert_eq!(all.load(Ordering::Relaxed), without);
        drop(weight);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
