//! Changes of dead letters and waiting deliveries of `memory://`, which are in queues of the broker: retry, release, discard.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use osnl_transport::QueuedMessage;
use osnl_transport::dead_letters::MOST_READ;
use tokio::time::{Instant, sleep};

use super::super::quarantine::{QuarantineChanges, WhichMessages};
use super::super::refusal::{Code, RequestRefusal};
use super::super::{ChangeResult, ControlRequest};
use super::ControlHandler;
use super::change::{GIVE_BACK_TIME, PAUSE, announce, announce_under_way, starts_calls};
use crate::dead_letters::{
    ChangedLetters, DeadLetterChange, DeadLetterError, DeadLetterQueues, MemoryAndQueues, missing_letter,
    row_of, unread,
};
use crate::journal::DeliveryId;
use crate::journal::dead_letters::id_of;
use crate::journal::memory::MemoryJournal;
use crate::journal::query::{DeliveryListRow, Filter, RowState};

const NAMED: usize = 1000;

impl From<DeadLetterError> for RequestRefusal {
    fn from(error: DeadLetterError) -> Self {
        Self::new(Code::Unavailable, error.to_string())
    }
}

impl ControlHandler {
    pub(super) fn dead_letter_queues(&self) -> Option<&DeadLetterQueues> {
        Some(&*self.letters()?.dead_letters)
    }

    /// Returns the journal in memory with its queues, if there are any.
    pub(super) fn letters(&self) -> Option<&MemoryAndQueues> {
        self.store.memory.as_deref().filter(|memory| !memory.dead_letters.is_empty())
    }

    /// Whether a queue has more letters than one reading shows, by the latest count.
    pub(super) async fn has_more_letters(&self) -> bool {
        let Some(queues) = self.dead_letter_queues() else { return false };
        if self.live.is_none() {
            queues.count().await;
        }
        let most = MOST_READ as u64;
        queues.states().iter().any(|queue| queue.count.is_some_and(|count| count > most))
    }

    pub(super) async fn change_dead_letters(
        &self,
        MemoryAndQueues { journal, dead_letters: queues }: &MemoryAndQueues,
        request: &ControlRequest,
        filter: &Filter,
    ) -> Result<ChangeResult, RequestRefusal> {
        let (change, dry_run) = match request {
            ControlRequest::Retry { dry_run, .. } => (DeadLetterChange::Retry, *dry_run),
            ControlRequest::Release { dry_run, .. } => (DeadLetterChange::Release, *dry_run),
            ControlRequest::Discard { dry_run, .. } => (DeadLetterChange::Discard, *dry_run),
            _ => {
                let why = "with memory:// deliveries can be retried, released, and discarded, not moved: what is open is the \
                           broker's";
                return Err(RequestRefusal::new(Code::Unsupported, why));
            }
        };
        let takes = |row: &DeliveryListRow| match change {
            DeadLetterChange::Retry => row.state == RowState::Dead,
            DeadLetterChange::Release => row.state == RowState::Held,
            DeadLetterChange::Discard => true,
        };
        let actions: Mutex<HashMap<u64, String>> = Mutex::default();
        let is_meant = |message: &QueuedMessage| {
            let Some(row) = row_of(message).filter(|row| takes(row) && filter.matches(row)) else {
                return false;
            };
            if dry_run && starts_calls(request) {
                actions.lock().unwrap_or_else(PoisonError::into_inner).insert(id_of(message), row.action);
            }
            true
        };
        let (mut letters, mut under_way) = (ChangedLetters::default(), HashSet::new());
        if dry_run {
            letters = queues.foresee(change, is_meant).await?;
        } else {
            let result = queues.change(change, is_meant, &mut letters).await;
            if change == DeadLetterChange::Discard {
                under_way = end_discarded(journal, &letters.ids).await;
            }
            announce(request, (letters.ids.len() - under_way.len()) as u64);
            announce_under_way(request, under_way.len() as u64);
            result.map_err(|error| broken_off(&error, letters.ids.len(), "deliveries"))?;
        }
        let ChangedLetters { ids: changed, behind, has_more } = letters;
        let are_all = !filter.ids.is_empty() && changed.len() >= filter.ids.len();
        let is_at_least = has_more && !are_all;
        let mut changes = ChangeResult { dry_run, is_at_least, ..ChangeResult::default() };
        let mut actions = actions.into_inner().unwrap_or_else(PoisonError::into_inner);
        for action in changed.iter().filter_map(|id| actions.remove(id)) {
            self.count_call(action, &mut changes.calls);
        }
        let (left, done): (Vec<u64>, Vec<u64>) = changed.iter().partition(|id| under_way.contains(id));
        (changes.changed, changes.under_way) = (done.len() as u64, left.len() as u64);
        let named =
            |ids: Vec<u64>| ids.into_iter().take(NAMED).map(|id| DeliveryId(id).to_string()).collect();
        (changes.ids, changes.under_way_ids) = (named(done), named(left));
        for (id, first) in &behind {
            let first = DeliveryId(*first);
            let why =
                format!("it waits behind delivery {first} of its resource: name that too, or discard it");
            changes.refuse(DeliveryId(*id), why);
        }
        let is_told = |id: u64| changed.contains(&id) || behind.iter().any(|(other, _)| *other == id);
        let takes = match change {
            DeadLetterChange::Retry => "dead letter",
            DeadLetterChange::Release => "delivery that waits for release",
            DeadLetterChange::Discard => "dead letter or waiting delivery",
        };
        for id in filter.ids.iter().filter(|id| !is_told(id.0)) {
            let why = format!("there is no {takes} of this number, or another filter excludes it");
            changes.refuse(*id, missing_letter(why, has_more));
        }
        Ok(changes)
    }

    pub(super) async fn change_unread_letters(
        &self,
        queues: &DeadLetterQueues,
        change: DeadLetterChange,
        which: &WhichMessages,
        (dry_run, by): (bool, &str),
    ) -> Result<QuarantineChanges, RequestRefusal> {
        let filter = which.filter()?;
        let is_meant = |message: &QueuedMessage| unread(message, &filter).is_some();
        let mut letters = ChangedLetters::default();
        if dry_run {
            let (found, has_more) = queues.read(|_| false).await?;
            letters.ids = found.iter().filter(|one| is_meant(one)).map(id_of).collect();
            letters.has_more = has_more;
        } else {
            let result = queues.change(change, is_meant, &mut letters).await;
            announce_unread(change, letters.ids.len(), which, by);
            result.map_err(|error| broken_off(&error, letters.ids.len(), "messages"))?;
        }
        let ChangedLetters { ids: changed, has_more, .. } = letters;
        let are_all = !filter.ids.is_empty() && changed.len() >= filter.ids.len();
        let is_at_least = has_more && !are_all;
        let mut changes = QuarantineChanges { dry_run, is_at_least, ..QuarantineChanges::default() };
        let changed: Vec<i64> = changed.into_iter().filter_map(|id| i64::try_from(id).ok()).collect();
        changed.iter().for_each(|id| changes.changed(*id));
        super::quarantine::refuse_missing(&mut changes, &filter.ids, &changed, has_more);
        Ok(changes)
    }
}

/// Ends the deliveries of letters that are discarded, and returns the letters whose attempts run.
async fn end_discarded(journal: &MemoryJournal, letters: &[u64]) -> HashSet<u64> {
    let letters = letters.iter().copied().collect();
    journal.discard_letters(&letters);
    let deadline = Instant::now() + GIVE_BACK_TIME;
    loop {
        let in_hand = journal.letters_in_hand(&letters);
        if in_hand.is_empty() || Instant::now() >= deadline {
            return in_hand;
        }
        sleep(PAUSE).await;
    }
}

/// Refuses a request of which a part was done before a queue failed.
fn broken_off(error: &DeadLetterError, changed: usize, what: &str) -> RequestRefusal {
    RequestRefusal::new(Code::Unavailable, format!("{error}; {changed} {what} were changed before"))
}

fn announce_unread(change: DeadLetterChange, messages: usize, which: &WhichMessages, by: &str) {
    let filter = which.to_string();
    match change {
        _ if messages == 0 => {}
        DeadLetterChange::Retry | DeadLetterChange::Release => {
            tracing::info!(messages, filter, by, "an operator retried messages of the quarantine");
        }
        DeadLetterChange::Discard => {
            tracing::warn!(messages, filter, by, "an operator discarded messages of the quarantine");
        }
    }
}
