//! The reader of a Kafka group: messages of an async stream, and offsets that are committed as messages end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{
    Batch, Binding, BindingLook, BindingWatch, BoxFuture, Consumer, IncomingMessage, ListenOptions,
    MessagePlace, PartitionSeen, QueueDepths, QueueSeen, Subscription, TransportError, Window,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::KafkaTransport;
use super::client::{ANSWER, blocking};
use super::driver::Opening;
use super::failure::no_task;
use super::names::Plan;
use super::state::SharedState;

/// The longest time that leaving the group may take before the client is left to itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The prefetch where the listener sets no limit.
const UNLIMITED: usize = 10_000;

pub(super) struct KafkaConsumer {
    shared: Arc<SharedState>,
    subscription: Subscription,
    plan: Arc<Plan>,
    group: Arc<str>,
    task: Option<JoinHandle<()>>,
}

impl KafkaConsumer {
    pub(super) async fn open(
        transport: &KafkaTransport,
        plan: Plan,
        listen: &ListenOptions,
    ) -> Result<Self, TransportError> {
        let (shared, plan) = (Arc::new(SharedState::default()), Arc::new(plan));
        {
            let mut state = shared.lock();
            state.memory = transport.memory_of(&plan.group);
            state.prefetch = if listen.prefetch == 0 { UNLIMITED } else { listen.prefetch.into() };
        }
        shared.body_flow.begin(listen.bodies);
        let opening = Opening {
            transport: transport.clone(),
            plan: plan.clone(),
            listen: listen.clone(),
            shared: shared.clone(),
        };
        let (opened, subscription) = oneshot::channel();
        // A task of its own leaves the group in good order even if the caller gives up.
        let task = transport.tasks.spawn(opening.run(opened));
        let subscription = subscription.await.unwrap_or_else(|_| Err(no_task()))?;
        let group = plan.group.as_str().into();
        Ok(Self { shared, subscription, plan, group, task: Some(task) })
    }

    fn take(&self, out: &mut Batch) -> Result<bool, TransportError> {
        let before = out.len();
        let state = &mut *self.shared.lock();
        if let Some(error) = state.told_end() {
            return Err(error);
        }
        while out.room() > 0
            && let Some((tag, partition, fetched)) = state.take()
        {
            let topic = &fetched.key.0;
            let place = MessagePlace { epoch: self.subscription.epoch, channel: 0, tag };
            // The shared state counts its bytes until it is settled.
            let mut message = IncomingMessage::new(place, self.group.clone(), fetched.body.clone());
            message.cut = fetched.cut.map(Box::new);
            message.exchange = self.plan.exchange(topic).to_owned();
            message.routing_key = topic.to_string();
            message.redelivered = fetched.redelivered;
            message.partition = Some(partition.assigned.clone());
            message.properties = fetched.properties.clone();
            out.push(message);
        }
        Ok(out.len() > before)
    }
}

impl Consumer for KafkaConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            while !self.take(out)? && out.room() > 0 {
                self.shared.arrived.notified().await;
            }
            Ok(())
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            loop {
                let ended = self.shared.lock().told_end();
                if let Some(error) = ended {
                    return error;
                }
                self.shared.arrived.notified().await;
            }
        })
    }

    fn untaken(&self) -> usize {
        self.shared.lock().fetched.len()
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        let flushed = self.shared.update(|state| match &state.ended {
            Some(error) => Err(error.clone()),
            None => Ok(state.settle(window)),
        });
        if matches!(flushed, Ok(true)) {
            self.shared.arrived.notify_one();
        }
        Box::pin(std::future::ready(flushed.map(drop)))
    }

    fn binding_watch(&self) -> Option<Box<dyn BindingWatch>> {
        let known = self.subscription.bindings.iter().map(|binding| binding.routing_key.clone()).collect();
        Some(Box::new(KafkaBindingWatch { shared: self.shared.clone(), known }))
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        let (shared, group) = (self.shared.clone(), self.group.clone());
        Box::pin(blocking(move || {
            let (client, partitions) = {
                let state = shared.lock();
                (state.client.clone().ok_or_else(no_task)?, state.partition_keys())
            };
            let ends = client.ends(&partitions);
            let consumers = client.members(&group).unwrap_or(1);
            let messages = u32::try_from(shared.lock().waiting(ends)?).unwrap_or(u32::MAX);
            Ok(vec![(group, QueueSeen { messages, consumers })])
        }))
    }

    fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        Some(self.shared.lock().seen())
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.shared.update(|state| {
            state.is_quiet = true;
            state.fetched.clear();
        });
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let task = self.task.take();
        drop(self);
        Box::pin(async move {
            let Some(task) = task else { return };
            if timeout(CLOSE_TIMEOUT, task).await.is_err() {
                tracing::debug!(seconds = CLOSE_TIMEOUT.as_secs(), "the group was not left in time");
            }
        })
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shared.update(|state| state.is_closing = true);
    }
}

/// The library reads a late topic as soon as it finds it; this only tells when. A topic that goes ends the subscription
/// by itself, so topics that were there are not asked for.
struct KafkaBindingWatch {
    shared: Arc<SharedState>,
    known: BTreeSet<String>,
}

impl BindingWatch for KafkaBindingWatch {
    fn look<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
        Box::pin(async move {
            let late = bindings.iter().filter(|binding| !self.known.contains(&binding.routing_key));
            let (client, late) = (self.shared.lock().client.clone(), late.cloned().collect::<Vec<_>>());
            if late.is_empty() {
                return Ok(Some(BindingLook::default()));
            }
            let asked = blocking(move || {
                let client = client.ok_or_else(no_task)?;
                let is_there =
                    |binding: &Binding| matches!(client.leaders(&binding.routing_key, ANSWER), Ok(Some(_)));
                Ok(late.into_iter().partition::<Vec<_>, _>(is_there))
            });
            let Ok((found, missing)) = asked.await else { return Ok(None) };
            self.known.extend(found.into_iter().map(|binding| binding.routing_key));
            Ok(Some(BindingLook { missing, ..BindingLook::default() }))
        })
    }
}
