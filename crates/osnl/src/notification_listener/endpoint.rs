use std::fmt;

use bytes::Bytes;
use osnl_model::{Head, Notification, NotificationFilter, Priority};
use osnl_transport::{BoxFuture, Properties};

use crate::received::{Origin, ReceivedMessage as Raw};

/// Receives notifications, as an endpoint of oslo.messaging does.
///
/// Instead of a method per priority, [`priorities`](Self::priorities) selects notifications and bindings. For a closure
/// see [`Handler`](super::Handler).
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
    /// Returns the priorities to bind and accept. The priority in the *body* decides, in any case of letters, not the
    /// routing key. The default is all seven; any other needs [`Priority::Other`].
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    /// Returns oslo.messaging's `filter_rule`. The default accepts all.
    fn filter(&self) -> Option<&NotificationFilter> {
        None
    }

    /// Whether to receive a message, decided before its payload is read. Must be quick, because the listener may ask
    /// repeatedly.
    fn wants(&self, head: &Head<'_>) -> bool {
        let _ = head;
        true
    }

    /// Handles a notification. The message is acknowledged only after the future has completed.
    ///
    /// Must not block its thread; use `tokio::task::spawn_blocking`. A panic counts as [`NotificationResult::Requeue`],
    /// as an exception with oslo.messaging. A notification may be redelivered, so the effect must be repeatable.
    fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult>;
}

/// The result of an endpoint, as oslo.messaging defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationResult {
    Handled,
    Requeue,
}

impl fmt::Display for NotificationResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handled => "handled",
            Self::Requeue => "requeue",
        })
    }
}

/// A decoded notification for an endpoint, with its bytes.
#[derive(Clone, Debug)]
pub struct ReceivedNotification {
    notification: Notification,
    raw: Raw,
}

impl ReceivedNotification {
    pub(super) fn new(notification: Notification, raw: Raw) -> Self {
        Self { notification, raw }
    }

    #[must_use]
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.raw.origin
    }

    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.raw.body
    }

    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.raw.properties
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }
}
