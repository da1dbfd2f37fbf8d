//! Reports a lack of progress while messages wait. Silence alone is not a fault: a cloud may be quiet for a night.
//!
//! | condition | after | report |
//! | --- | --- | --- |
//! | the window is full, or the journal has no place, and no receipt completes | [`STUCK`] | check the target |
//! | nothing arrives, and two answers of the broker report waiting messages | [`SILENT`] | check other consumers, alarms, the queue's leader |
//!
//! While the `rate` of an action delays the end of messages in a full window, that end may be hours away: no stall.
//!
//! A message costs only a flag here: at each [`CHECK_INTERVAL`] the broker is asked for its counts. A standby is no stall while
//! the other consumer exists.

use std::fmt;
use std::time::Duration;

use osnl_transport::{BoxFuture, Consumer, PartitionSeen, QueueDepths, TransportError};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use osnl_core::metrics::Counters;

const STUCK: Duration = Duration::from_secs(5 * 60);
/// The time without a message after which the broker's counts matter.
const SILENT: Duration = Duration::from_secs(60);
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const REMIND: Duration = Duration::from_secs(10 * 60);
const ANSWER: Duration = Duration::from_secs(30);

/// A lack of progress while messages wait, for a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    pub queue: String,
    pub kind: StallKind,
    pub since: Instant,
}

/// The evidence for a lack of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallKind {
    WindowFull { unsettled: usize },
    JournalFull { unsettled: usize },
    NothingArrives { waiting: u64 },
    NothingFetched { waiting: u64 },
}

impl fmt::Display for StallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WindowFull { unsettled } => write!(
                f,
                "the window is full with {unsettled} unsettled messages and none of them ends; look at the target \
                 that they wait for (its last failure is in this log)"
            ),
            Self::JournalFull { unsettled } => write!(
                f,
                "the journal has no place for another message ({unsettled} are unsettled) and none becomes free; look \
                 at the target that its messages wait for (its last failure is in this log)"
            ),
            Self::NothingArrives { waiting } => write!(
                f,
                "{waiting} messages wait in the queue and none comes; look for another consumer (rabbitmqctl \
                 list_consumers), for an alarm (rabbitmq-diagnostics alarms), and whether a majority of the queue's \
                 nodes is up"
            ),
            Self::NothingFetched { waiting } => write!(
                f,
                "{waiting} messages wait in the partitions of this listener and none comes; look whether the leaders of the \
                 partitions are up (kafka-topics.sh --describe), and at the logs of the brokers"
            ),
        }
    }
}

/// The step of a session at which messages can stop moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionStage {
    WindowFull,
    Reserving,
    Polling,
    Taking,
}

/// A change that the log and the status report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProgressChange {
    Stalled(Stall),
    Still(Stall),
    Over(Duration),
}

impl ProgressChange {
    pub(super) fn publish(self, listener: &str, state: &watch::Sender<Option<Stall>>, counters: &Counters) {
        match self {
            Self::Stalled(stall) | Self::Still(stall) => {
                let Stall { queue, kind, since } = &stall;
                let seconds = since.elapsed().as_secs();
                tracing::warn!(
                    listener.name = listener,
                    queue.name = queue,
                    seconds,
                    reason = kind.to_string(),
                    "no progress: messages wait and none moves"
                );
                if state.send_replace(Some(stall)).is_none() {
                    counters.stalls.increment();
                }
            }
            Self::Over(after) => {
                let seconds = after.as_secs();
                tracing::info!(listener.name = listener, seconds, "progress resumed");
                state.send_replace(None);
            }
        }
    }
}

/// The end of the watchdog's wait: the time for a look, or the broker's counts.
#[derive(Debug)]
pub(super) enum SessionWake {
    Check,
    Answer(Result<QueueDepths, TransportError>),
}

/// Watches that messages move while some wait, and reports a stall.
pub(super) struct Watchdog {
    /// The queues for the words of a stall: at first those of the listener, later those with messages.
    queue: String,
    /// Whether another consumer may be the active one; ends with the first message or by the broker's counts.
    standby: bool,
    /// Whether the broker counts a queue's waiting consumers; of a quorum queue it counts the active one alone.
    counts_standbys: bool,
    /// The times of the looks.
    tick: Interval,
    /// The question for the depths of the queues that the broker has not answered yet.
    asking: Option<BoxFuture<'static, Result<QueueDepths, TransportError>>>,
    /// Whether a message has arrived or been settled since the last look.
    moved: bool,
    /// The time of the look that last found progress, or of the start.
    quiet_since: Instant,
    /// The time of the first answer that counted messages, without progress since; `None` without such an answer.
    waiting_since: Option<Instant>,
    /// The stall that was reported, and the time of its last report; `None` without a stall.
    told: Option<(Stall, Instant)>,
}

impl Watchdog {
    /// `standby`: another consumer may be the one that gets the messages. `counts_standbys`: the broker counts consumers that
    /// wait.
    pub(super) fn new(queue: String, standby: bool, counts_standbys: bool) -> Self {
        let now = Instant::now();
        let mut tick = interval_at(now + CHECK_INTERVAL, CHECK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            queue,
            standby,
            counts_standbys,
            tick,
            asking: None,
            moved: false,
            quiet_since: now,
            waiting_since: None,
            told: None,
        }
    }

    pub(super) fn settled(&mut self) {
        self.moved = true;
    }

    pub(super) fn arrived(&mut self) -> bool {
        self.moved = true;
        std::mem::take(&mut self.standby)
    }

    pub(super) fn is_standby(&self) -> bool {
        self.standby
    }

    /// Ends the watch, because pushed messages return.
    pub(super) fn given_back(
        &mut self,
        stage: SessionStage,
        unsettled: usize,
        since: Instant,
    ) -> Option<ProgressChange> {
        let kind = match stage {
            SessionStage::WindowFull => StallKind::WindowFull { unsettled },
            SessionStage::Reserving | SessionStage::Polling | SessionStage::Taking => {
                StallKind::JournalFull { unsettled }
            }
        };
        let is_known = self.told.is_some();
        self.stalled(kind, since, Instant::now()).filter(|_| !is_known)
    }

    pub(super) async fn wake(&mut self) -> SessionWake {
        let answer = async {
            match &mut self.asking {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => {
                self.asking = None;
                SessionWake::Answer(answer)
            }
            _ = self.tick.tick() => SessionWake::Check,
        }
    }

    pub(super) fn woken(
        &mut self,
        wake: SessionWake,
        stage: SessionStage,
        unsettled: usize,
        consumer: &dyn Consumer,
    ) -> Option<ProgressChange> {
        let now = Instant::now();
        if matches!(wake, SessionWake::Check) && self.asking.is_none() {
            self.asking = Some(ask(consumer));
        }
        if self.moved {
            self.moved = false;
            self.quiet_since = now;
            self.waiting_since = None;
            return self.over(now);
        }
        let quiet = now - self.quiet_since;
        match (wake, stage) {
            (SessionWake::Check, SessionStage::WindowFull) if quiet >= STUCK => {
                self.stalled(StallKind::WindowFull { unsettled }, self.quiet_since, now)
            }
            (SessionWake::Check, SessionStage::Reserving) if quiet >= STUCK => {
                self.stalled(StallKind::JournalFull { unsettled }, self.quiet_since, now)
            }
            (SessionWake::Check, _) => None,
            (SessionWake::Answer(Ok(waiting)), SessionStage::Polling) if quiet >= SILENT || self.standby => {
                self.answered(&waiting, consumer.partitions(), now)
            }
            // The connection's heartbeat notices a missing answer.
            (SessionWake::Answer(Err(error)), _) => {
                tracing::debug!(queue.name = self.queue, %error, "the broker does not say how many messages wait");
                None
            }
            (SessionWake::Answer(Ok(_)), _) => None,
        }
    }

    fn answered(
        &mut self,
        waiting: &QueueDepths,
        partitions: Option<Vec<PartitionSeen>>,
        now: Instant,
    ) -> Option<ProgressChange> {
        if self.standby {
            self.standby = match &partitions {
                Some(partitions) => partitions.is_empty(),
                // The only consumer of all its queues must be the active one.
                None => !self.counts_standbys || waiting.iter().any(|(_, seen)| seen.consumers > 1),
            };
            return None;
        }
        let count: u64 = waiting.iter().map(|(_, seen)| u64::from(seen.messages)).sum();
        if count == 0 {
            self.waiting_since = None;
            return self.over(now);
        }
        match self.waiting_since {
            // A message may be on its way, so the next answer decides.
            None => {
                self.waiting_since = Some(now);
                None
            }
            Some(since) => {
                let queues = waiting.iter().filter(|(_, seen)| seen.messages > 0).map(|(queue, _)| &**queue);
                self.queue = queues.collect::<Vec<_>>().join(", ");
                let kind = match partitions {
                    None => StallKind::NothingArrives { waiting: count },
                    Some(_) => StallKind::NothingFetched { waiting: count },
                };
                self.stalled(kind, since, now)
            }
        }
    }

    fn stalled(&mut self, kind: StallKind, since: Instant, now: Instant) -> Option<ProgressChange> {
        let stall = Stall { queue: self.queue.clone(), kind, since };
        match &mut self.told {
            None => {
                self.told = Some((stall.clone(), now));
                Some(ProgressChange::Stalled(stall))
            }
            Some((told, said)) => {
                told.clone_from(&stall);
                let remind = now - *said >= REMIND;
                if remind {
                    *said = now;
                }
                remind.then_some(ProgressChange::Still(stall))
            }
        }
    }

    fn over(&mut self, now: Instant) -> Option<ProgressChange> {
        self.told.take().map(|(stall, _)| ProgressChange::Over(now - stall.since))
    }
}

fn ask(consumer: &dyn Consumer) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
    let waiting = consumer.waiting();
    Box::pin(async move {
        timeout(ANSWER, waiting).await.unwrap_or_else(|_| {
            Err(TransportError::Lost { reason: format!("no answer within {} s", ANSWER.as_secs()) })
        })
    })
}

#[cfg(test)]
mod tests;
