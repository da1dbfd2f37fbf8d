//! The notification of an open entry: kept decoded if light, otherwise decoded again when needed.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

use crate::store::weight::{LIGHT, bytes_of};

/// The decoded message of an open entry, within a bound of memory.
#[derive(Debug)]
pub(super) enum KeptNotification {
    Light(Arc<Notification>),
    Heavy { head: Arc<Notification>, latest: Mutex<Weak<Notification>> },
}

impl KeptNotification {
    pub(super) fn new(received: &ReceivedMessage, notification: Arc<Notification>) -> Self {
        if bytes_of(received, &notification) <= LIGHT {
            return Self::Light(notification);
        }
        let Notification { event_type, publisher_id, priority, message_id, timestamp, unique_id, .. } =
            &*notification;
        let head = Notification {
            event_type: event_type.clone(),
            publisher_id: publisher_id.clone(),
            priority: priority.clone(),
            message_id: message_id.clone(),
            timestamp: timestamp.clone(),
            unique_id: unique_id.clone(),
            ..Notification::default()
        };
        Self::Heavy { head: Arc::new(head), latest: Mutex::new(Arc::downgrade(&notification)) }
    }

    pub(super) fn head(&self) -> &Notification {
        match self {
            Self::Light(notification) => notification,
            Self::Heavy { head, .. } => head,
        }
    }

    /// Returns the whole notification. The message was decoded at its arrival, so a second time cannot fail.
    pub(super) fn whole(&self, received: &ReceivedMessage) -> Arc<Notification> {
        match self {
            Self::Light(notification) => notification.clone(),
            Self::Heavy { head, latest } => {
                let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(notification) = latest.upgrade() {
                    return notification;
                }
                let notification = received.decode().map_or_else(|_| head.clone(), Arc::new);
                *latest = Arc::downgrade(&notification);
                notification
            }
        }
    }
}
