//! A model of the broker behind the transport's contract: queues, connections, acknowledgements on their way.
//!
//! A message that returns with its connection takes its former place. One that is rejected takes it only in a classic
//! queue; a quorum queue puts it last. Messages and acknowledgements are on their way for some milliseconds, and are lost
//! with the connection.

mod consumer;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{Epoch, QueueSeen, QueueType, Settlement, TransportError};
use tokio::time::Instant;

pub(super) use self::consumer::SimulatedTransport;
use super::story::Settings;
use super::who::Who;
use super::world::WorldState;

/// RabbitMQ's default: a message that is unacknowledged for longer closes its channel.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The time of a message on its way to a daemon.
const DELIVERY: Duration = Duration::from_millis(10);

/// All queues and connections.
pub(super) struct BrokerModel {
    queues: Vec<QueueModel>,
    /// The first queues, to which services publish.
    published_to: usize,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    /// No connection is accepted before.
    down_until: Option<Instant>,
    /// Nothing that daemons send is read before.
    deaf_until: Option<Instant>,
    queue_type: QueueType,
    /// Whether one consumer of a queue is active at a time.
    one_is_active: bool,
}

/// A queue with the messages that no connection has.
#[derive(Default)]
struct QueueModel {
    ready: VecDeque<StoredMessage>,
    last_position: u64,
    /// The connections that consume, the active one first.
    consumers: Vec<u64>,
}

/// A message in a queue, with its place for a return.
#[derive(Clone, Debug)]
struct StoredMessage {
    event: usize,
    position: u64,
    redelivered: bool,
}

/// A connection with one channel, for one queue.
struct Connection {
    who: Who,
    queue: usize,
    prefetch: usize,
    last_tag: u64,
    /// Messages that were handed over, each with the time.
    unsettled: BTreeMap<u64, (StoredMessage, Instant)>,
    /// Those of them that no poll has taken, each with its time of arrival.
    pushed: VecDeque<(Instant, u64)>,
    /// Settlements on their way, each with its time of arrival.
    on_way: VecDeque<(Instant, Settlement)>,
    /// The reason of its end.
    lost: Option<TransportError>,
}

impl BrokerModel {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            queues: (0..settings.queues.max(settings.daemons())).map(|_| QueueModel::default()).collect(),
            published_to: if settings.shards.is_some() { 1 } else { settings.queues },
            connections: BTreeMap::new(),
            last_connection: 0,
            down_until: None,
            deaf_until: None,
            queue_type: settings.queue_type(),
            one_is_active: settings.one_is_active(),
        }
    }

    /// Publishes an event to the queue of its key.
    pub(super) fn publish(&mut self, event: usize, key: u8) -> usize {
        let at = usize::from(key) % self.published_to;
        self.publish_to(at, event);
        at
    }

    pub(super) fn publish_to(&mut self, at: usize, event: usize) {
        let queue = &mut self.queues[at];
        queue.last_position += 1;
        queue.ready.push_back(StoredMessage { event, position: queue.last_position, redelivered: false });
        self.push(at);
    }

    /// Hands ready messages to the consumers of a queue, or to the active one alone.
    fn push(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        let most = if self.one_is_active { 1 } else { queue.consumers.len() };
        for number in queue.consumers.iter().take(most) {
            let Some(connection) = self.connections.get_mut(number) else { continue };
            while connection.unsettled.len() < connection.prefetch
                && let Some(message) = queue.ready.pop_front()
            {
                connection.last_tag += 1;
                connection.pushed.push_back((Instant::now() + DELIVERY, connection.last_tag));
                connection.unsettled.insert(connection.last_tag, (message, Instant::now()));
            }
        }
    }

    /// Ends the deliveries to a connection, whose messages stay with it.
    fn cancel(&mut self, number: u64) {
        let Some(at) = self.connections.get(&number).map(|connection| connection.queue) else { return };
        self.queues[at].consumers.retain(|consumer| *consumer != number);
        self.push(at);
    }

    /// Closes a connection: its messages return to their places.
    fn close(&mut self, number: u64, lost: Option<TransportError>) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.lost.is_some() {
            return;
        }
        connection.lost = Some(lost.unwrap_or_else(|| end("closed")));
        connection.pushed.clear();
        connection.on_way.clear();
        let at = connection.queue;
        let queue = &mut self.queues[at];
        queue.consumers.retain(|consumer| *consumer != number);
        for (message, _) in std::mem::take(&mut connection.unsettled).into_values() {
            queue.give_back(message);
        }
        self.push(at);
    }

    fn is_open(&self, number: u64) -> bool {
        self.connections.get(&number).is_some_and(|connection| connection.lost.is_none())
    }

    fn open_connections(&self, who: Who) -> Vec<u64> {
        let open = self.connections.iter().filter(|(_, c)| c.who == who && c.lost.is_none());
        open.map(|(number, _)| *number).collect()
    }

    /// Ends the connections of a daemon. What it has sent and has not arrived is lost.
    pub(super) fn dies(&mut self, who: Who) {
        for number in self.open_connections(who) {
            self.close(number, None);
        }
    }

    pub(super) fn go_deaf(&mut self, until: Instant) {
        self.deaf_until = Some(until);
    }

    pub(super) fn heal(&mut self) {
        (self.down_until, self.deaf_until) = (None, None);
    }

    pub(super) fn is_down(&self) -> bool {
        self.down_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf_until.is_some_and(|until| Instant::now() < until)
    }

    /// Lets settlements arrive whose time has come, or all. Returns the events that the broker has removed.
    fn arrive(&mut self, number: u64, all: bool) -> Vec<usize> {
        let mut removed = Vec::new();
        let (deaf, queue_type) = (self.is_deaf(), self.queue_type);
        let Some(connection) = self.connections.get_mut(&number) else { return removed };
        if deaf || connection.lost.is_some() {
            return removed;
        }
        let (at, now) = (connection.queue, Instant::now());
        let is_there = |(at, _): &(Instant, Settlement)| all || *at <= now;
        while connection.on_way.front().is_some_and(is_there)
            && let Some((_, settlement)) = connection.on_way.pop_front()
        {
            match settlement {
                Settlement::AcknowledgeThrough(last) => {
                    let rest = connection.unsettled.split_off(&(last + 1));
                    let gone = std::mem::replace(&mut connection.unsettled, rest);
                    removed.extend(gone.into_values().map(|(message, _)| message.event));
                }
                Settlement::Acknowledge(tag) => {
                    removed.extend(connection.unsettled.remove(&tag).map(|(message, _)| message.event));
                }
                Settlement::Requeue(tag) => {
                    let Some((mut message, _)) = connection.unsettled.remove(&tag) else { continue };
                    let queue = &mut self.queues[at];
                    if queue_type == QueueType::Quorum {
                        queue.last_position += 1;
                        message.position = queue.last_position;
                    }
                    queue.give_back(message);
                }
            }
        }
        connection.pushed.retain(|(_, tag)| connection.unsettled.contains_key(tag));
        self.push(at);
        removed
    }

    /// Returns when something happens to a connection by itself.
    fn next_at(&self, number: u64) -> Option<Instant> {
        let connection = self.connections.get(&number)?;
        let arrival = connection.on_way.front().map(|(at, _)| (*at).max(self.deaf_until.unwrap_or(*at)));
        let times_out = connection.unsettled.values().map(|(_, at)| *at + CONSUMER_TIMEOUT).min();
        let delivery = connection.pushed.front().map(|(at, _)| *at).filter(|at| *at > Instant::now());
        arrival.into_iter().chain(times_out).chain(delivery).min()
    }

    fn seen(&self, at: usize) -> QueueSeen {
        let queue = &self.queues[at];
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        QueueSeen { messages: count(queue.ready.len()), consumers: count(self.counted(at)) }
    }

    /// Returns the consumers as RabbitMQ counts them: of a quorum queue the active one alone.
    fn counted(&self, at: usize) -> usize {
        let consumers = self.queues[at].consumers.len();
        if self.queue_type == QueueType::Quorum { consumers.min(1) } else { consumers }
    }

    pub(super) fn is_empty(&self) -> bool {
        let is_idle = |connection: &Connection| connection.unsettled.is_empty();
        self.queues.iter().all(|queue| queue.ready.is_empty()) && self.connections.values().all(is_idle)
    }

    /// Returns the messages that the broker still has, in words.
    pub(super) fn left(&self) -> String {
        let mut words = String::new();
        for (at, queue) in self.queues.iter().enumerate().filter(|(_, queue)| !queue.ready.is_empty()) {
            let events: Vec<usize> = queue.ready.iter().map(|message| message.event).collect();
            let _ = write!(words, "; queue {at} has {events:?}");
        }
        for connection in self.connections.values().filter(|connection| !connection.unsettled.is_empty()) {
            let events: Vec<usize> =
                connection.unsettled.values().map(|(message, _)| message.event).collect();
            let _ = write!(words, "; {} has {events:?} unsettled", connection.who);
        }
        words
    }
}

impl Connection {
    /// Returns the messages that have arrived, and that no poll has taken.
    fn arrived(&self) -> usize {
        self.pushed.iter().take_while(|(at, _)| *at <= Instant::now()).count()
    }
}

impl QueueModel {
    fn give_back(&mut self, message: StoredMessage) {
        let at = self.ready.partition_point(|other| other.position < message.position);
        self.ready.insert(at, StoredMessage { redelivered: true, ..message });
    }
}

impl WorldState {
    /// Ends the connections of a daemon in good order: all that it has sent arrives.
    pub(super) fn leaves(&mut self, who: Who) {
        for number in self.broker.open_connections(who) {
            self.advance(number, true);
        }
        self.broker.dies(who);
    }

    pub(super) fn cut(&mut self, daemon: usize) {
        self.lose("the network is cut", |connection| connection.who.daemon == daemon);
    }

    pub(super) fn broker_stops(&mut self, until: Instant) {
        self.broker.down_until = Some(until);
        self.lose("the broker stops", |_| true);
    }

    fn lose(&mut self, reason: &str, which: impl Fn(&Connection) -> bool) {
        let open = self.broker.connections.iter().filter(|(_, c)| c.lost.is_none() && which(c));
        for number in open.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.advance(number, false);
            self.broker.close(number, Some(end(reason)));
        }
    }

    /// Lets settlements arrive, and closes a channel whose message waited for too long.
    fn advance(&mut self, number: u64, all: bool) {
        for event in self.broker.arrive(number, all) {
            let who = self.broker.connections[&number].who;
            self.say(format_args!("event {event}: the broker removes it, acknowledged by {who}"));
            self.oracle.acknowledged(who, event);
        }
        let Some(connection) = self.broker.connections.get(&number) else { return };
        let late = connection.unsettled.values().any(|(_, at)| at.elapsed() >= CONSUMER_TIMEOUT);
        if late && connection.lost.is_none() {
            self.say(format_args!(
                "the broker closes a channel: a message was held beyond the consumer time-out"
            ));
            self.oracle.breaks("a message was held beyond the consumer time-out".to_owned());
            self.broker.close(number, Some(TransportError::Cancelled { queue: "events".to_owned() }));
            self.changed.notify_waiters();
        }
    }
}

fn end(reason: &str) -> TransportError {
    TransportError::Lost { reason: reason.to_owned() }
}

fn queue_name(at: usize) -> Arc<str> {
    format!("events-{at}").into()
}

/// The epoch of a connection is osnl's, its number the broker's.
#[derive(Clone, Copy, Debug)]
struct Opened {
    number: u64,
    epoch: Epoch,
}
