use super::{BrokerState, MemoryBroker};
use crate::message::{Batch, IncomingMessage, MessagePlace};
use crate::settle::{Settlement, Window};
use crate::topology::{Binding, Subscription};
use crate::{BindingLook, BindingWatch, BoxFuture, Consumer, QueueDepths, TransportError};

/// A subscription to a [`MemoryBroker`].
pub(super) struct MemoryConsumer {
    pub(super) broker: MemoryBroker,
    pub(super) subscription: Subscription,
    /// The limit of unsettled messages of each queue; 0 is no limit.
    pub(super) share: usize,
    pub(super) next: usize,
    pub(super) quiet: bool,
}

impl MemoryConsumer {
    fn take(&mut self, out: &mut Batch) -> Result<bool, TransportError> {
        let mut state = self.broker.lock();
        if let Some(queue) = state.cancelled.remove(&self.subscription.epoch) {
            return Err(TransportError::Cancelled { queue });
        }
        let BrokerState { connections, queues, .. } = &mut *state;
        let connection = connections.get_mut(&self.subscription.epoch).ok_or_else(lost)?;
        let before = out.len();
        let mut dry = 0;
        while !self.quiet && out.room() > 0 && dry < connection.channels.len() {
            let at = self.next % connection.channels.len();
            self.next = at + 1;
            let channel = &mut connection.channels[at];
            let may_take = self.share == 0 || channel.unsettled.len() < self.share;
            let ready = queues.get_mut(&*channel.queue).filter(|_| may_take);
            let Some(stored) = ready.and_then(|queue| queue.ready.pop_front()) else {
                dry += 1;
                continue;
            };
            dry = 0;
            channel.last_tag += 1;
            let place = MessagePlace {
                epoch: self.subscription.epoch,
                channel: u16::try_from(at).unwrap_or(u16::MAX),
                tag: channel.last_tag,
            };
            out.push(IncomingMessage {
                exchange: stored.exchange.clone(),
                routing_key: stored.routing_key.clone(),
                redelivered: stored.redelivered,
                properties: stored.properties.clone(),
                ..IncomingMessage::new(place, channel.queue.clone(), stored.body.clone())
            });
            channel.unsettled.insert(channel.last_tag, stored);
        }
        Ok(out.len() > before)
    }
}

pub(super) fn lost() -> TransportError {
    TransportError::Lost { reason: "the broker closed the connection".into() }
}

impl Consumer for MemoryConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let broker = self.broker.clone();
            loop {
                // Registered before the look, so that no message published in between is missed.
                let changed = broker.shared.changed.notified();
                if self.take(out)? {
                    return Ok(());
                }
                changed.await;
            }
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            let broker = self.broker.clone();
            loop {
                let changed = broker.shared.changed.notified();
                if let Err(error) = self.take(&mut Batch::with_limit(0)) {
                    return error;
                }
                changed.await;
            }
        })
    }

    fn untaken(&self) -> usize {
        0
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let mut state = self.broker.lock();
            let mut given_back = Vec::new();
            let connection = state.connections.get_mut(&self.subscription.epoch).ok_or_else(lost)?;
            for (at, channel) in (0..).zip(&mut connection.channels) {
                let unsettled = &mut channel.unsettled;
                for settlement in window.settlements(at) {
                    match settlement {
                        Settlement::AcknowledgeThrough(last) => *unsettled = unsettled.split_off(&(last + 1)),
                        Settlement::Acknowledge(tag) => drop(unsettled.remove(&tag)),
                        Settlement::Requeue(tag) => {
                            given_back.extend(unsettled.remove(&tag).map(|m| (channel.queue.clone(), m)));
                        }
                    }
                }
            }
            for (queue, stored) in given_back {
                state.give_back(&queue, stored);
            }
            drop(state);
            self.broker.shared.changed.notify_waiters();
            Ok(())
        })
    }

    fn binding_watch(&self) -> Option<Box<dyn BindingWatch>> {
        Some(Box::new(MemoryBindingWatch(self.broker.clone())))
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        let waiting =
            self.subscription.queues().into_iter().map(|queue| (queue.into(), self.broker.seen(queue)));
        Box::pin(std::future::ready(Ok(waiting.collect())))
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.quiet = true;
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

/// Looks at the bindings of a [`MemoryBroker`].
pub(super) struct MemoryBindingWatch(pub(super) MemoryBroker);

impl BindingWatch for MemoryBindingWatch {
    fn look<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
        let mut state = self.0.lock();
        let look = state.refusal().is_ok().then(|| {
            let is_there = |one: &&Binding| state.queues.contains_key(&one.queue);
            let (there, gone): (Vec<&Binding>, Vec<_>) = bindings.iter().partition(is_there);
            let there: Vec<Binding> = there.into_iter().cloned().collect();
            let gone = gone.into_iter().map(|one| one.queue.clone()).collect();
            BindingLook { missing: state.bind(&there), gone, ..BindingLook::default() }
        });
        Box::pin(std::future::ready(Ok(look)))
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        let mut state = self.broker.lock();
        state.end(self.subscription.epoch);
        state.cancelled.remove(&self.subscription.epoch);
        drop(state);
        self.broker.shared.changed.notify_waiters();
    }
}
