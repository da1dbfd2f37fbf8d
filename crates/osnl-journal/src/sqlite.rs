//! `sqlite:///path`: what is appended outlives the process and the machine's power.
//!
//! A message is acknowledged after the `fdatasync` that covers it: WAL with `synchronous = FULL`. One thread owns
//! the connection, takes everything that is queued into one transaction, and completes the receipts after
//! the commit; nothing here ever blocks the caller. Another thread moves what is in the WAL to the file, so
//! that no append waits for it.
//!
//! In memory are the claimed deliveries and a short piece of each action's claimable ones. A backlog costs
//! neither memory nor a scan: a delivery behind another of its key is not claimable, and the end of that one
//! makes it so, in the same transaction.
//!
//! When the file cannot be written, [`JournalState::Failed`] says so: nothing is reserved or claimed, outcomes
//! wait in memory, and it is tried again each second. A disk that does not answer is published in the same way: `stuck`.
//! Tables and indexes are below.
//!
//! A message that is acknowledged cannot return to the broker: `when_exhausted = return` means back into the journal,
//! with the same pauses.
//!
#![doc = include_str!("sqlite/tables.md")]

mod about;
mod answers;
pub mod archive;
mod blocks;
mod change;
mod checkpoint;
mod connection;
mod count;
mod decoded;
mod enriched;
mod failing;
mod fallback;
mod filter;
mod lane;
mod load;
mod look;
mod overview;
mod paused;
mod phase;
mod place;
mod prune;
mod quarantine;
mod reader;
mod records;
mod rows;
mod schema;
mod selection;
mod stuck;
#[cfg(test)]
mod tests;
mod trouble;
mod turn;
pub mod upkeep;
mod wish;
mod work;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use osnl_core::ends::{self, EndReports};
use osnl_core::event::EnrichedValues;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub use self::about::About;
pub use self::answers::AnswerPolicy;
pub use self::change::{Change, ChangeError, ChangeOutcome, FORGOTTEN, overtaken, same_action};
pub use self::count::{BoundedCount, PhaseCount};
use self::decoded::DecodedMessages;
pub use self::failing::FailingKey;
pub use self::filter::Filter;
pub use self::look::{PlaceLook, look};
pub use self::overview::Overview;
pub use self::phase::{Moment, Phase};
use self::place::JournalLock;
pub use self::quarantine::{Bodies, UnreadableFilter};
pub use self::reader::{
    AttemptRow, Cursor, DeliveryDetails, KeptEvent, ListPage, RecentDelivery, RowOrder, SqliteReader, Tally,
};
pub use self::records::{DeliveryListRow, Unreadable};
pub use self::rows::{RowState, reserved_numbers};
pub use self::selection::ChangeRun;
use self::stuck::DiskWait;
use self::writer::{Apply, JournalWriter, NewEntry, SqliteCommand};
use super::identity::MessageIdentity;
use super::store::claimable::Claimable;
use super::store::clock::Clock;
use super::store::gate::Gate;
pub use super::store::gate::IN_MEMORY;
use super::store::weight::{LIGHT, bytes_of};
use super::{
    AttemptRetry, AttemptTerm, ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, JournalState,
    LearntFacts, Obstacle, PausedActions, Permit, Receipt, SentRequest, UsedLimits,
};

/// A reader's answer, or the refusal of SQLite.
pub type ReadResult<T> = rusqlite::Result<T>;

/// The path of a journal, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The file. Its folder is created if missing.
    pub path: PathBuf,
    /// The time for which delivered and discarded deliveries are kept.
    pub retention: Duration,
    /// Bytes that the file may hold; `None` is the smaller of 10 GiB and half of what is free at the start.
    pub max_size: Option<u64>,
    /// Deliveries of one action that may be pending.
    pub max_pending: u64,
    /// Dead letters kept, and unreadable messages; the oldest of what there is most of leave first.
    pub max_dead: u64,
    /// Whether a place that does not outlive a restart will do.
    pub allow_volatile: bool,
    /// Actions whose deliveries beyond `max_pending` are dead letters at once. For the others nothing more is
    /// read from the broker.
    pub overflowing: BTreeSet<Arc<str>>,
}

impl SqliteOptions {
    /// The defaults for a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            retention: Duration::from_secs(7 * 24 * 3600),
            max_size: None,
            max_pending: 1_000_000,
            max_dead: 10_000,
            allow_volatile: false,
            overflowing: BTreeSet::new(),
        }
    }
}

/// Why a file is no journal, or cannot be one here. What is said follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path ends in no file name.
    #[error("names no file; write sqlite:///path/to/journal.db")]
    NoFile,
    /// It would be lost with a restart.
    #[error("would be lost: {0}; name another place, or set allow_volatile = true")]
    Volatile(String),
    /// Another user could replace it.
    #[error(transparent)]
    Open(#[from] crate::state_dir::UnsafePlace),
    /// Another daemon has it.
    #[error(
        "is in use by {0}; a journal belongs to one daemon: stop that process, or set another state_dir here"
    )]
    InUse(String),
    /// It is another program's, or no database.
    #[error("is not a journal of osnl: {0}; name a file that does not exist yet")]
    NotAJournal(String),
    /// A newer program has written it.
    #[error(
        "was written by a newer osnl (version {found} of its tables, this one knows {known}); run that one, or name another file"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// The newest that can be read.
        known: i64,
    },
    /// The operating system refuses.
    #[error("cannot be opened: {}; {}", .0, trouble::io_remedy(.0))]
    Io(#[from] io::Error),
    /// SQLite refuses.
    #[error("cannot be opened: {}", trouble::reason(.0))]
    Sqlite(rusqlite::Error),
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

/// See the [module](self).
#[derive(Debug)]
pub struct SqliteJournal {
    shared: Arc<SqliteState>,
    commands: mpsc::Sender<SqliteCommand>,
    /// The file, to be looked into beside the writer.
    path: PathBuf,
    /// Bytes that the file may hold, and dead letters.
    bounds: (u64, u64),
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Returns the parts of a notification that the journal writes in columns of their own; the rest is in its bytes.
fn named(notification: &Notification) -> Notification {
    Notification {
        event_type: notification.event_type.clone(),
        message_id: notification.message_id.clone(),
        unique_id: notification.unique_id.clone(),
        ..Notification::default()
    }
}

/// The state that caller and writer share.
#[derive(Debug)]
struct SqliteState {
    claimable: Claimable,
    clock: Clock,
    gate: Arc<Gate>,
    state: watch::Sender<JournalState>,
    paused: watch::Sender<PausedActions>,
    counters: Arc<Counters>,
    decoded: DecodedMessages,
    disk_wait: DiskWait,
    /// Pages in the WAL after the latest commit.
    wal_pages: AtomicU32,
    /// The place where its threads report an unexpected end.
    ends: EndReports,
    /// Its end was asked for: what comes now comes too late.
    closing: AtomicBool,
    /// Its thread has ended unexpectedly, which has been published.
    is_gone: AtomicBool,
    /// Is told what a guard held and is released.
    on_release: OnRelease,
}

impl SqliteState {
    /// Nothing is written any more, for good: intake stops, no attempt begins.
    fn writer_is_gone(&self, words: &str) {
        if self.is_gone.swap(true, Ordering::Relaxed) {
            return;
        }
        let reason = format!("the journal's thread ended unexpectedly: {words}; restart osnl");
        self.gate.set_open(false);
        self.state.send_replace(JournalState::Failed {
            reason: reason.clone(),
            since: std::time::SystemTime::now(),
        });
        tracing::error!(
            reason = words,
            "the journal's thread ended unexpectedly; restart osnl; what was not acknowledged stays with the broker",
        );
    }
}

/// The callback for releases.
#[derive(Default)]
struct OnRelease(Mutex<Option<ReleaseCallback>>);

type ReleaseCallback = Box<dyn Fn(&RecentDelivery) + Send>;

impl OnRelease {
    fn tell(&self, released: &RecentDelivery) {
        if let Some(told) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            told(released);
        }
    }
}

impl std::fmt::Debug for OnRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnRelease")
    }
}

impl SqliteJournal {
    /// Opens the file, or makes it, and starts the thread that writes it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: SqliteOptions, counters: Arc<Counters>) -> Result<Self, OpenError> {
        let shared = Arc::new(SqliteState {
            claimable: Claimable::default(),
            clock: Clock::start(),
            gate: Arc::new(Gate::new(options.max_pending, options.overflowing.clone())),
            state: watch::Sender::new(JournalState::Working),
            paused: watch::Sender::new(PausedActions::new()),
            counters,
            decoded: DecodedMessages::default(),
            disk_wait: DiskWait::default(),
            wal_pages: AtomicU32::new(0),
            ends: EndReports::default(),
            closing: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            on_release: OnRelease::default(),
        });
        let (commands, receiver) = mpsc::channel();
        let path = options.path.clone();
        let max_dead = options.max_dead;
        let writer = JournalWriter::open(options, shared.clone(), receiver)?;
        let bounds = (writer.max_size, max_dead);
        let theirs = shared.clone();
        let run = move || {
            if let Err(words) = ends::caught(|| writer.run()) {
                theirs.writer_is_gone(&words);
                theirs.ends.report("journal", words);
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(run)?;
        Ok(Self { shared, commands, path, bounds, writer: Mutex::new(Some(thread)) })
    }

    /// Returns the place where its threads report an unexpected end.
    #[must_use]
    pub fn ends(&self) -> EndReports {
        self.shared.ends.clone()
    }

    /// Runs a function on the thread that writes, as a test of a failing thread does.
    #[cfg(feature = "conformance")]
    pub fn on_writer(&self, what: impl FnOnce() + Send + 'static) {
        self.send(SqliteCommand::Do(Box::new(move |_| what())));
    }

    /// Returns the number of deliveries of an action that may be pending.
    #[must_use]
    pub fn max_pending(&self) -> u64 {
        self.shared.gate.max_pending()
    }

    /// Returns the bytes that the file may hold.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.bounds.0
    }

    /// Returns the number of dead letters that are kept.
    #[must_use]
    pub fn max_dead(&self) -> u64 {
        self.bounds.1
    }

    /// From now on, deliveries of these actions beyond `max_pending` are dead letters at once.
    pub fn set_overflowing(&self, actions: BTreeSet<Arc<str>>) {
        self.shared.gate.set_overflowing(actions);
    }

    /// Calls this with each delivery that a guard held and that is released, in place of what was called before.
    pub fn on_release(&self, told: Box<dyn Fn(&RecentDelivery) + Send>) {
        *self.shared.on_release.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// Returns the process that has a journal open to write, if one has: `process 4711`. Changes go through that
    /// process; without one, the caller can open the file itself.
    #[must_use]
    pub fn holder(file: &Path) -> Option<String> {
        JournalLock::holder(file)
    }

    /// Like [`holder`](Self::holder), and tells a journal that no process has from one that this user may not look at.
    ///
    /// # Errors
    /// The lock cannot be opened, such as [`io::ErrorKind::PermissionDenied`].
    pub fn look_for_holder(file: &Path) -> io::Result<Option<String>> {
        JournalLock::look_for_holder(file)
    }

    /// Retries, discards, holds, releases or moves deliveries, pauses or resumes an action, bite by bite; completes when
    /// all of it is committed. What a loop has claimed is changed when its attempt has ended.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, change: Change) -> Result<ChangeOutcome, ChangeError> {
        all(self.changing(change, false)).await
    }

    /// Returns the answer that [`change`](Self::change) would give now; changes nothing.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn preview(&self, change: Change) -> Result<ChangeOutcome, ChangeError> {
        all(self.changing(change, true)).await
    }

    /// Holds deliveries that the process had in hand when it ended unexpectedly, so many times each; before anything is
    /// claimed.
    pub fn hold_suspects(&self, suspects: Vec<(u64, u32)>) {
        if !suspects.is_empty() {
            self.send(SqliteCommand::HoldSuspects(suspects));
        }
    }

    /// Lets messages go that were kept unread; answers how many there were.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn forget_quarantined(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        let (sender, receiver) = oneshot::channel();
        self.send(SqliteCommand::ForgetUnreadable(ids, sender));
        receiver.await.map_err(|_| ChangeError::Closed)
    }

    /// The same a bite at a time; with `preview`, nothing is changed.
    #[must_use]
    pub fn changing(&self, change: Change, preview: bool) -> ChangeRun<'_> {
        ChangeRun::new(self, change, if preview { Apply::Preview } else { Apply::Commit })
    }

    fn send(&self, command: SqliteCommand) {
        // After close nothing that comes late can be kept, and its receipt says so. Before, the writer is gone without
        // having been told to.
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
    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        Box::pin(self.shared.gate.reserve(actions, at_most))
    }

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        let failing = self.shared.state.borrow().obstacle();
        failing.or_else(|| self.shared.gate.obstacle(actions))
    }

    fn append(&self, permit: &mut Permit, mut entry: Entry) -> Receipt {
        let (sender, receipt) = Receipt::open();
        let gate = &self.shared.gate;
        gate.refuse_overflowing(&mut entry.deliveries);
        let open = entry.deliveries.iter().filter(|new| new.begin.is_open());
        gate.appended(open.map(|new| &new.action));
        drop(permit.take_one());
        // Hashed and, where the bytes in the file will do, dropped here: everything waits for the one writer.
        let identity = MessageIdentity::of(&entry.received, &entry.notification);
        // What waits for the writer is bounded in number, so that a large message is read again.
        let whole = entry.deliveries.iter().any(|new| self.shared.claimable.expects(&new.action))
            && bytes_of(&entry.received, &entry.notification) <= LIGHT;
        if !whole {
            entry.notification = Arc::new(named(&entry.notification));
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
        let AttemptRetry { due, used, answer } = retry;
        let due = self.shared.clock.due(due);
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
            // The writer has ended: so has everything else.
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

    fn term(&self, _deliveries: &[DeliveryId]) -> Option<Arc<dyn AttemptTerm>> {
        None
    }

    fn daemons(&self) -> watch::Receiver<usize> {
        watch::channel(1).1
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (sender, receiver) = oneshot::channel();
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(SqliteCommand::Close(Some(sender)));
        Box::pin(async move {
            // Dropped unsent by a writer that has ended already: as closed as can be.
            let _ = receiver.await;
        })
    }
}

impl Drop for SqliteJournal {
    /// Waits for what is queued to be committed, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(SqliteCommand::Close(None));
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic has been reported within.
            let _ = writer.join();
        }
    }
}
