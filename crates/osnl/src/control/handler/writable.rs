//! A journal that can be changed, and a change of it that is being made.

use std::ops::Deref;
use std::sync::Arc;

use super::super::refusal::RequestRefusal;
use super::change::unavailable;
use crate::journal::Journal;
use crate::journal::shared::{SharedChangeRun, SharedJournal};
use crate::journal::sqlite::{Change, ChangeOutcome, ChangeRun, SqliteJournal};

/// The journal of this process, or that of a file.
pub(super) enum Writable {
    File(Arc<SqliteJournal>),
    Shared(Arc<dyn SharedJournal>),
}

impl Writable {
    /// Begins a change; a dry run changes nothing.
    pub(super) fn changing(&self, change: Change, is_dry_run: bool) -> JournalChange<'_> {
        match self {
            Self::File(journal) => JournalChange::File(journal.changing(change, is_dry_run)),
            Self::Shared(journal) => {
                JournalChange::Shared(SharedChangeRun::new(&**journal, change, is_dry_run))
            }
        }
    }

    /// Lets messages go that were kept unread.
    pub(super) async fn forget_quarantined(&self, ids: Vec<i64>) -> Result<(), RequestRefusal> {
        match self {
            Self::File(journal) => {
                let forgotten = journal.forget_quarantined(ids).await;
                forgotten.map(drop).map_err(|error| unavailable(error.to_string()))
            }
            Self::Shared(journal) => journal.forget_quarantined(ids).await.map(drop).map_err(unavailable),
        }
    }
}

impl Deref for Writable {
    type Target = dyn Journal;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::File(journal) => &**journal,
            Self::Shared(journal) => &**journal,
        }
    }
}

/// A change that is being made, a bite at a time.
pub(super) enum JournalChange<'a> {
    File(ChangeRun<'a>),
    Shared(SharedChangeRun<'a>),
}

impl JournalChange<'_> {
    /// Returns the number of deliveries that it has looked at, and of all that it was asked for.
    pub(super) fn progress(&self) -> (u64, u64) {
        match self {
            Self::File(run) => run.progress(),
            Self::Shared(run) => run.progress(),
        }
    }

    /// The next bite; `None` when all is done.
    pub(super) async fn next(&mut self) -> Result<Option<ChangeOutcome>, RequestRefusal> {
        match self {
            Self::File(run) => run.next().await.map_err(|error| unavailable(error.to_string())),
            Self::Shared(run) => run.next().await.map_err(unavailable),
        }
    }
}
