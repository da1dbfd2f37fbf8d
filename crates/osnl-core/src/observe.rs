use osnl_model::Notification;

use crate::received::{MessageNotes, ReceivedMessage};

/// The order key of each resource of a message; `None` is the whole event.
pub type PartKeys = Vec<(Option<u32>, String)>;

/// Records the meaning of each message against earlier messages, in the order of arrival.
pub trait Observe: Send + Sync {
    fn serves(&self, action: &str) -> bool;

    /// Returns the notes to keep with a message, and the order keys of its resources. Must not block.
    fn note(&self, received: &ReceivedMessage, notification: &Notification) -> (MessageNotes, PartKeys);
}
