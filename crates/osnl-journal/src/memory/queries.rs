use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;

use super::MemoryJournal;
use crate::query::{
    Answer, AttemptRow, Bodies, BoundedCount, CauseGroup, DeliveryDetails, DeliveryListRow, DiskUse,
    FailingKey, Filter, JournalNumbers, JournalQueries, KeptEvent, ListPage, QueryError, StoreFacts,
    Unreadable, UnreadableFilter, groups_of, page_of,
};
use crate::sqlite::SqliteJournal;
use crate::{DeliveryId, Journal as _, PauseNote, PausedActions};

fn ready<'a, T: Send + 'a>(answer: Result<T, QueryError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}

fn unsupported<'a, T: Send + 'a>(reason: &str) -> Answer<'a, T> {
    ready(Err(QueryError::Unsupported(reason.to_owned())))
}

const NO_QUARANTINE: &str = "memory:// keeps no quarantine: what cannot be read is in the log, with its digest; set sqlite:// in \
     [journal] connection to keep it, or let the listener read a quorum queue of its own";

impl JournalQueries for MemoryJournal {
    fn facts(&self) -> StoreFacts {
        StoreFacts { kind: "memory", state: Some(self.state().borrow().clone()), ..StoreFacts::default() }
    }

    fn is_at(&self, place: PathBuf) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(place == Path::new("memory://")))
    }

    fn disk_use(&self) -> BoxFuture<'_, DiskUse> {
        Box::pin(std::future::ready(DiskUse::default()))
    }

    fn numbers(&self) -> Answer<'_, JournalNumbers> {
        let mut oldest = BTreeMap::new();
        for row in self.rows() {
            let first = oldest.entry(row.action).or_insert(row.received);
            *first = row.received.min(*first);
        }
        let mut failing: BTreeMap<String, Vec<FailingKey>> = BTreeMap::new();
        for (action, key) in self.failing_keys() {
            failing.entry(action.to_string()).or_default().push(key);
        }
        let (tally, paused) = (self.tally(), self.paused().borrow().clone());
        let (held, returns) = (self.letter_causes(), self.returns());
        ready(Ok(JournalNumbers {
            tally,
            oldest,
            returns,
            failing,
            paused,
            held,
            ..JournalNumbers::default()
        }))
    }

    fn paused_actions(&self) -> Answer<'_, PausedActions> {
        ready(Ok(self.paused().borrow().clone()))
    }

    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        _most: u64,
    ) -> Answer<'_, (Vec<DeliveryListRow>, BoundedCount)> {
        let (rows, counts) = page_of(self.rows(), &filter, &page);
        ready(Ok((rows, (counts, false))))
    }

    fn groups(&self, filter: Filter, _most: u64) -> Answer<'_, (Vec<CauseGroup>, BoundedCount)> {
        let (groups, counts) = groups_of(self.rows(), &filter, false);
        ready(Ok((groups, (counts, false))))
    }

    fn show(&self, _id: DeliveryId) -> Answer<'_, Option<DeliveryDetails>> {
        unsupported(
            "memory:// keeps no history of a delivery; list shows those that are open, and show shows dead letters of a quorum \
             queue",
        )
    }

    fn attempts(&self, _deliveries: Vec<DeliveryId>) -> Answer<'_, HashMap<DeliveryId, Vec<AttemptRow>>> {
        ready(Ok(HashMap::new()))
    }

    fn asked_for(&self, _deliveries: Vec<DeliveryListRow>) -> Answer<'_, Vec<AskedFor>> {
        ready(Ok(Vec::new()))
    }

    fn event(&self, _number: u64) -> Answer<'_, Option<KeptEvent>> {
        ready(Ok(None))
    }

    fn keeps(&self, _messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>) -> Answer<'_, u64> {
        ready(Ok(0))
    }

    fn quarantined(
        &self,
        _filter: UnreadableFilter,
        _after: i64,
        _limit: u32,
        _bodies: Bodies,
    ) -> Answer<'_, Vec<Unreadable>> {
        unsupported(NO_QUARANTINE)
    }

    fn numbers_quarantined(&self, _filter: UnreadableFilter) -> Answer<'_, Vec<i64>> {
        unsupported(NO_QUARANTINE)
    }

    fn set_paused<'a>(&'a self, action: &'a str, note: Option<PauseNote>) -> Answer<'a, ()> {
        self.set_pause(action, note);
        ready(Ok(()))
    }

    fn open_to_change(self: Arc<Self>) -> Answer<'static, Arc<SqliteJournal>> {
        unsupported(
            "memory:// keeps nothing that could be changed: what is open is the broker's, and dead letters are in the log unless \
             the listener reads a quorum queue of its own (rabbit_quorum_queue, pool); pause and resume work",
        )
    }
}
