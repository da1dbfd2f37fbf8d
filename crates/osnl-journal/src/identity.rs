//! The identity of a message: the queue, the publisher's id, and the bytes.
//!
//! Without an id, a message is a duplicate only if the broker marks it as redelivered, and only of an open or
//! unsettled entry. The mark proves an earlier delivery and not that the message was kept.
//!
//! Endpoints of the library have no journal: `notification_listener/dispatch.rs` in `osnl` joins a copy to the message
//! while the first is handled.

use std::sync::Arc;

use osnl_core::received::ReceivedMessage;
use osnl_model::{BodyDigest, Notification};

/// The header with the number of the dead letter from which a retried message was made.
pub(crate) const RETRY_OF: &str = "osnl-retry-of";

/// One message over all its deliveries. Nova has sent two different bodies under one id, so an id alone
/// decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessageIdentity {
    pub queue: Arc<str>,
    /// `_unique_id`, else the message id; without either the digest alone decides.
    pub id: Option<String>,
    pub digest: BodyDigest,
}

impl MessageIdentity {
    #[must_use]
    pub(crate) fn new(received: &ReceivedMessage, notification: &Notification) -> Self {
        Self {
            queue: received.origin.queue.clone(),
            id: id(received, notification),
            digest: received.digest(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.id.as_ref().map_or(0, String::len)
    }

    /// Whether a second copy may be a duplicate. Without an id, only a redelivered copy is one, and only of
    /// an open or unsettled entry.
    #[must_use]
    pub(crate) fn may_be_copy(&self, redelivered: bool) -> bool {
        self.id.is_some() || redelivered
    }
}

/// Returns the id. A retried message has another identity than its dead letter.
fn id(received: &ReceivedMessage, notification: &Notification) -> Option<String> {
    let again = received.noted.marks.as_deref().and_then(|marks| marks.get(RETRY_OF));
    match (notification.id(), again) {
        (Some(id), Some(again)) => Some(format!("{id}/{again}")),
        (id, None) => id.map(str::to_owned),
        (None, Some(again)) => Some(again.to_owned()),
    }
}
