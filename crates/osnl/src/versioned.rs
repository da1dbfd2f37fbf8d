//! Versioned notifications: declare, emit, and read payloads that have a class and a version.
//!
//! This module is `osnl_model::versioned`, where the derives expect it, and the guide. A
//! [`Notifier`](crate::notifier::Notifier) is an [`Emitter`], and
//! [`ReceivedNotification::versioned`](crate::notification_listener::ReceivedNotification::versioned) reads a notification
//! as an object.
//!
//! This program emits the notifications of a node's power state:
//!
//! ```
#![doc = include_str!("../examples/power_set.rs")]
//! ```
//!
#![doc = include_str!("versioned/guide.md")]

pub use osnl_model::versioned::*;
