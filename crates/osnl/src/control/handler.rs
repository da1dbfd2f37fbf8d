//! The handler of requests from all sources: a socket, another port, or a command with a file.

mod attention;
mod change;
mod configuration;
mod dead_letters;
mod deliveries;
mod measure;
mod overseen;
mod probe;
mod quarantine;
mod reload;
mod replay;
mod rules;
mod shared;
mod status;
mod try_event;
mod writable;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::measure::{MeasuredAction, MeasuredJournal, MeasuredListener, Measurements};
use osnl_net::http::Expiry;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use super::refusal::{Code, RequestRefusal};
use super::{ControlRequest, OnProgress, SocketPlace};
use crate::daemon::{ATTENTION_AGE, DaemonState};
use crate::dead_letters::DeadLetterQueues;
use crate::journal::memory::{MemoryJournal, MemoryLimits};
use crate::journal::shared::SharedJournal;
use crate::journal::sqlite::{ReadResult, SqliteJournal, SqliteReader};
use crate::listener::Bindings;
use crate::live::LiveEvents;
use crate::metrics::Counters;
use crate::native::LoadedConf;
use crate::rule::GuardsInForce;
use crate::unmatched::Ring;

const MOST_READERS: usize = 8;
/// The disk may take this long; then the answer has no values from the disk.
const STORE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub enum Store {
    /// The file of a journal, with the journal of a running daemon. All queries open the file read-only; to
    /// change a stopped daemon's journal, it is opened until the change is done.
    Sqlite(Option<Arc<SqliteJournal>>, PathBuf),
    /// A journal in memory; its dead letters are in these queues.
    Memory(Arc<MemoryJournal>, Arc<DeadLetterQueues>),
    /// The journal that daemons share, and its database for display.
    Shared(Arc<dyn SharedJournal>, String),
}

impl Store {
    /// Returns the journal's unique name: its file or its database.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Sqlite(_, file) => file.display().to_string(),
            Self::Memory(..) => "memory://".to_owned(),
            Self::Shared(_, database) => database.clone(),
        }
    }
}

pub struct ControlHandler {
    store: Store,
    live: Option<LiveParts>,
    /// The configured actions of a stopped daemon, if known.
    actions: Option<Vec<Arc<str>>>,
    bindings: Option<Arc<Bindings>>,
    rules: Option<Arc<Ring>>,
    guards: Option<Arc<GuardsInForce>>,
    live_events: Arc<LiveEvents>,
    readers: Readers,
    socket: Option<SocketPlace>,
    trials: Arc<tokio::sync::Mutex<()>>,
}

/// The threads that may read the journal's disk at once. A disk that hangs blocks each of these threads;
/// without a bound no thread would be left to resolve host names and to query services.
struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_READERS)))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct DiskUse {
    bytes: Option<u64>,
    free_bytes: Option<u64>,
}

struct LiveParts {
    started: SystemTime,
    daemon: Arc<DaemonState>,
    counters: Arc<Counters>,
}

impl ControlHandler {
    #[must_use]
    pub fn of_daemon(store: Store, daemon: Arc<DaemonState>, counters: Arc<Counters>) -> Self {
        Self {
            store,
            live: Some(LiveParts { started: SystemTime::now(), daemon, counters }),
            actions: None,
            bindings: None,
            rules: None,
            guards: None,
            live_events: Arc::default(),
            readers: Readers::default(),
            socket: None,
            trials: Arc::default(),
        }
    }

    /// Adds the counts of rules and the guards in force, for [`ControlHandler::measurements`].
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<Ring>, guards: Arc<GuardsInForce>) -> Self {
        (self.rules, self.guards) = (Some(rules), Some(guards));
        self
    }

    #[must_use]
    pub(crate) fn with_live_events(mut self, live: Arc<LiveEvents>) -> Self {
        self.live_events = live;
        self
    }

    #[must_use]
    pub(crate) fn with_socket(mut self, socket: Option<SocketPlace>) -> Self {
        self.socket = socket;
        self
    }

    #[must_use]
    pub fn socket(&self) -> Option<&SocketPlace> {
        self.socket.as_ref()
    }

    #[must_use]
    pub fn live_events(&self) -> &Arc<LiveEvents> {
        &self.live_events
    }

    #[cfg(test)]
    pub(crate) fn of_store(store: Store) -> Self {
        Self::without_daemon(store, None)
    }

    /// Adds the bindings, by which the status names queues of osnl without a listener.
    #[must_use]
    pub(crate) fn with_bindings(mut self, bindings: Arc<Bindings>) -> Self {
        self.bindings = Some(bindings);
        self
    }

    /// Returns the handler of a stopped daemon's journal; `actions` are those of its configuration, if known.
    #[must_use]
    pub fn of_file(journal: PathBuf, actions: Option<Vec<Arc<str>>>) -> Self {
        Self::without_daemon(Store::Sqlite(None, journal), actions)
    }

    #[must_use]
    pub(crate) fn of_dead_letters(queues: Arc<DeadLetterQueues>, actions: Option<Vec<Arc<str>>>) -> Self {
        let journal = MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default());
        Self::without_daemon(Store::Memory(Arc::new(journal), queues), actions)
    }

    fn without_daemon(store: Store, actions: Option<Vec<Arc<str>>>) -> Self {
        let (live, bindings, rules, guards, live_events, readers, socket, trials) = Default::default();
        Self { store, live, actions, bindings, rules, guards, live_events, readers, socket, trials }
    }

    pub fn set_admin_certificate(&self, ends: Option<i64>) {
        if let Some(live) = &self.live {
            let what = "its certificate".to_owned();
            live.daemon.set_admin_expiry(ends.map(|ends| Expiry { what, ends }));
        }
    }

    /// Returns the age from which a pending delivery needs attention.
    fn attention_age(&self) -> Duration {
        self.live.as_ref().map_or(ATTENTION_AGE, |live| live.daemon.attention_age())
    }

    fn loaded(&self) -> Option<Arc<LoadedConf>> {
        self.live.as_ref()?.daemon.configuration()
    }

    #[must_use]
    pub fn actions(&self) -> Option<Vec<Arc<str>>> {
        match &self.live {
            Some(live) => Some(live.daemon.targets().iter().map(|target| target.name().clone()).collect()),
            None => self.actions.clone(),
        }
    }

    /// Answers a request with the JSON of the verb's answer type.
    pub async fn answer(&self, request: &ControlRequest) -> Result<Value, RequestRefusal> {
        self.answer_telling(request, &|_| {}).await
    }

    /// Like [`answer`](Self::answer), and reports the progress of a change of many deliveries. If the future
    /// is dropped, the current step is the last.
    pub async fn answer_telling(
        &self,
        request: &ControlRequest,
        told: OnProgress<'_>,
    ) -> Result<Value, RequestRefusal> {
        match request {
            ControlRequest::Status {} => json(self.status().await?),
            ControlRequest::List { filter, order, after, limit, count_at_most } => {
                let page =
                    deliveries::ListedPage { order: order.order(), after: after.as_deref(), limit: *limit };
                json(self.list(filter, page, *count_at_most).await?)
            }
            ControlRequest::Show { id, raw } => json(self.show(id, *raw).await?),
            ControlRequest::Retry { .. }
            | ControlRequest::Discard { .. }
            | ControlRequest::Release { .. }
            | ControlRequest::Move { .. } => json(self.change(request, told).await?),
            ControlRequest::QuarantineList { filter, after, limit } => {
                json(self.list_quarantined(filter, *after, *limit).await?)
            }
            ControlRequest::QuarantineShow { id, raw } => json(self.show_quarantined(*id, *raw).await?),
            ControlRequest::QuarantineRetry { messages, by } => {
                json(self.retry_quarantined(messages, by).await?)
            }
            ControlRequest::QuarantineDiscard { filter, dry_run, by } => {
                json(self.discard_quarantined(filter, *dry_run, by).await?)
            }
            ControlRequest::Reload { by } => json(self.reload(by).await?),
            ControlRequest::ForgetQueue { queue, vhost, by } => {
                json(self.forget_queue(queue, vhost.as_deref(), by))
            }
            ControlRequest::Pause { action, by } => json(self.set_paused(action, true, by).await?),
            ControlRequest::Probe { action, by } => json(self.probe(action, by).await?),
            ControlRequest::Resume { action, by } => json(self.set_paused(action, false, by).await?),
            ControlRequest::Replay { events, keep_ids, by } => {
                json(self.replay(events, *keep_ids, by).await?)
            }
        }
    }

    pub async fn is_of(&self, journal: &Path) -> Result<(), RequestRefusal> {
        let here = match &self.store {
            Store::Sqlite(_, path) => path,
            Store::Memory(..) => {
                let why = "this daemon keeps its journal in memory";
                return Err(RequestRefusal::new(Code::OtherJournal, why));
            }
            Store::Shared(_, database) if journal == Path::new(database) => return Ok(()),
            Store::Shared(_, database) => {
                let why = format!("this daemon's journal is {database}");
                return Err(RequestRefusal::new(Code::OtherJournal, why));
            }
        };
        if here == journal {
            return Ok(());
        }
        let paths = [here.clone(), journal.to_owned()];
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let looked = self.on_thread(move || paths.map(real));
        if let Ok(Ok([here, journal])) = timeout(STORE, looked).await
            && here == journal
        {
            return Ok(());
        }
        Err(RequestRefusal::new(Code::OtherJournal, format!("this daemon's journal is {}", here.display())))
    }

    /// Returns the bytes of the journal and the free bytes of its disk; `None` if the disk does not answer in
    /// time.
    async fn disk_use(&self) -> DiskUse {
        let path = match &self.store {
            Store::Sqlite(_, path) => path.clone(),
            Store::Memory(..) | Store::Shared(..) => return DiskUse::default(),
        };
        let looked = self.on_thread(move || DiskUse {
            bytes: Some(SqliteJournal::bytes(&path)),
            free_bytes: SqliteJournal::free_bytes(&path),
        });
        match timeout(STORE, looked).await {
            Ok(Ok(disk)) => disk,
            Ok(Err(_)) | Err(_) => DiskUse::default(),
        }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // The semaphore is never closed.
        let permit = self.readers.0.clone().acquire_owned().await.ok();
        spawn_blocking(move || {
            let _permit = permit;
            look()
        })
        .await
    }

    /// Reads the file on a blocking thread; `None` for a journal in memory. A shared journal has no file,
    /// which is an error.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&SqliteReader) -> ReadResult<T> + Send + 'static,
    ) -> Result<Option<T>, RequestRefusal> {
        let path = match &self.store {
            Store::Sqlite(_, path) => path.clone(),
            Store::Memory(..) => return Ok(None),
            Store::Shared(_, database) => return Err(not_shared(database)),
        };
        let looked = self.on_thread(move || {
            let unavailable = |why: String| {
                RequestRefusal::new(Code::Unavailable, format!("the journal {} {why}", path.display()))
            };
            let reader = SqliteReader::open(&path).map_err(|error| unavailable(error.to_string()))?;
            look(&reader).map_err(|error| unavailable(format!("cannot be read: {error}")))
        });
        match looked.await {
            Ok(found) => found.map(Some),
            Err(error) => {
                Err(RequestRefusal::new(Code::Unavailable, format!("the journal cannot be read: {error}")))
            }
        }
    }
}

/// The refusal of a request that only a journal in a file supports.
fn not_shared(database: &str) -> RequestRefusal {
    let why = format!(
        "this does not work on {database}, a journal that daemons share; docs/shared-journal.md lists what does; nothing was \
         changed"
    );
    RequestRefusal::new(Code::Unsupported, why)
}

fn json(answer: impl Serialize) -> Result<Value, RequestRefusal> {
    serde_json::to_value(answer).map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))
}
