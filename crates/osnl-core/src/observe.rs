//! A note that is made of a message before it is kept.

use osnl_model::Notification;

use crate::received::{MessageNotes, ReceivedMessage};

/// By resource of a bulk request: the key that its deliveries are kept in order by.
pub type PartKeys = Vec<(Option<u32>, String)>;

/// Notes with each message what it means against what was seen before, in the order of arrival.
pub trait Observe: Send + Sync {
    /// Whether an action has to know what is noted.
    fn serves(&self, action: &str) -> bool;

    /// Answers what is kept with a message, and the keys by which its parts keep their order. Must not wait.
    fn note(&self, received: &ReceivedMessage, notification: &Notification) -> (MessageNotes, PartKeys);
}
