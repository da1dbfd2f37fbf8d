//! The open subscription as the listener sees it; the client library is asked by the thread of [`worker`](super::worker).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ends::EndLook;
use super::failure::lost;
use super::names::Plan;
use super::shared::SharedState;
use crate::message::{Batch, IncomingMessage, Prefilter};
use crate::settle::Window;
use crate::topology::{Binding, Subscription};
use crate::{BoxFuture, Consumer, LateBindings, PartitionSeen, QueueDepths, QueueSeen, TransportError};

/// The longest time that leaving the group may take before the thread is left to itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct KafkaConsumer {
    pub(super) shared: Arc<SharedState>,
    pub(super) subscription: Subscription,
    pub(super) plan: Arc<Plan>,
    pub(super) group: Arc<str>,
    pub(super) topics: Arc<dyn TopicLook>,
    pub(super) ends: Arc<EndLook>,
    /// Completes when the group was left.
    pub(super) done: Option<oneshot::Receiver<()>>,
}

/// Asks whether topics are there, beside the deliveries.
pub(super) trait TopicLook: Send + Sync {
    /// Returns those that are not there.
    fn missing(&self, topics: Vec<String>) -> BoxFuture<'static, Result<Vec<String>, TransportError>>;
}

impl KafkaConsumer {
    /// Moves what was fetched into the batch; `false` when nothing was, nor rejected.
    fn take(&self, out: &mut Batch) -> Result<bool, TransportError> {
        let before = out.len();
        // The thread of the client library is not woken: its room is the same.
        let state = &mut *self.shared.lock();
        if let Some(error) = state.told_end() {
            return Err(error);
        }
        if state.ended.is_some() {
            return Ok(false);
        }
        while out.room() > 0
            && let Some((fetched, tag)) = state.take()
        {
            let Some(partition) = state.partitions.get(&fetched.assignment) else { continue };
            out.push(IncomingMessage {
                epoch: self.subscription.epoch,
                channel: 0,
                tag,
                cut: fetched.cut.map(Box::new),
                body: fetched.body,
                queue: self.group.clone(),
                exchange: self.plan.exchange(&partition.topic).to_owned(),
                routing_key: partition.topic.to_string(),
                redelivered: fetched.redelivered,
                stream_offset: None,
                partition: Some(partition.assigned.clone()),
                properties: fetched.properties,
                marks: None,
                _in_hand: Some(fetched.share),
            });
        }
        let rejected = std::mem::take(&mut state.rejected);
        out.reject(rejected);
        Ok(rejected > 0 || out.len() > before)
    }
}

impl Consumer for KafkaConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn set_prefilter(&mut self, prefilter: Arc<dyn Prefilter>) {
        // A second one would be of the same listener.
        let _ = self.shared.prefilter.set(prefilter);
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            loop {
                // Armed before looking, so that what is fetched in between is not missed.
                let arrived = self.shared.arrived.notified();
                if self.take(out)? || out.room() == 0 {
                    return Ok(());
                }
                self.shared.news(arrived).await;
            }
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            loop {
                let arrived = self.shared.arrived.notified();
                let ended = self.shared.lock().told_end();
                if let Some(error) = ended {
                    return error;
                }
                self.shared.news(arrived).await;
            }
        })
    }

    fn untaken(&self) -> usize {
        self.shared.lock().fetched.len()
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(std::future::ready(self.shared.tell(|state| match &state.ended {
            Some(error) => Err(error.clone()),
            None => {
                state.settle(window);
                Ok(())
            }
        })))
    }

    fn late_bindings(&self) -> Box<dyn LateBindings> {
        Box::new(KafkaLateBindings(self.topics.clone()))
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        let (shared, look, group) = (self.shared.clone(), self.ends.clone(), self.group.clone());
        let asking = tokio::task::spawn_blocking(move || {
            let partitions = shared.lock().partition_keys();
            let (ends, members) = look.ask(&partitions, &group)?;
            let mut state = shared.lock();
            state.saw(&ends);
            let messages = u32::try_from(state.waiting(&ends)?).unwrap_or(u32::MAX);
            Ok(vec![(group, QueueSeen { messages, consumers: members.unwrap_or(1) })])
        });
        Box::pin(async move { asking.await.unwrap_or_else(|error| Err(lost(error.to_string()))) })
    }

    fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        Some(self.shared.lock().seen())
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.shared.tell(|state| {
            state.is_quiet = true;
            state.fetched.clear();
        });
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        self.shared.tell(|state| state.is_closing = true);
        let done = self.done.take();
        Box::pin(async move {
            let Some(done) = done else { return };
            if timeout(CLOSE_TIMEOUT, done).await.is_err() {
                tracing::debug!(seconds = CLOSE_TIMEOUT.as_secs(), "the group was not left in time");
            }
        })
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shared.tell(|state| state.is_closing = true);
    }
}

/// A topic that was not there is read as soon as the client library finds it; this tells when.
struct KafkaLateBindings(Arc<dyn TopicLook>);

impl LateBindings for KafkaLateBindings {
    fn bind<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Vec<Binding>, TransportError>> {
        Box::pin(async move {
            let topics = bindings.iter().map(|binding| binding.routing_key.clone()).collect();
            let missing = self.0.missing(topics).await?;
            Ok(bindings.iter().filter(|b| missing.contains(&b.routing_key)).cloned().collect())
        })
    }
}
