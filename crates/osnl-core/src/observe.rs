use osnl_model::Notification;

use crate::received::{MessageNotes, ReceivedMessage};

pub type PartKeys = Vec<(Option<u32>, String)>;

pub trait Observe: Send + Sync {
    fn serves(&self, action: &str) -> bool;

    /// To keep with a message, and for its resources. Must not block.
    fn note(&self, received: &ReceivedMessage, notification: &Notification) -> (MessageNotes, PartKeys);
}
