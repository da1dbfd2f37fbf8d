//! The open subscription: deliveries in, settlements out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{FutureExt, Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Event};

use super::failure::{Failure, lost};
use crate::message::{Batch, IncomingMessage, Properties};
use crate::settle::{Settlement, Window};
use crate::topology::Subscription;
use crate::{BoxFuture, Consumer, TransportError, Waiting};

/// How long an orderly close may take before the connection is just dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct RabbitConsumer {
    connection: Arc<Connection>,
    channel: Channel,
    deliveries: lapin::Consumer,
    subscription: Subscription,
    queue: Arc<str>,
    /// What the broker says about the connection.
    events: Pin<Box<dyn Stream<Item = Event> + Send + Sync>>,
    /// Came while nothing was to be handed over; never more than the prefetch.
    held: VecDeque<Delivery>,
    /// Found behind messages that had to be handed over first.
    ended: Option<TransportError>,
}

impl RabbitConsumer {
    pub(super) async fn start(
        connection: Connection,
        subscription: Subscription,
        prefetch: u16,
    ) -> Result<Self, TransportError> {
        // One queue per channel: a `multiple` acknowledgement must not cover what another queue's
        // consumer has been sent and we have not seen.
        let queues = subscription.queues();
        let [queue] = queues[..] else {
            return Err(TransportError::Refused {
                what: "listen".to_owned(),
                reason: format!("one queue per listener is supported, not {}: set a pool", queues.len()),
            });
        };
        let queue: Arc<str> = queue.into();
        let failed = |what: String| move |error| TransportError::from(Failure { what, error });
        let channel = connection.create_channel().await.map_err(failed("open a channel".into()))?;
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .map_err(failed(format!("set prefetch {prefetch}")))?;
        let deliveries = channel
            .basic_consume(
                ShortString::from(&*queue),
                ShortString::default(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(failed(format!("consume queue \"{queue}\"")))?;
        let events = Box::pin(connection.events_listener());
        let connection = Arc::new(connection);
        Ok(Self {
            connection,
            channel,
            deliveries,
            subscription,
            queue,
            events,
            held: VecDeque::new(),
            ended: None,
        })
    }

    fn message(&self, delivery: Delivery) -> IncomingMessage {
        IncomingMessage {
            epoch: self.subscription.epoch,
            tag: delivery.delivery_tag,
            body: Bytes::from(delivery.data),
            queue: self.queue.clone(),
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            properties: properties(&delivery.properties),
        }
    }

    /// The next delivery. What else the broker has to say is heard when there is none: an alarm stops publishers,
    /// not us, and RabbitMQ tells it only to connections that have published.
    async fn arrival(&mut self) -> Option<lapin::Result<Delivery>> {
        poll_fn(|context| {
            if let Poll::Ready(next) = self.deliveries.poll_next_unpin(context) {
                return Poll::Ready(next);
            }
            // Should one tell us all the same, acknowledgements wait until it is over: see `flush`.
            while let Poll::Ready(Some(event)) = self.events.poll_next_unpin(context) {
                let (host, queue) = (&self.subscription.host, &self.queue);
                match event {
                    Event::ConnectionBlocked(reason) => tracing::warn!(
                        queue.name = &**queue,
                        "{host} takes nothing from publishers ({reason}); what waits is consumed all the same"
                    ),
                    Event::ConnectionUnblocked => {
                        tracing::info!(queue.name = &**queue, "{host} takes messages from publishers again")
                    }
                    // The library's; a lost connection comes as the end of the deliveries.
                    _ => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// What was held comes first.
    async fn next(&mut self) -> Option<lapin::Result<Delivery>> {
        match self.held.pop_front() {
            Some(held) => Some(Ok(held)),
            None => self.arrival().await,
        }
    }

    fn end(&self, item: Option<lapin::Error>) -> TransportError {
        match item {
            Some(error) => lost(&error),
            None => TransportError::Cancelled { queue: self.queue.to_string() },
        }
    }

    async fn acknowledge(&self, tag: u64, multiple: bool) -> Result<(), TransportError> {
        self.channel.basic_ack(tag, BasicAckOptions { multiple }).await.map_err(|error| lost(&error))
    }

    async fn requeue(&self, tag: u64) -> Result<(), TransportError> {
        let options = BasicRejectOptions { requeue: true };
        self.channel.basic_reject(tag, options).await.map_err(|error| lost(&error))
    }
}

impl Consumer for RabbitConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            if self.held.is_empty()
                && let Some(error) = self.ended.take()
            {
                return Err(error);
            }
            let mut next = self.next().await;
            loop {
                match next {
                    Some(Ok(delivery)) => out.push(self.message(delivery)),
                    Some(Err(error)) => self.ended = Some(self.end(Some(error))),
                    None => self.ended = Some(self.end(None)),
                }
                if self.ended.is_some() || out.room() == 0 {
                    break;
                }
                match self.next().now_or_never() {
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

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            loop {
                if let Some(error) = self.ended.take() {
                    return error;
                }
                match self.arrival().await {
                    Some(Ok(delivery)) => self.held.push_back(delivery),
                    Some(Err(error)) => return self.end(Some(error)),
                    None => return self.end(None),
                }
            }
        })
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            // The library writes nothing to a blocked connection, so waiting for it would stop the intake too. What is
            // settled stays in the window until the alarm is over.
            if self.connection.status().blocked() {
                return Ok(());
            }
            let settlements = window.settlements();
            // Three groups, each written before the next begins: the order matters (see `settle`).
            // Within a group the frames are queued together instead of one per turn of the I/O thread.
            let requeues = settlements.iter().filter_map(|s| match s {
                Settlement::Requeue(tag) => Some(self.requeue(*tag)),
                Settlement::Acknowledge(_) | Settlement::AcknowledgeThrough(_) => None,
            });
            try_join_all(requeues).await?;
            for settlement in &settlements {
                if let Settlement::AcknowledgeThrough(tag) = settlement {
                    self.acknowledge(*tag, true).await?;
                }
            }
            let islands = settlements.iter().filter_map(|s| match s {
                Settlement::Acknowledge(tag) => Some(self.acknowledge(*tag, false)),
                Settlement::Requeue(_) | Settlement::AcknowledgeThrough(_) => None,
            });
            try_join_all(islands).await?;
            Ok(())
        })
    }

    fn waiting(&self) -> BoxFuture<'static, Result<Waiting, TransportError>> {
        let (connection, queue) = (self.connection.clone(), self.queue.clone());
        Box::pin(async move {
            // On a channel of its own: a queue that is gone closes it.
            let asked = async {
                let channel = connection.create_channel().await?;
                let passive = QueueDeclareOptions { passive: true, ..Default::default() };
                let found =
                    channel.queue_declare(ShortString::from(&*queue), passive, FieldTable::default()).await?;
                channel.close(200, "asked".into()).await?;
                Ok(found.message_count())
            };
            let count = asked.await.map_err(|error| lost(&error))?;
            Ok(vec![(queue, count)])
        })
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            if self.connection.status().blocked() {
                return Ok(());
            }
            let tag = self.deliveries.tag();
            self.channel.basic_cancel(tag, BasicCancelOptions::default()).await.map_err(|error| lost(&error))
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let orderly = async {
                // Close-ok of the channel comes after every settlement sent on it was handled.
                self.channel.close(200, "bye".into()).await?;
                self.connection.close(200, "bye".into()).await
            };
            match tokio::time::timeout(CLOSE_TIMEOUT, orderly).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "connection did not close in order"),
                Err(_) => tracing::debug!("connection did not close within {} s", CLOSE_TIMEOUT.as_secs()),
            }
        })
    }
}

/// What oslo.messaging always sends is not copied per message.
fn properties(from: &BasicProperties) -> Properties {
    fn known(text: Option<&ShortString>, usual: &'static str) -> Option<Cow<'static, str>> {
        text.map(
            |text| {
                if text.as_str() == usual { Cow::Borrowed(usual) } else { Cow::Owned(text.to_string()) }
            },
        )
    }
    let compression = from.headers().as_ref().and_then(|headers| {
        headers.inner().get("compression").and_then(|value| match value {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        })
    });
    Properties {
        content_type: known(from.content_type().as_ref(), "application/json"),
        content_encoding: known(from.content_encoding().as_ref(), "utf-8"),
        compression,
    }
}
