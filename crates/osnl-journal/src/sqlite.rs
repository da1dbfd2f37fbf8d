//! `sqlite:///path`: appended messages outlive the process and a loss of power.
//!
//! A message is acknowledged after the `fdatasync` that covers it: WAL with `synchronous = FULL`. One thread
//! owns the connection, writes all queued commands in one transaction, and completes the receipts after the
//! commit. No caller ever blocks. Another thread copies the WAL to the file, so that no append waits for
//! that.
//!
//! Memory has the claimed deliveries and a short piece of each action's claimable ones. A backlog costs
//! neither memory nor a scan: a delivery behind another of its key is not claimable. The end of the earlier
//! delivery makes the later claimable in the same transaction.
//!
//! While the file cannot be written, or is not what osnl left (`left.rs`), the state is [`JournalState::Failed`]: nothing is reserved or claimed,
//! and outcomes wait in memory. The writer retries each second. A disk that does not answer is published in
//! the same way, as `stuck`.
//!
//! A message that is acknowledged cannot return to the broker: `when_exhausted = return` means back into the
//! journal, with the same pauses.
#![doc = include_str!("sqlite/tables.md")]

mod archive;
mod blocks;
mod change;
mod checkpoint;
mod connection;
mod count;
mod decoded;
mod deferred;
mod enriched;
mod failing_keys;
mod fallback;
mod filter;
mod inspection;
mod lane;
mod left;
mod load;
mod overtaken;
mod overview;
mod paused;
mod phase;
mod place;
mod prune;
mod quarantine;
mod queries;
mod rate;
mod reader;
mod rows;
mod schema;
mod selection;
mod stuck;
#[cfg(test)]
mod tests;
mod trouble;
mod turn;
pub mod upkeep;
mod wal_reader;
mod work;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;

use osnl_core::clock::Clock;
use osnl_core::ends::{self, EndReports};
use osnl_core::epoch;
use osnl_core::event::EnrichedValues;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use self::checkpoint::WalHold;
pub use self::connection::USUAL_WAL;
use self::decoded::DecodedMessages;
pub use self::inspection::{PlaceInspection, inspect};
use self::left::LeftFiles;
use self::place::JournalLock;
pub use self::queries::SqliteQueries;
pub use self::rate::JournalRate;
pub use self::reader::SqliteReader;
pub use self::selection::ChangeRun;
use self::stuck::DiskWait;
#[cfg(feature = "sample")]
pub use self::writer::DrivenWriter;
use self::writer::{Apply, JournalWriter, NewEntry, SqliteCommand};
use super::identity::MessageIdentity;
use super::store::claimable::Claimable;
use super::store::gate::Gate;
pub use super::store::gate::IN_MEMORY;
use super::store::weight::{LIGHT, bytes_of};
use super::{
    ActionTerms, AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, JournalBounds,
    JournalState, LearntFacts, Obstacle, PausedActions, Permit, Receipt, SentRequest, UsedLimits,
};
use crate::files::LockHolder;
use crate::query::{Change, ChangeError, ChangeOutcome, RecentDelivery};

/// The result of a question to the file.
pub type ReadResult<T> = rusqlite::Result<T>;

/// The place and the bounds of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    pub path: PathBuf,
    pub bounds: JournalBounds,
    pub terms: ActionTerms,
}

impl SqliteOptions {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), bounds: JournalBounds::default(), terms: ActionTerms::new() }
    }

    /// Returns the largest size of the file in bytes. Without `max_size` that is the smaller of 10 GiB and half of the
    /// sum of its size and the free space.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        let free = || SqliteJournal::free_bytes(&self.path).unwrap_or(u64::MAX);
        let own = || std::fs::metadata(&self.path).map_or(0, |found| found.len());
        self.bounds.max_size.map_or_else(|| writer::default_size(free(), own()), |size| size.0)
    }

    #[must_use]
    pub fn bounded(mut self, change: impl FnOnce(&mut JournalBounds)) -> Self {
        change(&mut self.bounds);
        self
    }
}

/// The reason why a file cannot be used as a journal; the words follow the file's name.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("names no file; write sqlite:///path/to/journal.db")]
    NoFile,
    #[error("would be lost: {0}; name another place, or set allow_volatile = true")]
    Volatile(String),
    #[error(transparent)]
    Open(#[from] crate::state_dir::UnsafePlace),
    #[error(
        "is in use by {0}; a journal belongs to one daemon: stop that process, or set another state_dir here"
    )]
    InUse(LockHolder),
    #[error("is not a journal of osnl: {0}; name a file that does not exist yet")]
    NotAJournal(String),
    #[error("is not a journal of osnl: {0}; name the file of a journal")]
    NothingToRead(String),
    #[error(
        "was written by a newer osnl (version {found} of its tables, this one knows {known}); run that one, or name another file"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "has {} {kind} named {name}, which osnl did not make and which can change or delete deliveries; use another file, or remove it with sqlite3", if .kind == "index" { "an" } else { "a" }
    )]
    ForeignObject { kind: String, name: String },
    #[error(
        "was lost while osnl ran, and {} has everything that was in it: put that file there, and remove -wal and -shm beside it; or move it away to begin without it",
        .0.display()
    )]
    NotPut(PathBuf),
    #[error("cannot be opened: {}; {}", .0, trouble::io_remedy(.0))]
    Io(#[from] io::Error),
    #[error("cannot be opened: {}", trouble::reason(.0))]
    Sqlite(rusqlite::Error),
}

impl OpenError {
    /// Whether the file of a running daemon cannot be what the daemon wrote.
    fn is_damage(&self) -> bool {
        match self {
            Self::NotAJournal(_) | Self::NothingToRead(_) => true,
            Self::Sqlite(error) => trouble::is_damage(error),
            Self::NoFile
            | Self::Volatile(_)
            | Self::Open(_)
            | Self::InUse(_)
            | Self::Newer { .. }
            | Self::ForeignObject { .. }
            | Self::NotPut(_)
            | Self::Io(_) => false,
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                Self::NotAJournal("it is not an SQLite file".to_owned())
            }
            _ => Self::Sqlite(error),
        }
    }
}

/// The store of `sqlite://`: sends commands to the writer's thread, and never blocks.
#[derive(Debug)]
pub struct SqliteJournal {
    shared: Arc<SqliteState>,
    commands: mpsc::Sender<SqliteCommand>,
    path: PathBuf,
    /// The largest size of the file in bytes.
    max_size: u64,
    /// The most dead letters that are kept.
    max_dead: u64,
    /// The writer's thread; `None` once it is joined.
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The part that the journal, the writer, and its helper threads share.
#[derive(Debug)]
struct SqliteState {
    /// The claimable deliveries in memory.
    claimable: Claimable,
    /// The clock of due times.
    clock: Clock,
    /// The places for new entries.
    gate: Arc<Gate>,
    /// Publishes whether the file can be written.
    state: watch::Sender<JournalState>,
    /// Publishes the paused actions.
    paused: watch::Sender<PausedActions>,
    /// The metrics of the process.
    counters: Arc<Counters>,
    /// The decoded messages of deliveries in memory.
    decoded: DecodedMessages,
    /// The start of the transaction under way, by which a disk without an answer is noticed.
    disk_wait: DiskWait,
    /// The pages in the WAL after the latest commit.
    wal_pages: AtomicU32,
    /// Since when a reader has kept the WAL from being copied.
    wal: WalHold,
    /// The file as osnl left it, by which a loss is noticed.
    left: LeftFiles,
    /// Reports a thread that ends unexpectedly, which ends the daemon.
    ends: EndReports,
    /// Whether the journal is being closed, so that the end of the writer is expected.
    closing: AtomicBool,
    /// Whether the unexpected end of the writer is published.
    is_gone: AtomicBool,
    /// Called with each delivery of a guard that an operator has released.
    on_release: OnRelease,
}

impl SqliteState {
    fn writer_is_gone(&self, words: &str) {
        if self.is_gone.swap(true, Ordering::Relaxed) {
            return;
        }
        let reason = format!("the journal's thread ended unexpectedly: {words}; restart osnl");
        self.gate.set_open(false);
        self.state.send_replace(JournalState::Failed { reason: reason.clone(), since: epoch::now() });
        tracing::error!(
            reason = words,
            "the journal's thread ended unexpectedly; restart osnl; what was not acknowledged stays with the broker",
        );
    }
}

/// A function of the daemon, `None` until it is set.
#[derive(Default)]
struct OnRelease(Mutex<Option<ReleaseCallback>>);

/// Takes a delivery that an operator has released.
type ReleaseCallback = Box<dyn Fn(&RecentDelivery) + Send>;

impl OnRelease {
    fn publish(&self, released: &RecentDelivery) {
        if let Some(callback) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            callback(released);
        }
    }
}

impl std::fmt::Debug for OnRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnRelease")
    }
}

impl SqliteJournal {
    pub fn open(options: SqliteOptions, counters: Arc<Counters>) -> Result<Self, OpenError> {
        let (mut journal, writer) = Self::prepare(options, counters)?;
        let theirs = journal.shared.clone();
        let run = move || {
            if let Err(words) = ends::caught(|| writer.run()) {
                theirs.writer_is_gone(&words);
                theirs.ends.report("journal", words);
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(run)?;
        journal.writer = Mutex::new(Some(thread));
        Ok(journal)
    }

    /// Opens a journal whose writer has no thread: the caller commits, so that a simulation decides when.
    #[cfg(feature = "sample")]
    pub fn open_driven(
        options: SqliteOptions,
        counters: Arc<Counters>,
    ) -> Result<(Self, DrivenWriter), OpenError> {
        let (journal, writer) = Self::prepare(options, counters)?;
        Ok((journal, DrivenWriter::new(writer)))
    }

    fn prepare(options: SqliteOptions, counters: Arc<Counters>) -> Result<(Self, JournalWriter), OpenError> {
        let shared = Arc::new(SqliteState {
            claimable: Claimable::default(),
            clock: Clock::start(),
            gate: Arc::new(Gate::new(options.bounds.max_pending, options.terms.clone())),
            state: watch::Sender::new(JournalState::Working),
            paused: watch::Sender::new(PausedActions::new()),
            counters,
            decoded: DecodedMessages::default(),
            disk_wait: DiskWait::default(),
            wal_pages: AtomicU32::new(0),
            wal: WalHold::default(),
            left: LeftFiles::default(),
            ends: EndReports::default(),
            closing: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            on_release: OnRelease::default(),
        });
        let (commands, receiver) = mpsc::channel();
        let path = options.path.clone();
        let max_dead = options.bounds.max_dead;
        let writer = JournalWriter::open(options, shared.clone(), receiver)?;
        let max_size = writer.max_size;
        let journal = Self { shared, commands, path, max_size, max_dead, writer: Mutex::default() };
        Ok((journal, writer))
    }

    #[must_use]
    pub fn ends(&self) -> EndReports {
        self.shared.ends.clone()
    }

    #[cfg(feature = "sample")]
    pub fn on_writer(&self, what: impl FnOnce() + Send + 'static) {
        self.send(SqliteCommand::Do(Box::new(move |_| what())));
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn max_pending(&self) -> u64 {
        self.shared.gate.max_pending()
    }

    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.max_size
    }

    #[must_use]
    pub fn max_dead(&self) -> u64 {
        self.max_dead
    }

    pub fn set_terms(&self, terms: ActionTerms) {
        self.shared.gate.set_terms(terms);
    }

    pub fn on_release(&self, callback: Box<dyn Fn(&RecentDelivery) + Send>) {
        *self.shared.on_release.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(callback);
    }

    /// Returns the process that has a journal open to write. Changes go through that
    /// process; without a holder, the caller can open the file.
    #[must_use]
    pub fn holder(file: &Path) -> Option<LockHolder> {
        JournalLock::holder(file)
    }

    /// Like [`holder`](Self::holder), but distinguishes a free journal from one whose lock this user may not
    /// read.
    ///
    /// # Errors
    /// The lock cannot be opened, such as [`io::ErrorKind::PermissionDenied`].
    pub fn find_holder(file: &Path) -> io::Result<Option<LockHolder>> {
        JournalLock::find_holder(file)
    }

    /// Applies a change in bounded transactions, and completes when all are committed. Claimed deliveries are
    /// changed when their attempt has ended.
    pub async fn change(&self, change: Change) -> Result<ChangeOutcome, ChangeError> {
        all(self.changing(change, false)).await
    }

    pub async fn preview(&self, change: Change) -> Result<ChangeOutcome, ChangeError> {
        all(self.changing(change, true)).await
    }

    /// Holds deliveries that were in hand at unexpected ends, with the number of ends; runs before any claim.
    pub fn hold_suspects(&self, suspects: Vec<(u64, u32)>) {
        if !suspects.is_empty() {
            self.send(SqliteCommand::HoldSuspects(suspects));
        }
    }

    /// Returns a change that the caller runs one transaction at a time; with `preview`, nothing is changed.
    #[must_use]
    pub fn changing(&self, change: Change, preview: bool) -> ChangeRun<'_> {
        ChangeRun::new(self, change, if preview { Apply::Preview } else { Apply::Commit })
    }

    /// Removes messages from the quarantine.
    pub async fn forget_quarantined(&self, ids: Vec<i64>) -> Result<(), ChangeError> {
        let (sender, receiver) = oneshot::channel();
        self.send(SqliteCommand::ForgetUnreadable(ids, sender));
        receiver.await.map(|_| ()).map_err(|_| ChangeError::Closed)
    }

    fn send(&self, command: SqliteCommand) {
        // After close a late command cannot be kept, and its receipt reports that. Before close, the writer
        // has ended unexpectedly.
        if self.commands.send(command).is_err() && !self.shared.closing.load(Ordering::Relaxed) {
            self.shared.writer_is_gone("nothing takes its commands");
        }
    }
}

async fn all(mut changing: ChangeRun<'_>) -> Result<ChangeOutcome, ChangeError> {
    let mut all = ChangeOutcome::default();
    while let Some(changed) = changing.next().await? {
        all.add(changed);
    }
    Ok(all)
}

impl Journal for SqliteJournal {
    fn subscribed(&self, _listener: &str, _prefetch: u16) {}

    fn unsubscribed(&self, _listener: &str) {}

    fn active(&self, _listener: &str) {}

    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        Box::pin(self.shared.gate.reserve(actions, at_most))
    }

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        let failing = self.shared.state.borrow().obstacle();
        failing.or_else(|| self.shared.gate.obstacle(actions))
    }

    fn first_arrival(&self, _received: &ReceivedMessage, _notification: &Notification) -> Option<SystemTime> {
        None
    }

    fn is_crowded(&self, action: &str) -> bool {
        self.shared.gate.obstacle(&[action.into()]).is_some()
    }

    fn append(&self, permit: &mut Permit, mut entry: Entry) -> Receipt {
        let (sender, receipt) = Receipt::open();
        let gate = &self.shared.gate;
        gate.refuse_overflowing(&mut entry.deliveries);
        let open = entry.deliveries.iter().filter(|new| new.begin.is_open());
        gate.appended(open.map(|new| &new.action));
        drop(permit.take_one());
        // The caller hashes and, if the stored bytes suffice, drops the message here, since all callers wait
        // for one writer.
        let identity = MessageIdentity::new(&entry.received, &entry.notification);
        // The queue to the writer is bounded in number and not in bytes, so a large message is read again.
        let whole = entry.deliveries.iter().any(|new| self.shared.claimable.expects(&new.action))
            && bytes_of(&entry.received, &entry.notification) <= LIGHT;
        if !whole {
            entry.notification = Arc::new(names_alone(&entry.notification));
        }
        self.send(SqliteCommand::Append(NewEntry { entry, identity, whole }, sender));
        receipt
    }

    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt {
        let (sender, receipt) = Receipt::open();
        self.send(SqliteCommand::SetAside(received, reason, sender));
        receipt
    }

    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>> {
        let shared = &self.shared;
        let now = || shared.state.borrow().takes_outcomes().then(|| shared.clock.now());
        let fetch = move |ask, now| self.send(SqliteCommand::Fetch(action.into(), ask, now));
        Box::pin(shared.claimable.claim_when_any(action, wanted, now, fetch))
    }

    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str) {
        self.send(SqliteCommand::Attempted(delivery, used, answer.to_owned()));
    }

    fn aged(&self, delivery: DeliveryId, used: UsedLimits) {
        self.send(SqliteCommand::Attempted(delivery, used, String::new()));
    }

    fn sent(&self, delivery: DeliveryId, made: u32, sent: SentRequest) {
        self.send(SqliteCommand::Sent(delivery, made, sent));
    }

    fn next_due(&self, action: &str) -> Option<Instant> {
        if !self.shared.state.borrow().takes_outcomes() {
            return None;
        }
        self.shared.clock.instant(self.shared.claimable.next_due(action)?)
    }

    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry) {
        let AttemptRetry { due, used, is_charged, answer } = retry;
        let mut due = self.shared.clock.due(due);
        if !is_charged {
            due.pause = -due.pause;
        }
        self.shared.claimable.retries(delivery, due.at);
        self.send(SqliteCommand::Retry(delivery, due, used, answer));
    }

    fn due_now(&self, action: &str) {
        self.send(SqliteCommand::DueNow(action.into(), self.shared.clock.now()));
    }

    fn end(&self, delivery: DeliveryId, end: End) {
        self.send(SqliteCommand::End(delivery, end));
    }

    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let found = serde_json::to_string(enriched).unwrap_or_default();
        self.send(SqliteCommand::Enriched(delivery, found, learnt, sender));
        Box::pin(async move {
            let _ = receiver.await;
        })
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        let (sender, receiver) = oneshot::channel();
        self.send(SqliteCommand::Known(object.to_owned(), sender));
        Box::pin(async move { receiver.await.ok().flatten() })
    }

    fn overdue(&self, _action: &str) -> Vec<DeliveryId> {
        Vec::new()
    }

    fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        self.shared.claimable.withdrawn(action)
    }

    fn retired(&self, action: &str) {
        self.shared.claimable.retire(action);
    }

    fn state(&self) -> watch::Receiver<JournalState> {
        self.shared.state.subscribe()
    }

    fn paused(&self) -> watch::Receiver<PausedActions> {
        self.shared.paused.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (sender, receiver) = oneshot::channel();
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(SqliteCommand::Close(Some(sender)));
        Box::pin(async move {
            let _ = receiver.await;
        })
    }
}

impl Drop for SqliteJournal {
    /// Waits until queued commands are committed, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(SqliteCommand::Close(None));
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

/// Returns the parts of a notification by which listings and the log name its message.
fn names_alone(notification: &Notification) -> Notification {
    Notification {
        event_type: notification.event_type.clone(),
        message_id: notification.message_id.clone(),
        unique_id: notification.unique_id.clone(),
        ..Notification::default()
    }
}
