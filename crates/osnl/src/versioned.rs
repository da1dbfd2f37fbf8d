//! Versioned notifications, from declaring one to the broker, and back.
//!
//! What is declared and written is `osnl_model::versioned`'s (the derives need that crate by its name); this is its
//! guide. The joint is small: a [`Notifier`](crate::notifier::Notifier) is an [`Emitter`], and what a listener has
//! received reads as an object
//! ([`Received::versioned`](crate::notification_listener::Received::versioned)).
//!
//! A service that tells the story of a node's power state:
//!
//! ```
#![doc = include_str!("../examples/power_set.rs")]
//! ```
//!
#![doc = include_str!("../../../docs/versioned-notifications.md")]

pub use osnl_model::versioned::*;
