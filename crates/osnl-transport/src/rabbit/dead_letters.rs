//! Dead letter queues on RabbitMQ: publishing with confirms, and reading a whole queue with one reader at a time.
//!
//! Messages are mandatory and persistent. Several are in flight, and the broker's answers do not tell reliably which
//! message was returned. If one fails, all are published again, so a message may be in the queue twice.
//!
//! While the broker blocks publishers, the connection on which it reported that is kept, and nothing is published: each
//! further connection would bring another copy of what waits, and stay at the broker until the alarm ends. A reader whose
//! own connection stays there would keep the queue from the next one.
//!
//! RabbitMQ accepts a second consumer of a quorum queue. Each reader therefore first declares an exclusive queue
//! `QUEUE.reader`, which the broker refuses while another connection has it. RabbitMQ 4.3 refuses it also while the node of
//! that connection is away. The broker confirms what is published to the lock only while that node is there; if it is not,
//! the next reader takes `QUEUE.reader.2`, and so on.
//!
//! The messages of a reader that has left return a while after its connection is gone, and no count has them meanwhile.
//! So a dead letter queue has a single active consumer, which gets nothing before they are back, and each reading
//! publishes a mark behind all messages: what arrives before the mark is everything.
//!
//! A channel keeps back acknowledgements for a quorum queue that has not applied the former ones, 32 or more, and forgets
//! them when it is closed. So a reading that has removed messages ends with another mark: once the queue has confirmed it,
//! nothing is kept back. While the broker blocks publishers, a reading that has removed fewer ends without a mark.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use osnl_model::Budget;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::RabbitTransport;
use super::alarm::LinkAlarm;
use super::arguments::table;
use super::failure::{OperationFailure, PRECONDITION_FAILED, is_missing, lost, reason, reply_code};
use super::held::{CLOSE_TIMEOUT, ConnectionGuard};
use super::marks::texts;
use super::properties::properties;
use super::refusal::Difference;
use super::remedy::{dead_letters_anew, dead_letters_policy};
use super::returned::delivery_count;
use super::returns::difference;
use super::side::SideChannel;
use crate::bodies::BodyBounds;
use crate::body_flow::BodyFlow;
use crate::dead_letters::{MOST_READ, QueueAccess, QueueReader, QueuedMessage, WantsBody, reader_locks};
use crate::error::RESOURCE_LOCKED;
use crate::topology::{BrokerVersion, QueueKind};
use crate::{BoxFuture, TransportError};

const MOST: u16 = 10_000;
const _: () = assert!(MOST as usize == MOST_READ);
const IN_FLIGHT: usize = 100;
/// From so many acknowledgements on, the broker may keep back some.
const KEPT_BACK: usize = 32;
/// The time for an answer of the broker to what has no body.
const ANSWER: Duration = Duration::from_secs(15);
/// The slowest network on which bodies are published, in bytes a second: the time for an answer grows with them.
const SLOWEST: u64 = 32 << 10;
/// The next message that the broker has counted begins within this time, else another consumer has it.
const NEXT: Duration = Duration::from_secs(3);
/// The time in which messages of the previous reader return, in a reading without a mark.
const RETURNING: Duration = Duration::from_secs(1);
/// The header of the mark of a reading, whose value is the reading's own.
const READING: &str = "osnl-reading";
const PERSISTENT: u8 = 2;

/// The connection on which dead letters are published, kept between uses.
#[derive(Default)]
pub(super) struct QueuePublisher {
    link: Mutex<Option<Link>>,
    /// The queues of which the log has a warning.
    warned: std::sync::Mutex<BTreeSet<String>>,
}

/// An open connection for dead letters.
struct Link {
    connection: ConnectionGuard,
    channel: Channel,
    version: Option<BrokerVersion>,
    declared: Vec<String>,
    alarm: Arc<LinkAlarm>,
    /// Whether a use has not ended, so that answers to it are still to come.
    is_spent: bool,
}

/// One use of the link, which goes with a use that does not end, unless the broker blocks it.
struct LinkUse<'a> {
    kept: &'a mut Option<Link>,
    has_ended: bool,
}

impl Drop for LinkUse<'_> {
    fn drop(&mut self) {
        match &mut *self.kept {
            _ if self.has_ended => {}
            Some(link) if link.is_open() && link.alarm.blocked(|_| {}).is_some() => link.is_spent = true,
            Some(_) | None => *self.kept = None,
        }
    }
}

impl std::fmt::Debug for QueuePublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueuePublisher")
    }
}

impl QueuePublisher {
    async fn with_link<T>(
        &self,
        transport: &RabbitTransport,
        queue: &str,
        bytes: usize,
        act: impl AsyncFnOnce(&mut Link) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        let mut kept = self.link.lock().await;
        if kept.as_ref().is_some_and(|link| !link.is_open()) {
            *kept = None;
        }
        if let Some(blocked) = kept.as_ref().and_then(|link| link.alarm.blocked(|_| {})) {
            return Err(blocked);
        }
        if kept.as_ref().is_some_and(|link| link.is_spent) {
            *kept = None;
        }
        let mut used = LinkUse { kept: &mut kept, has_ended: false };
        let acted = async {
            let link = match used.kept.take() {
                Some(link) => used.kept.insert(link),
                None => used.kept.insert(Link::open(transport).await?),
            };
            let alarm = link.alarm.clone();
            tokio::select! {
                biased;
                done = act(link) => done,
                blocked = alarm.raised() => Err(blocked),
            }
        };
        let done = answered(queue, bytes, acted).await?;
        used.has_ended = true;
        Ok(done)
    }

    /// Returns the alarm of the kept connection, unless that is in use.
    fn alarm(&self) -> Option<Arc<LinkAlarm>> {
        Some(self.link.try_lock().ok()?.as_ref()?.alarm.clone())
    }

    /// Warns once of a queue that another declaration than osnl's has made.
    fn warn_of(&self, queue: &str, virtual_host: &str, refusal: &str) {
        let difference = Difference::read(refusal);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if difference.is_late_take_over() || !warned.insert(queue.to_owned()) {
            return;
        }
        match DeadLettersRisk::read(&difference, virtual_host, queue) {
            Some(DeadLettersRisk { reason, remedy, .. }) => tracing::warn!(
                queue.name = queue,
                reason,
                remedy,
                "the dead letter queue may lose letters or fill the broker's disk"
            ),
            None => tracing::warn!(
                queue.name = queue,
                reason = difference.to_string(),
                "the dead letter queue has other arguments than osnl gives it, and is used as it is"
            ),
        }
    }

    pub(super) async fn close(&self) {
        if let Ok(mut kept) = timeout(CLOSE_TIMEOUT, self.link.lock()).await {
            kept.take();
        }
    }
}

/// The risk to the letters of a queue that osnl would have declared otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLettersRisk {
    /// The difference, and its consequence.
    pub reason: String,
    /// Whether a policy, which AMQP does not show, may have mended it.
    pub may_be_mended: bool,
    pub remedy: String,
}

impl DeadLettersRisk {
    fn read(difference: &Difference<'_>, virtual_host: &str, queue: &str) -> Option<Self> {
        let (consequence, may_be_mended) = difference.risk_to_letters()?;
        let remedy = match may_be_mended {
            true => dead_letters_policy(virtual_host, queue),
            false => dead_letters_anew(virtual_host, queue),
        };
        Some(Self { reason: format!("{difference}: {consequence}"), may_be_mended, remedy })
    }
}

impl Link {
    async fn open(transport: &RabbitTransport) -> Result<Self, TransportError> {
        let (connection, host, seen) = transport.connect().await?;
        let alarm = Arc::new(LinkAlarm::new(&connection, host));
        let connection = ConnectionGuard::new(connection);
        let channel = connection.create_channel().await.map_err(|error| lost(&error))?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirms
            .map_err(|error| OperationFailure { what: "ask for publisher confirms".to_owned(), error })?;
        let version = seen.greeting.rabbitmq();
        Ok(Self { connection, channel, version, declared: Vec::new(), alarm, is_spent: false })
    }

    fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    async fn depth(&self, queue: &str) -> Result<Option<u32>, TransportError> {
        let mut side = SideChannel::new(&*self.connection);
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = side.channel().await?;
        let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        match found {
            Ok(found) => {
                side.close_channel("seen").await;
                Ok(Some(found.message_count()))
            }
            Err(error) => {
                let failure = side.closed_by(&format!("look for queue \"{queue}\""), error);
                if is_missing(&failure.error) { Ok(None) } else { Err(failure.into()) }
            }
        }
    }

    /// Makes a missing queue. Returns the broker's words about an existing one that was declared otherwise.
    async fn declare(&self, queue: &str) -> Result<Option<String>, TransportError> {
        let exists = self.depth(queue).await?.is_some();
        let mut side = SideChannel::new(&*self.connection);
        let kind = QueueKind::dead_letters().for_broker(self.version);
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let channel = side.channel().await?;
        match channel.queue_declare(queue.into(), options, table(&kind.declared_arguments())).await {
            Ok(_) => {
                side.close_channel("declared").await;
                Ok(None)
            }
            Err(error) if reply_code(&error) == Some(PRECONDITION_FAILED) => Ok(Some(reason(&error))),
            // An existing queue is used also without the permission to declare it.
            Err(_) if exists => Ok(None),
            Err(error) => Err(side.closed_by(&format!("declare queue \"{queue}\""), error).into()),
        }
    }

    /// Returns the risk to the letters of an existing queue, without a declaration that the broker accepts.
    async fn risk(&self, queue: &str, virtual_host: &str) -> Option<DeadLettersRisk> {
        let kind = QueueKind::dead_letters().for_broker(self.version);
        let refusal = difference(&mut SideChannel::new(&*self.connection), queue, &kind).await?;
        DeadLettersRisk::read(&Difference::read(&refusal), virtual_host, queue)
    }

    async fn publish(&self, queue: &str, messages: &[QueuedMessage]) -> Result<(), TransportError> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let publishing = self.channel.basic_publish(
                ShortString::default(),
                queue.into(),
                options,
                &message.body,
                published(message),
            );
            confirms.push(publishing.await.map_err(|error| lost(&error))?);
        }
        for confirm in confirms {
            let (exchange, routing_key) = (String::new(), queue.to_owned());
            match confirm.await.map_err(|error| failed(queue, error))? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                    return Err(TransportError::Unroutable { exchange, routing_key });
                }
                Confirmation::Nack(None) => return Err(TransportError::NotTaken { exchange, routing_key }),
                Confirmation::NotRequested => {
                    return Err(TransportError::Lost { reason: "the channel confirms nothing".to_owned() });
                }
            }
        }
        Ok(())
    }
}

async fn answered<T>(
    queue: &str,
    bytes: usize,
    answer: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let limit = ANSWER + transfer_time(bytes);
    timeout(limit, answer).await.unwrap_or_else(|_| {
        let reason = format!("queue \"{queue}\": the broker has not answered for {} s", limit.as_secs());
        Err(TransportError::Lost { reason })
    })
}

const fn transfer_time(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST)
}

/// Waits for the next message to begin, and longer while its body arrives.
async fn next_of<T>(
    mut messages: impl Stream<Item = T> + Unpin,
    body_flow: &BodyFlow,
    patience: Duration,
) -> Option<Option<T>> {
    let begun = Instant::now();
    let mut limit = patience;
    loop {
        if let Ok(next) = timeout_at(begun + limit, messages.next()).await {
            return Some(next);
        }
        let longer = patience + transfer_time(body_flow.in_hand());
        if longer <= limit {
            return None;
        }
        limit = longer;
    }
}

fn failed(queue: &str, error: lapin::Error) -> TransportError {
    match reply_code(&error) {
        Some(_) => OperationFailure { what: format!("publish to queue \"{queue}\""), error }.into(),
        None => lost(&error),
    }
}

fn published(message: &QueuedMessage) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    if let Some(compression) = &message.properties.compression {
        headers.insert("compression".into(), AMQPValue::LongString(compression.as_str().into()));
    }
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    let content_type = message.properties.content_type.as_deref();
    let properties = content_type.into_iter().fold(properties, |with, of| with.with_content_type(of.into()));
    let encoding = message.properties.content_encoding.as_deref();
    encoding.into_iter().fold(properties, |with, of| with.with_content_encoding(of.into()))
}

impl RabbitTransport {
    /// Returns the risk to the letters of an existing dead letter queue, if the broker tells one. Makes nothing.
    pub fn dead_letters_risk<'a>(
        &'a self,
        queue: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLettersRisk>, TransportError>> {
        Box::pin(self.queue_publisher.with_link(self, queue, 0, async move |link: &mut Link| {
            Ok(link.risk(queue, self.connector.url.virtual_host()).await)
        }))
    }
}

impl QueueAccess for RabbitTransport {
    fn put<'a>(
        &'a self,
        queue: &'a str,
        make: bool,
        messages: &'a [QueuedMessage],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        Box::pin(self.queue_publisher.with_link(self, queue, bytes, async move |link: &mut Link| {
            if make && !link.declared.iter().any(|known| known == queue) {
                if let Some(refusal) = link.declare(queue).await? {
                    self.queue_publisher.warn_of(queue, self.connector.url.virtual_host(), &refusal);
                }
                link.declared.push(queue.to_owned());
            }
            for some in messages.chunks(IN_FLIGHT) {
                link.publish(queue, some).await?;
            }
            Ok(())
        }))
    }

    fn take<'a>(
        &'a self,
        queue: &'a str,
        wants_body: WantsBody<'a>,
    ) -> BoxFuture<'a, Result<Option<Box<dyn QueueReader>>, TransportError>> {
        Box::pin(take(self, queue, wants_body))
    }

    fn depth<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Option<u32>, TransportError>> {
        Box::pin(
            self.queue_publisher
                .with_link(self, queue, 0, async move |link: &mut Link| link.depth(queue).await),
        )
    }
}

/// The connection, channel, and consumer of a reading, and the queue before it.
type OpenReader = (ConnectionGuard, Arc<LinkAlarm>, Arc<BodyFlow>, Channel, lapin::Consumer, lapin::Queue);

async fn open_reader(transport: &RabbitTransport, queue: &str) -> Result<Option<OpenReader>, TransportError> {
    let (connection, host, seen) = transport.connect().await?;
    let alarm = Arc::new(LinkAlarm::new(&connection, host));
    let connection = ConnectionGuard::new(connection);
    lock(transport, &connection, queue).await?;
    let channel = open_channel(&connection).await?;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let before = match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Ok(found) => found,
        Err(error) => {
            let failure = OperationFailure { what: format!("look for queue \"{queue}\""), error };
            return if is_missing(&failure.error) { Ok(None) } else { Err(failure.into()) };
        }
    };
    let failed = |what: String| move |error| TransportError::from(OperationFailure { what, error });
    channel
        .basic_qos(MOST, BasicQosOptions::default())
        .await
        .map_err(failed(format!("set prefetch {MOST}")))?;
    seen.body_flow.begin(BodyBounds::for_max_body(Budget::MOST.body));
    let consuming = channel.basic_consume(
        queue.into(),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = consuming.await.map_err(failed(format!("consume queue \"{queue}\"")))?;
    Ok(Some((connection, alarm, seen.body_flow, channel, consumer, before)))
}

/// Keeps other readers from a queue for as long as the connection is open.
async fn lock(
    transport: &RabbitTransport,
    connection: &ConnectionGuard,
    queue: &str,
) -> Result<(), TransportError> {
    let alone = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let mut locked = Ok(());
    for lock in reader_locks(queue) {
        let channel = open_channel(connection).await?;
        let Err(error) = channel.queue_declare(lock.as_str().into(), alone, FieldTable::default()).await
        else {
            return Ok(());
        };
        locked = Err(OperationFailure { what: format!("read queue \"{queue}\" alone"), error }.into());
        if !locked.as_ref().is_err_and(TransportError::is_locked) || !is_left(transport, &lock).await {
            break;
        }
    }
    locked
}

/// Returns whether the node of a lock's reader is away, as the broker then takes no message for it.
async fn is_left(transport: &RabbitTransport, lock: &str) -> bool {
    let probe = [QueuedMessage::default()];
    let put = timeout(NEXT, transport.put(lock, false, &probe)).await;
    matches!(put, Ok(Err(TransportError::NotTaken { .. })))
}

async fn take(
    transport: &RabbitTransport,
    queue: &str,
    wants_body: WantsBody<'_>,
) -> Result<Option<Box<dyn QueueReader>>, TransportError> {
    let opened = answered(queue, 0, open_reader(transport, queue)).await?;
    let Some((connection, alarm, body_flow, channel, mut consumer, before)) = opened else {
        return Ok(None);
    };
    let waiting = before.message_count();
    let waiting_here = usize::try_from(waiting).unwrap_or(usize::MAX);
    let wanted = waiting_here.min(usize::from(MOST));
    // One reading would not reach a mark behind more messages than it takes.
    let mark = if waiting_here < usize::from(MOST) { put_mark(transport, queue).await } else { None };
    let mut found: Vec<(i64, u64, QueuedMessage)> = Vec::new();
    let mut is_marked = false;
    while found.len() < usize::from(MOST) && !is_marked {
        let patience = if found.len() < wanted || mark.is_some() { NEXT } else { RETURNING };
        let Some(next) = next_of(&mut consumer, &body_flow, patience).await else { break };
        let delivery = match next {
            Some(delivery) => delivery.map_err(|error| lost(&error))?,
            None => return Err(TransportError::Cancelled { queue: queue.to_owned() }),
        };
        if let Some(reading) = mark_of(&delivery) {
            // Also the mark of a reading that has ended early.
            let acked = channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await;
            acked.map_err(|error| lost(&error))?;
            is_marked = Some(reading) == mark;
            continue;
        }
        let share = body_flow.share(delivery.data.len());
        let delivered = delivery_count(&delivery);
        let mut message = QueuedMessage {
            cut: body_flow.cut(channel.id(), delivery.delivery_tag),
            body: Bytes::from(delivery.data),
            properties: properties(&delivery.properties),
            headers: texts(&delivery.properties),
        };
        if !wants_body(&mut message) {
            message.body = Bytes::new();
        }
        drop(share);
        found.push((delivered, delivery.delivery_tag, message));
    }
    if mark.is_some() && !is_marked && found.len() < usize::from(MOST) {
        let reason = "its messages do not arrive: another consumer has them, or the broker has not given back those of a \
                      reader that is gone";
        let (what, reason) = (format!("read queue \"{queue}\""), reason.to_owned());
        return Err(TransportError::Refused { what, reason, code: None });
    }
    if mark.is_none() && found.is_empty() && before.consumer_count() > 0 {
        let (what, reason) =
            (format!("read queue \"{queue}\""), "another consumer has its messages".to_owned());
        return Err(TransportError::Refused { what, reason, code: Some(RESOURCE_LOCKED) });
    }
    let has_more = !is_marked && (found.len() < waiting_here || found.len() == usize::from(MOST));
    // Messages with more deliveries are older.
    found.sort_by_key(|(delivered, ..)| std::cmp::Reverse(*delivered));
    let mut reader = RabbitQueueReader {
        queue: queue.to_owned(),
        connection,
        alarm,
        publisher_alarm: transport.queue_publisher.alarm(),
        channel,
        consumer,
        body_flow,
        removed: 0,
        tags: Vec::with_capacity(found.len()),
        messages: Vec::with_capacity(found.len()),
        has_more,
        waiting: waiting.into(),
    };
    for (_, tag, message) in found {
        reader.tags.push(tag);
        reader.messages.push(message);
    }
    Ok(Some(Box::new(reader)))
}

/// Publishes the mark of a reading, and returns its value; `None` if the queue takes no message now, as a full one.
async fn put_mark(transport: &RabbitTransport, queue: &str) -> Option<String> {
    let (reading, mark) = new_mark();
    // A broker with an alarm answers a publisher after hours.
    let put = timeout(NEXT, transport.put(queue, false, &[mark])).await;
    put.is_ok_and(|put| put.is_ok()).then_some(reading)
}

/// Returns the value of a new mark, and the mark.
fn new_mark() -> (String, QueuedMessage) {
    let reading = format!("{:016x}", fastrand::u64(..));
    let headers = [(READING.to_owned(), reading.clone())].into();
    (reading, QueuedMessage { headers, ..QueuedMessage::default() })
}

/// Returns the value of a mark; `None` for other messages.
fn mark_of(delivery: &Delivery) -> Option<String> {
    texts(&delivery.properties).remove(READING).filter(|_| delivery.data.is_empty())
}

async fn open_channel(connection: &ConnectionGuard) -> Result<Channel, TransportError> {
    let opened = connection.create_channel().await;
    opened.map_err(|error| OperationFailure { what: "open a channel".to_owned(), error }.into())
}

/// All messages of a dead letter queue, unacknowledged on one connection.
struct RabbitQueueReader {
    /// The name of the queue.
    queue: String,
    /// The connection of this reading alone.
    connection: ConnectionGuard,
    /// The alarm of this connection.
    alarm: Arc<LinkAlarm>,
    /// The alarm of the connection that publishes, which tells of one before this connection has published.
    publisher_alarm: Option<Arc<LinkAlarm>>,
    /// The channel on which the messages are unacknowledged.
    channel: Channel,
    /// The subscription that has brought them.
    consumer: lapin::Consumer,
    /// The bytes of bodies that arrive, by which a slow link differs from an empty queue.
    body_flow: Arc<BodyFlow>,
    /// The acknowledged messages, for which the close waits.
    removed: usize,
    /// The delivery tag of each message.
    tags: Vec<u64>,
    /// The messages, in the order of the queue.
    messages: Vec<QueuedMessage>,
    /// Whether the queue has more messages than one reading takes.
    has_more: bool,
    /// The messages that waited when the reading began.
    waiting: u64,
}

impl RabbitQueueReader {
    /// Waits until the queue has every acknowledgement; during an alarm this is unknown of many.
    async fn flush(&mut self) -> Result<(), TransportError> {
        let (known, alarm) = (self.publisher_alarm.clone(), self.alarm.clone());
        let blocked = match known.and_then(|alarm| alarm.blocked(|_| {})) {
            Some(blocked) => blocked,
            // The broker blocks a connection when it publishes, and reads what that has sent before.
            None => tokio::select! {
                biased;
                flushed = self.put_last_mark() => return flushed,
                blocked = alarm.raised() => blocked,
            },
        };
        if self.removed < KEPT_BACK { Ok(()) } else { Err(blocked) }
    }

    /// Publishes a mark behind all acknowledgements, and takes it back.
    async fn put_last_mark(&mut self) -> Result<(), TransportError> {
        let failed = |error| failed(&self.queue, error);
        self.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let (reading, mark) = new_mark();
        let (exchange, options) = (ShortString::default(), BasicPublishOptions::default());
        let routing_key = self.queue.as_str().into();
        let publishing =
            self.channel.basic_publish(exchange, routing_key, options, &mark.body, published(&mark));
        let confirm = publishing.await.map_err(failed)?.await.map_err(failed)?;
        if !matches!(confirm, Confirmation::Ack(None)) {
            // A full queue takes no mark.
            sleep(RETURNING).await;
            return Ok(());
        }
        // Behind more messages than one reading takes, the mark arrives in a later one.
        while !self.has_more {
            let next = next_of(&mut self.consumer, &self.body_flow, NEXT).await;
            let Some(Some(Ok(delivery))) = next else { break };
            // Others have been put meanwhile, and go back.
            if mark_of(&delivery) == Some(reading.clone()) {
                self.channel
                    .basic_ack(delivery.delivery_tag, BasicAckOptions::default())
                    .await
                    .map_err(failed)?;
                break;
            }
        }
        Ok(())
    }
}

impl QueueReader for RabbitQueueReader {
    fn messages(&self) -> &[QueuedMessage] {
        &self.messages
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    fn waiting(&self) -> u64 {
        self.waiting
    }

    fn acknowledge(&mut self, at: usize) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            let Some(tag) = self.tags.get(at) else { return Ok(()) };
            self.removed += 1;
            self.channel.basic_ack(*tag, BasicAckOptions::default()).await.map_err(|error| lost(&error))
        })
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<(), TransportError>> {
        Box::pin(async move {
            let flushed =
                if self.removed == 0 { Ok(()) } else { answered(&self.queue.clone(), 0, self.flush()).await };
            self.body_flow.end();
            // A broker that blocks reads no farewell.
            if self.alarm.blocked(|_| {}).is_some() {
                return flushed;
            }
            // The close-ok follows the acknowledgements.
            let closed = timeout(CLOSE_TIMEOUT, self.channel.close(200, "read".into())).await;
            let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "read".into())).await;
            flushed?;
            match closed {
                Ok(closed) => closed.map_err(|error| lost(&error)),
                Err(_) => {
                    Err(TransportError::Lost { reason: "the broker did not close the channel".to_owned() })
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, pending};

    #[test]
    fn a_dead_letter_queue_is_deleted_only_after_its_letters_were_dealt_with() {
        for (argument, asked, found) in [
            ("x-overflow", "reject-publish", "drop-head"),
            ("x-message-ttl", "none", "60000"),
            ("durable", "true", "false"),
        ] {
            let difference = Difference::Named { argument, asked, found };
            let remedy = DeadLettersRisk::read(&difference, "/v", "osnl.dead").unwrap().remedy;
            let (letters, deletion) = remedy.split_once("then stop osnl").unwrap();
            assert!(letters.contains("osnl deliveries") && letters.contains("osnl quarantine"), "{remedy}");
            assert!(deletion.contains("only when the queue is empty"), "{remedy}");
            // RabbitMQ refuses --if-empty for a quorum queue.
            assert!(deletion.contains("rabbitmqctl delete_queue -p /v osnl.dead;"), "{remedy}");
        }
    }

    async fn waited(body_flow: &BodyFlow, messages: impl Stream<Item = u8>) -> (u64, Option<Option<u8>>) {
        let begun = Instant::now();
        let next = next_of(Box::pin(messages), body_flow, NEXT).await;
        (begun.elapsed().as_secs(), next)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_on_a_slow_link_is_waited_for() {
        let body_flow = BodyFlow::default();
        body_flow.begin(BodyBounds::DEFAULT);
        assert_eq!(waited(&body_flow, pending()).await, (3, None), "another consumer has the message");
        let slow = || stream::once(sleep(Duration::from_secs(7))).map(|()| 1);
        let arriving = async {
            sleep(Duration::from_secs(2)).await;
            body_flow.comes(4_000_000);
        };
        assert_eq!(tokio::join!(waited(&body_flow, slow()), arriving).0, (7, Some(Some(1))));
        assert_eq!(
            waited(&body_flow, pending()).await,
            (3 + 4_000_000 / SLOWEST, None),
            "the rest never comes"
        );
    }
}
