//! The open subscription. Each queue has a channel and a consumer of its own on the one connection, and all are polled
//! in turn without tasks.
//!
//! A `multiple` acknowledgement must not cover messages of another queue that have not been seen, hence a channel each.
//! Each has an equal share of `prefetch`, because quorum queues have no common limit.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{poll_fn, try_join_all};
use futures_util::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
    ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Event};

use super::arguments::consumer_table;
use super::bindings::RabbitBindingWatch;
use super::failure::{OperationFailure, lost};
use super::headers;
use super::held::{CLOSE_TIMEOUT, ConnectionGuard};
use super::marks;
use super::properties::properties;
use super::returned::ReturnedMessages;
use crate::bodies::BodyBounds;
use crate::body_flow::BodyFlow;
use crate::message::{Batch, IncomingMessage, MessagePlace};
use crate::settle::{Settlement, Window};
use crate::topology::{BrokerVersion, OpenQueue, QueueType, Subscription};
use crate::{BindingWatch, BoxFuture, Consumer, QueueDepths, QueueSeen, TransportError};

/// An open subscription on one connection.
pub(super) struct RabbitConsumer {
    /// Closes when the last holder is dropped.
    connection: Arc<ConnectionGuard>,
    /// Counts the bytes in hand, and knows which bodies are cut.
    body_flow: Arc<BodyFlow>,
    /// The consumers, in the order of the subscription; the index is a message's channel.
    queues: Vec<QueueConsumer>,
    /// The queue whose turn it is.
    next: usize,
    /// The number of the current poll.
    polls: u64,
    /// The facts about the subscription.
    subscription: Subscription,
    /// The broker's notices: alarms begin and end.
    events: Pin<Box<dyn Stream<Item = Event> + Send + Sync>>,
    /// Messages that arrived without room in a batch; never more than the prefetch.
    held: VecDeque<IncomingMessage>,
    /// The end of the subscription, until it is reported.
    ended: Option<TransportError>,
    /// The messages whose headers were removed.
    with_removed_headers: u64,
    /// The options of missing exchanges that osnl makes.
    makes: Option<ExchangeDeclareOptions>,
    /// Whether the broker keeps the connection when its node has been cut off.
    keeps_cut_off: bool,
}

/// The consumer of one queue on a channel of its own.
struct QueueConsumer {
    channel: Channel,
    deliveries: lapin::Consumer,
    /// Restores the order of messages that were returned before.
    returned: ReturnedMessages,
    name: Arc<str>,
    /// The last poll in which the queue was empty. The queue's waker is registered then.
    dry_in: u64,
}

/// The terms of the consumers of one subscription.
pub(super) struct ConsumerTerms<'a> {
    /// The most unsettled messages of each queue; 0 for no limit.
    pub(super) share: u16,
    pub(super) bodies: BodyBounds,
    /// The tag of the consumers; empty for one of the broker's.
    pub(super) tag: &'a str,
    /// The version of RabbitMQ; `None` if it is unknown.
    pub(super) version: Option<BrokerVersion>,
    /// The options of missing exchanges that osnl makes; `None` if it makes none.
    pub(super) makes: Option<ExchangeDeclareOptions>,
}

impl RabbitConsumer {
    pub(super) async fn start(
        connection: ConnectionGuard,
        body_flow: Arc<BodyFlow>,
        subscription: Subscription,
        terms: ConsumerTerms<'_>,
    ) -> Result<Self, TransportError> {
        let ConsumerTerms { share, bodies, tag, version, makes } = terms;
        let mut queues = Vec::with_capacity(subscription.open.len());
        body_flow.begin(bodies);
        for queue in &subscription.open {
            let failed = |what: String| move |error| TransportError::from(OperationFailure { what, error });
            let channel = connection.create_channel().await.map_err(failed("open a channel".into()))?;
            channel
                .basic_qos(share, BasicQosOptions::default())
                .await
                .map_err(failed(format!("set prefetch {share}")))?;
            let deliveries = channel
                .basic_consume(
                    ShortString::from(&*queue.name),
                    ShortString::from(tag),
                    BasicConsumeOptions::default(),
                    consumer_table(queue),
                )
                .await
                .map_err(failed(format!("consume queue \"{}\"", queue.name)))?;
            queues.push(QueueConsumer {
                channel,
                deliveries,
                returned: ReturnedMessages::new(share, may_be_quorum(queue)),
                name: queue.name.clone(),
                dry_in: 0,
            });
        }
        let (events, connection) = (Box::pin(connection.events_listener()), Arc::new(connection));
        let keeps_cut_off = version.is_some_and(BrokerVersion::keeps_cut_off_connections)
            && subscription.open.iter().any(may_be_quorum);
        Ok(Self {
            events,
            makes,
            keeps_cut_off,
            connection,
            body_flow,
            queues,
            next: 0,
            polls: 0,
            subscription,
            held: VecDeque::new(),
            ended: None,
            with_removed_headers: 0,
        })
    }

    /// Takes one message of each queue in turn, so that a full queue delays no other. An empty queue is not asked again in
    /// the same poll, because its waker is registered: the poll ends when `out` is full, or all queues are empty.
    fn take_ready(&mut self, context: &mut Context<'_>, out: &mut Batch) -> Poll<()> {
        self.polls += 1;
        let mut dry = 0;
        while out.room() > 0 && dry < self.queues.len() {
            let at = self.next;
            self.next = if at + 1 == self.queues.len() { 0 } else { at + 1 };
            let queue = &mut self.queues[at];
            if queue.dry_in == self.polls {
                continue;
            }
            if let Some((tag, delivery)) = queue.returned.take_next() {
                self.warn_of_removed_headers(at, &delivery);
                if let Some(message) = self.message(at, tag, delivery) {
                    out.push(message);
                }
                continue;
            }
            match queue.deliveries.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(delivery))) => {
                    queue.returned.arrived(delivery);
                    self.next = at;
                }
                Poll::Ready(Some(Err(error))) => return self.end(lost(&error)),
                Poll::Ready(None) => {
                    let queue = queue.name.to_string();
                    return self.end(TransportError::Cancelled { queue });
                }
                Poll::Pending => {
                    queue.returned.wait(context);
                    if queue.returned.has_ready() {
                        self.next = at;
                        continue;
                    }
                    queue.dry_in = self.polls;
                    dry += 1;
                }
            }
        }
        if out.is_empty() && out.room() > 0 {
            self.hear(context);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Handles other events of the broker when there is no delivery. An alarm stops publishers, not consumers, and
    /// RabbitMQ reports it only to connections that have published. If an alarm is reported here, acknowledgements wait
    /// for its end: see `flush`.
    fn hear(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(event)) = self.events.poll_next_unpin(context) {
            let host = &self.subscription.host;
            match event {
                Event::ConnectionBlocked(reason) => tracing::warn!(
                    broker.host = &**host,
                    reason = reason.as_str(),
                    "the broker blocks publishers; osnl goes on reading the messages that wait"
                ),
                Event::ConnectionUnblocked => {
                    tracing::info!(
                        broker.host = &**host,
                        "the broker accepts messages from publishers again"
                    );
                }
                _ => {}
            }
        }
    }

    /// Warns of the 1st, 10th, 100th, … message of this connection, since a publisher may send millions.
    fn warn_of_removed_headers(&mut self, at: usize, delivery: &Delivery) {
        let Some(removed) = delivery.properties.headers().as_ref().and_then(headers::removed) else { return };
        self.with_removed_headers += 1;
        if self.with_removed_headers == 10_u64.pow(self.with_removed_headers.ilog10()) {
            tracing::warn!(
                queue.name = %self.queues[at].name,
                exchange = delivery.exchange.as_str(),
                routing_key = delivery.routing_key.as_str(),
                %removed,
                messages = self.with_removed_headers,
                "message headers were removed; the message itself is read as usual"
            );
        }
    }

    fn end(&mut self, error: TransportError) -> Poll<()> {
        self.ended = Some(error);
        Poll::Ready(())
    }

    /// Returns `None` for a cut message that arrived after the end. The broker redelivers that message. `tag` is the shown
    /// tag, by which the window settles; the broker's own is in the delivery, by which the body flow counts.
    fn message(&self, at: usize, tag: u64, delivery: Delivery) -> Option<IncomingMessage> {
        let queue = &self.queues[at];
        let cut = self.body_flow.cut(queue.channel.id(), delivery.delivery_tag);
        if cut.is_some() && self.body_flow.is_over() {
            return None;
        }
        let marks = marks::read(&delivery).map(Arc::new);
        let origin = marks.as_ref().and_then(|marks| marks::origin(marks));
        let (exchange, routing_key) = match origin {
            Some((exchange, routing_key)) => (exchange.to_owned(), routing_key.to_owned()),
            None => (delivery.exchange.to_string(), delivery.routing_key.to_string()),
        };
        let epoch = self.subscription.epoch;
        let place = MessagePlace { epoch, channel: u16::try_from(at).unwrap_or(u16::MAX), tag };
        let share = self.body_flow.share(delivery.data.len());
        Some(IncomingMessage {
            cut: cut.map(Box::new),
            exchange,
            routing_key,
            marks,
            redelivered: delivery.redelivered,
            properties: properties(&delivery.properties),
            ..IncomingMessage::new(place, queue.name.clone(), delivery.data.into()).with_share(share)
        })
    }
}

fn may_be_quorum(queue: &OpenQueue) -> bool {
    queue.queue_type != Some(QueueType::Classic)
}

impl QueueConsumer {
    /// Sends three groups in this order, each written before the next (see `settle`). Frames within a group are queued
    /// together instead of one per turn of the I/O thread.
    async fn settle(&mut self, settlements: Vec<Settlement>) -> Result<(), TransportError> {
        // The tags of the window are not the broker's after a sort of returned messages.
        let settlements = &self.returned.real(settlements);
        let requeues = settlements.iter().filter_map(|s| match s {
            Settlement::Requeue(tag) => Some(self.requeue(*tag)),
            Settlement::Acknowledge(_) | Settlement::AcknowledgeThrough(_) => None,
        });
        try_join_all(requeues).await?;
        for settlement in settlements {
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
    }

    async fn acknowledge(&self, tag: u64, multiple: bool) -> Result<(), TransportError> {
        self.channel.basic_ack(tag, BasicAckOptions { multiple }).await.map_err(|error| lost(&error))
    }

    async fn requeue(&self, tag: u64) -> Result<(), TransportError> {
        let options = BasicRejectOptions { requeue: true };
        self.channel.basic_reject(tag, options).await.map_err(|error| lost(&error))
    }

    async fn cancel(&self) -> Result<(), TransportError> {
        let tag = self.deliveries.tag();
        self.channel.basic_cancel(tag, BasicCancelOptions::default()).await.map_err(|error| lost(&error))
    }
}

impl Consumer for RabbitConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            while out.room() > 0
                && let Some(held) = self.held.pop_front()
            {
                out.push(held);
            }
            if self.ended.is_none() {
                poll_fn(|context| self.take_ready(context, out)).await;
            }
            if out.is_empty() { self.ended.take().map_or(Ok(()), Err) } else { Ok(()) }
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            let mut arrived = Batch::with_limit(1);
            loop {
                if let Some(error) = self.ended.take() {
                    return error;
                }
                // Pending means that no message has arrived, so dropping this loses nothing.
                poll_fn(|context| self.take_ready(context, &mut arrived)).await;
                self.held.extend(arrived.drain());
            }
        })
    }

    fn untaken(&self) -> usize {
        self.held.len() + self.queues.iter().map(|queue| queue.returned.new_messages()).sum::<usize>()
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            // The library writes nothing to a blocked connection, so waiting would stop the intake too. Settlements
            // stay in the window until the alarm ends.
            if self.connection.status().blocked() {
                return Ok(());
            }
            for (at, queue) in (0..).zip(&mut self.queues) {
                let settlements = window.settlements(at);
                if !settlements.is_empty() {
                    queue.settle(settlements).await?;
                }
            }
            Ok(())
        })
    }

    fn binding_watch(&self) -> Option<Box<dyn BindingWatch>> {
        let (connection, body_flow) = (self.connection.clone(), self.body_flow.clone());
        Some(Box::new(RabbitBindingWatch::new(connection, body_flow, self.makes, self.keeps_cut_off)))
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        let connection = self.connection.clone();
        let queues: Vec<_> = self.queues.iter().map(|queue| queue.name.clone()).collect();
        Box::pin(async move {
            // A channel of its own, because asking for a missing queue closes the channel.
            let asked = async {
                let channel = connection.create_channel().await?;
                let mut waiting = QueueDepths::with_capacity(queues.len());
                for queue in queues {
                    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
                    let name = ShortString::from(&*queue);
                    let found = channel.queue_declare(name, passive, FieldTable::default()).await?;
                    let (messages, consumers) = (found.message_count(), found.consumer_count());
                    waiting.push((queue, QueueSeen { messages, consumers }));
                }
                channel.close(200, "asked".into()).await?;
                Ok(waiting)
            };
            asked.await.map_err(|error| lost(&error))
        })
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.body_flow.end();
        Box::pin(async move {
            if self.connection.status().blocked() {
                return Ok(());
            }
            try_join_all(self.queues.iter().map(QueueConsumer::cancel)).await.map(|_| ())
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.body_flow.end();
        Box::pin(async move {
            let orderly = async {
                // Close-ok of a channel follows after the broker has handled every settlement on it.
                try_join_all(self.queues.iter().map(|queue| queue.channel.close(200, "bye".into()))).await?;
                self.connection.close(200, "bye".into()).await
            };
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
