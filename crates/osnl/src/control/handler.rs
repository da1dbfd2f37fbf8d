//! The handler of requests from all sources: a socket, another port, or a command with a file.

mod change;
mod configuration;
mod dead_letters;
mod deliveries;
mod gaps;
mod groups;
mod history;
mod measure;
mod names;
mod overseen;
mod probe;
mod quarantine;
mod reload;
mod replay;
mod rules;
mod status;
mod try_event;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

pub use self::measure::{MeasuredAction, MeasuredJournal, MeasuredListener, Measurements};
pub use self::names::ConfiguredNames;
use osnl_net::http::{Expiry, ExpiryKind};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::refusal::{Code, RequestRefusal};
use super::{ControlRequest, OnProgress, SocketPlace};
use crate::daemon::{ATTENTION_AGE, DaemonState, ReloadScope};
use crate::dead_letters::{DeadLetterQueues, MemoryAndQueues};
use crate::journal::PauseNote;
use crate::journal::memory::{MemoryJournal, MemoryLimits};
use crate::journal::query::{DiskUse, JournalQueries, QueryError};
use crate::journal::sqlite::{SqliteJournal, SqliteQueries};
use crate::listener::{Bindings, GapBook};
use crate::live::LiveEvents;
use crate::metrics::Counters;
use crate::native::{ConfInForce, LoadedConf};
use crate::rule::GuardsInForce;
use crate::unmatched::Ring;

/// The disk may take so long; then the rest is answered without it.
const STORE: Duration = Duration::from_secs(3);

/// The journal that requests read and change.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) journal: Arc<dyn JournalQueries>,
    /// A journal in memory, with the queues of the broker that have its dead letters.
    pub(crate) memory: Option<Arc<MemoryAndQueues>>,
}

impl Store {
    #[must_use]
    pub fn new(journal: Arc<dyn JournalQueries>) -> Self {
        Self { journal, memory: None }
    }

    #[must_use]
    pub fn for_sqlite(journal: Arc<SqliteJournal>) -> Self {
        Self::new(Arc::new(SqliteQueries::for_daemon(journal)))
    }

    /// Returns a journal that keeps nothing; its dead letters are in these queues.
    #[must_use]
    pub fn for_memory(journal: Arc<MemoryJournal>, dead_letters: Arc<DeadLetterQueues>) -> Self {
        let memory = Arc::new(MemoryAndQueues { journal, dead_letters });
        Self { journal: memory.clone(), memory: Some(memory) }
    }
}

/// Answers the requests of operators, with or without a running daemon.
pub struct ControlHandler {
    store: Store,
    live: Option<LiveParts>,
    names: Option<Arc<ConfiguredNames>>,
    bindings: Option<Arc<Bindings>>,
    gaps: Option<Arc<GapBook>>,
    rules: Option<Arc<Ring>>,
    guards: Option<Arc<GuardsInForce>>,
    conf: Arc<ConfInForce>,
    live_events: Arc<LiveEvents>,
    socket: Option<SocketPlace>,
    trials: Arc<tokio::sync::Mutex<()>>,
}

struct LiveParts {
    started: SystemTime,
    daemon: Arc<DaemonState>,
    counters: Arc<Counters>,
    /// The end of the certificate of the admin endpoint; `None` without TLS.
    admin_expiry: Mutex<Option<Expiry>>,
}

impl ControlHandler {
    #[must_use]
    pub fn for_daemon(store: Store, daemon: Arc<DaemonState>, counters: Arc<Counters>) -> Self {
        Self {
            store,
            live: Some(LiveParts {
                started: SystemTime::now(),
                daemon,
                counters,
                admin_expiry: Mutex::default(),
            }),
            names: None,
            bindings: None,
            gaps: None,
            rules: None,
            guards: None,
            conf: Arc::default(),
            live_events: Arc::default(),
            socket: None,
            trials: Arc::default(),
        }
    }

    #[must_use]
    pub fn with_rules(mut self, rules: Arc<Ring>, guards: Arc<GuardsInForce>) -> Self {
        (self.rules, self.guards) = (Some(rules), Some(guards));
        self
    }

    #[must_use]
    pub fn with_configuration(mut self, conf: Arc<ConfInForce>) -> Self {
        self.conf = conf;
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
    pub(crate) fn for_store(store: Store) -> Self {
        Self::without_daemon(store, None)
    }

    #[must_use]
    pub(crate) fn with_bindings(mut self, bindings: Arc<Bindings>) -> Self {
        self.bindings = Some(bindings);
        self
    }

    #[must_use]
    pub(crate) fn with_gaps(mut self, gaps: Arc<GapBook>) -> Self {
        self.gaps = Some(gaps);
        self
    }

    #[must_use]
    pub fn for_file(journal: PathBuf, names: Option<Arc<ConfiguredNames>>) -> Self {
        Self::without_daemon(Store::new(Arc::new(SqliteQueries::for_file(journal))), names)
    }

    #[must_use]
    pub(crate) fn for_dead_letters(
        queues: Arc<DeadLetterQueues>,
        names: Option<Arc<ConfiguredNames>>,
    ) -> Self {
        let journal = MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default());
        Self::without_daemon(Store::for_memory(Arc::new(journal), queues), names)
    }

    fn without_daemon(store: Store, names: Option<Arc<ConfiguredNames>>) -> Self {
        let (live, bindings, gaps, rules, guards, conf, live_events, socket, trials) = Default::default();
        Self { store, live, names, bindings, gaps, rules, guards, conf, live_events, socket, trials }
    }

    pub fn set_admin_certificate(&self, ends: Option<i64>) {
        if let Some(live) = &self.live {
            let what = "its certificate".to_owned();
            *live.admin_expiry.lock().unwrap_or_else(PoisonError::into_inner) =
                ends.map(|ends| Expiry { kind: ExpiryKind::Server, what, ends });
        }
    }

    /// Returns a time of day as the present system clock would have shown it, after steps since the start.
    fn by_present_clock(&self, at: SystemTime) -> SystemTime {
        self.live.as_ref().map_or(at, |live| live.counters.series.streams.clock().by_present(at))
    }

    fn attention_age(&self) -> Duration {
        self.live.as_ref().map_or(ATTENTION_AGE, |live| live.daemon.attention_age())
    }

    fn loaded(&self) -> Option<Arc<LoadedConf>> {
        self.conf.get()
    }

    #[must_use]
    pub fn actions(&self) -> Option<Vec<Arc<str>>> {
        match &self.live {
            Some(live) => Some(live.daemon.targets().iter().map(|target| target.name().clone()).collect()),
            None => self.names.as_ref().map(|names| names.actions.clone()),
        }
    }

    #[must_use]
    pub fn rule_names(&self) -> Vec<Arc<str>> {
        if let Some(names) = &self.names {
            return names.rules.clone();
        }
        let loaded = self.loaded();
        let rules = loaded.iter().flat_map(|loaded| &loaded.conf.rules);
        rules.map(|rule| rule.rule.name.clone()).collect()
    }

    pub async fn answer(&self, request: &ControlRequest) -> Result<Value, RequestRefusal> {
        self.answer_with_progress(request, &|_| {}).await
    }

    /// Like [`answer`](Self::answer), and reports the progress of a change of many deliveries. If the future
    /// is dropped, the current step is the last.
    pub async fn answer_with_progress(
        &self,
        request: &ControlRequest,
        told: OnProgress<'_>,
    ) -> Result<Value, RequestRefusal> {
        match request {
            ControlRequest::Status { look } => {
                let listeners = self.live.iter().filter(|_| *look).flat_map(|live| live.daemon.listeners());
                listeners.for_each(|listener| listener.gauges.look_again());
                json(self.status().await?)
            }
            ControlRequest::List { filter, order, after, limit, count_at_most } => {
                let page =
                    deliveries::ListedPage { order: order.order(), after: after.as_deref(), limit: *limit };
                json(self.list(filter, page, *count_at_most).await?)
            }
            ControlRequest::Groups { filter } => json(self.groups(filter, None).await?),
            ControlRequest::Show { id, raw } => json(self.show(id, *raw).await?),
            ControlRequest::History { resource, limit } => json(self.history(resource, *limit).await?),
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
            ControlRequest::Reload { by } => json(self.reload(ReloadScope::Configuration, by).await?),
            ControlRequest::ForgetQueue { queue, vhost, by } => {
                json(self.forget_queue(queue, vhost.as_deref(), by))
            }
            ControlRequest::Gaps => json(self.gaps()),
            ControlRequest::DismissGaps { gaps, all, by } => json(self.dismiss_gaps(gaps, *all, by)?),
            ControlRequest::VerifiedGaps { action, kind, until, by } => {
                json(self.verified_gaps(action, *kind, until, by)?)
            }
            ControlRequest::Pause { action, reason, by } => {
                json(self.pause(action, PauseNote { by: by.clone(), reason: reason.clone() }).await?)
            }
            ControlRequest::Probe { action, by } => json(self.probe(action, by).await?),
            ControlRequest::Resume { action, by } => json(self.set_paused(action, None, by).await?),
            ControlRequest::Replay { events, keep_ids, guarded, by } => {
                json(self.replay(events, *keep_ids, *guarded, by).await?)
            }
        }
    }

    pub async fn is_of(&self, journal: &Path) -> Result<(), RequestRefusal> {
        let asked = self.store.journal.is_at(journal.to_owned());
        if timeout(STORE, asked).await.unwrap_or_default() {
            return Ok(());
        }
        let facts = self.store.journal.facts();
        let why = match facts.place.filter(|_| facts.is_durable) {
            Some(place) => format!("this daemon's journal is {place}"),
            None => "this daemon keeps its journal in memory".to_owned(),
        };
        Err(RequestRefusal::new(Code::OtherJournal, why))
    }

    /// Returns the space of the journal on its disk; none of a disk that does not answer in time.
    async fn disk_use(&self) -> DiskUse {
        timeout(STORE, self.store.journal.disk_use()).await.unwrap_or_default()
    }
}

impl From<QueryError> for RequestRefusal {
    fn from(error: QueryError) -> Self {
        let code = match &error {
            QueryError::Unavailable(_) => Code::Unavailable,
            QueryError::Unsupported(_) => Code::Unsupported,
        };
        Self::new(code, error.to_string())
    }
}

fn json(answer: impl Serialize) -> Result<Value, RequestRefusal> {
    serde_json::to_value(answer).map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))
}
