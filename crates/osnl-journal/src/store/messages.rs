//! One decoded message for all of its deliveries in memory.
//!
//! A bulk request of thousands of resources has thousands of deliveries of one message, hundreds of them in
//! memory. The message is decoded once, and again only after its last delivery is dropped: the cache keeps
//! nothing alive.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

const MANY: usize = 1024;

/// A message as received, and decoded.
pub(crate) type Message = (Arc<ReceivedMessage>, Arc<Notification>);

/// Finds the decoded message of a delivery while another delivery of it is in memory.
#[derive(Debug)]
pub(crate) struct MessageCache<K> {
    messages: HashMap<K, (Weak<ReceivedMessage>, Weak<Notification>)>,
    sweep_at: usize,
}

impl<K> Default for MessageCache<K> {
    fn default() -> Self {
        Self { messages: HashMap::new(), sweep_at: MANY }
    }
}

impl<K: Eq + Hash> MessageCache<K> {
    #[must_use]
    pub(crate) fn get(&self, key: &K) -> Option<Message> {
        let (received, notification) = self.messages.get(key)?;
        Some((received.upgrade()?, notification.upgrade()?))
    }

    pub(crate) fn insert(&mut self, key: K, (received, notification): &Message) {
        if self.messages.len() >= self.sweep_at {
            self.messages.retain(|_, (received, _)| received.strong_count() > 0);
            self.sweep_at = MANY.max(self.messages.len() * 2);
        }
        self.messages.insert(key, (Arc::downgrade(received), Arc::downgrade(notification)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The doubled bound prevents a scan of all messages for each new one.
    #[test]
    fn messages_that_are_in_memory_are_looked_at_seldom() {
        let message = || (Arc::new(ReceivedMessage::sample("", false)), Arc::new(Notification::default()));
        let mut cache = MessageCache::default();
        let kept: Vec<Message> = (0..2 * MANY).map(|_| message()).collect();
        kept.iter().enumerate().for_each(|(key, message)| cache.insert(key, message));
        assert_eq!(cache.sweep_at, 2 * MANY);
        cache.insert(usize::MAX, &message());
        assert_eq!(cache.sweep_at, 4 * MANY);
        assert!(cache.get(&0).is_some() && cache.get(&usize::MAX).is_none());
        drop(kept);
        (2 * MANY..4 * MANY).for_each(|key| cache.insert(key, &message()));
        assert!(cache.messages.len() < MANY && cache.sweep_at == MANY);
    }
}
