//! Decides how a session acts on each wake-up, without input or output.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osnl_transport::{Batch, BoxFuture, Consumer, IncomingMessage, QueueType, TransportError, Window};
use tokio::time::Instant;

use crate::journal::{Obstacle, Receipt, Settle};
use crate::listener::Listener;
use crate::listener::announce::log_others_left;
use crate::listener::blockade::{Blockade, WaitVerdict};
use crate::listener::state::ListenerState;
use crate::listener::stream::ListenerStreams;
use crate::listener::watchdog::{SessionStage, SessionWake, Watchdog};
use crate::metrics::StreamKind;
use crate::received::{ReceivedMessage, with_head};

/// The time that a message that matches no rule may wait to be acknowledged with others: an acknowledgement costs as
/// much as several messages. A message with an outcome does not wait.
const LINGER: Duration = Duration::from_millis(5);

/// The time that the messages of one batch may take before other tasks have their turn: a bulk request of thousands of
/// resources takes tens of milliseconds, and hundreds of them may be ready at once.
const SLICE: Duration = Duration::from_millis(10);

/// Deliveries of open messages beyond which no further message is looked at. They are in memory until their message may
/// be settled, and a journal on disk writes them in one transaction, for whose end all others wait.
const MOST_DELIVERIES: usize = 20_000;

/// A message handed over, until its receipt completes.
type Open = BoxFuture<'static, (IncomingMessage, Settle)>;

/// The cause that woke a session.
#[derive(Debug)]
pub(in crate::listener) enum WakeCause {
    /// Stop at once.
    Aborted,
    /// Take nothing new, and settle what is open.
    Draining,
    /// A receipt has completed; others may have too.
    Completed(IncomingMessage, Settle),
    /// So many places are there for what a stream has not taken back.
    HandOut(usize),
    /// The batch has what came, or the connection is lost.
    Polled(Result<(), TransportError>),
    /// Something is due: a flush, a position.
    Clock,
    /// It is time to look whether anything moves; what the intake says keeps it from it.
    Look(Option<Obstacle>),
    /// The watchdog looks.
    Watch(SessionWake),
}

/// The input or output that a step asks for.
#[derive(Debug)]
pub(in crate::listener) enum SessionOrder {
    /// None.
    Nothing,
    /// Tell the broker to push nothing more.
    Quiesce,
    /// Tell the broker what is settled.
    Flush,
    /// The session is over.
    End(Result<SessionEnd, TransportError>),
}

/// The end of a session that was not lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::listener) enum SessionEnd {
    /// It was told to stop, and what was open is settled; or to stop at once.
    Drained,
    /// Nothing can be kept: what the broker has pushed goes back by closing the channel.
    GiveBack {
        /// When something moved last.
        since: Instant,
        /// The part that has no room.
        reason: String,
        /// Whether the messages that were read wait for their end, rather than new ones for a place.
        window_full: bool,
    },
    /// A message that was read goes back, by closing the channel: rejecting it would put it behind what follows it.
    Return,
    /// The journal keeps nothing more of this subscription: what the broker has pushed goes back by closing the channel.
    Resubscribe,
    /// A standby of a quorum queue subscribes again: the broker says only then whether another consumer is there.
    Recount,
}

/// The state of a session. See the [module](self).
pub(super) struct Core<'a> {
    pub(super) listener: &'a Listener,
    pub(super) window: Window,
    pub(super) open: FuturesUnordered<Open>,
    /// The messages that came and are not looked at yet.
    pub(super) batch: Batch,
    /// Whether the window has the messages of the batch already: they are the rest of a longer one.
    is_rest: bool,
    /// Deliveries of the messages in `open`.
    deliveries: Arc<AtomicUsize>,
    /// The latest time to send the settlements to the broker; `None` while there are none.
    pub(super) flush_at: Option<Instant>,
    /// `None` where queues are read.
    pub(super) streams: Option<&'a mut ListenerStreams>,
    pub(super) watchdog: Watchdog,
    /// When a standby subscribes again, to count the other consumers.
    recount_at: Option<Instant>,
    pub(super) draining: bool,
    blockade: Blockade,
    begun: Instant,
    /// A message is to go back with the channel.
    returns: bool,
    /// Whether a message can be rejected, and keeps its place by that: in classic queues.
    rejects: bool,
    /// The journal keeps nothing more of this subscription.
    resubscribes: bool,
    prefetch: usize,
    /// The assignment of each partition whose messages have come, as a shared journal knows it.
    assigned: HashMap<Arc<str>, u64>,
}

impl<'a> Core<'a> {
    pub(super) fn new(
        listener: &'a Listener,
        consumer: &dyn Consumer,
        mut streams: Option<&'a mut ListenerStreams>,
        recount: Duration,
    ) -> Self {
        let (options, found) = (&listener.config.options, consumer.subscription());
        if let Some(streams) = &mut streams {
            let created = |name: &str| found.open.iter().any(|queue| *queue.name == *name && queue.created);
            streams.opened(options, &found.queues(), created);
        }
        let is_idle = match consumer.partitions() {
            Some(partitions) => partitions.is_empty(),
            None => options.queue.single_active_consumer,
        };
        let standby = is_idle && found.other_consumers > 0;
        let is_classic = found.open.iter().all(|queue| queue.queue_type == Some(QueueType::Classic));
        let prefetch = usize::from(options.prefetch);
        let patience = listener.config.give_back_after;
        Self {
            listener,
            window: Window::new(found.epoch),
            open: FuturesUnordered::new(),
            batch: Batch::with_limit(prefetch),
            is_rest: false,
            deliveries: Arc::default(),
            flush_at: None,
            streams,
            watchdog: Watchdog::new(found.queues().join(", "), standby, is_classic),
            recount_at: (standby && !is_classic && consumer.partitions().is_none())
                .then(|| Instant::now() + recount),
            draining: false,
            blockade: Blockade::new(patience, prefetch, Instant::now()),
            begun: Instant::now(),
            returns: false,
            rejects: is_classic,
            resubscribes: false,
            prefetch,
            assigned: HashMap::new(),
        }
    }

    /// Returns the number of messages that may be taken.
    pub(super) fn room(&self) -> usize {
        let held = self.streams.as_ref().map_or(0, |streams| streams.held());
        self.prefetch.saturating_sub(self.open.len() + held)
    }

    /// Whether so many deliveries are open that nothing more is looked at until some of their messages have ended.
    pub(super) fn is_crowded(&self) -> bool {
        self.deliveries.load(Ordering::Relaxed) >= MOST_DELIVERIES
    }

    /// Returns the number of messages held for a stream, and whether they are due again.
    pub(super) fn held(&self) -> (usize, bool) {
        self.streams.as_ref().map_or((0, false), |streams| (streams.held(), streams.is_due()))
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        let streams = self.streams.as_ref().and_then(|streams| streams.wake_at());
        self.flush_at.into_iter().chain(streams).min()
    }

    /// Whether the broker is to be told now of what is settled: it is much, or the first of it has waited for
    /// [`LINGER`].
    pub(super) fn is_flush_due(&mut self, now: Instant) -> bool {
        let due = self.window.due();
        due > 0 && {
            let flush_at = *self.flush_at.get_or_insert(now + LINGER);
            due >= self.prefetch / 4 || now >= flush_at
        }
    }

    /// `stage`: what it was waiting for when it was woken.
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
                // A cancelled consumer hands a single active one's turn over at once, while what the broker has pushed
                // here goes back only when the channel closes: the other daemon would get the later messages first.
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
                if self.resubscribes && !self.draining {
                    SessionOrder::End(Ok(SessionEnd::Resubscribe))
                } else if self.may_return(now) {
                    SessionOrder::End(Ok(SessionEnd::Return))
                } else {
                    SessionOrder::Flush
                }
            }
            WakeCause::HandOut(places) => {
                self.hand_out_again(places);
                SessionOrder::Nothing
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
            WakeCause::Clock => SessionOrder::Nothing,
            WakeCause::Look(_) if self.may_return(now) => SessionOrder::End(Ok(SessionEnd::Return)),
            WakeCause::Look(obstacle) => self.look(obstacle, stage, now),
            WakeCause::Watch(wake) => {
                let Listener { config, stall, counters, gauges, .. } = self.listener;
                let was_standby = self.watchdog.is_standby();
                if let SessionWake::Answer(answer) = &wake {
                    gauges.answered(answer.as_ref().ok(), consumer.partitions());
                    self.count_returned(answer.is_ok(), stage, consumer);
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

    /// Whether a standby is to subscribe again; it has received nothing.
    fn is_recount_due(&self, now: Instant) -> bool {
        self.watchdog.is_standby() && !self.draining && self.recount_at.is_some_and(|at| at <= now)
    }

    /// Counts what has not come back, by the broker's answer.
    fn count_returned(&self, is_answered: bool, stage: SessionStage, consumer: &dyn Consumer) {
        let Some(depth) = self.listener.gauges.depth().filter(|_| is_answered) else { return };
        let is_idle = stage == SessionStage::Polling && consumer.untaken() == 0;
        let others = depth.consumers.saturating_sub(1).max(u64::from(self.watchdog.is_standby()));
        let verdict = self.listener.gauges.returns().looked(depth.messages, others, is_idle);
        self.listener.say_returned(verdict);
    }

    /// Whether it is blocked, or no longer, and what follows.
    fn look(&mut self, obstacle: Option<Obstacle>, stage: SessionStage, now: Instant) -> SessionOrder {
        let Listener { config, stall, counters, .. } = self.listener;
        let reason = || match (&obstacle, stage) {
            (Some(obstacle), _) => obstacle.to_string(),
            (None, SessionStage::WindowFull) => {
                format!("{} messages are open, and none of them ends", self.open.len())
            }
            (None, _) => "there is no place for another message".to_owned(),
        };
        match self.blockade.look(stage, obstacle.is_some(), now) {
            WaitVerdict::Free => {
                if matches!(*self.listener.state.borrow(), ListenerState::Blocked { .. }) {
                    tracing::info!(listener.name = &*config.name, "the listener is no longer blocked");
                    self.listener.enter(ListenerState::Listening);
                }
                SessionOrder::Nothing
            }
            WaitVerdict::Blocked { since } => {
                self.listener.blocked(moment(since, now), reason());
                SessionOrder::Nothing
            }
            WaitVerdict::GiveBack { since } => {
                self.listener.blocked(moment(since, now), reason());
                if let Some(change) = self.watchdog.given_back(stage, self.open.len(), since) {
                    change.publish(&config.name, stall, counters);
                }
                let window_full = stage == SessionStage::WindowFull;
                SessionOrder::End(Ok(SessionEnd::GiveBack { since, reason: reason(), window_full }))
            }
        }
    }

    /// Whether a message is to go back by closing the channel, and all unsettled messages have had their time.
    fn may_return(&self, now: Instant) -> bool {
        self.returns && self.is_old(now)
    }

    /// Whether the session has lasted for so long that a return of everything unsettled does not follow another.
    fn is_old(&self, now: Instant) -> bool {
        now - self.begun >= self.listener.config.give_back_after
    }

    /// Looks at the messages of the batch, until it is empty or [`SLICE`] or [`MOST_DELIVERIES`] is reached.
    fn dispatch(&mut self) {
        let rejected = self.batch.take_rejected();
        if rejected > 0 || !(self.is_rest || self.batch.is_empty()) {
            self.arrived(rejected);
        }
        if self.batch.is_empty() {
            return;
        }
        let Listener { config, endpoint, counters, series, .. } = self.listener;
        let begun = std::time::Instant::now();
        let mut unmatched = 0;
        endpoint.upcoming(&self.batch);
        let mut is_first = true;
        let mut again = 0;
        // A message that no rule wants takes its time too.
        while (std::mem::take(&mut is_first) || begun.elapsed() < SLICE)
            && let Some(mut message) = self.batch.take_first()
        {
            again += usize::from(message.redelivered);
            if let Some(streams) = &mut self.streams
                && streams.admit(&mut message)
            {
                let _ = self.window.acknowledge(message);
                continue;
            }
            self.begin_partition(&message);
            if let Some(why) = endpoint.suspected(&message) {
                let receipt = endpoint.unreadable(ReceivedMessage::of(&message, &config.name), why);
                self.open(message, receipt);
                continue;
            }
            let wanted = with_head(&message, &config.budget, |head| {
                // A dead letter that was put back is for the rule engine, whatever the rules are now.
                let wanted = message.marks.is_some() || endpoint.wants(head);
                if !wanted {
                    endpoint.unwanted(&message, &config.name, head);
                }
                wanted
            });
            let receipt = match wanted {
                Ok(false) => {
                    unmatched += 1;
                    if let Some(streams) = &mut self.streams {
                        streams.done(&message);
                    }
                    // Cannot be stale: it came over the connection whose window this is.
                    let _ = self.window.acknowledge(message);
                    continue;
                }
                Ok(true) => endpoint.notify(ReceivedMessage::of(&message, &config.name)),
                Err(error) => {
                    endpoint.unreadable(ReceivedMessage::of(&message, &config.name), error.to_string())
                }
            };
            self.open(message, receipt);
            if self.is_crowded() {
                break;
            }
        }
        endpoint.looked_at();
        if again > 0 {
            let verdict = self.listener.gauges.returns().delivered_again(again);
            self.listener.say_returned(verdict);
        }
        self.is_rest = !self.batch.is_empty();
        counters.unmatched.add(unmatched);
        series.unmatched.add(unmatched);
    }

    /// Tells a shared journal of a partition that this daemon reads from now on, before the first message of it.
    fn begin_partition(&mut self, message: &IncomingMessage) {
        if let (Some(journal), Some(partition)) = (&self.listener.shared, &message.partition)
            && self.assigned.insert(partition.name.clone(), partition.assignment)
                != Some(partition.assignment)
        {
            journal.begin_reading(&self.listener.config.name, &partition.name);
        }
    }

    /// The batch has come, or so many messages were rejected before they could come.
    fn arrived(&mut self, rejected: usize) {
        let Listener { config, counters, gauges, series, .. } = self.listener;
        self.window.admit(&self.batch);
        let arrived = self.batch.len() + rejected;
        if self.watchdog.arrived() {
            self.listener.enter(ListenerState::Listening);
        }
        counters.received.add(arrived as u64);
        series.received.add(arrived as u64);
        counters.unmatched.add(rejected as u64);
        series.unmatched.add(rejected as u64);
        let streams = &counters.series.streams;
        streams.note(StreamKind::Listener, &config.name, arrived, SystemTime::now());
        gauges.received(arrived);
    }

    fn open(&mut self, message: IncomingMessage, receipt: Receipt) {
        let weight = OpenWeight::of(receipt.deliveries(), &self.deliveries);
        self.open.push(Box::pin(async move {
            let settle = receipt.await;
            drop(weight);
            (message, settle)
        }));
    }

    /// Hands out again messages that a stream does not take back, at most `places` of them.
    fn hand_out_again(&mut self, places: usize) {
        let Listener { config, endpoint, .. } = self.listener;
        let again: Vec<_> = self.streams.iter_mut().flat_map(|streams| streams.again(places)).collect();
        for message in again {
            // It matched on arrival, and could be read.
            let receipt = endpoint.notify(ReceivedMessage::of(&message, &config.name));
            self.open(message, receipt);
        }
    }

    fn settle(&mut self, message: IncomingMessage, settle: Settle, now: Instant) {
        self.watchdog.settled();
        let is_old = self.is_old(now);
        let stale = match (settle, &mut self.streams) {
            (Settle::Acknowledge, Some(streams)) => {
                streams.done(&message);
                self.window.acknowledge(message)
            }
            (Settle::Acknowledge, None) => self.window.acknowledge(message),
            // Nothing can go back to a stream: it is handed out again from here.
            (Settle::Requeue, Some(streams)) => {
                streams.hold(message);
                Ok(())
            }
            // The channel closes soon, and puts it in front of what follows it.
            (Settle::Requeue, None) if self.draining => Ok(()),
            (Settle::Requeue, None) if self.rejects && !is_old => self.window.requeue(message),
            // A quorum queue would put a rejected message behind later messages. So the message goes back with the channel,
            // as do all unsettled messages, after their time.
            (Settle::Requeue, None) => {
                self.returns = true;
                Ok(())
            }
            // Dropped: it stays unsettled and goes back with the connection.
            (Settle::Leave, _) => Ok(()),
            (Settle::Resubscribe, _) => {
                self.resubscribes = true;
                Ok(())
            }
        };
        debug_assert!(stale.is_ok(), "a session's messages are those of its window");
    }
}

/// A monotonic moment as people have it.
fn moment(at: Instant, now: Instant) -> SystemTime {
    let ago = now.saturating_duration_since(at);
    SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The deliveries of an open message, for as long as it is open.
struct OpenWeight {
    deliveries: usize,
    of: Arc<AtomicUsize>,
}

impl OpenWeight {
    fn of(deliveries: usize, of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(deliveries, Ordering::Relaxed);
        Self { deliveries, of: of.clone() }
    }
}

impl Drop for OpenWeight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.deliveries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
