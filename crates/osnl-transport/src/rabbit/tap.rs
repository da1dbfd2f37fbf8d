//! A tap is one connection with two channels. The first consumes; the second examines, binds and counts, since a look
//! at a missing exchange closes its channel.
//!
//! A second queue counts the messages that the first drops when full. The broker sends dropped messages to the second
//! as dead letters, and purging the second returns their number. The second queue is bounded in bytes too, so the count
//! is too low beyond that many dropped bytes between two calls. Without permission to write to the default exchange,
//! the tap has no count.

mod message;
pub(super) mod probe;

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};
use osnl_model::TransportUrl;

use super::failure::{ACCESS_REFUSED, NOT_FOUND, OperationFailure, lost, reason, reply_code};
use super::greeting::Greeting;
use super::held::CLOSE_TIMEOUT;
use super::side::SideChannel;
use crate::body_flow::BodyFlow;
use crate::tap::{Tap, TapBound, TapMessage, TapOpening, TapOptions, TopicsSeen, exchanges};
use crate::{BoxFuture, TransportError};

const COUNTED: i64 = 1_000_000;

/// An open tap on one connection.
pub(super) struct RabbitTap {
    /// The channel of the consumer.
    channel: Channel,
    /// The messages that the broker pushes.
    deliveries: lapin::Consumer,
    /// Counts the bytes of taken bodies.
    body_flow: Arc<BodyFlow>,
    /// The channel for questions.
    side: SideChannel<Connection>,
    /// The bindings and bounds, for exchanges that are found later.
    options: TapOptions,
    /// The result of the opening.
    tapped: TapOpening,
    /// The queue that gets, and so counts, dropped messages; `None` if the user may not use one.
    counter: Option<ShortString>,
    /// The tag of the latest message that is not acknowledged.
    taken: Option<u64>,
    /// The messages up to that tag.
    unacknowledged: u16,
    /// The end of the tap, until it is reported.
    ended: Option<TransportError>,
}

impl RabbitTap {
    pub(super) async fn open(
        connection: Connection,
        body_flow: Arc<BodyFlow>,
        host: String,
        greeting: Greeting,
        url: &TransportUrl,
        options: &TapOptions,
    ) -> Result<Self, TransportError> {
        let mut side = SideChannel::new(connection);
        let (queue, counter) = side.declare(options).await?;
        let user = side.connection().status().username();
        let mut tapped = TapOpening {
            host,
            virtual_host: url.virtual_host().to_owned(),
            user,
            greeting,
            queue: queue.to_string(),
            counts_dropped: counter.is_some(),
            ..TapOpening::default()
        };
        for exchange in exchanges(&options.bindings) {
            let TapBound { is_bound, refusal } = side.bind(&queue, exchange, options).await?;
            if is_bound {
                tapped.bound.push(exchange.to_owned());
            } else if refusal.is_none() {
                tapped.missing.push(exchange.to_owned());
            }
            tapped.refused.extend(refusal.map(|reason| (exchange.to_owned(), reason)));
        }
        body_flow.begin(options.bodies);
        let channel = side.connection().create_channel().await.map_err(|error| lost(&error))?;
        let failed = |what: String| move |error| TransportError::from(OperationFailure { what, error });
        channel
            .basic_qos(options.prefetch, BasicQosOptions::default())
            .await
            .map_err(failed(format!("set prefetch {}", options.prefetch)))?;
        let consume = BasicConsumeOptions { exclusive: true, ..Default::default() };
        let deliveries = channel
            .basic_consume(queue, ShortString::default(), consume, FieldTable::default())
            .await
            .map_err(failed("consume the tap's own queue".to_owned()))?;
        let options = options.clone();
        Ok(Self {
            channel,
            deliveries,
            body_flow,
            side,
            options,
            tapped,
            counter,
            taken: None,
            unacknowledged: 0,
            ended: None,
        })
    }

    async fn acknowledge_taken(&mut self) -> Result<(), TransportError> {
        let Some(tag) = self.taken.take() else { return Ok(()) };
        self.unacknowledged = 0;
        let options = BasicAckOptions { multiple: true };
        self.channel.basic_ack(tag, options).await.map_err(|error| lost(&error))
    }
}

impl Tap for RabbitTap {
    fn tapped(&self) -> &TapOpening {
        &self.tapped
    }

    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            if let Some(error) = self.ended.take() {
                return Err(error);
            }
            if self.unacknowledged > self.options.prefetch / 4 {
                self.acknowledge_taken().await?;
            }
            let mut next = self.deliveries.next().await;
            loop {
                match next {
                    Some(Ok(delivery)) => {
                        self.taken = Some(delivery.delivery_tag);
                        self.unacknowledged = self.unacknowledged.saturating_add(1);
                        let cut = self.body_flow.cut(self.channel.id(), delivery.delivery_tag);
                        let share = self.body_flow.share(delivery.data.len());
                        out.push(message::tap_message(delivery, cut, share));
                    }
                    Some(Err(error)) => self.ended = Some(lost(&error)),
                    None => {
                        self.ended = Some(TransportError::Cancelled { queue: self.tapped.queue.clone() });
                    }
                }
                if self.ended.is_some() || out.len() >= limit {
                    break;
                }
                match self.deliveries.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break,
                }
            }
            match self.ended.take() {
                Some(error) if out.is_empty() => Err(error),
                later => {
                    self.ended = later;
                    Ok(())
                }
            }
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.acknowledge_taken())
    }

    fn find<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<TapBound, TransportError>> {
        Box::pin(async move {
            let _question = self.body_flow.asks();
            let queue = ShortString::from(self.tapped.queue.as_str());
            self.side.bind(&queue, exchange, &self.options).await
        })
    }

    fn topics(&mut self, _: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(async move {
            let Some(counter) = self.counter.clone() else { return Ok(None) };
            let _question = self.body_flow.asks();
            let channel = self.side.channel().await?;
            let purged = channel.queue_purge(counter, QueuePurgeOptions::default()).await;
            purged.map(|count| Some(u64::from(count))).map_err(|error| lost(&error))
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.body_flow.end();
        Box::pin(async move {
            let orderly = self.side.connection().close(200, "bye".into());
            match tokio::time::timeout(CLOSE_TIMEOUT, orderly).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "connection did not close in order"),
                Err(_) => {
                    tracing::debug!(seconds = CLOSE_TIMEOUT.as_secs(), "connection did not close in time")
                }
            }
        })
    }
}

impl Drop for RabbitTap {
    fn drop(&mut self) {
        self.body_flow.end();
    }
}

impl SideChannel<Connection> {
    async fn declare(
        &mut self,
        options: &TapOptions,
    ) -> Result<(ShortString, Option<ShortString>), TransportError> {
        let bytes = AMQPValue::LongLongInt(i64::try_from(options.max_bytes).unwrap_or(i64::MAX));
        let ttl = AMQPValue::LongLongInt(i64::try_from(options.ttl.as_millis()).unwrap_or(i64::MAX));
        let mut arguments = FieldTable::default();
        // The default type of a virtual host may be one that cannot be exclusive.
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
        arguments.insert("x-max-length-bytes".into(), bytes);
        let mut count = arguments.clone();
        count.insert("x-max-length".into(), AMQPValue::LongLongInt(COUNTED));
        let limit = AMQPValue::LongLongInt(i64::from(options.max_messages));
        arguments.insert("x-max-length".into(), limit);
        arguments.insert("x-message-ttl".into(), ttl);

        let counter = self.queue_declare(count).await?;
        let mut counted = arguments.clone();
        counted.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
        let counter_name = AMQPValue::LongString(counter.as_str().into());
        counted.insert("x-dead-letter-routing-key".into(), counter_name);
        match self.queue_declare(counted).await {
            Ok(queue) => Ok((queue, Some(counter))),
            Err(failure) if reply_code(&failure.error) == Some(ACCESS_REFUSED) => {
                Ok((self.queue_declare(arguments).await?, None))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn queue_declare(&mut self, arguments: FieldTable) -> Result<ShortString, OperationFailure> {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let channel = self.channel().await?;
        match channel.queue_declare(ShortString::default(), options, arguments).await {
            Ok(queue) => Ok(queue.name().clone()),
            Err(error) => Err(self.closed_by("declare a queue of our own", error)),
        }
    }

    /// Binds the queue with each key that the user may read.
    async fn bind(
        &mut self,
        queue: &ShortString,
        exchange: &str,
        options: &TapOptions,
    ) -> Result<TapBound, TransportError> {
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let channel = self.channel().await?;
        let inspected =
            channel.exchange_declare(exchange.into(), ExchangeKind::Topic, passive, FieldTable::default());
        if let Err(error) = inspected.await {
            let refusal = self.unless_lost(&format!("look for exchange \"{exchange}\""), error)?;
            return Ok(TapBound { is_bound: false, refusal });
        }
        let mut found = TapBound::default();
        for binding in options.bindings.iter().filter(|binding| binding.exchange == exchange) {
            let key = &binding.routing_key;
            let channel = self.channel().await?;
            let bound = channel.queue_bind(
                queue.clone(),
                exchange.into(),
                key.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            match bound.await {
                Ok(()) => found.is_bound = true,
                Err(error) => {
                    let what = format!("bind to exchange \"{exchange}\" with key \"{key}\"");
                    let Some(no) = self.unless_lost(&what, error)? else { return Ok(TapBound::default()) };
                    found.refusal.get_or_insert(no);
                }
            }
        }
        Ok(found)
    }

    /// Returns the reason why the broker refuses the user; `None` of a missing exchange.
    fn unless_lost(&mut self, what: &str, error: lapin::Error) -> Result<Option<String>, TransportError> {
        let failure = self.closed_by(what, error);
        match reply_code(&failure.error) {
            Some(NOT_FOUND) => Ok(None),
            Some(ACCESS_REFUSED) => Ok(Some(reason(&failure.error))),
            Some(_) | None => Err(lost(&failure.error)),
        }
    }
}
