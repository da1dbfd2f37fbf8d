//! Removes bindings that the configuration no longer has, and looks at left queues.

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{Binding, Transport};
use tokio::time::{sleep, timeout};

use super::{Bindings, OwnQueue, ReadQueue, UnreadQueue};
use crate::listener::Gauges;

const PATIENCE: Duration = Duration::from_secs(20);
/// The highest age of the reported state of left queues.
const AGAIN: Duration = Duration::from_secs(60);

/// A listener's queues, with the memory of all bindings.
#[derive(Clone)]
pub(in crate::listener) struct BindingCleanup {
    memory: Arc<Bindings>,
    queues: Vec<ReadQueue>,
}

impl BindingCleanup {
    pub(in crate::listener) fn new(memory: Arc<Bindings>, queues: Vec<ReadQueue>) -> Self {
        Self { memory, queues }
    }

    pub(in crate::listener) fn queues(&self) -> impl Iterator<Item = &OwnQueue> {
        self.queues.iter().map(|queue| &queue.own)
    }

    /// Records bindings before the attempt, which may make them even if abandoned. Returns whether a queue is new.
    pub(in crate::listener) fn binds(&self) -> bool {
        let own = self.queues.iter().filter(|queue| queue.declared);
        own.fold(false, |is_new, queue| self.memory.made(queue) | is_new)
    }

    pub(in crate::listener) fn has_received(&self) -> bool {
        self.queues.iter().any(|queue| self.memory.has_received(&queue.own))
    }

    pub(in crate::listener) fn received(&self) {
        self.queues.iter().for_each(|queue| self.memory.received(&queue.own));
    }

    /// Forgets the queues, because the first attempt did not reach the virtual host.
    pub(in crate::listener) fn made_nothing(&self) {
        self.queues.iter().filter(|queue| queue.declared).for_each(|queue| self.memory.gone(&queue.own));
    }

    /// Begins to read, and returns an earlier run's unsettled messages; `Some(None)` after a crash.
    pub(in crate::listener) fn begin_reading(&self) -> Option<Option<usize>> {
        let former = self.queues.iter().filter_map(|queue| {
            self.memory.made(queue);
            self.memory.begin_reading(&queue.own)
        });
        former.reduce(|sum, one| Some(sum? + one?))
    }

    pub(in crate::listener) fn end_reading(&self, unsettled: usize) {
        for (n, queue) in self.queues.iter().enumerate() {
            self.memory.end_reading(&queue.own, if n == 0 { unsettled } else { 0 });
        }
    }

    pub(in crate::listener) async fn connected(
        &self,
        listener: &str,
        transport: &dyn Transport,
        gauges: &Gauges,
    ) {
        for queue in &self.queues {
            self.memory.made(queue);
        }
        self.tidied(listener, transport, true).await;
        loop {
            sleep(AGAIN).await;
            if gauges.messages() > 0 {
                self.received();
            }
            self.tidied(listener, transport, false).await;
        }
    }

    async fn tidied(&self, listener: &str, transport: &dyn Transport, aloud: bool) {
        let Some(ReadQueue { own: here, .. }) = self.queues.first() else { return };
        let superfluous: Vec<Binding> =
            self.queues.iter().flat_map(|queue| self.memory.superfluous(&queue.own)).collect();
        let left = || self.memory.left().into_iter().filter(|left| left.queue.is_beside(here));
        let before: Vec<UnreadQueue> = left().collect();
        if superfluous.is_empty() && before.is_empty() {
            return;
        }
        let names: Vec<String> = before.iter().map(|left| left.queue.queue.clone()).collect();
        let tidied = timeout(PATIENCE, transport.tidy(&superfluous, &names)).await;
        let error = match tidied {
            Ok(Ok(seen)) => {
                self.queues.iter().for_each(|queue| self.memory.removed(&queue.own, &superfluous));
                for Binding { queue, exchange, routing_key } in &superfluous {
                    tracing::info!(
                        listener.name = listener,
                        queue.name = &**queue,
                        exchange = &**exchange,
                        routing_key = &**routing_key,
                        "a binding that is no longer configured is removed"
                    );
                }
                for (UnreadQueue { queue, .. }, seen) in before.iter().zip(seen) {
                    match seen {
                        Some(seen) => self.memory.record(queue, Some(seen)),
                        None => self.memory.gone(queue),
                    }
                }
                left().filter(|_| aloud).for_each(say_left);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        before.iter().for_each(|left| self.memory.record(&left.queue, None));
        tracing::warn!(
            listener.name = listener,
            error,
            "bindings that are no longer configured cannot be removed: osnl tries again in a minute"
        );
    }
}

fn say_left(left: UnreadQueue) {
    let delete = left.delete_command();
    let (queue, vhost) = (&*left.queue.queue, &*left.queue.vhost);
    let seen = left.seen.map(|(seen, _)| seen);
    match (delete, seen) {
        (Some(delete), _) if left.bindings.is_empty() => tracing::warn!(
            queue.name = queue,
            queue.vhost = vhost,
            remedy = delete,
            "no listener reads this queue of osnl any more, and it is empty: delete it"
        ),
        (_, Some(seen)) => tracing::warn!(
            queue.name = queue,
            queue.vhost = vhost,
            queue.waiting = seen.messages,
            queue.consumers = seen.consumers,
            queue.bindings = left.bindings.len(),
            "no listener reads this queue any more, and it is bound, holds messages, or has other consumers: a listener \
             with queue = NAME reads them"
        ),
        (_, None) => tracing::warn!(
            queue.name = queue,
            queue.vhost = vhost,
            "no listener reads this queue any more, and the number of its messages is unknown"
        ),
    }
}
