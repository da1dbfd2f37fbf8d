//! One queue with the habits of RabbitMQ versions that Debian does not package.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, basic, connection, queue};
use amq_protocol::types::{AMQPValue, FieldTable};

use super::scripted::{ScriptedLink, ScriptedServer};

/// The text of RabbitMQ 3.8.15 and later when a delivery stays unacknowledged for too long.
const CONSUMER_TIMEOUT: &str = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value \
     used: 1800000 ms. This timeout value can be configured, see consumers doc guide to learn more";
/// The default answer of RabbitMQ 4.3 and later to a queue that is neither durable nor exclusive.
const TRANSIENT_REFUSED: &str = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated. By default, this \
     feature is not permitted anymore.";
const DECLARE_QUEUE: (u16, u16) = (50, 10);
const CONSUME: (u16, u16) = (60, 20);

#[derive(Debug, Clone, Default)]
pub struct Habits {
    pub refuses_transient_queues: bool,
    /// The delivery limit of a quorum queue (20 since RabbitMQ 4.0): a message that returns more often is dropped.
    /// Deliveries carry `x-delivery-count`.
    pub delivery_limit: Option<u32>,
    /// The text of the 406 for a client that declares the queue, because the queue exists with other arguments.
    pub inequivalent: Option<String>,
    /// The number of times that a body's first octet is delivered, never in memory at once; 0 delivers the body.
    pub repeats_bodies: usize,
}

#[derive(Debug)]
pub struct ScriptedBroker {
    server: ScriptedServer,
    shared: Arc<Mutex<AmqpBrokerState>>,
}

#[derive(Debug, Default)]
struct AmqpBrokerState {
    habits: Habits,
    declared: bool,
    ready: VecDeque<BrokerMessage>,
    consumers: HashMap<u64, BrokerConsumer>,
    prefetch: HashMap<u64, usize>,
    dropped: usize,
    connections: usize,
}

#[derive(Debug)]
struct BrokerConsumer {
    link: ScriptedLink,
    channel: u16,
    last_tag: u64,
    unsettled: BTreeMap<u64, BrokerMessage>,
}

#[derive(Debug, Clone)]
struct BrokerMessage {
    exchange: String,
    routing_key: String,
    body: Vec<u8>,
    properties: Option<Vec<u8>>,
    returned: u32,
}

impl ScriptedBroker {
    #[must_use]
    pub fn start(habits: Habits) -> Self {
        let declared = habits.inequivalent.is_some();
        let shared = Arc::new(Mutex::new(AmqpBrokerState { habits, declared, ..AmqpBrokerState::default() }));
        let (script, ended) = (shared.clone(), shared.clone());
        let server = ScriptedServer::start(
            move |link, channel, method| script.lock().unwrap().answer(link, channel, method),
            move |link| ended.lock().unwrap().end(link.number()),
        );
        Self { server, shared }
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    #[must_use]
    pub fn asked(&self) -> Vec<AMQPClass> {
        self.server.asked()
    }

    pub fn publish(&self, exchange: &str, routing_key: &str, body: impl Into<Vec<u8>>) {
        self.publish_message(exchange, routing_key, body.into(), None);
    }

    pub fn publish_raw(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: Vec<u8>,
        body: impl Into<Vec<u8>>,
    ) {
        self.publish_message(exchange, routing_key, body.into(), Some(properties));
    }

    fn publish_message(&self, exchange: &str, routing_key: &str, body: Vec<u8>, properties: Option<Vec<u8>>) {
        let mut state = self.shared.lock().unwrap();
        let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
        state.ready.push_back(BrokerMessage { exchange, routing_key, body, properties, returned: 0 });
        state.deliver();
    }

    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let state = self.shared.lock().unwrap();
        (state.ready.len(), state.consumers.values().map(|consumer| consumer.unsettled.len()).sum())
    }

    #[must_use]
    pub fn dropped(&self) -> usize {
        self.shared.lock().unwrap().dropped
    }

    #[must_use]
    pub fn consumed(&self) -> usize {
        self.shared.lock().unwrap().connections
    }

    pub fn cut(&self) {
        self.each(|consumer| consumer.link.cut());
    }

    pub fn time_out_consumers(&self) {
        self.close_channels(406, CONSUMER_TIMEOUT);
    }

    pub(crate) fn close_channels(&self, code: u16, text: &str) {
        self.each(|consumer| consumer.link.close_channel(consumer.channel, code, text, (0, 0)));
        let mut state = self.shared.lock().unwrap();
        let numbers: Vec<u64> = state.consumers.keys().copied().collect();
        numbers.into_iter().for_each(|number| state.end(number));
    }

    pub fn block(&self, reason: &str) {
        let blocked = connection::Blocked { reason: reason.into() };
        let method = AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked));
        self.each(|consumer| consumer.link.send(0, method.clone()));
    }

    pub fn unblock(&self) {
        let method = AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        self.each(|consumer| consumer.link.send(0, method.clone()));
    }

    fn each(&self, act: impl Fn(&BrokerConsumer)) {
        self.shared.lock().unwrap().consumers.values().for_each(act);
    }
}

impl AmqpBrokerState {
    fn answer(&mut self, link: &ScriptedLink, channel: u16, method: &AMQPClass) -> bool {
        let number = link.number();
        match method {
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
                if declare.passive && !self.declared {
                    let text = format!("NOT_FOUND - no queue '{}' in vhost '/'", declare.queue);
                    link.close_channel(channel, 404, &text, DECLARE_QUEUE);
                } else if !declare.passive && !declare.durable && self.habits.refuses_transient_queues {
                    link.close_connection(541, TRANSIENT_REFUSED, DECLARE_QUEUE);
                } else if let Some(text) = self.habits.inequivalent.as_ref().filter(|_| !declare.passive) {
                    link.close_channel(channel, 406, text, DECLARE_QUEUE);
                } else {
                    self.declared = true;
                    let message_count = u32::try_from(self.ready.len()).unwrap();
                    let consumer_count = u32::try_from(self.consumers.len()).unwrap();
                    let ok = queue::DeclareOk { queue: declare.queue.clone(), message_count, consumer_count };
                    link.send(channel, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)));
                }
                true
            }
            AMQPClass::Basic(basic::AMQPMethod::Qos(qos)) => {
                self.prefetch.insert(number, usize::from(qos.prefetch_count));
                false
            }
            // Only a stream is consumed from an offset.
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume))
                if consume.arguments.inner().contains_key("x-stream-offset") =>
            {
                let text = format!(
                    "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{}'",
                    consume.queue
                );
                link.close_channel(channel, 406, &text, CONSUME);
                true
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(_)) => {
                let ok = basic::ConsumeOk { consumer_tag: "c".into() };
                link.send(channel, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)));
                let link = link.clone();
                let consumer = BrokerConsumer { link, channel, last_tag: 0, unsettled: BTreeMap::new() };
                self.consumers.insert(number, consumer);
                self.connections += 1;
                self.deliver();
                true
            }
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                let Some(consumer) = self.consumers.get_mut(&number) else { return true };
                if ack.multiple {
                    consumer.unsettled = consumer.unsettled.split_off(&(ack.delivery_tag + 1));
                } else {
                    consumer.unsettled.remove(&ack.delivery_tag);
                }
                self.deliver();
                true
            }
            AMQPClass::Basic(basic::AMQPMethod::Reject(reject)) => {
                let Some(consumer) = self.consumers.get_mut(&number) else { return true };
                let rejected = consumer.unsettled.remove(&reject.delivery_tag).filter(|_| reject.requeue);
                rejected.into_iter().for_each(|message| self.take_back(message));
                self.deliver();
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, number: u64) {
        let Some(consumer) = self.consumers.remove(&number) else { return };
        for message in consumer.unsettled.into_values().rev() {
            self.take_back(message);
        }
        self.deliver();
    }

    fn take_back(&mut self, mut message: BrokerMessage) {
        message.returned += 1;
        if self.habits.delivery_limit.is_some_and(|limit| message.returned > limit) {
            self.dropped += 1;
        } else {
            self.ready.push_front(message);
        }
    }

    fn deliver(&mut self) {
        let repeats = self.habits.repeats_bodies;
        for (number, consumer) in &mut self.consumers {
            let prefetch = self.prefetch.get(number).copied().filter(|n| *n > 0).unwrap_or(usize::MAX);
            while consumer.unsettled.len() < prefetch {
                let Some(message) = self.ready.pop_front() else { return };
                let mut properties = AMQPProperties::default()
                    .with_content_type("application/json".into())
                    .with_content_encoding("utf-8".into());
                if self.habits.delivery_limit.is_some() && message.returned > 0 {
                    let mut headers = FieldTable::default();
                    headers
                        .insert("x-delivery-count".into(), AMQPValue::LongLongInt(message.returned.into()));
                    properties = properties.with_headers(headers);
                }
                consumer.last_tag += 1;
                let tag = (consumer.last_tag, message.returned > 0);
                let origin = (message.exchange.as_str(), message.routing_key.as_str());
                match &message.properties {
                    None if repeats > 0 => {
                        let octet = message.body.first().copied().unwrap_or_default();
                        consumer.link.deliver_repeated(consumer.channel, tag, origin, octet, repeats);
                    }
                    None => consumer.link.deliver(consumer.channel, tag, origin, &message.body, properties),
                    Some(raw) => {
                        consumer.link.deliver_raw(consumer.channel, tag, origin, &message.body, raw);
                    }
                }
                consumer.unsettled.insert(consumer.last_tag, message);
            }
        }
    }
}
