//! The questions to the file of a running or a stopped daemon. A thread that may wait reads the file, on a
//! read-only connection of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::Bytes;
use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::overtaken::OvertakenLetters;
use super::{
    OpenError, ReadResult, SqliteJournal, SqliteOptions, SqliteReader, USUAL_WAL, trouble, wal_reader,
};
use crate::query::{
    Answer, AttemptRow, Bodies, BoundedCount, CauseGroup, Change, ChangeError, DeliveryDetails,
    DeliveryListRow, DiskUse, Filter, JournalNumbers, JournalQueries, KeptEvent, ListPage, QueryError,
    RowState, StoreFacts, Unreadable, UnreadableFilter,
};
use crate::{DeliveryId, Journal as _, PauseNote, PausedActions};

/// The number of threads that read the file at once. A disk that hangs keeps each of these threads; without a
/// bound, no thread would be left to look up host names.
const MOST_READERS: usize = 8;
/// The time for which another command may have the file of a stopped daemon.
const OTHERS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Answers questions about a file on reader threads, beside the writer.
#[derive(Clone, Debug)]
pub struct SqliteQueries {
    file: PathBuf,
    /// The journal of the running daemon; `None` for that of a stopped one.
    journal: Option<Arc<SqliteJournal>>,
    readers: Arc<Semaphore>,
    overtaken: OvertakenLetters,
}

impl SqliteQueries {
    #[must_use]
    pub fn for_daemon(journal: Arc<SqliteJournal>) -> Self {
        Self { journal: Some(journal.clone()), ..Self::for_file(journal.path.clone()) }
    }

    /// Returns the journal of a stopped daemon. A change opens the journal until the change is done.
    #[must_use]
    pub fn for_file(file: PathBuf) -> Self {
        let readers = Arc::new(Semaphore::new(MOST_READERS));
        Self { file, journal: None, readers, overtaken: OvertakenLetters::default() }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // The semaphore is never closed.
        let permit = self.readers.clone().acquire_owned().await.ok();
        let file = self.file.clone();
        spawn_blocking(move || {
            let _permit = permit;
            query(&file)
        })
        .await
    }

    async fn open(&self) -> Result<Arc<SqliteJournal>, QueryError> {
        if let Some(journal) = &self.journal {
            journal.state().borrow().can_be_changed()?;
            return Ok(journal.clone());
        }
        let deadline = Instant::now() + OTHERS;
        loop {
            let options = unbounded(&self.file);
            let opened = spawn_blocking(move || SqliteJournal::open(options, Arc::default())).await;
            let error = match opened {
                Ok(Ok(journal)) => return Ok(Arc::new(journal)),
                Ok(Err(OpenError::InUse(_))) if Instant::now() < deadline => {
                    sleep(PAUSE).await;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(QueryError::Unavailable(format!("{}: {error}", self.file.display())));
        }
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&SqliteReader) -> ReadResult<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let journal = self.journal.clone();
        Box::pin(async move {
            let result = self.on_thread(move |file| {
                let unavailable = |why: String, is_damage: bool| {
                    if let (true, Some(journal)) = (is_damage, &journal) {
                        journal.shared.left.found_damaged(file, why.clone());
                    }
                    QueryError::Unavailable(format!("the journal {} {why}", file.display()))
                };
                let reader = SqliteReader::open(file)
                    .map_err(|error| unavailable(error.to_string(), error.is_damage()))?;
                query(&reader).map_err(|error| {
                    unavailable(format!("cannot be read: {error}"), trouble::is_damage(&error))
                })
            });
            result.await.unwrap_or_else(|error| {
                Err(QueryError::Unavailable(format!("the journal cannot be read: {error}")))
            })
        })
    }
}

fn numbers(reader: &SqliteReader, letters: &OvertakenLetters) -> ReadResult<JournalNumbers> {
    let (overview, tally) = (reader.overview()?, reader.tally()?);
    let (mut oldest, mut failing) = (BTreeMap::new(), BTreeMap::new());
    for of in tally.iter().filter(|of| of.state == RowState::Ready) {
        if let Some(at) = reader.oldest_ready(&of.action)? {
            oldest.insert(of.action.clone(), at);
        }
        failing.insert(of.action.clone(), reader.failing_keys(&of.action)?);
    }
    let (mut latest_dead, mut overtaken) = (BTreeMap::new(), BTreeSet::new());
    for of in tally.iter().filter(|of| of.state == RowState::Dead) {
        if let Some(latest) = reader.latest_dead(&of.action)? {
            latest_dead.insert(of.action.clone(), latest);
        }
        if of.count > 0 && letters.are_all(reader, &of.action, of.count)? {
            overtaken.insert(of.action.clone());
        }
    }
    Ok(JournalNumbers {
        paused: overview.paused.clone(),
        used: Some(reader.used_bytes()?),
        overview: Some(overview),
        tally,
        oldest,
        failing,
        latest_dead,
        overtaken,
        held: reader.held_causes()?,
        ..JournalNumbers::default()
    })
}

impl JournalQueries for SqliteQueries {
    fn facts(&self) -> StoreFacts {
        let journal = self.journal.as_ref();
        StoreFacts {
            kind: "sqlite",
            place: Some(self.file.display().to_string()),
            state: journal.map(|journal| journal.state().borrow().clone()),
            is_durable: true,
            max_pending: journal.map(|journal| journal.max_pending()),
            max_dead: journal.map(|journal| journal.max_dead()),
            max_bytes: journal.map(|journal| journal.max_size()),
            wal_held: journal.and_then(|journal| journal.shared.wal.lasts()),
        }
    }

    fn is_at(&self, place: PathBuf) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            self.file == place
                || self.on_thread(move |file| real(file) == real(&place)).await.unwrap_or_default()
        })
    }

    fn disk_use(&self) -> BoxFuture<'_, DiskUse> {
        let result = self.on_thread(|file| {
            let wal_bytes = SqliteJournal::wal_bytes(file);
            DiskUse {
                bytes: Some(SqliteJournal::bytes(file)),
                wal_bytes: Some(wal_bytes),
                wal_reader: (wal_bytes > USUAL_WAL).then(|| wal_reader::find(file)).flatten(),
                free_bytes: SqliteJournal::free_bytes(file),
            }
        });
        Box::pin(async move { result.await.unwrap_or_default() })
    }

    fn numbers(&self) -> Answer<'_, JournalNumbers> {
        let letters = self.overtaken.clone();
        self.read(move |reader| numbers(reader, &letters))
    }

    fn paused_actions(&self) -> Answer<'_, PausedActions> {
        match &self.journal {
            Some(journal) => Box::pin(std::future::ready(Ok(journal.paused().borrow().clone()))),
            None => self.read(|reader| Ok(reader.overview()?.paused)),
        }
    }

    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        most: u64,
    ) -> Answer<'_, (Vec<DeliveryListRow>, BoundedCount)> {
        self.read(move |reader| reader.list_and_count(&filter, &page, most))
    }

    fn groups(&self, filter: Filter, most: u64) -> Answer<'_, (Vec<CauseGroup>, BoundedCount)> {
        self.read(move |reader| reader.groups(&filter, most))
    }

    fn show(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryDetails>> {
        self.read(move |reader| reader.show(id))
    }

    fn attempts(&self, deliveries: Vec<DeliveryId>) -> Answer<'_, HashMap<DeliveryId, Vec<AttemptRow>>> {
        self.read(move |reader| deliveries.iter().map(|id| Ok((*id, reader.attempts(*id)?))).collect())
    }

    fn asked_for(&self, deliveries: Vec<DeliveryListRow>) -> Answer<'_, Vec<AskedFor>> {
        self.read(move |reader| reader.asked_for(&deliveries))
    }

    fn event(&self, number: u64) -> Answer<'_, Option<KeptEvent>> {
        self.read(move |reader| reader.event(number))
    }

    fn keeps(&self, messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>) -> Answer<'_, u64> {
        self.read(move |reader| reader.keeps(&messages))
    }

    fn quarantined(
        &self,
        filter: UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> Answer<'_, Vec<Unreadable>> {
        self.read(move |reader| reader.quarantined(&filter, after, limit, bodies))
    }

    fn numbers_quarantined(&self, filter: UnreadableFilter) -> Answer<'_, Vec<i64>> {
        self.read(move |reader| reader.numbers_quarantined(&filter))
    }

    fn set_paused<'a>(&'a self, action: &'a str, note: Option<PauseNote>) -> Answer<'a, ()> {
        let action = action.to_owned();
        let change = match note {
            Some(note) => Change::Pause { action, note },
            None => Change::Resume { action },
        };
        Box::pin(async move {
            let journal = self.open().await?;
            journal.changing(change, false).next().await?;
            // The last clone of a stopped daemon's journal waits for its thread.
            let _ = spawn_blocking(move || drop(journal)).await;
            Ok(())
        })
    }

    fn open_to_change(self: Arc<Self>) -> Answer<'static, Arc<SqliteJournal>> {
        Box::pin(async move { self.open().await })
    }
}

/// Returns options without bounds: an operator's change of one delivery must not remove others from the file.
fn unbounded(file: &Path) -> SqliteOptions {
    SqliteOptions::new(file).bounded(|bounds| {
        bounds.retention = Duration::from_secs(1_000 * 365 * 86_400);
        bounds.max_size = Some(Bytes(u64::MAX));
        bounds.max_pending = u64::from(u32::MAX);
        bounds.max_dead = u64::from(u32::MAX);
        bounds.allow_volatile = true;
    })
}

impl From<ChangeError> for QueryError {
    fn from(error: ChangeError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
