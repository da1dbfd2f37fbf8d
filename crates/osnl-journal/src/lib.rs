//! The journal: keeps messages and their deliveries from the broker's acknowledgement to the target's answer.
//!
//! An entry passes through these steps:
//!
//! 1. The listener [reserves](Journal::reserve) a place *before* it reads from the broker.
//! 2. The listener [appends](Journal::append) the message with its deliveries, and gets a [`Receipt`].
//! 3. The delivery loop [claims](Journal::claim) deliveries and [ends](Journal::end) each with an
//!    [`Outcome`].
//! 4. The receipt completes when the message is safe, and the listener settles the message.
//!
//! A message is *safe* at the last outcome in [`memory`] (`memory://`), and at the commit in [`sqlite`]. The
//! stores differ only in that.
//!
//! ```
//! use std::sync::Arc;
//!
//! use osnl_core::metrics::Counters;
//! use osnl_core::received::{MessageNotes, Origin, ReceivedMessage};
//! use osnl_journal::memory::{MemoryJournal, MemoryLimits};
//! use osnl_journal::{ClaimLimits, Entry, Journal, NewDelivery, Outcome, Settle};
//! use osnl_transport::Properties;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::<Counters>::default());
//! let received = ReceivedMessage {
//!     body: r#"{"event_type": "port.delete.end", "payload": {"port_id": "7b2f"}}"#.into(),
//!     properties: Properties::default(),
//!     origin: Origin {
//!         listener: "neutron".into(),
//!         queue: "osnl".into(),
//!         exchange: "neutron".into(),
//!         routing_key: "notifications.info".into(),
//!         redelivered: false,
//!         received: std::time::SystemTime::now(),
//!     },
//!     noted: MessageNotes::default(),
//! };
//! let notification = Arc::new(received.decode()?);
//! let deliveries = vec![NewDelivery::new("deleted-ports", "cmdb", Some("7b2f".to_owned()))];
//!
//! let mut permit = journal.reserve(&["cmdb".into()], 1).await;
//! let receipt = journal.append(&mut permit, Entry { received: received.into(), notification, deliveries });
//!
//! let claimed = journal.claim("cmdb", ClaimLimits::in_order(1)).await;
//! assert_eq!(claimed[0].event.payload()["port_id"], "7b2f");
//! journal.end(claimed[0].id, Outcome::Delivered.into());
//! assert_eq!(receipt.await, Settle::Acknowledge);
//! # Ok(())
//! # }
//! ```
//!
//! **Order** is per action and resource key, by the order of the appends. Only the oldest delivery of a key can be
//! claimed; its outcome makes the next claimable.

mod begin;
mod bounds;
mod claim;
#[cfg(test)]
#[macro_use]
mod conformance;
mod contract;
pub mod dead_letters;
mod entry;
pub mod files;
mod identity;
pub mod in_hand;
pub mod memory;
mod outcome;
mod permit;
pub mod query;
mod receipt;
pub mod sqlite;
mod state;
pub mod state_dir;
pub mod state_lock;
mod store;

pub use self::bounds::{ActionTerms, JournalBounds, JournalTerms};
pub(crate) use self::claim::reserved_numbers;
pub use self::claim::{AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, SentRequest, UsedLimits};
pub use self::contract::{Journal, LearntFacts, Pause, PauseNote, PausedActions};
pub use self::entry::{Begin, Entry, NewDelivery, Subject};
pub use self::outcome::{End, Handover, Outcome};
pub use self::permit::Permit;
pub(crate) use self::permit::PermitStore;
pub use self::receipt::{Receipt, Settle};
pub use self::state::{JournalState, Obstacle};
