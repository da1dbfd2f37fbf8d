//! The interface through which people ask about a journal and change it, and the words of every store.
//!
//! | part | is |
//! | --- | --- |
//! | [`JournalQueries`] | the questions; implemented by each store, for a running and for a stopped daemon |
//! | [`Filter`], [`ListPage`], [`Phase`] | which deliveries, in which order, and the words for their states |
//! | [`DeliveryListRow`], [`JournalNumbers`] and others | the records that answer |
//! | [`CauseGroup`] | deliveries that are not done, by cause |
//! | [`Change`], [`ChangeOutcome`] | what an operator asks for, and what came of it |
//!
//! An answer is complete for one moment, or an error gives the reason. The conformance suite asks every store
//! the same questions.

mod change;
mod filter;
mod groups;
mod numbers;
mod page;
mod phase;
mod records;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;

pub use self::change::{Change, ChangeError, ChangeOutcome, ChangeRefusal};
pub(crate) use self::filter::RowCondition;
pub use self::filter::{About, AnswerPolicy, Filter};
pub use self::groups::{CauseGroup, groups_of};
pub(crate) use self::groups::{CauseTally, ComparedRow, GroupOrder};
pub use self::numbers::{DiskUse, JournalNumbers, StoreFacts};
pub use self::page::{BoundedCount, ListPage, PhaseCount, RowOrder, page_of};
pub(crate) use self::page::{count_rows, counted_phases};
pub use self::phase::{Phase, QueryContext, RowState};
pub(crate) use self::records::LONGEST_TYPE;
pub use self::records::{
    AttemptRow, Bodies, DeliveryDetails, DeliveryListRow, FailingKey, HeldBy, HeldCause, KeptEvent,
    KeyBounds, KeyedEvent, LatestDead, Overview, RecentDelivery, Tally, Unreadable, UnreadableFilter,
};
use crate::sqlite::SqliteJournal;
use crate::{DeliveryId, JournalState, PauseNote, PausedActions};

/// The reason why a store does not answer a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The store does not answer now; a later question may be answered.
    #[error("{0}")]
    Unavailable(String),
    /// The store never answers this question.
    #[error("{0}")]
    Unsupported(String),
}

/// A store's answer about one moment.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, QueryError>>;

/// The questions of operators to a journal, for a running and for a stopped daemon.
pub trait JournalQueries: fmt::Debug + Send + Sync {
    fn facts(&self) -> StoreFacts;

    /// Whether a path, or a connection as it is shown, names this journal.
    fn is_at(&self, place: PathBuf) -> BoxFuture<'_, bool>;

    fn disk_use(&self) -> BoxFuture<'_, DiskUse>;

    fn numbers(&self) -> Answer<'_, JournalNumbers>;

    fn paused_actions(&self) -> Answer<'_, PausedActions>;

    /// Returns a page, and the counts of all that match, of at most `most` deliveries.
    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        most: u64,
    ) -> Answer<'_, (Vec<DeliveryListRow>, BoundedCount)>;

    /// Returns the deliveries that match and are not done as groups, those that wait for an operator first, and the
    /// counts of all that match. A count that reaches `most`, or a bound of the store, is a lower bound.
    fn groups(&self, filter: Filter, most: u64) -> Answer<'_, (Vec<CauseGroup>, BoundedCount)>;

    fn show(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryDetails>>;

    /// Returns the failed attempts of each delivery, oldest first; none of deliveries that have left.
    fn attempts(&self, deliveries: Vec<DeliveryId>) -> Answer<'_, HashMap<DeliveryId, Vec<AttemptRow>>>;

    /// Returns the enrichments that are kept with deliveries of one event; secrets are not masked.
    fn asked_for(&self, deliveries: Vec<DeliveryListRow>) -> Answer<'_, Vec<AskedFor>>;

    fn event(&self, number: u64) -> Answer<'_, Option<KeptEvent>>;

    /// Counts the messages that the journal would take for copies: of kept ones, or of ones before them in the list.
    fn keeps(&self, messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>) -> Answer<'_, u64>;

    /// Returns messages in quarantine with a number above `after`, oldest first.
    fn quarantined(
        &self,
        filter: UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> Answer<'_, Vec<Unreadable>>;

    fn numbers_quarantined(&self, filter: UnreadableFilter) -> Answer<'_, Vec<i64>>;

    /// Pauses an action with a note, or resumes it.
    fn set_paused<'a>(&'a self, action: &'a str, note: Option<PauseNote>) -> Answer<'a, ()>;

    /// Opens the journal for changes; a journal in memory refuses. The journal of a stopped daemon is open until the
    /// last clone is dropped, which blocks.
    fn open_to_change(self: Arc<Self>) -> Answer<'static, Arc<SqliteJournal>>;
}

impl JournalState {
    pub(crate) fn can_be_changed(&self) -> Result<(), QueryError> {
        match self {
            Self::Working | Self::Full { .. } => Ok(()),
            Self::Failed { reason, .. } => {
                Err(QueryError::Unavailable(format!("nothing was changed: {reason}")))
            }
        }
    }
}
