//! Selects the deliveries of a change beside the writer, and makes the change batch by batch.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use osnl_core::epoch;
use rusqlite::{Result, ToSql};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::SqliteJournal;
use super::change::{ChangeBatch, ChangeBatchResult};
use super::lane::DeferredChange;
use super::reader::SqliteReader;
use super::rows::delivery_id;
use super::writer::{Apply, SqliteCommand};
use crate::DeliveryId;
use crate::query::Filter;
use crate::query::RowState;
use crate::query::{Change, ChangeError, ChangeOutcome};

const AT_ONCE: usize = 1000;
/// Milliseconds by which an effect may be written after its date, which is the start of the transaction.
const MARGIN: i64 = 1000;
/// The longest rest between two batches.
const LONGEST_REST: Duration = Duration::from_millis(100);
/// SQLite's steps between two looks whether a scan is still waited for.
const STEPS: i32 = 1000;

/// A change under way, one committed batch for each call of [`next`](Self::next), so that appends, claims, and ends
/// continue in between. Nothing can be claimed during a batch, so each is followed by a rest of the same time: the
/// writer has half of its time for the events that arrive. Without further calls the rest is not changed.
#[derive(Debug)]
pub struct ChangeRun<'a> {
    journal: &'a SqliteJournal,
    change: Change,
    how: Apply,
    /// The time of the barrier; `None` before it, and for a change that selects nothing.
    known_until: Option<i64>,
    selected: Option<SelectedDeliveries>,
    at: usize,
    is_over: bool,
    /// The time before which the next batch does not begin; `None` before the first.
    rests_until: Option<Instant>,
}

/// The deliveries that a change selects, with the later effects on their resources.
#[derive(Debug, Default)]
struct SelectedDeliveries {
    ids: Vec<DeliveryId>,
    of: Vec<Option<usize>>,
    effects: SelectionEffects,
    known_until: i64,
}

/// The latest effective delivery of each action and resource.
#[derive(Debug, Default)]
struct SelectionEffects {
    places: HashMap<String, HashMap<String, usize>>,
    latest: Vec<Option<DeliveryId>>,
}

impl SelectionEffects {
    fn place(&mut self, action: &str, key: &str) -> usize {
        let keys = match self.places.get_mut(action) {
            Some(keys) => keys,
            None => self.places.entry(action.to_owned()).or_default(),
        };
        match keys.get(key) {
            Some(place) => *place,
            None => {
                self.latest.push(None);
                keys.insert(key.to_owned(), self.latest.len() - 1);
                self.latest.len() - 1
            }
        }
    }

    fn note(&mut self, action: &str, key: &str, id: DeliveryId) {
        let place = self.places.get(action).and_then(|keys| keys.get(key));
        if let Some(latest) = place.and_then(|place| self.latest.get_mut(*place)) {
            *latest = (*latest).max(Some(id));
        }
    }
}

impl<'a> ChangeRun<'a> {
    pub(super) fn new(journal: &'a SqliteJournal, change: Change, how: Apply) -> Self {
        Self {
            journal,
            change,
            how,
            known_until: None,
            selected: None,
            at: 0,
            is_over: false,
            rests_until: None,
        }
    }

    /// Returns the number of deliveries that were tried, and of all that are selected.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.at as u64, self.selected.as_ref().map_or(0, |selected| selected.ids.len() as u64))
    }

    pub async fn next(&mut self) -> std::result::Result<Option<ChangeOutcome>, ChangeError> {
        if self.is_over {
            return Ok(None);
        }
        self.select().await?;
        let Some(selected) = &mut self.selected else { return Ok(None) };
        let end = (self.at + AT_ONCE).min(selected.ids.len());
        let ids = self.at..end;
        let later = |at: usize| {
            let latest = selected.of.get(at).copied().flatten().and_then(|of| selected.effects.latest[of]);
            latest.filter(|latest| *latest > selected.ids[at])
        };
        let batch = ChangeBatch {
            change: self.change.clone(),
            ids: ids.map(|at| (selected.ids[at], later(at))).collect(),
            known_until: selected.known_until.saturating_sub(MARGIN),
        };
        if batch.ids.is_empty() && self.change.which().is_some() {
            self.is_over = true;
            return Ok(None);
        }
        if let Some(end) = self.rests_until {
            sleep_until(end).await;
        }
        let begun = Instant::now();
        let (sender, receiver) = oneshot::channel();
        self.journal.send(SqliteCommand::Change(batch, self.how, sender));
        let ChangeBatchResult { changed, processed, effects, known_until, .. } =
            receiver.await.map_err(|_| ChangeError::Closed)?;
        self.rests_until = Some(Instant::now() + begun.elapsed().min(LONGEST_REST));
        for (action, key, id) in effects {
            selected.effects.note(&action, &key, id);
        }
        selected.known_until = known_until;
        self.at += processed;
        self.is_over = self.at >= selected.ids.len();
        Ok(Some(changed))
    }

    /// Waits for the writer: all earlier commands are in the file then. The first step of
    /// [`select`](Self::select), for a caller that bounds the wait.
    pub async fn begin(&mut self) -> std::result::Result<(), ChangeError> {
        if self.known_until.is_none() && self.change.which().is_some() {
            let (sender, receiver) = oneshot::channel();
            self.journal.send(SqliteCommand::Barrier(sender));
            self.known_until = Some(receiver.await.map_err(|_| ChangeError::Closed)?);
        }
        Ok(())
    }

    /// Selects the deliveries, and changes none. This takes as long as the file takes to be read; dropping the future
    /// ends it.
    pub async fn select(&mut self) -> std::result::Result<(), ChangeError> {
        if self.selected.is_some() {
            return Ok(());
        }
        self.begin().await?;
        let Some(known_until) = self.known_until else {
            self.selected = Some(SelectedDeliveries::default());
            return Ok(());
        };
        let (path, change) = (self.journal.path.clone(), self.change.clone());
        let waiting = Arc::new(());
        let waits = Arc::downgrade(&waiting);
        let selected = match epoch::is_simulated() {
            true => select(&path, &change, waits),
            false => {
                let selected = spawn_blocking(move || select(&path, &change, waits)).await;
                selected.unwrap_or_else(|error| Err(error.to_string()))
            }
        };
        drop(waiting);
        self.selected =
            Some(SelectedDeliveries { known_until, ..selected.map_err(ChangeError::Unreadable)? });
        Ok(())
    }
}

/// Selects for a caller that waits as long as it holds what `waits` refers to.
fn select(path: &Path, change: &Change, waits: Weak<()>) -> std::result::Result<SelectedDeliveries, String> {
    let mut reader = SqliteReader::open(path).map_err(|error| format!("{} {error}", path.display()))?;
    let is_gone = move || waits.strong_count() == 0;
    reader.0.progress_handler(STEPS, Some(is_gone)).map_err(|error| error.to_string())?;
    reader.select(change).map_err(|error| error.to_string())
}

impl SqliteReader {
    /// Returns whether the action has dead letters, and each of them is behind a later effect on its resource.
    pub(super) fn are_all_overtaken(&self, action: &str) -> Result<bool> {
        let which = Filter { action: Some(action.to_owned()), ..Filter::default() };
        let selected = self.select(&Change::Retry { which, out_of_order: false })?;
        let is_overtaken = |(id, of): (&DeliveryId, &Option<usize>)| {
            of.and_then(|of| selected.effects.latest[of]).is_some_and(|latest| latest > *id)
        };
        Ok(!selected.ids.is_empty() && selected.ids.iter().zip(&selected.of).all(is_overtaken))
    }

    fn select(&self, change: &Change) -> Result<SelectedDeliveries> {
        let Some(which) = change.selection() else { return Ok(SelectedDeliveries::default()) };
        let mut selected = SelectedDeliveries::default();
        let in_order = matches!(change, Change::Retry { .. }) && !change.is_out_of_order();
        let snapshot = self.0.unchecked_transaction()?;
        let mut find = |which: &Filter, more: &str| -> Result<()> {
            let (conditions, values) = which.sql();
            let sql = format!(
                "SELECT d.id, d.action, d.key, d.ordered FROM delivery d \
                 JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
                 WHERE d.id > ?1 AND ?2 {conditions} {more} ORDER BY d.id"
            );
            let mut all: Vec<&dyn ToSql> = vec![&-1_i64, &true];
            all.extend(values.iter().map(|value| &**value));
            let mut select = snapshot.prepare(&sql)?;
            let mut rows = select.query(&all[..])?;
            while let Some(row) = rows.next()? {
                selected.ids.push(delivery_id(row.get(0)?));
                if in_order {
                    let (action, key) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str_or_null()?);
                    let key = key.filter(|_| row.get(3).unwrap_or(true));
                    selected.of.push(key.map(|key| selected.effects.place(action, key)));
                }
            }
            Ok(())
        };
        find(&which, "")?;
        if let Change::Release { .. } = change {
            let to_be_held = Filter { states: vec![RowState::Ready], phases: Vec::new(), ..which };
            find(&to_be_held, &format!("AND d.deferred = {}", DeferredChange::HOLD))?;
        }
        if let (true, Some(first)) = (selected.of.iter().any(Option::is_some), selected.ids.first()) {
            let mut select = snapshot.prepare(EFFECTS_BEHIND)?;
            let mut rows =
                select.query((first.row(), RowState::Delivered as i64, RowState::NothingToDo as i64))?;
            while let Some(row) = rows.next()? {
                let (action, key) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
                selected.effects.note(action, key, delivery_id(row.get(0)?));
            }
        }
        Ok(selected)
    }
}

/// Scans all later deliveries in one pass, as an index for this would cost each append.
const EFFECTS_BEHIND: &str = "SELECT id, action, key FROM delivery NOT INDEXED \
     WHERE id > ?1 AND state IN (?2, ?3) AND key IS NOT NULL";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::SqliteOptions;
    use super::*;

    #[tokio::test]
    async fn a_selection_that_nobody_waits_for_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let options = SqliteOptions::new(&path).bounded(|bounds| bounds.allow_volatile = true);
        drop(SqliteJournal::open(options, Arc::default()).unwrap());
        let filled = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3500) \
            INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, routing_key, body) \
            SELECT n, n, 0, 0, 1, 'l', 'q', 'x', 'r', CAST('{}' AS BLOB) FROM n; \
            INSERT INTO delivery (id, rule, action, key, state, ended, reason) \
            SELECT id << 16, 'r', 'a', 'k' || id, 3, 1, 'why' FROM event";
        Connection::open(&path).unwrap().execute_batch(filled).unwrap();
        let change = Change::Discard { which: Filter::default(), by: "eve".to_owned() };
        let waiting = Arc::new(());
        assert_eq!(select(&path, &change, Arc::downgrade(&waiting)).unwrap().ids.len(), 3500);
        let ended = select(&path, &change, Weak::new()).unwrap_err();
        assert!(ended.contains("interrupted"), "{ended}");
    }
}
