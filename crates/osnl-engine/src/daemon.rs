//! Runs listeners, delivery loops and the journal, drains them in order, and replaces parts on a reload.

mod reload;
mod state;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl_core::epoch;
use osnl_journal::state_lock::StateLock;
use osnl_transport::{BoxFuture, TransportError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::reload::ReloadRequest;
pub use self::reload::{
    Reload, ReloadChanges, ReloadOutcome, ReloadRefusal, ReloadRefusalReason, ReloadScope, ReloadSummary,
    SectionChange, SectionChangeKind,
};
pub use self::state::{ATTENTION_AGE, DaemonState, DaemonStop, EndedReload, ListenerHandle, Reloads};
use self::tasks::Tasks;
use crate::listener::{ConnectionObserver, Listener};
pub use osnl_core::ended::RunEnd;
use osnl_core::ends::{EndReports, UnexpectedEnd};
use osnl_core::metrics::Counters;
use osnl_core::shutdown::Shutdown;
use osnl_delivery::DeliveryLoop;
use osnl_journal::Journal;
use osnl_journal::in_hand::InHand;

/// The running parts of osnl: starts, watches, and drains listeners and deliveries.
pub struct Daemon {
    /// The listeners to start.
    pub listeners: Vec<Listener>,
    /// The delivery loops to start, one for each action.
    pub deliveries: Vec<DeliveryLoop>,
    /// The journal that all of them share, closed after the last attempt.
    pub journal: Arc<dyn Journal>,
    /// Services that answer questions until the end of the drain.
    services: Vec<(&'static str, ServiceTask)>,
    /// The state that observers see.
    state: Arc<DaemonState>,
    /// The way to a changed configuration, and the counters of reloads; `None` if there is no reload.
    reload: Option<(Box<dyn Reload>, Arc<Counters>)>,
    /// Reports of further threads and tasks, whose unexpected end ends the daemon.
    watched: Vec<EndReports>,
    /// The record of the events in hand, for the process after a crash.
    in_hand: Arc<InHand>,
    /// The lock of the state folder, held until the daemon's end.
    state_lock: Option<StateLock>,
    /// Further tasks of a test.
    #[cfg(test)]
    more: Option<TestTasks>,
}

#[cfg(test)]
type TestTasks = Box<dyn FnOnce(&mut JoinSet<()>, &mut JoinSet<()>) + Send>;

/// The reasons for which the daemon ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Listener(#[from] TransportError),
    #[error("{0}; unacknowledged messages stay with the broker")]
    Unexpected(UnexpectedEnd),
}

/// The time that services have for their end: systemd kills what has not ended 15 s after the longest drain.
const SERVICES_END: Duration = Duration::from_secs(5);

/// A service that runs until its token is cancelled.
pub type ServiceTask = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

type ReloadInProgress = BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)>;

impl Daemon {
    #[must_use]
    pub fn new(listeners: Vec<Listener>, deliveries: Vec<DeliveryLoop>, journal: Arc<dyn Journal>) -> Self {
        let state = Arc::new(DaemonState::new(&listeners, &deliveries));
        Self {
            listeners,
            deliveries,
            journal,
            services: Vec::new(),
            state,
            reload: None,
            watched: Vec::new(),
            in_hand: Arc::default(),
            state_lock: None,
            #[cfg(test)]
            more: None,
        }
    }

    #[must_use]
    pub fn serving(mut self, name: &'static str, service: ServiceTask) -> Self {
        self.services.push((name, service));
        self
    }

    #[must_use]
    pub fn with_reload(mut self, reload: Box<dyn Reload>, counters: Arc<Counters>) -> Self {
        self.reload = Some((reload, counters));
        self
    }

    #[must_use]
    pub fn recording(mut self, in_hand: Arc<InHand>) -> Self {
        self.in_hand = in_hand;
        self
    }

    #[must_use]
    pub fn holding(mut self, state_lock: Option<StateLock>) -> Self {
        self.state_lock = state_lock;
        self
    }

    #[must_use]
    pub fn watching(mut self, ends: EndReports) -> Self {
        self.watched.push(ends);
        self
    }

    #[must_use]
    pub fn observing_connections(mut self, observer: &Arc<dyn ConnectionObserver>) -> Self {
        let listeners = self.listeners.into_iter();
        self.listeners = listeners.map(|listener| listener.with_observer(observer.clone())).collect();
        self
    }

    #[must_use]
    pub fn state(&self) -> Arc<DaemonState> {
        self.state.clone()
    }

    /// Runs until `shutdown` asks to drain, or until a listener fails for good.
    ///
    /// At the end, listeners take no new message, running attempts finish, the journal closes, and listeners settle
    /// complete messages and disconnect. The broker redelivers unsettled messages.
    pub async fn run(mut self, shutdown: &Shutdown, drain_deadline: Duration) -> Result<RunEnd, DaemonError> {
        let _held = self.state_lock.take();
        let in_hand = self.in_hand.clone();
        in_hand.running();
        let ended = self.run_to_its_end(shutdown, drain_deadline).await;
        match &ended {
            Ok(_) | Err(DaemonError::Listener(_)) => in_hand.clean_end(),
            Err(DaemonError::Unexpected(_)) => {}
        }
        ended
    }

    async fn run_to_its_end(
        self,
        shutdown: &Shutdown,
        drain_deadline: Duration,
    ) -> Result<RunEnd, DaemonError> {
        let ends = EndReports::default();
        let mut tasks = Tasks::start(shutdown, &ends, self.listeners, self.deliveries);
        let watched: Vec<EndReports> = self.watched.into_iter().chain([ends.clone()]).collect();
        let mut unexpected: FuturesUnordered<_> = watched.iter().map(EndReports::first).collect();
        let end_services = CancellationToken::new();
        let _end_on_drop = end_services.clone().drop_guard();
        let mut controls = JoinSet::new();
        for (name, service) in self.services {
            controls.spawn(ends.clone().task(name.to_owned(), service(end_services.clone())));
        }
        #[cfg(test)]
        if let Some(more) = self.more {
            more(&mut tasks.exits, &mut controls);
        }

        let mut first_error: Option<DaemonError> = None;
        let mut requests = self.state.inbox().filter(|_| self.reload.is_some());
        let (mut reload, counters) = self.reload.unzip();
        let mut preparing: Option<(ReloadInProgress, ReloadRequest)> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => break,
                Some(end) = unexpected.next() => first_error = Some(DaemonError::Unexpected(end)),
                Some(ended) = tasks.listeners.join_next_with_id() => first_error = tasks.listener_ended(ended).err(),
                Some(ended) = tasks.deliveries.join_next_with_id() => first_error = tasks.delivery_ended(ended).err(),
                Some(left) = tasks.exits.join_next() => {
                    first_error = left.err().map(|error| tasks::panicked("end of a listener".to_owned(), error));
                }
                Some(ended) = controls.join_next() => {
                    first_error = ended.err().map(|error| tasks::panicked("control socket".to_owned(), error));
                }
                (again, prepared) = prepared_reload(&mut preparing) => {
                    let request = preparing.take().map(|(_, request)| request);
                    let counters = counters.as_deref();
                    reload = Some(finish_reload(&self.state, &mut tasks, again, prepared, request, counters));
                }
                Some(request) = next_request(&mut requests), if reload.is_some() => {
                    if let Some(reload) = reload.take() {
                        if request.scope == ReloadScope::Configuration {
                            log_reload(&request.by);
                        }
                        if request.scope != ReloadScope::Preview {
                            self.state.note(|reloads| reloads.begun += 1);
                        }
                        preparing = Some((reload.prepare(request.scope), request));
                    }
                }
            }
            if let Some(DaemonError::Unexpected(end)) = &first_error {
                log_unexpected_end(end);
            }
            if first_error.is_some() {
                break;
            }
        }
        // Callers that wait for a reload learn that none will follow.
        drop((preparing, requests));
        self.state.begin_stop(first_error.is_some());
        shutdown.drain.cancel();
        let ended = drained(&mut tasks, &*self.journal, shutdown, drain_deadline, &mut first_error).await;
        end_services.cancel();
        services_ended(controls).await;
        if let Some(end) = watched.iter().find_map(EndReports::reported) {
            keep_first_error(&mut first_error, Err(DaemonError::Unexpected(end)));
        }
        match ended {
            RunEnd::Drained => {
                debug_assert!(
                    tasks.listeners.is_empty() && tasks.deliveries.is_empty(),
                    "each task is awaited"
                );
            }
            RunEnd::Aborted | RunEnd::DeadlinePassed => tasks.abort().await,
        }
        first_error.map_or(Ok(ended), Err)
    }
}

fn log_reload(by: &str) {
    tracing::info!(by, "reading the configuration again");
}

fn log_unexpected_end(end: &UnexpectedEnd) {
    tracing::error!(
        task = end.task,
        reason = end.to_string(),
        "a task ended unexpectedly: the daemon ends, unacknowledged messages stay with the broker"
    );
}

async fn drained(
    tasks: &mut Tasks,
    journal: &dyn Journal,
    shutdown: &Shutdown,
    deadline: Duration,
    first_error: &mut Option<DaemonError>,
) -> RunEnd {
    let drained = async {
        while let Some(ended) = tasks.deliveries.join_next_with_id().await {
            keep_first_error(first_error, tasks.delivery_ended(ended));
        }
        journal.close().await;
        while let Some(ended) = tasks.listeners.join_next_with_id().await {
            keep_first_error(first_error, tasks.listener_ended(ended));
        }
    };
    tokio::select! {
        biased;
        () = shutdown.abort.cancelled() => RunEnd::Aborted,
        in_time = timeout(deadline, drained) => in_time.map_or(RunEnd::DeadlinePassed, |()| RunEnd::Drained),
    }
}

/// Awaits the services, and drops those that do not end in time.
async fn services_ended(mut controls: JoinSet<()>) {
    let ended = async { while controls.join_next().await.is_some() {} };
    if timeout(SERVICES_END, ended).await.is_err() {
        tracing::warn!(
            seconds = SERVICES_END.as_secs(),
            "a service of the daemon does not end, and is dropped"
        );
    }
}

/// Keeps the first error, because a later one is its consequence.
fn keep_first_error(first_error: &mut Option<DaemonError>, ended: Result<(), DaemonError>) {
    let Err(error) = ended else { return };
    if first_error.is_none() {
        if let DaemonError::Unexpected(end) = &error {
            tracing::error!(task = end.task, reason = end.to_string(), "a task ended unexpectedly");
        }
        *first_error = Some(error);
    }
}

async fn prepared_reload(
    preparing: &mut Option<(ReloadInProgress, ReloadRequest)>,
) -> (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>) {
    match preparing {
        Some((preparing, _)) => preparing.await,
        None => std::future::pending().await,
    }
}

async fn next_request(
    requests: &mut Option<tokio::sync::mpsc::Receiver<ReloadRequest>>,
) -> Option<ReloadRequest> {
    requests.as_mut()?.recv().await
}

/// Applies a prepared reload unless it is a preview, notes and logs the outcome, and answers the caller.
fn finish_reload(
    state: &DaemonState,
    tasks: &mut Tasks,
    mut reload: Box<dyn Reload>,
    prepared: Result<ReloadChanges, ReloadRefusal>,
    request: Option<ReloadRequest>,
    counters: Option<&Counters>,
) -> Box<dyn Reload> {
    let is_preview = request.as_ref().is_some_and(|request| request.scope == ReloadScope::Preview);
    let outcome = match prepared {
        Ok(changes) if is_preview => ReloadOutcome::Done(changes.told),
        Err(refused) if is_preview => ReloadOutcome::Refused(refused),
        Ok(changes) => {
            state.change(&changes.begin, &changes.leave, &changes.deliveries, &changes.order);
            let told = changes.told.clone();
            reload.commit();
            tasks.apply(changes);
            counters.inspect(|counters| counters.reloads.increment());
            log_reloaded(&told);
            ReloadOutcome::Done(told)
        }
        Err(refused) => {
            counters.inspect(|counters| counters.reloads_refused.increment());
            for error in &refused.errors {
                tracing::error!(error = error.to_string(), "not reloaded");
            }
            tracing::error!("reload refused; the daemon continues with its previous configuration");
            ReloadOutcome::Refused(refused)
        }
    };
    let note = |reloads: &mut Reloads| {
        reloads.ended += 1;
        let since = reloads.failed.as_ref().map(|(since, _)| *since);
        (reloads.loaded, reloads.failed) = match &outcome {
            ReloadOutcome::Done(_) => (epoch::now(), None),
            ReloadOutcome::Refused(refused) => {
                (reloads.loaded, Some((since.unwrap_or_else(epoch::now), refused.clone())))
            }
        };
        let by = request.as_ref().map(|request| request.by.clone()).unwrap_or_default();
        reloads.last = Some(EndedReload { at: epoch::now(), by, outcome: outcome.clone() });
    };
    if !is_preview {
        state.note(note);
    }
    if let Some(answer) = request.and_then(|request| request.answer) {
        // A caller that has left finds the outcome in the log.
        let _ = answer.send(outcome);
    }
    reload
}

fn log_reloaded(told: &ReloadSummary) {
    for change in &told.changes {
        tracing::info!(change = change.to_string(), "reloaded");
    }
    for warning in &told.warnings {
        tracing::warn!(warning = warning.to_string(), "the configuration has a warning");
    }
    match told.changes.len() {
        0 => tracing::info!("reloaded: nothing has changed"),
        sections => tracing::info!(sections, "reloaded: the configuration has changed"),
    }
}
