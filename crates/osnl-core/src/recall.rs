//! The meaning of messages against rows that several daemons share.
//!
//! A daemon alone [observes](crate::observe) each message as it arrives, and remembers in the process what was seen before. Of
//! daemons that share a journal none has seen everything: the journal reads the rows, has the meaning computed, and writes what
//! has changed, in the transaction that keeps the message. If another daemon has written meanwhile, all of it is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use osnl_model::Notification;

/// By resource of a bulk request: the key that its deliveries are kept in order by.
pub type PartKeys = Vec<(Option<u32>, String)>;

/// The beginning of the names of rows about messages: each has the meaning of one, so that it means the same when it comes from
/// another queue.
const MESSAGE: &str = "message/";

/// A row that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// `instance/ID`, `port/ID`, `floatingip/ID`, `address/IP`; `asked/` before one of the first two. In a shared journal
    /// `message/ID` too.
    pub name: String,
    /// Its new value; `None` if it is forgotten.
    pub row: Option<String>,
}

/// Returns the name of the row about a message.
#[must_use]
pub fn message_row(id: &str) -> String {
    format!("{MESSAGE}{id}")
}

/// Returns the id of the message that a row is about.
#[must_use]
pub fn message_of_row(name: &str) -> Option<&str> {
    name.strip_prefix(MESSAGE)
}

/// The rows that a journal has read. A name that is not among them has not been read yet; one without a value has no row.
pub type ReadRows = BTreeMap<String, Option<String>>;

/// A message, or a fact about resources, in the order in which they count.
#[derive(Clone, Debug)]
pub enum RecallReport<'a> {
    /// A message, and its payload as it was written.
    Message(&'a Notification, Option<String>),
    /// Facts that a delivery has found, in the form of the [`Recall`] that they came from.
    Facts(&'a str),
}

/// The meaning of a message; of facts, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecalledMeaning {
    /// `Occurrence`s as JSON, kept with the message.
    pub happened: Option<Arc<str>>,
    /// The keys of its deliveries.
    pub keys: PartKeys,
}

/// The meaning of all that was reported, and the rows that it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recollection {
    /// One for each report.
    pub meanings: Vec<RecalledMeaning>,
    /// Each row once, with its last value.
    pub changes: Vec<RowChange>,
}

/// Computes what messages mean against rows of a shared journal.
pub trait Recall: Send + Sync + fmt::Debug {
    /// Returns the meaning of these reports, in their order. It depends on them and on the rows alone, as it is computed again
    /// when its transaction is repeated.
    ///
    /// # Errors
    /// The names of rows that have to be read first.
    fn recall(&self, reports: &[RecallReport<'_>], rows: &ReadRows)
    -> Result<Recollection, BTreeSet<String>>;
}

/// A [`Recall`] that messages and facts carry to the journal. Two are equal if they are the same one.
#[derive(Clone, Debug)]
pub struct Recaller(pub Arc<dyn Recall>);

impl PartialEq for Recaller {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Recaller {}
