//! The links of a listener, one for each address, in one session.
//!
//! The credit of a link is its share of the prefetch, less the messages in hand, and at most its share of [`AHEAD`], so
//! that the client library buffers few messages. Credit is not renewed while the bytes in hand exceed their bound. A
//! flow names the deliveries that the reader has taken, so the broker subtracts messages on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::{SimpleValue, Value};
use fe2o3_amqp::{Delivery, Receiver};

use super::connection::{Amqp1Connection, refused};
use crate::contract::{Consumer, LateBindings, PartitionSeen, QueueDepths};
use crate::error::TransportError;
use crate::future::BoxFuture;
use crate::message::{Batch, Epoch, IncomingMessage, Properties};
use crate::rabbit::BodyFlow;
use crate::settle::{Settlement, Window};
use crate::topology::{Binding, Declare, ListenOptions, OpenQueue, Subscription};

/// The prefetch where the listener sets no limit.
const UNLIMITED: u16 = 10_000;
/// The messages that may be on the way or in the client library's buffers, over all links.
const AHEAD: usize = 8;
const UNREADABLE: &str = "not a message of AMQP 1.0";

pub(super) struct Amqp1Consumer {
    connection: Amqp1Connection,
    subscription: Subscription,
    body_flow: Arc<BodyFlow>,
    links: Vec<Link>,
    /// The prefetch of each link.
    share: usize,
    /// The link that the next poll reads first.
    next: usize,
    is_quiet: bool,
}

struct Link {
    epoch: Epoch,
    channel: u16,
    receiver: Receiver,
    binding: Binding,
    address: Arc<str>,
    /// The deliveries in hand, in the order of their tags.
    unsettled: VecDeque<(u64, DeliveryInfo)>,
    last_tag: u64,
    credit: usize,
}

impl Amqp1Consumer {
    /// Attaches a link for each binding, whose queue is the address.
    pub(super) async fn open(
        mut connection: Amqp1Connection,
        bindings: Vec<Binding>,
        options: &ListenOptions,
        remarks: Vec<String>,
    ) -> Result<Self, TransportError> {
        let prefetch = usize::from(if options.prefetch == 0 { UNLIMITED } else { options.prefetch });
        let share = prefetch.checked_div(bindings.len()).unwrap_or_default();
        if share == 0 {
            let problem = format!("prefetch: {prefetch} messages for {} addresses", bindings.len());
            return Err(TransportError::ListenOptions { problem });
        }
        let open = bindings.iter().map(|binding| OpenQueue {
            name: binding.queue.as_str().into(),
            queue_type: None,
            waiting: 0,
            other_consumers: 0,
            created: false,
            durable: None,
            differs: None,
            drops: None,
            loses: None,
        });
        let bound = if options.declare == Declare::Nothing { Vec::new() } else { bindings.clone() };
        let host = connection.host.clone();
        let subscription = Subscription::new(host, (bound, Vec::new()), open.collect(), remarks);
        let subscription = Subscription { certificate_ends: connection.certificate_ends, ..subscription };
        let mut links = Vec::new();
        for (channel, binding) in (0..).zip(bindings) {
            links.push(Link {
                epoch: subscription.epoch,
                channel,
                receiver: connection.attach(&binding.queue, options.bodies).await?,
                address: binding.queue.as_str().into(),
                binding,
                unsettled: VecDeque::new(),
                last_tag: 0,
                credit: 0,
            });
        }
        let body_flow = Arc::<BodyFlow>::default();
        body_flow.begin(options.bodies);
        let mut consumer =
            Self { connection, subscription, body_flow, links, share, next: 0, is_quiet: false };
        consumer.renew_credit().await?;
        Ok(consumer)
    }

    /// Renews the credit of each link that has at most half of its credit.
    async fn renew_credit(&mut self) -> Result<(), TransportError> {
        if self.is_quiet || self.body_flow.is_full() {
            return Ok(());
        }
        let ahead = (AHEAD / self.links.len()).max(1);
        for link in &mut self.links {
            let possible = self.share.saturating_sub(link.unsettled.len()).min(ahead);
            if link.credit <= possible / 2 && possible > 0 {
                let credit = u32::try_from(possible).unwrap_or(u32::MAX);
                let renewed = link.receiver.set_credit(credit).await;
                renewed.map_err(|error| self.connection.observed.lost(error))?;
                link.credit = possible;
            }
        }
        Ok(())
    }

    /// Takes ready messages, one from each link in turn.
    fn take(&mut self, context: &mut Context<'_>, out: &mut Batch) {
        let (mut idle, links) = (0, self.links.len());
        let observed = &self.connection.observed;
        while out.room() > 0 && idle < links {
            let at = self.next % links;
            self.next = at + 1;
            let link = &mut self.links[at];
            let received = std::pin::pin!(link.receiver.recv::<Body<Value>>()).poll(context);
            idle = if received.is_ready() { 0 } else { idle + 1 };
            match received {
                Poll::Pending => {}
                Poll::Ready(Ok(delivery)) => out.push(link.message(delivery, &self.body_flow)),
                // The listener treats the body like any other that is not a notification.
                Poll::Ready(Err(RecvError::MessageDecode(error))) => {
                    out.push(link.bare_message(error.info, UNREADABLE.into(), &self.body_flow));
                }
                Poll::Ready(Err(RecvError::MessageSizeExceeded(error))) => {
                    let reason = format!("{error}; raise max_body, or remove the message at the broker");
                    observed.end(refused(&link.address, reason));
                    return;
                }
                Poll::Ready(Err(error)) => {
                    observed.lost(error);
                    return;
                }
            }
        }
    }
}

impl Link {
    fn message(&mut self, delivery: Delivery<Body<Value>>, flow: &Arc<BodyFlow>) -> IncomingMessage {
        let (info, message) = delivery.into_parts();
        let redelivered = message.header.as_ref().is_some_and(|header| header.delivery_count > 0);
        let properties = message.properties.unwrap_or_default();
        let compression = message.application_properties.and_then(|mut properties| {
            match properties.0.swap_remove("compression") {
                Some(SimpleValue::String(compression)) => Some(compression),
                _ => None,
            }
        });
        let properties = Properties {
            content_type: properties.content_type.map(|text| text.into_inner().into()),
            content_encoding: properties.content_encoding.map(|text| text.into_inner().into()),
            compression,
        };
        IncomingMessage { redelivered, properties, ..self.bare_message(info, body(message.body), flow) }
    }

    fn bare_message(&mut self, info: DeliveryInfo, body: Bytes, flow: &Arc<BodyFlow>) -> IncomingMessage {
        self.last_tag += 1;
        self.credit = self.credit.saturating_sub(1);
        self.unsettled.push_back((self.last_tag, info));
        flow.comes(body.len());
        flow.is_complete();
        IncomingMessage {
            epoch: self.epoch,
            channel: self.channel,
            tag: self.last_tag,
            _in_hand: Some(flow.share(body.len())),
            body,
            cut: None,
            queue: Arc::clone(&self.address),
            exchange: self.binding.exchange.clone(),
            routing_key: self.binding.routing_key.clone(),
            redelivered: false,
            stream_offset: None,
            partition: None,
            properties: Properties::default(),
            marks: None,
        }
    }
}

/// Returns the bytes of the body, which is a string from oslo.messaging, and data from other publishers.
fn body(body: Body<Value>) -> Bytes {
    match body {
        Body::Value(value) => match value.0 {
            Value::String(text) => text.into(),
            Value::Binary(bytes) => bytes.into_vec().into(),
            _ => Bytes::new(),
        },
        Body::Data(sections) => {
            let mut sections: Vec<Vec<u8>> = sections.into_iter().map(|data| data.0.into_vec()).collect();
            if sections.len() == 1 { sections.remove(0).into() } else { sections.concat().into() }
        }
        Body::Sequence(_) | Body::Empty => Bytes::new(),
    }
}

impl Consumer for Amqp1Consumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let (before, observed) = (out.len(), Arc::clone(&self.connection.observed));
            while out.len() == before && out.room() > 0 {
                if self.is_quiet {
                    return Err(self.ended().await);
                }
                self.renew_credit().await?;
                let mut changed = std::pin::pin!(observed.changed.notified());
                let end = std::future::poll_fn(|context| {
                    self.take(context, out);
                    let end = observed.facts().end.clone();
                    if out.len() > before || end.is_some() {
                        return Poll::Ready(end);
                    }
                    // An end that is noted between the check and the registration makes the registration ready.
                    changed.as_mut().poll(context).map(|()| None)
                });
                let end = end.await;
                if let (Some(end), true) = (end, out.len() == before) {
                    return Err(end);
                }
            }
            Ok(())
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            loop {
                let changed = self.connection.observed.changed.notified();
                let end = self.connection.observed.facts().end.clone();
                if let Some(end) = end {
                    return end;
                }
                changed.await;
            }
        })
    }

    /// The client library does not say how many messages are in its buffers; the number is at most [`AHEAD`].
    fn untaken(&self) -> usize {
        0
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            for (channel, link) in (0u16..).zip(&mut self.links) {
                let (mut accepted, mut released) = (Vec::new(), Vec::new());
                for settlement in window.settlements(channel) {
                    let (tags, to) = match settlement {
                        Settlement::AcknowledgeThrough(last) => (0..=last, &mut accepted),
                        Settlement::Acknowledge(tag) => (tag..=tag, &mut accepted),
                        Settlement::Requeue(tag) => (tag..=tag, &mut released),
                    };
                    let from = link.unsettled.partition_point(|(tag, _)| tag < tags.start());
                    let until = link.unsettled.partition_point(|(tag, _)| tag <= tags.end());
                    to.extend(link.unsettled.drain(from..until).map(|(_, info)| info));
                }
                let settled = async {
                    if !released.is_empty() {
                        link.receiver.release_all(released).await?;
                    }
                    match accepted.is_empty() {
                        true => Ok(()),
                        false => link.receiver.accept_all(accepted).await,
                    }
                };
                settled.await.map_err(|error| self.connection.observed.lost(error))?;
            }
            self.renew_credit().await
        })
    }

    fn late_bindings(&self) -> Box<dyn LateBindings> {
        Box::new(NoLateBindings)
    }

    /// A broker of AMQP 1.0 does not count the messages at an address.
    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        Box::pin(std::future::ready(Ok(QueueDepths::new())))
    }

    fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        None
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            self.is_quiet = true;
            for link in &mut self.links {
                let stopped = link.receiver.set_credit(0).await;
                stopped.map_err(|error| self.connection.observed.lost(error))?;
            }
            Ok(())
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { connection, links, .. } = *self;
            drop(links);
            connection.close().await;
        })
    }
}

struct NoLateBindings;

impl LateBindings for NoLateBindings {
    fn bind<'a>(&'a mut self, _: &'a [Binding]) -> BoxFuture<'a, Result<Vec<Binding>, TransportError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
