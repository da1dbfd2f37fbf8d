//! The questions to a journal in memory with dead letters in queues of the broker.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_core::quarantine::Glimpse;
use osnl_model::Notification;
use osnl_transport::{BoxFuture, QueuedMessage};

use super::{DeadLetterError, DeadLetterQueues, missing_letter};
use crate::journal::dead_letters::{DeadLetterRow, WaitingLetter, id_of};
use crate::journal::memory::MemoryJournal;
use crate::journal::query::{
    Answer, AttemptRow, Bodies, BoundedCount, CauseGroup, DeliveryDetails, DeliveryListRow, DiskUse, Filter,
    JournalNumbers, JournalQueries, KeptEvent, ListPage, QueryError, RowState, StoreFacts, Unreadable,
    UnreadableFilter, groups_of, page_of,
};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{DeliveryId, JournalState, PauseNote, PausedActions};
use crate::received::ReceivedMessage;

#[derive(Debug)]
pub(crate) struct MemoryAndQueues {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) dead_letters: Arc<DeadLetterQueues>,
}

impl From<DeadLetterError> for QueryError {
    fn from(error: DeadLetterError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl MemoryAndQueues {
    /// Returns also whether dead letters were not read: one reading of the queues is bounded.
    async fn rows(&self) -> Result<(Vec<DeliveryListRow>, bool), QueryError> {
        let mut rows = self.journal.rows();
        let (found, has_more) = self.dead_letters.read(|_| false).await?;
        let mut first: HashMap<(Arc<str>, String), (u64, u64)> = HashMap::new();
        for letter in found.iter().filter_map(WaitingLetter::read) {
            if let Some(key) = letter.key {
                let first = first.entry((letter.action, key)).or_insert((letter.place, letter.id));
                *first = (letter.place, letter.id).min(*first);
            }
        }
        rows.extend(found.iter().filter_map(row_of).map(|row| {
            let lane = row.key.clone().map(|key| (row.action.as_str().into(), key));
            let first = lane.and_then(|lane| first.get(&lane)).map(|(_, id)| DeliveryId(*id));
            let waits_for = first.filter(|first| row.state == RowState::Waiting && *first != row.id);
            DeliveryListRow { waits_for, ..row }
        }));
        Ok((rows, has_more))
    }

    async fn unread(&self, filter: &UnreadableFilter) -> Result<Vec<Unreadable>, QueryError> {
        let wants_body = |message: &QueuedMessage| filter.ids.len() == 1 && is_named(filter, message);
        let (found, has_more) = self.dead_letters.read(wants_body).await?;
        let is_read = |id: &i64| found.iter().any(|one| i64::try_from(id_of(one)) == Ok(*id));
        if let Some(id) = filter.ids.iter().find(|id| has_more && !is_read(id)) {
            let why = format!("there is no message {id} in the quarantine");
            return Err(QueryError::Unavailable(missing_letter(why, true)));
        }
        let mut found: Vec<Unreadable> = found.iter().filter_map(|message| unread(message, filter)).collect();
        found.sort_by_key(|one| one.id);
        Ok(found)
    }
}

impl JournalQueries for MemoryAndQueues {
    fn facts(&self) -> StoreFacts {
        let queues = self.dead_letters.states();
        let names: Vec<&str> = queues.iter().map(|queue| &*queue.queue).collect();
        let trouble = queues.iter().find_map(|queue| queue.trouble.clone());
        let state =
            trouble.map_or(JournalState::Working, |(since, reason)| JournalState::Full { reason, since });
        let place = (!names.is_empty()).then(|| format!("dead letters in queue {}", names.join(", ")));
        StoreFacts { place, state: Some(state), ..self.journal.facts() }
    }

    fn is_at(&self, place: PathBuf) -> BoxFuture<'_, bool> {
        self.journal.is_at(place)
    }

    fn disk_use(&self) -> BoxFuture<'_, DiskUse> {
        self.journal.disk_use()
    }

    fn numbers(&self) -> Answer<'_, JournalNumbers> {
        let in_queues: u64 = self.dead_letters.states().iter().filter_map(|queue| queue.count).sum();
        let dead_in_queues = in_queues.saturating_sub(self.journal.waiting_letters());
        let mut with_letters = self.dead_letters.with_letters().into_iter();
        let has_unread_letters = with_letters.any(|listener| self.journal.may_have_unread_letters(&listener));
        Box::pin(async move {
            let numbers = self.journal.numbers().await?;
            Ok(JournalNumbers { dead_in_queues, has_unread_letters, ..numbers })
        })
    }

    fn paused_actions(&self) -> Answer<'_, PausedActions> {
        self.journal.paused_actions()
    }

    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        _most: u64,
    ) -> Answer<'_, (Vec<DeliveryListRow>, BoundedCount)> {
        Box::pin(async move {
            let (rows, has_more) = self.rows().await?;
            let (rows, counts) = page_of(rows, &filter, &page);
            Ok((rows, (counts, has_more)))
        })
    }

    fn groups(&self, filter: Filter, _most: u64) -> Answer<'_, (Vec<CauseGroup>, BoundedCount)> {
        Box::pin(async move {
            let (rows, has_more) = self.rows().await?;
            let (groups, counts) = groups_of(rows, &filter, has_more);
            Ok((groups, (counts, has_more)))
        })
    }

    fn show(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryDetails>> {
        Box::pin(async move {
            let (found, has_more) = self.dead_letters.read(|message| id_of(message) == id.0).await?;
            match found.iter().find(|message| id_of(message) == id.0).map(DeadLetterRow::read) {
                Some(DeadLetterRow::Delivery(found)) => {
                    let (row, received) = *found;
                    let (tries, others, behind) = (Vec::new(), Vec::new(), (Vec::new(), 0));
                    Ok(Some(DeliveryDetails { row, tries, received, ahead: 0, behind, others }))
                }
                None if has_more => {
                    let why = format!("there is no dead letter {id}");
                    Err(QueryError::Unavailable(missing_letter(why, true)))
                }
                Some(DeadLetterRow::Unreadable(_)) | None => self.journal.show(id).await,
            }
        })
    }

    fn attempts(&self, deliveries: Vec<DeliveryId>) -> Answer<'_, HashMap<DeliveryId, Vec<AttemptRow>>> {
        self.journal.attempts(deliveries)
    }

    fn asked_for(&self, deliveries: Vec<DeliveryListRow>) -> Answer<'_, Vec<AskedFor>> {
        self.journal.asked_for(deliveries)
    }

    fn event(&self, number: u64) -> Answer<'_, Option<KeptEvent>> {
        self.journal.event(number)
    }

    fn keeps(&self, messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>) -> Answer<'_, u64> {
        self.journal.keeps(messages)
    }

    fn quarantined(
        &self,
        filter: UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> Answer<'_, Vec<Unreadable>> {
        if self.dead_letters.is_empty() {
            return self.journal.quarantined(filter, after, limit, bodies);
        }
        Box::pin(async move {
            let mut found = self.unread(&filter).await?;
            found.retain(|one| one.id > after);
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(found)
        })
    }

    fn numbers_quarantined(&self, filter: UnreadableFilter) -> Answer<'_, Vec<i64>> {
        if self.dead_letters.is_empty() {
            return self.journal.numbers_quarantined(filter);
        }
        Box::pin(async move { Ok(self.unread(&filter).await?.iter().map(|one| one.id).collect()) })
    }

    fn set_paused<'a>(&'a self, action: &'a str, note: Option<PauseNote>) -> Answer<'a, ()> {
        self.journal.set_paused(action, note)
    }

    fn open_to_change(self: Arc<Self>) -> Answer<'static, Arc<SqliteJournal>> {
        self.journal.clone().open_to_change()
    }
}

pub(crate) fn row_of(message: &QueuedMessage) -> Option<DeliveryListRow> {
    match DeadLetterRow::read(message) {
        DeadLetterRow::Delivery(found) => Some(found.0),
        DeadLetterRow::Unreadable(_) => None,
    }
}

fn is_named(filter: &UnreadableFilter, message: &QueuedMessage) -> bool {
    i64::try_from(id_of(message)).is_ok_and(|id| filter.ids.contains(&id))
}

pub(crate) fn unread(message: &QueuedMessage, filter: &UnreadableFilter) -> Option<Unreadable> {
    let DeadLetterRow::Unreadable(found) = DeadLetterRow::read(message) else { return None };
    let UnreadableFilter { ids, queue, reason, since, until } = filter;
    let received = found.received.origin.received;
    let is_meant = (ids.is_empty() || ids.contains(&found.id))
        && queue.as_ref().is_none_or(|queue| **queue == *found.received.origin.queue)
        && reason.as_ref().is_none_or(|reason| found.reason.contains(&**reason))
        && since.is_none_or(|since| received >= since)
        && until.is_none_or(|until| received < until);
    let glimpse = Glimpse::from_body(&found.received.body);
    is_meant.then(|| Unreadable { glimpse, ..*found })
}
