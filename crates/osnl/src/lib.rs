//! The OpenStack Notification Listener as a library.
//!
//! The way of one notification goes through these modules in this order, one way only:
//!
//! ```text
//! transport ─► listener ─► intake (rule engine) ─► journal ─► delivery ─► action
//!                 ▲                                   │
//!                 └───────── receipt: settle ◄────────┘
//! ```
//!
//! - [`listener`] owns connecting and settling; [`received`] is a message with its origin.
//! - [`intake`] and [`rule`] decide on the deliveries of a message.
//! - [`journal`] keeps it until it is done; its receipt tells the listener when to acknowledge.
//! - [`delivery`] owns attempts, pauses, order per resource, and holds a target that is down.
//! - [`action`](osnl_actions) is one attempt at the outside world.
//! - [`control`] answers requests from outside: status, deliveries.
//! - [`notification_listener`] is for programs that listen themselves: oslo.messaging's words.
//! - [`notifier`] is the emitting side; [`versioned`] has payloads with classes and versions.
//! - [`native`] is osnl's own configuration, and [`assembly`] makes a daemon of it.
//! - [`explain`] gives the reason why a rule fires or not; [`unmatched`] is the trace of messages that match no rule;
//!   [`replay`] sends journalled or [`saved`] events through rules again.
//! - `osnl_k2hr3` and `osnl_oss` are what the replacements of k2hr3_osnl and oss_watcher need; `osnl_config` reads
//!   oslo.config's dialect.

pub use notification_listener::{Endpoint, NotificationListener, NotificationResult};
pub use osnl_actions as action;
pub use osnl_actions::transport_url;
pub use osnl_core::{ends, metrics, quarantine, received, rule, shutdown};
pub use osnl_delivery as delivery;
pub use osnl_delivery::enrich;
pub use osnl_journal as journal;
pub use osnl_journal::{in_hand, state_dir};
pub use osnl_model::{NotificationFilter, Pattern, Priority, Target, TransportUrl};

pub mod assembly;
mod backoff;
pub mod control;
pub mod daemon;
pub mod explain;
pub mod group;
pub mod intake;
pub mod listener;
pub mod native;
pub mod notification_listener;
pub mod notifier;
pub mod replay;
pub mod saved;
pub mod stamp;
pub mod unmatched;
pub mod versioned;
