//! Versioned notifications, from declaring one to the broker, and back.
//!
//! Declaring and writing are in `osnl_model::versioned` (the derives need that crate by its name); this is the guide.
//! The joint is small: a [`Notifier`](crate::notifier::Notifier) is an [`Emitter`], and a received notification reads
//! as an object ([`Received::versioned`](crate::notification_listener::Received::versioned)).
//!
//! A service that tells the story of a node's power state:
//!
//! ```
#![doc = include_str!("../examples/power_set.rs")]
//! ```
//!
#![doc = include_str!("../../../docs/versioned-notifications.md")]

pub use osnl_model::versioned::*;
