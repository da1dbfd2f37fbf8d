//! The bytes that deliveries in memory take.
//!
//! A bound on numbers does not bound memory: a compressed message of a few hundred bytes may take 20 MiB
//! decoded. Deliveries share their message, so a message counts once for each action. Enrichment values count
//! for each delivery.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use osnl_core::event::{EnrichedValues, Event};
use osnl_core::received::ReceivedMessage;
use osnl_model::{Notification, memory_of};
use serde_json::Value;

/// The bytes of an action's messages at which no further fresh delivery is fetched.
pub(crate) const OF_ACTION: usize = 64 << 20;
pub(crate) const OF_ALL: usize = 192 << 20;
/// The bytes that each action may always have, so that large messages of held actions delay no other action.
const OF_EACH: usize = 4 << 20;
/// The size below which a waiting message is kept decoded; a larger message is read again.
pub(crate) const LIGHT: usize = 64 << 10;
const MANY: usize = 1024;

#[must_use]
pub(crate) fn bytes_of(received: &ReceivedMessage, notification: &Notification) -> usize {
    received.body.len() + notification.memory()
}

#[must_use]
pub(crate) fn bytes_of_values(values: Option<&EnrichedValues>) -> usize {
    let of = |(name, value): (&String, &Value)| name.len() + memory_of(value);
    values.into_iter().flatten().map(of).sum()
}

/// Counts the bytes of one action's messages, as a part of those of all actions.
#[derive(Debug)]
pub(crate) struct Weights {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    /// Entries by the message's address, which no other message takes while the weight exists.
    messages: HashMap<usize, Weak<MessageWeight>>,
    sweep_at: usize,
}

/// The bytes of one delivery, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Weight {
    _message: Arc<MessageWeight>,
    _own: CountedBytes,
}

/// The bytes of a message, counted once for all of its deliveries.
#[derive(Debug)]
struct MessageWeight {
    _bytes: CountedBytes,
    /// Keeps the address: the claim may end and drop its message before the weight.
    _message: Weak<ReceivedMessage>,
}

/// Bytes that are subtracted on drop.
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
    #[must_use]
    pub(crate) fn new(all: Arc<AtomicUsize>) -> Self {
        Self { own: Arc::default(), all, messages: HashMap::new(), sweep_at: MANY }
    }

    pub(crate) fn weigh(&mut self, event: &Event) -> Weight {
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

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.own.load(Ordering::Relaxed) == 0
    }

    /// Returns the bytes that may be added, less the reserved `spare`. A single message may exceed the result
    /// unless 0.
    #[must_use]
    pub(crate) fn room(&self, spare: usize) -> usize {
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
