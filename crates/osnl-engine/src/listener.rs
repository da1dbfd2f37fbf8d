//! The listener's loop, which alone handles the connection: connect, poll, dispatch, settle, back off.
//!
//! ```text
//! Connecting { attempt } ──► Listening or Standby ──► Draining ──► Stopped
//!        ▲                      │        ▲  │
//!        ├──── connection lost ─┘        │  │ nothing more can be kept
//!        │                               │  ▼
//!        └──── there is room again ─── Blocked: after a while what was pushed goes back
//! ```
//!
//! An unmatched message is acknowledged without a task or an allocation, together with others. A matching message
//! goes to the [`Intake`] and is settled when its receipt completes; up to `prefetch` receipts are open at once. No
//! message is acknowledged on an error path.

mod announce;
mod bindings;
mod block_reason;
mod gaps;
mod gauges;
mod groups;
#[cfg(test)]
mod holding;
mod losses;
mod oversight;
mod returns;
mod session;
mod watchdog;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::epoch;
use osnl_model::{Budget, Priority, Target};
use osnl_transport::{Backoff, Consumer, ListenOptions, Remedy, Subscription, Transport, TransportError};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

pub use self::announce::ANOTHER_LIMIT;
use self::bindings::BindingCleanup;
pub(crate) use self::bindings::ReadTurn;
pub use self::bindings::{Bindings, ExitObstacle, OwnQueue, QueueExit, ReadQueue, UnreadQueue};
pub use self::block_reason::BlockReason;
pub use self::gaps::{DropLimits, Gap, GapBook, GapCause, GapFact, GapScope, GapVerification};
pub use self::gauges::{
    BindingGaps, ConnectedQueues, ConnectionObserver, ConnectionTrouble, DepthGauge, Gauges, ListenerState,
    LossyQueue, UnboundLooks,
};
pub use self::groups::GroupStore;
use self::losses::Losses;
pub use self::oversight::{OverseenListener, Oversight};
use self::returns::Returns;
use self::session::{ListenerSession, SessionEnd};
pub use self::watchdog::{Stall, StallKind};
use crate::intake::Intake;
use osnl_core::metrics::{Counters, ListenerSeries};
use osnl_core::shutdown::Shutdown;

/// The settings of a listener: targets, queue, limits, and patience.
pub struct ListenerConfig {
    /// The name of the listener's section.
    pub name: Arc<str>,
    /// The exchanges and topics, each with a priority, that its queues are bound to.
    pub targets: Vec<(Target, Priority)>,
    /// The queue and the prefetch, as the transport needs them.
    pub options: ListenOptions,
    /// The limits of a message, from `max_body`.
    pub budget: Budget,
    /// Whether a refused login or virtual host at the start is an error, as with oslo.messaging, instead of a retry.
    pub refused_access_is_fatal: bool,
    /// The time without room after which pushed messages return to the broker. The time must be well below the broker's
    /// consumer time-out (30 min in RabbitMQ).
    pub give_back_after: Duration,
}

impl ListenerConfig {
    #[must_use]
    pub fn new(name: Arc<str>, targets: Vec<(Target, Priority)>, options: ListenOptions) -> Self {
        let (budget, give_back_after) = (Budget::DEFAULT, GIVE_BACK_AFTER);
        Self { name, targets, options, budget, refused_access_is_fatal: false, give_back_after }
    }
}

/// The interval of writes of the last sign of life.
const LIFE_INTERVAL: Duration = Duration::from_secs(60);

pub const GIVE_BACK_AFTER: Duration = Duration::from_secs(5 * 60);

/// Keeps one subscription at a broker alive and hands its messages to an [`Intake`].
pub struct Listener {
    /// The settings, which a reload replaces with the listener.
    config: ListenerConfig,
    /// The broker.
    transport: Arc<dyn Transport>,
    /// The receiver of its messages: the rule engine, or an endpoint of the library.
    intake: Arc<dyn Intake>,
    /// The metrics of the process.
    counters: Arc<Counters>,
    /// Publishes the state of the connection.
    state: watch::Sender<ListenerState>,
    /// Sees each attempt to connect; only the log of oss_watcher needs one.
    observer: Option<Arc<dyn ConnectionObserver>>,
    /// The Kafka groups that have read; `None` on brokers with queues.
    groups: Option<GroupStore>,
    /// Removes bindings of its queues that the configuration no longer has; `None` in programs that listen themselves.
    tidying: Option<BindingCleanup>,
    /// The gaps of the daemon, and the part of this listener in them.
    gaps: (Arc<GapBook>, GapScope),
    /// Looks for what a connection does not show: policies, other consumers, alarms. Changes nothing.
    oversight: Option<Arc<dyn Oversight>>,
    /// Former queues whose last messages come before those of the queues that it reads now.
    turns: Vec<ReadTurn>,
    /// Publishes a stall: nothing moves although messages wait.
    stall: watch::Sender<Option<Stall>>,
    /// The numbers and the latest trouble for `osnl status`.
    gauges: Arc<Gauges>,
    /// The metrics of this listener.
    series: Arc<ListenerSeries>,
}

/// The reason for which a listener connects: it decides about the pause before, and what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectCause {
    /// The listener begins.
    Start,
    /// The former session has ended: the connection was lost, or its messages were returned.
    End,
    /// A standby subscribes again to count the other consumers.
    Recount,
}

impl ConnectCause {
    /// `ended` is the end of the former session, `recounted` the time after which a standby wanted to count again.
    fn new(ended: Option<Instant>, recounted: Option<Duration>) -> Self {
        match (ended, recounted) {
            (None, _) => Self::Start,
            (Some(_), None) => Self::End,
            (Some(_), Some(_)) => Self::Recount,
        }
    }
}

impl Listener {
    #[must_use]
    pub fn new(
        config: ListenerConfig,
        transport: Arc<dyn Transport>,
        intake: Arc<dyn Intake>,
        counters: Arc<Counters>,
    ) -> Self {
        let series = counters.series.listener(&config.name);
        let gaps = (Arc::default(), GapScope::new(&config.name, &config.targets));
        let gauges = Arc::new(Gauges::new(transport.features().counts));
        gauges.set_auto_deleted(config.options.queue.auto_delete);
        Self {
            config,
            transport,
            intake,
            counters,
            state: watch::Sender::new(ListenerState::Connecting { attempt: 0 }),
            observer: None,
            groups: None,
            tidying: None,
            gaps,
            oversight: None,
            turns: Vec::new(),
            stall: watch::Sender::new(None),
            gauges,
            series,
        }
    }

    /// Sets the store of Kafka groups that have read, without which a group whose topic was made anew is like a new
    /// group.
    #[must_use]
    pub fn with_groups(mut self, groups: GroupStore) -> Self {
        self.groups = Some(groups);
        self
    }

    #[must_use]
    pub fn with_bindings(mut self, memory: Arc<Bindings>, queues: Vec<ReadQueue>) -> Self {
        let tidying = BindingCleanup::new(memory, queues);
        if tidying.has_received() {
            self.gauges.set_received_before();
        }
        self.tidying = Some(tidying);
        self
    }

    /// Sets the record of gaps, without which nothing outlives the listener.
    #[must_use]
    pub fn with_gaps(mut self, book: Arc<GapBook>) -> Self {
        self.gaps.0 = book;
        self
    }

    #[must_use]
    pub fn silent_after(self, after: Option<Duration>) -> Self {
        self.gauges.expect(after);
        self
    }

    #[must_use]
    pub fn with_oversight(mut self, oversight: Arc<dyn Oversight>) -> Self {
        self.oversight = Some(oversight);
        self
    }

    pub(crate) fn oversight(&self) -> Option<&Arc<dyn Oversight>> {
        self.oversight.as_ref()
    }

    pub(crate) fn after(&mut self, turns: Vec<ReadTurn>) {
        self.turns = turns;
    }

    pub(crate) fn turns(&self) -> &[ReadTurn] {
        &self.turns
    }

    #[must_use]
    pub fn state(&self) -> watch::Receiver<ListenerState> {
        self.state.subscribe()
    }

    /// Returns the stall, if nothing moves although messages wait. [`Counters::stalls`] counts them.
    #[must_use]
    pub(crate) fn stall(&self) -> watch::Receiver<Option<Stall>> {
        self.stall.subscribe()
    }

    #[must_use]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    #[must_use]
    pub(crate) fn with_observer(mut self, observer: Arc<dyn ConnectionObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub(crate) fn own_queues(&self) -> Vec<OwnQueue> {
        self.tidying.iter().flat_map(BindingCleanup::queues).cloned().collect()
    }

    /// Whether the broker deletes a queue, with its messages, when it has no consumer: as found, or else by the option.
    pub(crate) fn is_auto_deleted(&self) -> bool {
        self.gauges.is_auto_deleted()
    }

    /// Whether another consumer takes none of the messages: one is active, or each has partitions.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.config.options.queue.single_active_consumer || self.transport.features().partitions
    }

    pub(crate) fn consumer_tag(&self) -> &str {
        &self.config.options.consumer_tag
    }

    #[must_use]
    pub(crate) fn gauges(&self) -> Arc<Gauges> {
        self.gauges.clone()
    }

    #[must_use]
    pub(crate) fn location(&self) -> String {
        self.transport.location()
    }

    /// Listens until `shutdown`, then settles the open messages and takes no new message.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), TransportError> {
        self.recall_groups();
        let mut before: Option<Instant> = None;
        let mut returns = Returns::default();
        // Set while a standby subscribes again only to count the other consumers.
        let mut recounted: Option<Duration> = None;
        let mut losses = Losses::new(self.transport.reconnect());
        let result = loop {
            let cause = ConnectCause::new(before, recounted);
            let consumer = match self.connect(&shutdown, cause, &mut losses.backoff).await {
                Ok(Some(consumer)) => consumer,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let lost = before.take().map(|at| at.elapsed());
            let recount = self.subscribed(&*consumer, lost, recounted.take());
            self.intake.subscribed(&self.config.name, self.config.options.prefetch);
            self.remember_groups(consumer.subscription()).await;
            self.stall.send_replace(None);
            let (found, watch) = (consumer.subscription().clone(), consumer.binding_watch());
            let opened = Instant::now();
            let mut session = ListenerSession::new(&self, consumer, recount);
            let mut kept = self.kept_bindings(&found);
            let tidying = async {
                if let Some(tidying) = &self.tidying {
                    tidying.connected(&self.config.name, &*self.transport, &self.gauges).await;
                }
            };
            let besides = async {
                tokio::join!(tidying, self.oversee(&found), self.shows_life());
                std::future::pending::<Infallible>().await
            };
            // In this order: the oversight judges what the looks at the bindings have shown.
            let ended = tokio::select! {
                biased;
                ended = self.read(&mut session, &shutdown) => ended,
                error = self.keep_bound(&found, &mut kept, watch) => Err(error),
                never = besides => match never {},
            };
            let unsettled = self.session_ended(&session, &mut returns);
            self.was_heard(matches!(ended, Ok(SessionEnd::Drained)), unsettled);
            before = Some(Instant::now());
            losses.ended(opened.elapsed(), ended.is_err(), self.transport.reconnect());
            self.count_ended(unsettled);
            match ended {
                Ok(SessionEnd::Drained) => {
                    session.consumer.close().await;
                    break Ok(());
                }
                Ok(SessionEnd::GiveBack { since, reason, window_full }) => {
                    let (consumer, why) = (session.into_consumer(), (since, reason, window_full));
                    let looks = self.keep_bound_unread(&found, &mut kept);
                    if !self.give_back(consumer, &mut returns, why, looks, &shutdown).await {
                        break Ok(());
                    }
                }
                Ok(SessionEnd::Recount) => {
                    session.consumer.close().await;
                    recounted = Some(recount);
                }
                Ok(SessionEnd::Return) => {
                    tracing::info!(
                        listener.name = &*self.config.name,
                        unsettled,
                        "a message is returned to the broker, and with it all unacknowledged ones: they come before later \
                         ones"
                    );
                    session.consumer.close().await;
                }
                Err(error) => {
                    self.stall.send_replace(None);
                    if !self.after_loss(&shutdown, &mut losses, unsettled, &error).await {
                        break Ok(());
                    }
                }
            }
        };
        self.stall.send_replace(None);
        self.end_reading();
        self.enter(ListenerState::Stopped);
        result
    }

    /// Notes the end of a session, and returns what it leaves to the broker. The row of returns ends if all that had returned has ended.
    fn session_ended(&self, session: &ListenerSession<'_>, returns: &mut Returns) -> usize {
        self.gauges.set_unsettled(0);
        self.intake.unsubscribed(&self.config.name);
        if session.has_ended_returned() {
            *returns = Returns::default();
        }
        session.unsettled()
    }

    fn end_reading(&self) {
        if let Some(tidying) = &self.tidying {
            tidying.end_reading(self.gauges.returns().expected());
            if self.gauges.messages() > 0 {
                tidying.received();
            }
        }
    }

    /// Reads the groups again, since another listener of the name may have read meanwhile.
    fn recall_groups(&mut self) {
        let Some(groups) = &mut self.groups else { return };
        groups.recheck();
        self.config.options.known_groups = groups.known().clone();
    }

    async fn remember_groups(&mut self, found: &Subscription) {
        if let Some(groups) = &self.groups {
            groups.remember(&self.config.name, &mut self.config.options.known_groups, found).await;
        }
    }

    pub(crate) fn note_gap(&self, fact: GapFact) {
        let (book, scope) = &self.gaps;
        book.note(scope, fact, epoch::now());
    }

    /// Records the sign of life at the end of a session: the drain itself, or the latest look before a loss.
    fn was_heard(&self, is_drained: bool, unsettled: usize) {
        let now = Instant::now();
        let at = match self.gauges.depth() {
            Some(depth) if depth.messages == 0 && !is_drained => depth.at,
            Some(depth) if depth.messages == 0 => now,
            // Without counts, messages may wait behind a full window.
            None if is_drained && unsettled == 0 && self.gauges.is_idle() => now,
            Some(_) | None => return,
        };
        self.gaps.0.heard(&self.config.name, system_time(at, now));
    }

    /// Records each minute the latest look at which the queues were empty; without counts, that the listener is idle.
    async fn shows_life(&self) {
        loop {
            sleep(LIFE_INTERVAL).await;
            let now = Instant::now();
            let at = match self.gauges.depth() {
                Some(depth) if depth.messages == 0 => depth.at,
                // A broker that does not count hands over all that waits.
                None if self.gauges.is_idle() => now,
                Some(_) | None => continue,
            };
            let (book, name) = (self.gaps.0.clone(), self.config.name.clone());
            let at = system_time(at, now);
            let heard = move || book.heard(&name, at);
            if epoch::is_simulated() {
                heard();
            } else {
                let _ = spawn_blocking(heard).await;
            }
        }
    }

    fn enter(&self, state: ListenerState) {
        let now = epoch::now();
        self.gauges.entered(now);
        if matches!(state, ListenerState::Listening | ListenerState::Standby) {
            let is_standby = state == ListenerState::Standby;
            self.counters.series.streams.set_standby(&self.config.name, is_standby, now);
            self.gauges.reads(!is_standby);
            if !is_standby {
                self.intake.active(&self.config.name);
            }
        }
        self.state.send_replace(state);
    }

    /// Publishes that nothing is read for want of room. A blockade keeps its first time, and is logged once.
    fn blocked(&self, at: SystemTime, reason: BlockReason) {
        let known = match &*self.state.borrow() {
            ListenerState::Blocked { since, reason } => Some((*since, reason.clone())),
            _ => None,
        };
        let since = known.as_ref().map_or(at, |(since, _)| *since);
        if known.is_none() {
            tracing::warn!(
                listener.name = &*self.config.name,
                reason = &*reason.words,
                "the listener is blocked: nothing more is read until there is room, and the broker keeps the messages"
            );
        }
        if known.is_none_or(|(_, known)| known != reason) {
            self.gauges.entered(since);
            self.state.send_replace(ListenerState::Blocked { since, reason });
        }
    }

    /// Connects until it succeeds; `None` if the daemon drains meanwhile.
    async fn connect(
        &self,
        shutdown: &Shutdown,
        cause: ConnectCause,
        backoff: &mut Backoff,
    ) -> Result<Option<Box<dyn Consumer>>, TransportError> {
        let mut said = None;
        if let Some(pause) = backoff.before().filter(|_| cause == ConnectCause::End) {
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => return Ok(None),
                () = sleep(pause) => {}
            }
        }
        for attempt in 1.. {
            if attempt == 1 {
                self.enter(ListenerState::Connecting { attempt });
                self.observer
                    .iter()
                    .filter(|_| cause != ConnectCause::Recount)
                    .for_each(|observer| observer.connecting());
            } else {
                self.state.send_replace(ListenerState::Connecting { attempt });
            }
            let is_new = self.tidying.as_ref().is_some_and(BindingCleanup::binds);
            let listen = self.transport.listen(&self.config.targets, &self.config.options);
            tokio::pin!(listen);
            let listened = tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => None,
                result = &mut listen => Some(result),
            };
            if let (Some(observer), Some(result)) = (&self.observer, &listened) {
                observer.attempted(result.is_ok());
            }
            let error = match listened {
                Some(Ok(consumer)) => {
                    if cause == ConnectCause::End {
                        self.counters.reconnects.increment();
                        self.series.reconnects.increment();
                    }
                    self.gauges.failed(None);
                    return Ok(Some(consumer));
                }
                Some(Err(error)) => error,
                None => {
                    give_up(listen, shutdown).await;
                    return Ok(None);
                }
            };
            if let TransportError::NoQueue { queue } = &error {
                self.note_gap(GapFact::QueueMissing { queue: queue.clone() });
            }
            let is_start = cause == ConnectCause::Start && attempt == 1;
            let fatal = is_start && self.config.refused_access_is_fatal && error.is_refused_access();
            if fatal || !error.is_recoverable() {
                return Err(error);
            }
            if is_new && error.is_refused_connection() {
                self.tidying.iter().for_each(BindingCleanup::made_nothing);
            }
            let pause = backoff.after(&error);
            let next = epoch::now() + pause;
            let trouble = ConnectionTrouble {
                reason: error.to_string(),
                remedy: self.remedy(&error),
                needs_operator: error.needs_operator(),
                attempts: attempt,
                next,
            };
            self.say_failed(&trouble, error.is_missing(), pause, &mut said);
            self.gauges.failed(Some(trouble));
            // Wakes watchers, because the reason has changed, though the state has not.
            self.state.send_modify(|_| {});
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => return Ok(None),
                () = sleep(pause) => {}
            }
        }
        Ok(None)
    }

    fn remedy(&self, error: &TransportError) -> Option<Remedy> {
        self.transport.remedy(error, &self.config.targets, &self.config.options)
    }
}

const GIVEN_UP: Duration = Duration::from_secs(1);

/// Closes what an abandoned attempt opens. Otherwise the next listener of the queue would find its consumer, or get
/// late bindings.
async fn give_up(
    listen: impl Future<Output = Result<Box<dyn Consumer>, TransportError>>,
    shutdown: &Shutdown,
) {
    let end = async {
        if let Ok(Ok(consumer)) = timeout(GIVEN_UP, listen).await {
            consumer.close().await;
        }
    };
    tokio::select! {
        biased;
        () = shutdown.abort.cancelled() => {}
        () = end => {}
    }
}

/// Returns the time of day of a moment before now, by the present system clock.
fn system_time(at: Instant, now: Instant) -> SystemTime {
    let ago = now.saturating_duration_since(at);
    epoch::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
async fn subscription(pool: &str) -> Subscription {
    use osnl_transport::{Declare, MemoryBroker, QueueKind, Transport as _};
    let options = ListenOptions::new(Some(pool), 9, Declare::Create, QueueKind::OSLO);
    let to = [(Target::new("x", "n"), Priority::Info)];
    let broker = MemoryBroker::new();
    let consumer = broker.transport().listen(&to, &options).await.unwrap();
    consumer.subscription().clone()
}
