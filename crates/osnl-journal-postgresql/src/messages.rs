//! Messages in memory: each is read and decoded once for all of its deliveries.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

/// Messages beyond which those that have gone are swept out.
const MANY: usize = 1024;

/// A message and what it says.
pub(crate) type Message = (Arc<ReceivedMessage>, Arc<Notification>);

/// The messages of which a delivery is in memory, by the number of their arrival.
#[derive(Debug, Default)]
pub(crate) struct MessageCache(HashMap<i64, (Weak<ReceivedMessage>, Weak<Notification>)>);

impl MessageCache {
    pub(crate) fn get(&self, arrival: i64) -> Option<Message> {
        let (received, notification) = self.0.get(&arrival)?;
        Some((received.upgrade()?, notification.upgrade()?))
    }

    pub(crate) fn insert(&mut self, arrival: i64, (received, notification): &Message) {
        if self.0.len() >= MANY {
            self.0.retain(|_, (received, _)| received.strong_count() > 0);
        }
        self.0.insert(arrival, (Arc::downgrade(received), Arc::downgrade(notification)));
    }
}
