//! A change of many deliveries of a shared journal, a bite at a time.

use super::SharedJournal;
use crate::DeliveryId;
use crate::sqlite::{Change, ChangeOutcome};

/// Deliveries of one bite.
const AT_ONCE: usize = 500;

/// A change that is being made. What is not asked for with [`next`](Self::next) is not done.
#[derive(Debug)]
pub struct SharedChangeRun<'a> {
    journal: &'a dyn SharedJournal,
    change: Change,
    is_dry_run: bool,
    selected: Option<Vec<DeliveryId>>,
    at: usize,
}

impl<'a> SharedChangeRun<'a> {
    /// A change of the deliveries that match when it begins.
    #[must_use]
    pub fn new(journal: &'a dyn SharedJournal, change: Change, is_dry_run: bool) -> Self {
        Self { journal, change, is_dry_run, selected: None, at: 0 }
    }

    /// Returns the number of deliveries that it has asked for, and of all that are selected.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.at as u64, self.selected.as_ref().map_or(0, |selected| selected.len() as u64))
    }

    /// The next bite; `None` when all is done. Each is committed when this returns.
    ///
    /// # Errors
    /// The database's.
    pub async fn next(&mut self) -> Result<Option<ChangeOutcome>, String> {
        if self.selected.is_none() {
            self.selected = Some(self.journal.select(&self.change).await?);
        }
        let selected = self.selected.as_deref().unwrap_or_default();
        let rest = selected.get(self.at..).unwrap_or_default();
        let ids: Vec<DeliveryId> = rest.iter().take(AT_ONCE).copied().collect();
        if ids.is_empty() {
            return Ok(None);
        }
        self.at += ids.len();
        self.journal.change(&self.change, ids, self.is_dry_run).await.map(Some)
    }
}
