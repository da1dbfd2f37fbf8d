//! Decides how a session acts on each wake-up, without input or output.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osnl_core::epoch;
use osnl_transport::{Batch, BoxFuture, Consumer, IncomingMessage, QueueType, TransportError, Window};
use tokio::time::Instant;

use crate::listener::announce::log_others_left;
use crate::listener::returns::{Blockade, WaitVerdict};
use crate::listener::watchdog::{SessionStage, SessionWake, Watchdog};
use crate::listener::{BlockReason, Listener, ListenerState, system_time};
use osnl_core::metrics::{QueuedMessages, StreamKind};
use osnl_core::received::{ReceivedMessage, with_head};
use osnl_journal::{Obstacle, Receipt, Settle};

/// The time that an unmatched message waits for others: one acknowledgement costs as much as several messages.
const LINGER: Duration = Duration::from_millis(5);

/// The time of one batch before other tasks have their turn, since a bulk request may take tens of milliseconds.
const SLICE: Duration = Duration::from_millis(10);

/// The number of open deliveries from which no further message is read. Open deliveries stay in memory, and a journal
/// writes all of a message in one transaction, for which other writers wait.
const MOST_DELIVERIES: usize = 20_000;

type OpenReceipt = BoxFuture<'static, (IncomingMessage, Settle)>;

/// The event for which the loop of a session wakes up.
#[derive(Debug)]
pub(in crate::listener) enum WakeCause {
    /// The daemon ends at once.
    Aborted,
    /// The daemon ends after the open messages.
    Draining,
    /// The receipt of a message is complete.
    Completed(IncomingMessage, Settle),
    /// The batch has messages, or the connection is lost.
    Polled(Result<(), TransportError>),
    /// A flush is due, of unmatched messages that have lingered or of settlements that the broker has not taken.
    Clock,
    /// An interval has passed; with the obstacle to further messages, if any.
    Check(Option<Obstacle>),
    /// The watchdog has an interval or an answer of the broker.
    Watch(SessionWake),
}

/// The input or output that the loop of a session does next.
#[derive(Debug)]
pub(in crate::listener) enum SessionOrder {
    Nothing,
    /// Asks the broker for no further messages.
    Quiesce,
    /// Sends the settlements that are due.
    Flush,
    /// Sends them and ends the session.
    End(Result<SessionEnd, TransportError>),
}

/// The reason for which a session ends with a usable connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::listener) enum SessionEnd {
    /// The daemon ends, and no message is open, unless the daemon ends at once ([`WakeCause::Aborted`]).
    Drained,
    /// Nothing can be kept, so closing the channel returns the pushed messages.
    GiveBack { since: Instant, reason: BlockReason, window_full: bool },
    /// Closing the channel returns a read message; a rejection would place it behind later messages.
    Return,
    /// A standby subscribes again, since the broker counts consumers only then.
    Recount,
}

/// Decides for one connection, from its subscription until its channel closes.
pub(super) struct Core<'a> {
    /// The listener of the connection: options, intake, state, and counters.
    pub(super) listener: &'a Listener,
    /// The greatest number of open messages: the option `prefetch`.
    prefetch: usize,
    /// The time of the subscription. A young session returns nothing by closing its channel.
    begun: Instant,
    /// Whether the session ends: it reads nothing more and awaits the open messages.
    pub(super) draining: bool,
    /// The messages that are read and not dispatched.
    pub(super) batch: Batch,
    /// Whether the batch is a rest, whose messages the window already has.
    is_rest: bool,
    /// The dispatched messages whose receipts are not complete.
    pub(super) open: OpenMessages,
    /// The way of every read message back to the broker.
    pub(super) settling: Settling,
    /// Reports a lack of progress, and whether another consumer has the turn.
    pub(super) watchdog: Watchdog,
    /// The time at which a standby subscribes again to count the consumers; `None` if the broker's counts show them.
    recount_at: Option<Instant>,
    /// Decides when waiting for room is a state, and when pushed messages return.
    blockade: Blockade,
    /// Whether all messages that had returned to the broker have come again and ended.
    pub(super) has_ended_returned: bool,
}

/// The dispatched messages of a session until their receipts complete.
#[derive(Default)]
pub(super) struct OpenMessages {
    /// One future for each message, which completes with the receipt.
    receipts: FuturesUnordered<OpenReceipt>,
    /// The number of deliveries of all of them, which bounds the memory.
    deliveries: Arc<AtomicUsize>,
    /// The number of messages, delivered again by the broker, that have not been acknowledged since.
    redelivered: usize,
}

impl OpenMessages {
    fn push(&mut self, message: IncomingMessage, receipt: Receipt) {
        let weight = OpenWeight::new(receipt.deliveries(), &self.deliveries);
        self.redelivered += usize::from(message.redelivered);
        self.receipts.push(Box::pin(async move {
            let settle = receipt.await;
            drop(weight);
            (message, settle)
        }));
    }

    /// Waits for the next complete receipt; `None` without an open message. Cancel-safe.
    pub(super) fn next(&mut self) -> impl Future<Output = Option<(IncomingMessage, Settle)>> {
        self.receipts.next()
    }

    pub(super) fn len(&self) -> usize {
        self.receipts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    fn is_crowded(&self) -> bool {
        self.deliveries.load(Ordering::Relaxed) >= MOST_DELIVERIES
    }
}

/// The settlements of a session that the broker does not have yet.
pub(super) struct Settling {
    /// The unsettled messages of the connection, and the settlements that are due.
    pub(super) window: Window,
    /// The time of the next flush; `None` while no settlement is due.
    pub(super) flush_at: Option<Instant>,
    /// Whether a rejected message keeps its place, as in classic queues.
    rejects: bool,
    /// Whether a message waits for the channel to close, which returns it to its place.
    returns: bool,
}

impl<'a> Core<'a> {
    pub(super) fn new(listener: &'a Listener, consumer: &dyn Consumer, recount: Duration) -> Self {
        let (options, found) = (&listener.config.options, consumer.subscription());
        let is_idle = match consumer.partitions() {
            Some(partitions) => partitions.is_empty(),
            None => options.queue.single_active_consumer,
        };
        let standby = is_idle && found.other_consumers > 0;
        let is_classic = found.open.iter().all(|queue| queue.queue_type == Some(QueueType::Classic));
        let prefetch = usize::from(options.prefetch);
        let patience = listener.config.give_back_after;
        let now = Instant::now();
        Self {
            listener,
            prefetch,
            begun: now,
            draining: false,
            batch: Batch::with_limit(prefetch),
            is_rest: false,
            open: OpenMessages::default(),
            settling: Settling {
                window: Window::new(found.epoch),
                flush_at: None,
                // An auto-delete queue is classic, though its arguments may differ from those of the options.
                rejects: is_classic || listener.is_auto_deleted(),
                returns: false,
            },
            watchdog: Watchdog::new(found.queues().join(", "), standby, is_classic),
            recount_at: (standby && !is_classic && consumer.partitions().is_none()).then(|| now + recount),
            blockade: Blockade::new(patience, prefetch, now),
            has_ended_returned: false,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.prefetch.saturating_sub(self.open.len())
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.open.is_crowded()
    }

    pub(super) fn is_flush_due(&mut self, now: Instant) -> bool {
        let due = self.settling.window.due();
        due > 0 && {
            let flush_at = *self.settling.flush_at.get_or_insert(now + LINGER);
            due >= self.prefetch / 4 || now >= flush_at
        }
    }

    pub(super) fn step(
        &mut self,
        woken: WakeCause,
        stage: SessionStage,
        consumer: &dyn Consumer,
        now: Instant,
    ) -> SessionOrder {
        match woken {
            WakeCause::Aborted => SessionOrder::End(Ok(SessionEnd::Drained)),
            WakeCause::Draining => {
                self.draining = true;
                self.listener.enter(ListenerState::Draining);
                // Cancelling hands a single active consumer's turn over at once, but pushed messages return only when
                // the channel closes. The other daemon would receive later messages first.
                if self.listener.config.options.queue.single_active_consumer {
                    SessionOrder::Flush
                } else {
                    SessionOrder::Quiesce
                }
            }
            WakeCause::Completed(message, settle) => {
                self.blockade.settled(now);
                self.settle(message, settle, now);
                while let Some(Some((message, settle))) = self.open.next().now_or_never() {
                    self.settle(message, settle, now);
                }
                if self.may_return(now) {
                    SessionOrder::End(Ok(SessionEnd::Return))
                } else {
                    SessionOrder::Flush
                }
            }
            WakeCause::Polled(polled) => {
                let messages = self.batch.len();
                self.dispatch();
                match polled {
                    Ok(()) => {
                        self.blockade.taken(messages - self.batch.len(), now);
                        SessionOrder::Nothing
                    }
                    Err(error) => SessionOrder::End(Err(error)),
                }
            }
            // The loop flushes after each step if a flush is due.
            WakeCause::Clock => SessionOrder::Nothing,
            WakeCause::Check(_) if self.may_return(now) => SessionOrder::End(Ok(SessionEnd::Return)),
            WakeCause::Check(obstacle) => self.check(obstacle, stage, now),
            WakeCause::Watch(wake) => {
                let Listener { config, stall, counters, gauges, .. } = self.listener;
                let was_standby = self.watchdog.is_standby();
                if let SessionWake::Answer(answer) = &wake {
                    let partitions = consumer.partitions();
                    self.listener.note_positions(partitions.as_deref());
                    gauges.answered(answer.as_ref().ok(), consumer.untaken(), partitions);
                    self.note_depth(answer.is_ok(), stage, consumer);
                }
                if stage == SessionStage::WindowFull && self.listener.intake.is_paced() {
                    self.watchdog.settled();
                }
                if let Some(change) = self.watchdog.woken(wake, stage, self.open.len(), consumer) {
                    change.publish(&config.name, stall, counters);
                }
                if was_standby && !self.watchdog.is_standby() {
                    match consumer.partitions() {
                        None => log_others_left(&config.name),
                        Some(_) => tracing::info!(
                            listener.name = &*config.name,
                            "the group has given this listener partitions: it receives their messages now"
                        ),
                    }
                    self.listener.enter(ListenerState::Listening);
                }
                match self.is_recount_due(now) {
                    true => SessionOrder::End(Ok(SessionEnd::Recount)),
                    false => SessionOrder::Nothing,
                }
            }
        }
    }

    fn is_recount_due(&self, now: Instant) -> bool {
        self.watchdog.is_standby() && !self.draining && self.recount_at.is_some_and(|at| at <= now)
    }

    fn note_depth(&self, is_answered: bool, stage: SessionStage, consumer: &dyn Consumer) {
        let Listener { config, intake, gauges, series, .. } = self.listener;
        let Some(depth) = gauges.depth().filter(|_| is_answered) else { return };
        let (waiting, read) = (depth.messages, series.received.get());
        intake.queued(&config.name, QueuedMessages { waiting, read, window: self.prefetch as u64 });
        let is_idle = stage == SessionStage::Polling && consumer.untaken() == 0;
        let others = depth.consumers.saturating_sub(1).max(u64::from(self.watchdog.is_standby()));
        let verdict = gauges.returns().judge_depth(depth.messages, others, is_idle);
        self.listener.say_returned(verdict);
    }

    fn check(&mut self, obstacle: Option<Obstacle>, stage: SessionStage, now: Instant) -> SessionOrder {
        let Listener { config, intake, stall, counters, .. } = self.listener;
        let obstacle = obstacle.filter(|_| stage != SessionStage::WindowFull || !intake.is_paced());
        let reason = || match (&obstacle, stage) {
            (Some(obstacle), _) => BlockReason::from(obstacle),
            (None, SessionStage::WindowFull) => {
                format!("{} messages are open, and none of them ends", self.open.len()).into()
            }
            (None, _) => "there is no place for another message".to_owned().into(),
        };
        match self.blockade.judge(stage, obstacle.is_some(), now) {
            WaitVerdict::Free => {
                if matches!(*self.listener.state.borrow(), ListenerState::Blocked { .. }) {
                    tracing::info!(listener.name = &*config.name, "the listener is no longer blocked");
                    self.listener.enter(ListenerState::Listening);
                }
                SessionOrder::Nothing
            }
            WaitVerdict::GiveBack { since } if !self.listener.is_auto_deleted() => {
                self.listener.blocked(system_time(since, now), reason());
                if let Some(change) = self.watchdog.given_back(stage, self.open.len(), since) {
                    change.publish(&config.name, stall, counters);
                }
                let window_full = stage == SessionStage::WindowFull;
                SessionOrder::End(Ok(SessionEnd::GiveBack { since, reason: reason(), window_full }))
            }
            // The broker deletes an auto-delete queue, with its messages, when it has no consumer.
            WaitVerdict::Blocked { since } | WaitVerdict::GiveBack { since } => {
                self.listener.blocked(system_time(since, now), reason());
                SessionOrder::Nothing
            }
        }
    }

    fn may_return(&self, now: Instant) -> bool {
        self.settling.returns && self.is_old(now)
    }

    /// Whether the session is old enough to return everything unsettled without doing so too often.
    fn is_old(&self, now: Instant) -> bool {
        now - self.begun >= self.listener.config.give_back_after
    }

    fn dispatch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if !self.is_rest {
            self.arrived();
        }
        let Listener { config, intake, counters, series, .. } = self.listener;
        let begun = std::time::Instant::now();
        let mut unmatched = 0;
        intake.upcoming(&self.batch);
        let mut is_first = true;
        let mut again = 0;
        while (std::mem::take(&mut is_first) || !epoch::has_taken(begun, SLICE))
            && let Some(message) = self.batch.take_first()
        {
            // Another consumer of the group reads the partition now.
            if message.partition.as_ref().is_some_and(|partition| partition.is_revoked()) {
                let _ = self.settling.window.acknowledge(message);
                continue;
            }
            again += usize::from(message.redelivered);
            if let Some(why) = intake.suspected(&message) {
                let receipt = intake.unreadable(ReceivedMessage::from_incoming(&message, &config.name), why);
                self.open.push(message, receipt);
                continue;
            }
            let wanted = with_head(&message, &config.budget, |head| {
                series.types.count(head.event_type.as_deref());
                // A dead letter that was put back is for the rule engine, whatever the rules are now.
                let wanted = message.marks.is_some() || intake.wants(head);
                if !wanted {
                    intake.unwanted(&message, &config.name, head);
                }
                wanted
            });
            let receipt = match wanted {
                Ok(false) => {
                    unmatched += 1;
                    let stale = self.settling.window.acknowledge(message);
                    debug_assert!(stale.is_ok(), "a session's messages are those of its window");
                    continue;
                }
                Ok(true) => intake.notify(ReceivedMessage::from_incoming(&message, &config.name)),
                Err(error) => intake
                    .unreadable(ReceivedMessage::from_incoming(&message, &config.name), error.to_string()),
            };
            self.open.push(message, receipt);
            if self.is_crowded() {
                break;
            }
        }
        intake.evaluated();
        if again > 0 {
            let verdict = self.listener.gauges.returns().delivered_again(again);
            self.listener.say_returned(verdict);
        }
        self.is_rest = !self.batch.is_empty();
        counters.unmatched.add(unmatched);
        series.unmatched.add(unmatched);
    }

    fn arrived(&mut self) {
        let Listener { config, counters, gauges, series, .. } = self.listener;
        self.settling.window.admit(&self.batch);
        let arrived = self.batch.len();
        debug_assert!(
            self.open.len() + arrived <= self.prefetch,
            "no message is read without a reserved place"
        );
        if self.watchdog.arrived() {
            self.listener.enter(ListenerState::Listening);
        }
        counters.received.add(arrived as u64);
        series.received.add(arrived as u64);
        // What the broker delivers again, and what an operator puts back, ends no silence of the services.
        let fresh = self.batch.iter().filter(|message| !message.redelivered && message.marks.is_none());
        let streams = &counters.series.streams;
        streams.note(StreamKind::Listener, &config.name, fresh.count(), epoch::now());
        gauges.received(arrived);
    }

    fn settle(&mut self, message: IncomingMessage, settle: Settle, now: Instant) {
        self.watchdog.settled();
        // The broker deletes an auto-delete queue, with its messages, when its channel closes.
        let is_old = self.is_old(now) && !self.listener.is_auto_deleted();
        if message.redelivered && settle == Settle::Acknowledge {
            self.open.redelivered -= 1;
            self.has_ended_returned |=
                self.open.redelivered == 0 && self.listener.gauges.returns().expected() == 0;
        }
        let stale = match settle {
            Settle::Acknowledge => self.settling.window.acknowledge(message),
            // The channel closes soon, which keeps the message's place.
            Settle::Requeue if self.draining => Ok(()),
            Settle::Requeue if self.settling.rejects && !is_old => self.settling.window.requeue(message),
            // A quorum queue would put a rejected message behind later messages. Closing the channel avoids that, after
            // time for the others.
            Settle::Requeue => {
                self.settling.returns = true;
                Ok(())
            }
            // A dropped message returns to the broker with the connection.
            Settle::Leave => Ok(()),
        };
        debug_assert!(stale.is_ok(), "a session's messages are those of its window");
    }
}

/// The deliveries of one open message, which count until it is dropped.
struct OpenWeight {
    deliveries: usize,
    /// The number of deliveries of all open messages of the session.
    total: Arc<AtomicUsize>,
}

impl OpenWeight {
    fn new(deliveries: usize, total: &Arc<AtomicUsize>) -> Self {
        total.fetch_add(deliveries, Ordering::Relaxed);
        Self { deliveries, total: total.clone() }
    }
}

impl Drop for OpenWeight {
    fn drop(&mut self) {
        self.total.fetch_sub(self.deliveries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
