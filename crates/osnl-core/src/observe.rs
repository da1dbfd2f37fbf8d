//! A note that is made of a message before it is kept.

use osnl_model::Notification;

pub use crate::recall::PartKeys;
use crate::recall::Recaller;
use crate::received::{MessageNotes, ReceivedMessage};

/// Notes with each message what it means against what was seen before, in the order of arrival.
pub trait Observe: Send + Sync {
    /// Whether an action has to know what is noted.
    fn serves(&self, action: &str) -> bool;

    /// Answers what is kept with a message, and the keys by which its parts keep their order. Must not wait.
    fn note(&self, received: &ReceivedMessage, notification: &Notification) -> (MessageNotes, PartKeys);

    /// Returns the part that the journal asks instead of [`note`](Self::note), where several daemons share what was seen;
    /// `None` where this process alone remembers it.
    fn recaller(&self) -> Option<Recaller>;
}
