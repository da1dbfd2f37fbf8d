//! The identity of a message: the queue, the id that the publisher gave, and the bytes.
//!
//! Without an id, a message is a duplicate only if the broker marks it as redelivered, and only of an entry that is
//! open or was not settled: redelivered means handed over, not kept.

use std::sync::Arc;

use osnl_core::received::ReceivedMessage;
use osnl_model::{BodyDigest, Notification};

/// The header with the number of the dead letter that a message was before it was put back into its queue.
pub(crate) const RETRY_OF: &str = "osnl-retry-of";

/// One message, however often it is delivered. Nova has sent two different bodies under one id, so the id
/// alone decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageIdentity {
    /// The queue that it came from.
    pub queue: Arc<str>,
    /// `_unique_id`, else the message id; without either the digest alone decides.
    pub id: Option<String>,
    /// The digest of its bytes.
    pub digest: BodyDigest,
}

impl MessageIdentity {
    /// The identity of a message.
    #[must_use]
    pub fn of(received: &ReceivedMessage, notification: &Notification) -> Self {
        Self {
            queue: received.origin.queue.clone(),
            id: id(received, notification),
            digest: received.digest(),
        }
    }

    /// Returns the bytes of its texts; the name of the queue is shared.
    pub(crate) fn bytes(&self) -> usize {
        self.id.as_ref().map_or(0, String::len)
    }

    /// Whether a second copy may be no second event: with an id always, without one only if the broker says that it has
    /// delivered it before, and then only of what is open or was not settled.
    #[must_use]
    pub fn tells(&self, redelivered: bool) -> bool {
        self.id.is_some() || redelivered
    }
}

/// A message that an operator had put back into its queue is another one than the dead letter that it was.
fn id(received: &ReceivedMessage, notification: &Notification) -> Option<String> {
    let again = received.noted.marks.as_deref().and_then(|marks| marks.get(RETRY_OF));
    match (notification.id(), again) {
        (Some(id), Some(again)) => Some(format!("{id}/{again}")),
        (id, None) => id.map(str::to_owned),
        (None, Some(again)) => Some(again.to_owned()),
    }
}
