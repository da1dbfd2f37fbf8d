//! The in-process broker: oslo.messaging's `fake` driver, with queues that behave as RabbitMQ's do.
//!
//! The broker has topic exchanges, named queues, bindings with `*` and `#`, prefetch, redelivery, and one channel for
//! each queue of a connection. `demo` and most tests use it; nothing survives the process.

mod consumer;
mod send;
mod tap;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use osnl_model::{Priority, Target};
use tokio::sync::Notify;

use self::consumer::{MemoryBindingWatch, MemoryConsumer};
use self::tap::{MemoryTap, TapQueue};
use crate::message::{Epoch, Properties};
use crate::outgoing::OutgoingMessage;
use crate::topology::{Binding, Declare, ListenOptions, OpenQueue, QueueType, Subscription, plan};
use crate::{
    BindingWatch, BoxFuture, Consumer, QueueSeen, Tap, TapMessage, TapOptions, TapProperties, Transport,
    TransportError,
};

/// A broker without a network, for demos and tests. Clones are the same broker.
#[derive(Clone, Debug, Default)]
pub struct MemoryBroker {
    shared: Arc<SharedBrokerState>,
}

/// The state of the broker, and the wake-up of its consumers.
#[derive(Debug, Default)]
struct SharedBrokerState {
    state: Mutex<BrokerState>,
    changed: Notify,
}

/// All that the broker has.
#[derive(Debug, Default)]
struct BrokerState {
    exchanges: BTreeSet<String>,
    bindings: Vec<Binding>,
    queues: BTreeMap<String, MemoryQueue>,
    down: bool,
    connections: HashMap<Epoch, MemoryConnection>,
    taps: HashMap<Epoch, TapQueue>,
    cancelled: HashMap<Epoch, String>,
}

/// A connection of one subscription: a channel for each queue.
#[derive(Debug)]
struct MemoryConnection {
    channels: Vec<MemoryChannel>,
}

/// A channel, whose tags only grow.
#[derive(Debug)]
struct MemoryChannel {
    queue: Arc<str>,
    last_tag: u64,
    unsettled: BTreeMap<u64, MemoryMessage>,
}

/// A queue with the messages that no consumer has in hand.
#[derive(Debug, Default)]
struct MemoryQueue {
    ready: VecDeque<MemoryMessage>,
    consumers: u32,
    kind: QueueType,
}

/// A message in a queue, with its place for a return.
#[derive(Clone, Debug)]
struct MemoryMessage {
    position: u64,
    exchange: String,
    routing_key: String,
    body: Bytes,
    properties: Properties,
    redelivered: bool,
}

impl MemoryBroker {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport { broker: self.clone() }
    }

    /// Publishes to a topic exchange as oslo.messaging's notifier does, which also declares the exchange. Without a
    /// matching binding the message is dropped. Returns the number of queues that took it.
    pub fn publish(&self, target: &Target, priority: &Priority, body: impl Into<Bytes>) -> usize {
        let exchange = target.exchange.clone().unwrap_or_else(|| crate::topology::DEFAULT_EXCHANGE.into());
        self.publish_raw(&exchange, &target.routing_key(priority), body.into(), Properties::default())
    }

    pub fn publish_raw(
        &self,
        exchange: &str,
        routing_key: &str,
        body: Bytes,
        properties: Properties,
    ) -> usize {
        let mut state = self.lock();
        state.exchanges.insert(exchange.to_owned());
        let queues: BTreeSet<String> = state
            .bindings
            .iter()
            .filter(|b| b.exchange == exchange && key_matches(&b.routing_key, routing_key))
            .map(|b| b.queue.clone())
            .collect();
        static POSITION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        for queue in &queues {
            state.queues.entry(queue.clone()).or_default().ready.push_back(MemoryMessage {
                position: POSITION.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                exchange: exchange.to_owned(),
                routing_key: routing_key.to_owned(),
                body: body.clone(),
                properties: properties.clone(),
                redelivered: false,
            });
        }
        let mut taken = queues.len();
        for tap in state.taps.values_mut().filter(|tap| tap.wants(exchange, routing_key)) {
            taken += 1;
            tap.push(TapMessage {
                exchange: exchange.to_owned(),
                routing_key: routing_key.to_owned(),
                body: body.clone(),
                cut: None,
                properties: tap_properties(&properties),
            });
        }
        drop(state);
        self.shared.changed.notify_waiters();
        taken
    }

    #[must_use]
    pub fn ready(&self, queue: &str) -> usize {
        self.lock().queues.get(queue).map_or(0, |q| q.ready.len())
    }

    fn seen(&self, queue: &str) -> QueueSeen {
        let none = QueueSeen { messages: 0, consumers: 0 };
        self.lock().queues.get(queue).map_or(none, MemoryQueue::seen)
    }

    pub fn delete_queue(&self, queue: &str) {
        let mut state = self.lock();
        state.queues.remove(queue);
        state.bindings.retain(|binding| binding.queue != queue);
        let consumers: Vec<Epoch> = state
            .connections
            .iter()
            .filter(|(_, connection)| connection.channels.iter().any(|channel| *channel.queue == *queue))
            .map(|(epoch, _)| *epoch)
            .collect();
        for consumer in consumers {
            if let Some(connection) = state.connections.get_mut(&consumer) {
                for channel in connection.channels.iter_mut().filter(|channel| *channel.queue == *queue) {
                    channel.unsettled.clear();
                }
            }
            state.end(consumer);
            state.cancelled.insert(consumer, queue.to_owned());
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Removes the bindings of a queue.
    pub fn unbind(&self, queue: &str) {
        self.lock().bindings.retain(|binding| binding.queue != queue);
    }

    /// Deletes an exchange with its bindings.
    pub fn delete_exchange(&self, exchange: &str) {
        let mut state = self.lock();
        state.exchanges.remove(exchange);
        state.bindings.retain(|binding| binding.exchange != exchange);
    }

    pub fn disconnect_all(&self) {
        self.lock().end_all_connections();
        self.shared.changed.notify_waiters();
    }

    pub fn set_down(&self, down: bool) {
        let mut state = self.lock();
        state.down = down;
        if down {
            state.end_all_connections();
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, BrokerState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryQueue {
    fn seen(&self) -> QueueSeen {
        let messages = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        QueueSeen { messages, consumers: self.counted() }
    }

    /// Returns the consumers as RabbitMQ counts them: of a quorum queue the active one alone.
    fn counted(&self) -> u32 {
        if self.kind == QueueType::Quorum { self.consumers.min(1) } else { self.consumers }
    }
}

impl BrokerState {
    fn refusal(&self) -> Result<(), TransportError> {
        let refused =
            || TransportError::Connect { host: "memory".into(), reason: "the broker is down".into() };
        if self.down { Err(refused()) } else { Ok(()) }
    }

    fn bind(&mut self, bindings: &[Binding]) -> Vec<Binding> {
        let mut unbound = Vec::new();
        for binding in bindings {
            if !self.exchanges.contains(&binding.exchange) {
                unbound.push(binding.clone());
            } else if !self.bindings.contains(binding) {
                self.bindings.push(binding.clone());
            }
        }
        unbound
    }

    fn end_all_connections(&mut self) {
        self.taps.clear();
        let connections: Vec<Epoch> = self.connections.keys().copied().collect();
        connections.into_iter().for_each(|connection| self.end(connection));
    }

    fn end(&mut self, connection: Epoch) {
        let Some(MemoryConnection { channels }) = self.connections.remove(&connection) else { return };
        for MemoryChannel { queue, unsettled, .. } in channels {
            if let Some(queue) = self.queues.get_mut(&*queue) {
                queue.consumers -= 1;
            }
            for stored in unsettled.into_values() {
                self.give_back(&queue, stored);
            }
        }
    }

    fn give_back(&mut self, queue: &str, mut stored: MemoryMessage) {
        stored.redelivered = true;
        let ready = &mut self.queues.entry(queue.to_owned()).or_default().ready;
        let at = ready.partition_point(|other| other.position < stored.position);
        ready.insert(at, stored);
    }
}

/// The transport to a [`MemoryBroker`].
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    broker: MemoryBroker,
}

impl Transport for MemoryTransport {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move { self.open(to, options).map(|c| Box::new(c) as Box<dyn Consumer>) })
    }

    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move { send::send(&self.broker, to, priority, message) })
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(
            async move { MemoryTap::open(&self.broker, options).map(|tap| Box::new(tap) as Box<dyn Tap>) },
        )
    }

    fn tidy<'a>(
        &'a self,
        superfluous: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        let mut state = self.broker.lock();
        if let Err(error) = state.refusal() {
            return Box::pin(std::future::ready(Err(error)));
        }
        state.bindings.retain(|binding| !superfluous.contains(binding));
        let seen = queues.iter().map(|queue| state.queues.get(queue).map(MemoryQueue::seen)).collect();
        Box::pin(std::future::ready(Ok(seen)))
    }

    fn watch_bindings<'a>(
        &'a self,
        _: &'a ListenOptions,
        _: &'a Subscription,
    ) -> Option<BoxFuture<'a, Result<Box<dyn BindingWatch>, TransportError>>> {
        let watch = || Box::new(MemoryBindingWatch(self.broker.clone())) as Box<dyn BindingWatch>;
        let opened = self.broker.lock().refusal().map(|()| watch());
        Some(Box::pin(std::future::ready(opened)))
    }

    fn location(&self) -> String {
        "the in-process broker".to_owned()
    }
}

impl MemoryTransport {
    fn open(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<MemoryConsumer, TransportError> {
        let mut state = self.broker.lock();
        state.refusal()?;
        let plan = plan(to, options)?;
        for exchange in plan.bindings.iter().map(|b| &b.exchange) {
            if !state.exchanges.contains(exchange) {
                match options.declare {
                    Declare::Passive | Declare::Nothing if options.pool.is_none() => {
                        return Err(TransportError::NoExchange { exchange: exchange.clone() });
                    }
                    Declare::Passive | Declare::Nothing => {}
                    Declare::Create => drop(state.exchanges.insert(exchange.clone())),
                }
            }
        }
        let mut open = Vec::new();
        for name in &plan.queues {
            let created = !state.queues.contains_key(name);
            if created && options.declare == Declare::Nothing {
                return Err(TransportError::NoQueue { queue: name.clone() });
            }
            let queue = state.queues.entry(name.clone()).or_default();
            if created {
                queue.kind = options.queue.queue_type;
            }
            open.push(OpenQueue {
                waiting: u32::try_from(queue.ready.len()).unwrap_or(u32::MAX),
                other_consumers: queue.counted(),
                created,
                durable: Some(true),
                ..OpenQueue::named(name, Some(queue.kind))
            });
            queue.consumers += 1;
        }
        let unbound = state.bind(&plan.bindings);
        let channel = |open: &OpenQueue| MemoryChannel {
            queue: open.name.clone(),
            last_tag: 0,
            unsettled: BTreeMap::new(),
        };
        let channels = open.iter().map(channel).collect();
        let subscription = Subscription::new("memory".into(), (plan.bindings, unbound), open, Vec::new());
        state.connections.insert(subscription.epoch, MemoryConnection { channels });
        Ok(MemoryConsumer {
            broker: self.broker.clone(),
            subscription,
            share: usize::from(plan.share),
            next: 0,
            quiet: false,
        })
    }
}

fn tap_properties(from: &Properties) -> TapProperties {
    let headers = from.compression.iter().map(|name| ("compression".to_owned(), name.as_str().into()));
    TapProperties {
        content_type: from.content_type.as_deref().map(str::to_owned),
        content_encoding: from.content_encoding.as_deref().map(str::to_owned),
        headers: headers.collect(),
        ..TapProperties::default()
    }
}

/// Matches a topic pattern of AMQP: words between dots, `*` for one word, `#` for any number.
#[must_use]
pub fn key_matches(pattern: &str, key: &str) -> bool {
    fn words(pattern: &[&str], key: &[&str]) -> bool {
        match pattern.split_first() {
            None => key.is_empty(),
            Some((&"#", rest)) => (0..=key.len()).any(|n| words(rest, &key[n..])),
            Some((&word, rest)) => {
                key.split_first().is_some_and(|(k, key)| (word == "*" || word == *k) && words(rest, key))
            }
        }
    }
    words(&pattern.split('.').collect::<Vec<_>>(), &key.split('.').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::key_matches;

    #[test]
    fn keys_match_as_in_amqp() {
        for (pattern, key, expected) in [
            ("notifications.info", "notifications.info", true),
            ("notifications.info", "notifications.error", false),
            ("notifications.*", "notifications.error", true),
            ("notifications.*", "notifications", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b.b.c", true),
            ("a.#.c", "a.b", false),
        ] {
            assert_eq!(key_matches(pattern, key), expected, "{pattern} {key}");
        }
    }
}
