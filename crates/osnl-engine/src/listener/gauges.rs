//! The state of a listener and its gauges: the only source of logs, readiness, and the admin page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_core::epoch;
use osnl_transport::{Binding, OpenQueue, PartitionSeen, QueueDepths, Remedy, Subscription};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::block_reason::BlockReason;
use super::returns::ReturnCount;
use super::watchdog::{CHECK_INTERVAL, SessionStage};

/// An observer of connections, which must not wait.
pub trait ConnectionObserver: Send + Sync {
    /// Called before the first attempt since the start, or since a connection was lost.
    fn connecting(&self);
    /// Called after each attempt to connect.
    fn attempted(&self, is_connected: bool);
}

/// The state of a listener, as `osnl status` and the log name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// `attempt` counts from 1 since the loss or the start.
    Connecting {
        attempt: u32,
    },
    Listening,
    Standby,
    /// Nothing more can be kept, so nothing is read. Pushed messages return to the broker after a while.
    Blocked {
        since: SystemTime,
        reason: BlockReason,
    },
    Draining,
    Stopped,
}

impl ListenerState {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Listening => "listening",
            Self::Standby => "standby",
            Self::Blocked { .. } => "blocked",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether there is a subscription, or one was returned until there is room.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        match self {
            Self::Listening | Self::Standby | Self::Blocked { .. } => true,
            Self::Connecting { .. } | Self::Draining | Self::Stopped => false,
        }
    }
}

/// The present values of a listener, written by its session and read by observers.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Messages since the listener began.
    received: AtomicU64,
    /// Connections that followed a lost one.
    reconnects: AtomicU64,
    /// Milliseconds since 1970; 0 means never.
    last_message: AtomicU64,
    /// The facts about the present connection, or the latest one.
    opened: Mutex<ConnectedQueues>,
    /// Whether the broker does not count messages.
    is_uncounted: bool,
    /// The sums over all queues at the latest look; `None` before the first, and if the broker does not count.
    depth: Mutex<Option<DepthGauge>>,
    /// The longest wait after which the broker has dropped messages, until it is taken.
    dropped: Mutex<Option<(Instant, Instant)>>,
    /// The stage of the session as a number, see `set_stage`.
    stage: AtomicU8,
    /// Messages in hand that are not settled.
    unsettled: AtomicUsize,
    /// The beginning of the present state.
    since: Mutex<Option<SystemTime>>,
    /// The latest failure to connect; `None` while connected, and before the first.
    trouble: Mutex<Option<ConnectionTrouble>>,
    /// The counts of each queue at the latest look of this connection.
    waiting: Mutex<QueueDepths>,
    /// The partitions at the latest look; `None` without one.
    partitions: Mutex<Option<Vec<PartitionSeen>>>,
    /// The messages of lost connections that may come back.
    returns: Mutex<ReturnCount>,
    /// The latest time at which the queue was found gone and was created again.
    created: Mutex<Option<SystemTime>>,
    /// Whether an earlier run has received a message from one of the queues.
    received_before: AtomicBool,
    /// Whether the broker deletes a queue with its last consumer.
    is_auto_deleted: AtomicBool,
    /// The time without any message after which that needs attention, in milliseconds; 0 means never.
    silent_after: AtomicU64,
    /// The time since which this listener is the active reader; `None` while it is not.
    listening: Mutex<Option<Instant>>,
    /// The faults of the bindings at the latest look.
    gaps: Mutex<BindingGaps>,
    /// The bindings that are removed while the queue is left; set as soon as the queue is to be left.
    leaving: OnceLock<Vec<Binding>>,
    /// Asks for a look at the bindings before its time.
    look: Notify,
    /// Asks for a look at the broker's queues before its time.
    survey: Notify,
    /// Asks for a look for an alarm that was refused.
    alarm_look: Notify,
}

/// The faults that the latest look at the bindings has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingGaps {
    /// Exchanges that do not exist.
    pub missing: BTreeSet<String>,
    /// The broker's refusals to bind a queue.
    pub refused: Vec<String>,
    /// The exchanges whose bindings were missing or refused since they were bound.
    pub unbound: BTreeMap<String, UnboundLooks>,
    /// Whether no exchange fills the queue.
    pub is_unbound: bool,
}

/// The looks since a queue was bound to an exchange from which a gap begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnboundLooks {
    /// The beginning of the latest that did not find the exchange.
    pub missing: Option<Instant>,
    /// The beginning of the first that the broker refused, or of the first of those without an answer just before it.
    pub refused: Option<Instant>,
}

impl UnboundLooks {
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Adds the looks at another binding to the exchange.
    pub(super) fn add(&mut self, other: Self) {
        self.missing = self.missing.max(other.missing);
        self.refused = self.refused.into_iter().chain(other.refused).min();
    }
}

/// The reason for which a listener is not connected, and the time of its next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionTrouble {
    pub reason: String,
    pub remedy: Option<Remedy>,
    /// Whether the listener connects only after an operator has corrected something.
    pub needs_operator: bool,
    pub attempts: u32,
    pub next: SystemTime,
}

/// The last counts of a queue that the broker reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthGauge {
    pub messages: u64,
    pub consumers: u64,
    pub at: Instant,
    pub waiting_since: Option<Instant>,
    /// The messages that the broker has handed over by then; `None` if others may read too.
    pub arrived: Option<u64>,
}

impl DepthGauge {
    /// Begins the wait anew after messages were read. It goes on after the broker has dropped some.
    fn next(before: Option<&Self>, messages: u64, consumers: u64, arrived: Option<u64>, at: Instant) -> Self {
        let arrived = arrived.filter(|_| consumers <= 1);
        let goes_on = |before: &&Self| messages >= before.messages || before.has_dropped(messages, arrived);
        let since = before.filter(goes_on).and_then(|before| before.waiting_since).unwrap_or(at);
        let waiting_since = (messages > 0).then_some(since);
        Self { messages, consumers, at, waiting_since, arrived }
    }

    /// Whether more messages are gone than were read.
    fn has_dropped(&self, messages: u64, arrived: Option<u64>) -> bool {
        let read = arrived.zip(self.arrived).map(|(arrived, before)| arrived.saturating_sub(before));
        read.is_some_and(|read| self.messages.saturating_sub(messages) > read)
    }
}

/// The facts about a connection that stay the same while it lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectedQueues {
    pub queues: Vec<String>,
    pub host: Option<String>,
    /// The last valid second, since 1970; `None` without TLS.
    pub certificate_ends: Option<i64>,
    pub is_as_configured: bool,
    pub lossy: Option<LossyQueue>,
}

/// A queue whose arguments or policies let the broker drop messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyQueue {
    pub queue: String,
    pub differs: Option<String>,
    pub how: String,
}

impl LossyQueue {
    fn from_queue(queue: &OpenQueue) -> Option<Self> {
        let how = queue.loses.clone()?;
        Some(Self { queue: queue.name.to_string(), differs: queue.differs.clone(), how })
    }
}

impl Gauges {
    pub(super) fn new(is_counted: bool) -> Self {
        Self { is_uncounted: !is_counted, ..Self::default() }
    }

    pub(super) fn connected(&self, found: &Subscription, again: bool) {
        self.reconnects.fetch_add(u64::from(again), Ordering::Relaxed);
        if let Some(is_auto_deleted) = found.is_auto_deleted() {
            self.set_auto_deleted(is_auto_deleted);
        }
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = ConnectedQueues {
            queues: found.queues().iter().map(ToString::to_string).collect(),
            host: Some(found.host.clone()),
            certificate_ends: found.certificate_ends,
            is_as_configured: found.open.iter().all(|queue| queue.differs.is_none()),
            lossy: found.open.iter().find_map(LossyQueue::from_queue),
        };
        let mut unbound = self.gaps().unbound;
        unbound.retain(|exchange, _| found.unbound.iter().any(|binding| binding.exchange == *exchange));
        self.set_gaps(BindingGaps { unbound, ..BindingGaps::default() });
        self.set_depth(found.waiting.into(), u64::from(found.other_consumers) + 1, None);
    }

    /// Records whether the broker deletes a queue of the listener, with its messages, when it has no consumer.
    pub(crate) fn set_auto_deleted(&self, is_auto_deleted: bool) {
        self.is_auto_deleted.store(is_auto_deleted, Ordering::Relaxed);
    }

    pub(crate) fn is_auto_deleted(&self) -> bool {
        self.is_auto_deleted.load(Ordering::Relaxed)
    }

    /// Records the certificate that the broker shows by now: it may be renewed while a connection lasts for months.
    pub fn set_certificate(&self, ends: i64) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).certificate_ends = Some(ends);
    }

    pub(super) fn set_gaps(&self, gaps: BindingGaps) {
        *self.gaps.lock().unwrap_or_else(PoisonError::into_inner) = gaps;
    }

    /// Forgets the present faults, since nothing looks at the bindings any more.
    pub(super) fn forget_gaps(&self) {
        self.failed(None);
        self.set_gaps(BindingGaps { unbound: self.gaps().unbound, ..BindingGaps::default() });
    }

    #[must_use]
    pub fn gaps(&self) -> BindingGaps {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the looks that make bindings. These bindings are removed; others are the services', or another listener's.
    pub(super) fn leave(&self, bindings: &[Binding]) {
        let _ = self.leaving.set(bindings.to_vec());
    }

    pub(super) fn leaving(&self) -> Option<&[Binding]> {
        self.leaving.get().map(Vec::as_slice)
    }

    /// Looks at the bindings, asks the broker about its queues, and looks for an alarm again after a refusal, without
    /// waiting for the next turn.
    pub fn look_again(&self) {
        self.look.notify_one();
        // A look that was not refused needs no wish.
        self.alarm_look.notify_waiters();
        self.ask_for_survey();
    }

    pub(super) fn ask_for_survey(&self) {
        self.survey.notify_one();
    }

    pub(super) async fn look_is_asked(&self) {
        self.look.notified().await;
    }

    pub fn alarm_look(&self) -> &Notify {
        &self.alarm_look
    }

    pub async fn survey_is_asked(&self) {
        self.survey.notified().await;
    }

    /// Forgets the counts of an earlier connection.
    pub(super) fn forget_waiting(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn record_depths(&self, waiting: &QueueDepths, arrived: Option<u64>) {
        let messages = waiting.iter().map(|(_, seen)| u64::from(seen.messages)).sum();
        let consumers = waiting.iter().map(|(_, seen)| u64::from(seen.consumers)).max().unwrap_or(0);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waiting);
        self.set_depth(messages, consumers, arrived);
    }

    pub(super) fn answered(
        &self,
        waiting: Option<&QueueDepths>,
        untaken: usize,
        partitions: Option<Vec<PartitionSeen>>,
    ) {
        if let Some(waiting) = waiting {
            let is_active = self.listening.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            // The numbers of a partition also count what is no message.
            let is_counted = is_active && partitions.is_none();
            self.record_depths(waiting, is_counted.then(|| self.messages() + untaken as u64));
        }
        self.record_partitions(partitions);
    }

    pub(super) fn record_partitions(&self, partitions: Option<Vec<PartitionSeen>>) {
        *self.partitions.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    /// Returns the partitions of the latest look, at most ten seconds old while connected.
    #[must_use]
    pub fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn returns(&self) -> MutexGuard<'_, ReturnCount> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn created_again(&self) {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch::now());
    }

    pub fn created(&self) -> Option<SystemTime> {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect(&self, silent_after: Option<Duration>) {
        let millis = silent_after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        self.silent_after.store(millis, Ordering::Relaxed);
    }

    pub fn silent_after(&self) -> Option<Duration> {
        let millis = self.silent_after.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    pub(super) fn set_received_before(&self) {
        self.received_before.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn has_received(&self) -> bool {
        self.received_before.load(Ordering::Relaxed) || self.messages() > 0
    }

    pub(super) fn reads(&self, is_active: bool) {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        *listening = is_active.then(|| listening.unwrap_or_else(Instant::now));
    }

    /// Returns the time for which this listener has read without any message, if that needs attention.
    pub fn never_received(&self) -> Option<Duration> {
        let after = self.silent_after()?;
        let reads = (*self.listening.lock().unwrap_or_else(PoisonError::into_inner))?.elapsed();
        (reads >= after && !self.has_received()).then_some(reads)
    }

    fn set_depth(&self, messages: u64, consumers: u64, arrived: Option<u64>) {
        if self.is_uncounted {
            return;
        }
        let mut depth = self.depth.lock().unwrap_or_else(PoisonError::into_inner);
        let next = DepthGauge::next(depth.as_ref(), messages, consumers, arrived, Instant::now());
        let before = depth.as_ref().filter(|before| before.has_dropped(messages, next.arrived));
        if let Some(since) = before.and_then(|before| before.waiting_since) {
            // The wait began between two looks.
            let since = since.checked_sub(CHECK_INTERVAL).unwrap_or(since);
            let (mut dropped, now) = (self.lock_dropped(), Instant::now());
            if dropped.is_none_or(|(begun, ended)| ended - begun < now - since) {
                *dropped = Some((since, now));
            }
        }
        *depth = Some(next);
    }

    /// Takes the longest wait after which the broker has dropped messages, as its beginning and its end.
    pub fn take_dropped(&self) -> Option<(Instant, Instant)> {
        self.lock_dropped().take()
    }

    fn lock_dropped(&self) -> MutexGuard<'_, Option<(Instant, Instant)>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn depth(&self) -> Option<DepthGauge> {
        self.depth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn received(&self, messages: usize) {
        if messages > 0 {
            self.received.fetch_add(messages as u64, Ordering::Relaxed);
            let now = epoch::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_message.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn set_stage(&self, stage: SessionStage) {
        let number = match stage {
            SessionStage::Taking => 0,
            SessionStage::WindowFull => 1,
            SessionStage::Reserving => 2,
            SessionStage::Polling => 3,
        };
        self.stage.store(number, Ordering::Relaxed);
    }

    pub(super) fn stage(&self) -> SessionStage {
        match self.stage.load(Ordering::Relaxed) {
            1 => SessionStage::WindowFull,
            2 => SessionStage::Reserving,
            3 => SessionStage::Polling,
            _ => SessionStage::Taking,
        }
    }

    pub(super) fn set_unsettled(&self, messages: usize) {
        self.unsettled.store(messages, Ordering::Relaxed);
    }

    #[must_use]
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    #[must_use]
    pub(crate) fn is_idle(&self) -> bool {
        self.stage() == SessionStage::Polling && self.unsettled() == 0
    }

    /// Returns the counts of each queue at the latest look of this connection; none before it.
    #[must_use]
    pub fn waiting(&self) -> QueueDepths {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn entered(&self, since: SystemTime) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
    }

    pub(super) fn failed(&self, trouble: Option<ConnectionTrouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the latest failure; `None` while connected, and before the first failure.
    #[must_use]
    pub fn trouble(&self) -> Option<ConnectionTrouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn messages(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn last_message(&self) -> Option<SystemTime> {
        match self.last_message.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    #[must_use]
    pub fn opened(&self) -> ConnectedQueues {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_the_broker_drops_at_once_has_waited() {
        let (gauges, minute) = (Gauges::default(), Duration::from_secs(60));
        for (messages, arrived) in [(0, 0), (9, 0), (9, 0), (0, 1), (7, 1), (0, 8)] {
            gauges.set_depth(messages, 1, Some(arrived));
            tokio::time::advance(minute).await;
        }
        let waited = gauges.take_dropped().map(|(since, until)| until - since);
        assert_eq!(waited, Some(2 * minute + CHECK_INTERVAL));
        assert_eq!(gauges.take_dropped(), None);
    }

    #[test]
    fn a_backlog_waits_since_some_of_it_was_read() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut depth: Option<DepthGauge> = None;
        for (n, (messages, arrived, since)) in [
            (0, Some(0), None),
            (3, Some(0), Some(1)),
            (3, Some(0), Some(1)),
            (5, Some(0), Some(1)),
            (4, Some(1), Some(4)),
            (4, Some(1), Some(4)),
            (0, Some(5), None),
            (9, Some(5), Some(7)),
            // The broker has dropped six.
            (2, Some(6), Some(7)),
            (1, Some(7), Some(9)),
            // Another consumer may have read.
            (9, None, Some(9)),
            (2, None, Some(11)),
            (1, Some(7), Some(12)),
        ]
        .into_iter()
        .enumerate()
        {
            let seen = DepthGauge::next(depth.as_ref(), messages, 1, arrived, at(n as u64));
            assert_eq!(seen.waiting_since, since.map(at), "{n}");
            depth = Some(seen);
        }
    }
}
