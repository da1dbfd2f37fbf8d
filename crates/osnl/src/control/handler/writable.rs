//! A journal that can be changed, and a change in progress.

use std::ops::Deref;
use std::sync::Arc;

use super::super::refusal::RequestRefusal;
use super::change::unavailable;
use crate::journal::Journal;
use crate::journal::shared::{SharedChangeRun, SharedJournal};
use crate::journal::sqlite::{Change, ChangeOutcome, ChangeRun, SqliteJournal};

pub(super) enum Writable {
    File(Arc<SqliteJournal>),
    Shared(Arc<dyn SharedJournal>),
}

impl Writable {
    pub(super) fn changing(&self, change: Change, is_dry_run: bool) -> JournalChange<'_> {
        match self {
            Self::File(journal) => JournalChange::File(journal.changing(change, is_dry_run)),
            Self::Shared(journal) => {
                JournalChange::Shared(SharedChangeRun::new(&**journal, change, is_dry_run))
            }
        }
    }

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

/// A change in progress, a batch at a time.
pub(super) enum JournalChange<'a> {
    File(ChangeRun<'a>),
    Shared(SharedChangeRun<'a>),
}

impl JournalChange<'_> {
    /// Returns the numbers of processed and of requested deliveries.
    pub(super) fn progress(&self) -> (u64, u64) {
        match self {
            Self::File(run) => run.progress(),
            Self::Shared(run) => run.progress(),
        }
    }

    /// Makes the next batch; `None` if the change is complete.
    pub(super) async fn next(&mut self) -> Result<Option<ChangeOutcome>, RequestRefusal> {
        match self {
            Self::File(run) => run.next().await.map_err(|error| unavailable(error.to_string())),
            Self::Shared(run) => run.next().await.map_err(unavailable),
        }
    }
}
