//! The interface for programs: an endpoint, and its answer.

use std::fmt;

use bytes::Bytes;
use osnl_model::{Head, Notification, NotificationFilter, Priority};
use osnl_transport::{BoxFuture, Properties};

use crate::received::{Origin, ReceivedMessage as Raw};

/// Takes notifications: oslo.messaging's endpoint.
///
/// oslo.messaging's endpoint has a method for each of its priorities, and an optional `filter_rule`. Here one
/// method gets them all; [`priorities`](Self::priorities) names them, and decides the bindings on the broker.
/// For a closure see [`Handler`](super::Handler).
///
/// ```
/// use osnl::notification_listener::{BoxFuture, Endpoint, NotificationResult, Priority, ReceivedNotification};
///
/// struct Audit;
///
/// impl Endpoint for Audit {
///     fn priorities(&self) -> &[Priority] {
///         &[Priority::Info, Priority::Error]
///     }
///
///     fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult> {
///         Box::pin(async move {
///             let notification = received.notification();
///             println!("{:?} by {:?}", notification.event_type, notification.publisher_id);
///             NotificationResult::Handled
///         })
///     }
/// }
/// ```
pub trait Endpoint: Send + Sync {
    /// Returns the priorities of this endpoint; the listener binds those of all its endpoints. The priority in the
    /// *body* decides, whatever the routing key, and in any case of letters. The default is all seven; any other
    /// reaches only the endpoints that name it ([`Priority::Other`]).
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    /// The notifications that this endpoint gets: oslo.messaging's `filter_rule`. The default is all.
    fn filter(&self) -> Option<&NotificationFilter> {
        None
    }

    /// Decides by the head, before the payload is read: rejecting a message costs a fraction of a microsecond. The
    /// listener may call it more than once for the same message, and it must be quick.
    fn wants(&self, head: &Head<'_>) -> bool {
        let _ = head;
        true
    }

    /// Takes a notification. The message is acknowledged after the future has completed, never before.
    ///
    /// Must not block its thread: what does belongs into `tokio::task::spawn_blocking`. A panic counts as
    /// [`NotificationResult::Requeue`], as an exception does with oslo.messaging. The same notification may
    /// come again (after a lost connection, or because it was requeued): have an effect that may be repeated.
    fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult>;
}

/// The fate of a message, with the values of oslo.messaging's `NotificationResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationResult {
    /// Done with; the message is acknowledged.
    Handled,
    /// Not now; it is to come again.
    Requeue,
}

impl fmt::Display for NotificationResult {
    /// oslo.messaging's words: `handled`, `requeue`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handled => "handled",
            Self::Requeue => "requeue",
        })
    }
}

/// A received notification, with its bytes and its origin.
#[derive(Clone, Debug)]
pub struct ReceivedNotification {
    notification: Notification,
    raw: Raw,
}

impl ReceivedNotification {
    pub(super) fn new(notification: Notification, raw: Raw) -> Self {
        Self { notification, raw }
    }

    /// Event type, publisher, priority, context, payload, message id and timestamp.
    #[must_use]
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    /// Queue, exchange, routing key, whether it was redelivered, when it arrived.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.raw.origin
    }

    /// The body as it came, framed and perhaps compressed.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.raw.body
    }

    /// Content type, encoding and compression of the body, as the publisher gave them.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.raw.properties
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }
}
