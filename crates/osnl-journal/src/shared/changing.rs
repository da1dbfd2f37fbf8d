use super::SharedJournal;
use crate::DeliveryId;
use crate::sqlite::{Change, ChangeOutcome};

const AT_ONCE: usize = 500;

/// A change under way, one bite for each call of [`next`](Self::next). Without further calls the rest is not
/// changed.
#[derive(Debug)]
pub struct SharedChangeRun<'a> {
    journal: &'a dyn SharedJournal,
    change: Change,
    is_dry_run: bool,
    selected: Option<Vec<DeliveryId>>,
    at: usize,
}

impl<'a> SharedChangeRun<'a> {
    /// Returns a change of the deliveries that match at its first bite.
    #[must_use]
    pub fn new(journal: &'a dyn SharedJournal, change: Change, is_dry_run: bool) -> Self {
        Self { journal, change, is_dry_run, selected: None, at: 0 }
    }

    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.at as u64, self.selected.as_ref().map_or(0, |selected| selected.len() as u64))
    }

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
