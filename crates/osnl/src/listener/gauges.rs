//! The gauges of one listener, for a status.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_transport::{OpenQueue, PartitionSeen, QueueDepths, Subscription};

use super::recount::ReturnCount;
use super::watchdog::SessionStage;
use crate::management::risk::QueueRisk;
use crate::management::{BrokerFacts, UnknownFact};

/// Numbers of one listener.
#[derive(Debug, Default)]
pub struct Gauges {
    received: AtomicU64,
    reconnects: AtomicU64,
    /// Milliseconds since 1970; 0 is never.
    last_message: AtomicU64,
    opened: Mutex<ConnectedQueues>,
    depth: Mutex<Option<DepthGauge>>,
    /// A [`SessionStage`].
    stage: AtomicU8,
    /// Messages that are read and not settled.
    unsettled: AtomicUsize,
    /// Since when the state is what it is.
    since: Mutex<Option<SystemTime>>,
    trouble: Mutex<Option<ConnectionTrouble>>,
    /// The latest answer of the broker.
    waiting: Mutex<QueueDepths>,
    /// The partitions that it reads, where the broker has them.
    partitions: Mutex<Option<Vec<PartitionSeen>>>,
    /// The messages that come back after a connection.
    returns: Mutex<ReturnCount>,
    /// The time at which the queue was found missing and was created.
    created: Mutex<Option<SystemTime>>,
    /// The answers of the management API.
    overseen: Mutex<Option<Overseen>>,
}

/// The latest answers of the management API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overseen {
    /// The latest answers, and their time; they stay while the API does not answer.
    pub(crate) facts: Option<(BrokerFacts, SystemTime)>,
    /// The ways in which these queues lose messages, by those facts.
    pub(crate) risks: Vec<QueueRisk>,
    /// Why the latest question has no answer.
    pub(crate) unknown: Option<UnknownFact>,
}

/// The reason of a missing connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionTrouble {
    /// The reason why the latest attempt failed.
    pub reason: String,
    /// The commands and settings that mend it, if any are known.
    pub remedy: Option<String>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// When the next one begins.
    pub next: SystemTime,
    /// Whether the queue is read, and no exchange that should fill it is bound.
    pub is_unbound: bool,
}

/// The broker's latest answer about the queues that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthGauge {
    /// Messages that wait, those that a consumer holds not counted.
    pub messages: u64,
    /// Consumers of the queue that has most.
    pub consumers: u64,
    /// The time of the answer.
    pub at: SystemTime,
    /// When messages began to wait without becoming fewer.
    pub waiting_since: Option<SystemTime>,
}

impl DepthGauge {
    fn next(before: Option<&Self>, messages: u64, consumers: u64, at: SystemTime) -> Self {
        let same = before.filter(|before| messages >= before.messages);
        let since = same.and_then(|before| before.waiting_since).unwrap_or(at);
        Self { messages, consumers, at, waiting_since: (messages > 0).then_some(since) }
    }
}

/// The queues and host of the latest connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectedQueues {
    /// The queues that are read.
    pub queues: Vec<String>,
    /// `host:port` that answered; `None` before the first connection.
    pub host: Option<String>,
    /// Messages that waited in the queues then.
    pub waiting: u32,
    /// The last second, since 1970, in which the broker's certificate counts; `None` without TLS.
    pub certificate_ends: Option<i64>,
    /// Whether the queues are as they would be made.
    pub is_as_configured: bool,
    /// The first queue that can lose messages otherwise than it is configured to.
    pub lossy: Option<LossyQueue>,
}

/// A queue that can lose messages: another program has made it so, or the broker of our own declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyQueue {
    /// Its name.
    pub queue: String,
    /// The arguments that were asked for, and those that it has, of a queue that another program has made.
    pub differs: Option<String>,
    /// The way in which messages can be lost.
    pub how: String,
}

impl LossyQueue {
    fn of(queue: &OpenQueue) -> Option<Self> {
        let how = queue.loses.clone()?;
        Some(Self { queue: queue.name.to_string(), differs: queue.differs.clone(), how })
    }
}

impl Gauges {
    pub(super) fn connected(&self, found: &Subscription, again: bool) {
        self.reconnects.fetch_add(u64::from(again), Ordering::Relaxed);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = ConnectedQueues {
            queues: found.queues().iter().map(ToString::to_string).collect(),
            host: Some(found.host.clone()),
            waiting: found.waiting,
            certificate_ends: found.certificate_ends,
            is_as_configured: found.open.iter().all(|queue| queue.differs.is_none()),
            lossy: found.open.iter().find_map(LossyQueue::of),
        };
        self.set_depth(found.waiting.into(), u64::from(found.other_consumers) + 1);
    }

    /// The broker has said what waits in the queues.
    fn saw(&self, waiting: &QueueDepths) {
        let messages = waiting.iter().map(|(_, seen)| u64::from(seen.messages)).sum();
        let consumers = waiting.iter().map(|(_, seen)| u64::from(seen.consumers)).max().unwrap_or(0);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waiting);
        self.set_depth(messages, consumers);
    }

    /// The broker was asked what waits, and may have answered; the consumer knows its partitions.
    pub(super) fn answered(&self, waiting: Option<&QueueDepths>, partitions: Option<Vec<PartitionSeen>>) {
        if let Some(waiting) = waiting {
            self.saw(waiting);
        }
        self.saw_partitions(partitions);
    }

    /// The consumer has said what is known of its partitions.
    pub(super) fn saw_partitions(&self, partitions: Option<Vec<PartitionSeen>>) {
        *self.partitions.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    /// Returns the partitions that it read when they were looked at last, at most ten seconds ago while it is connected;
    /// `None` where the broker has none, and before the first connection.
    #[must_use]
    pub fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the count of the messages that come back.
    pub(super) fn returns(&self) -> MutexGuard<'_, ReturnCount> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the messages that were unsettled when a connection ended, and that have not come back.
    pub(crate) fn missing(&self) -> usize {
        self.returns().missing()
    }

    /// A queue that was read before was not there, and is created.
    pub(super) fn created_again(&self) {
        self.returns().created();
        *self.created.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
    }

    /// Returns when a queue that was read before was found missing and was created, since the start.
    pub(crate) fn created(&self) -> Option<SystemTime> {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The management API was asked, or can't be.
    pub(super) fn oversaw(&self, seen: Overseen) {
        *self.overseen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Returns the latest answers of the management API; `None` where the broker has no such API.
    pub(crate) fn overseen(&self) -> Option<Overseen> {
        self.overseen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_depth(&self, messages: u64, consumers: u64) {
        let mut depth = self.depth.lock().unwrap_or_else(PoisonError::into_inner);
        *depth = Some(DepthGauge::next(depth.as_ref(), messages, consumers, SystemTime::now()));
    }

    /// Returns the broker's last answer about the queues that are read; it is asked every ten seconds while connected.
    #[must_use]
    pub fn depth(&self) -> Option<DepthGauge> {
        self.depth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn received(&self, messages: usize) {
        if messages > 0 {
            self.received.fetch_add(messages as u64, Ordering::Relaxed);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
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

    /// Returns the stage of its session.
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

    /// Returns the messages that are read and not settled.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Whether the session waits for a message, and has none unsettled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stage() == SessionStage::Polling && self.unsettled() == 0
    }

    /// Returns the messages and consumers of each queue, by the broker's last answer, at most ten seconds old.
    #[must_use]
    pub fn waiting(&self) -> QueueDepths {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is in another state from now on, or from `since` on.
    pub(super) fn entered(&self, since: SystemTime) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
    }

    /// An attempt to connect failed, or succeeded.
    pub(super) fn failed(&self, trouble: Option<ConnectionTrouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// When its state began; `None` before it has begun.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reason of a missing connection; `None` while connected, and before the first attempt has failed.
    #[must_use]
    pub fn trouble(&self) -> Option<ConnectionTrouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Messages taken from the broker since the start, redeliveries included.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Connections opened after the first.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// When the latest message came, of this run of the program.
    #[must_use]
    pub fn last_message(&self) -> Option<SystemTime> {
        match self.last_message.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    /// Returns the queues and host of the latest connect.
    #[must_use]
    pub fn opened(&self) -> ConnectedQueues {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_waits_since_it_last_became_smaller() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut depth: Option<DepthGauge> = None;
        for (n, (messages, since)) in [
            (0, None),
            (3, Some(1)),
            (3, Some(1)),
            (5, Some(1)),
            (4, Some(4)),
            (4, Some(4)),
            (0, None),
            (1, Some(7)),
        ]
        .into_iter()
        .enumerate()
        {
            let seen = DepthGauge::next(depth.as_ref(), messages, 1, at(n as u64));
            assert_eq!(seen.waiting_since, since.map(at), "{n}");
            depth = Some(seen);
        }
    }
}
