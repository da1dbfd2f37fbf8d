//! A tap browses: its links ask for copies, so that the messages stay for their readers. A broker that does not copy is
//! refused, and so is a router, which has nothing to copy from and may repeat the word all the same.

use std::sync::Arc;
use std::task::Poll;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::messaging::DistributionMode;

use super::{Amqp1Connection, Amqp1Transport, consumer};
use crate::tap::{Tap, TapBinding, TapMessage, TapOpening, TapOptions, TapProperties, TopicsSeen};
use crate::topology::Binding;
use crate::{BoxFuture, TransportError};

const LIMITS: [&str; 2] = [
    "AMQP 1.0: tap browses, and shows first what waits at the address",
    "AMQP 1.0: an address is exact, so name exchange, topic, and priority; there are no patterns",
];

pub(super) struct Amqp1Tap {
    connection: Amqp1Connection,
    links: Vec<TapLink>,
    tapped: TapOpening,
    share: u32,
    next: usize,
}

struct TapLink {
    receiver: Receiver,
    binding: TapBinding,
    taken: Vec<DeliveryInfo>,
}

impl Amqp1Tap {
    pub(super) async fn open(
        transport: &Amqp1Transport,
        options: &TapOptions,
    ) -> Result<Self, TransportError> {
        let mut connection = transport.connect(options.bodies).await?;
        let product = connection.product();
        let not_copied = |address: &str| TransportError::Refused {
            what: format!("browse address \"{address}\""),
            reason: "the broker does not copy messages, so that a tap would take them from their readers"
                .to_owned(),
            code: None,
        };
        let (mut links, mut missing) = (Vec::new(), Vec::new());
        for binding in &options.bindings {
            if binding.routing_key.split('.').any(|word| matches!(word, "*" | "#")) {
                missing.push(binding.routing_key.clone());
                continue;
            }
            let (exchange, routing_key) = (binding.exchange.clone(), binding.routing_key.clone());
            let planned = Binding { queue: String::new(), exchange, routing_key };
            let address = transport.options.address(&transport.url, product.as_deref(), &planned);
            if product.as_ref().is_some_and(|product| product.contains("router")) {
                return Err(not_copied(&address));
            }
            let receiver = connection.attach(&address, DistributionMode::Copy, options.bodies).await?;
            let granted = receiver.source().as_ref().and_then(|source| source.distribution_mode.as_ref());
            if granted != Some(&DistributionMode::Copy) {
                return Err(not_copied(&address));
            }
            links.push(TapLink { receiver, binding: binding.clone(), taken: Vec::new() });
        }
        let share = u32::from(options.prefetch) / u32::try_from(links.len().max(1)).unwrap_or(u32::MAX);
        let share = share.max(1);
        for link in &mut links {
            link.receiver.set_credit(share).await.map_err(|error| connection.lost(error))?;
        }
        let mut bound: Vec<String> = links.iter().map(|link| link.binding.exchange.clone()).collect();
        bound.dedup();
        let tapped = TapOpening {
            host: connection.host.clone(),
            virtual_host: transport.url.virtual_host().to_owned(),
            user: transport.url.hosts()[0].username.clone().unwrap_or_default(),
            bound,
            missing,
            remarks: LIMITS.map(str::to_owned).to_vec(),
            ..TapOpening::default()
        };
        Ok(Self { connection, links, tapped, share, next: 0 })
    }

    fn take(&mut self, context: &mut std::task::Context<'_>, out: &mut Vec<TapMessage>, limit: usize) {
        let mut idle = 0;
        while out.len() < limit && idle < self.links.len() {
            let at = self.next % self.links.len();
            self.next = at + 1;
            let link = &mut self.links[at];
            match consumer::poll(&mut link.receiver, context) {
                // The stream has noted the end; a message that cannot be decoded is not shown.
                Poll::Pending | Poll::Ready(Err(_)) => idle += 1,
                Poll::Ready(Ok(delivery)) => {
                    idle = 0;
                    let share = self.connection.observed.share(*delivery.delivery_id());
                    let (info, message) = delivery.into_parts();
                    link.taken.push(info);
                    let properties = message.properties.unwrap_or_default();
                    out.push(TapMessage {
                        exchange: link.binding.exchange.clone(),
                        routing_key: link.binding.routing_key.clone(),
                        body: share.over(consumer::body(message.body)),
                        cut: None,
                        properties: TapProperties {
                            content_type: properties.content_type.map(|text| text.into_inner()),
                            content_encoding: properties.content_encoding.map(|text| text.into_inner()),
                            ..TapProperties::default()
                        },
                    });
                }
            }
        }
    }

    async fn acknowledge_taken(&mut self) -> Result<(), TransportError> {
        for link in self.links.iter_mut().filter(|link| !link.taken.is_empty()) {
            let accepted = link.receiver.accept_all(std::mem::take(&mut link.taken)).await;
            accepted.map_err(|error| self.connection.lost(error))?;
            link.receiver.set_credit(self.share).await.map_err(|error| self.connection.lost(error))?;
        }
        Ok(())
    }
}

impl Tap for Amqp1Tap {
    fn tapped(&self) -> &TapOpening {
        &self.tapped
    }

    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            if self.links.iter().any(|link| link.taken.len() * 2 >= self.share as usize) {
                self.acknowledge_taken().await?;
            }
            let observed = Arc::clone(&self.connection.observed);
            let mut changed = std::pin::pin!(observed.changed.notified());
            std::future::poll_fn(|context| {
                self.take(context, out, limit);
                let end = observed.facts().end.clone();
                match end {
                    _ if !out.is_empty() => Poll::Ready(Ok(())),
                    Some(end) => Poll::Ready(Err(end)),
                    None => changed.as_mut().poll(context).map(Ok),
                }
            })
            .await
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.acknowledge_taken())
    }

    fn look_for<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<bool, TransportError>> {
        let is_bound = self.tapped.bound.iter().any(|bound| bound == exchange);
        Box::pin(std::future::ready(Ok(is_bound)))
    }

    fn topics(&mut self, _: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { connection, links, .. } = *self;
            drop(links);
            connection.close().await;
        })
    }
}
