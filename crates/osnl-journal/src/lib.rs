//! Between the broker's acknowledgement and the target's answer stands the journal.
//!
//! The way of an entry: [`reserve`](Journal::reserve) a place *before* anything is read from the
//! broker, [`append`](Journal::append) what a rule wants and get a [`Receipt`], hand the deliveries
//! out to the delivery loop by [`claim`](Journal::claim), take each [`End`] back. When everything
//! the message asked for is safe the receipt completes, and the listener settles the message.
//!
//! The store chooses the meaning of *safe*, which is the only difference between stores. With [`memory`] (`memory://`)
//! it is the last outcome; with a durable store, [`sqlite`], it is the commit.
//!
//! **Order**: per action and resource key, in the order of the appends. Only the oldest delivery of a
//! key is ever claimed; its outcome makes the next one claimable. A delivery that waits for its retry waits in the
//! journal with its due time ([`retry_at`](Journal::retry_at)): claims hold what runs, and what can run now.

pub mod begin;
mod claim;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
mod entry;
pub mod files;
pub mod identity;
pub mod in_hand;
pub mod memory;
mod outcome;
mod permit;
mod receipt;
pub mod sqlite;
mod state;
pub mod state_dir;

pub use self::claim::{ClaimLimits, ClaimedDelivery, DeliveryId, Retry, SentRequest, UsedLimits};
pub use self::contract::{Journal, LearntFacts, PausedActions};
pub use self::entry::{Begin, Entry, NewDelivery, Subject};
pub use self::outcome::{End, Handover, Outcome};
pub use self::permit::{Permit, Places};
pub use self::receipt::{Receipt, Settle};
pub use self::state::{JournalState, Obstacle};
