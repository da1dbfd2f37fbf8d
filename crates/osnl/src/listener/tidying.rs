//! After connecting: what was made for an earlier configuration is taken away, beside the messages that come.

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{Binding, Declare, ListenOptions, QueueSeen, Transport};
use tokio::time::{sleep, timeout};

use super::bindings::{Bindings, OwnQueue, UnreadQueue};

/// A broker that takes longer is asked again later.
const PATIENCE: Duration = Duration::from_secs(20);
/// The interval between two looks at queues that are left: the reported state is not older.
const AGAIN: Duration = Duration::from_secs(60);

/// The memory of a listener's own queue, where it has one.
#[derive(Clone)]
pub(super) struct BindingCleanup {
    memory: Arc<Bindings>,
    own: OwnQueue,
}

impl BindingCleanup {
    /// `None` where the queue is not ours: the services' own, or one that is only read.
    pub(super) fn new(memory: Arc<Bindings>, vhost: &str, options: &ListenOptions) -> Option<Self> {
        let queue = options.pool.clone().filter(|_| options.declare != Declare::Nothing)?;
        Some(Self { memory, own: OwnQueue { vhost: vhost.to_owned(), queue } })
    }

    pub(super) fn queue(&self) -> &String {
        &self.own.queue
    }

    /// Returns the bindings made for the queue.
    pub(super) fn bound(&self) -> Vec<Binding> {
        self.memory.made_for(&self.own)
    }

    /// That is no more; the queue is remembered until it is gone.
    pub(super) fn unbound(&self, bindings: &[Binding]) {
        self.memory.removed(&self.own, bindings);
    }

    /// The same for another queue of the virtual host.
    pub(super) fn of_queue(&self, queue: &str) -> Self {
        let own = OwnQueue { vhost: self.own.vhost.clone(), queue: queue.to_owned() };
        Self { memory: self.memory.clone(), own }
    }

    /// The queue is left, and this listener reads what is in it.
    pub(super) fn begin_to_empty(&self, listener: &str) {
        self.memory.begin_to_empty(&self.own, listener);
    }

    /// There is nothing to read in it any more.
    pub(super) fn end_emptying(&self) {
        self.memory.end_emptying(&self.own);
    }

    /// Begins to read the queue. Returns what an earlier run left unsettled in it: `None` if no run has read it, and
    /// `Some(None)` if that run ended without a word.
    pub(super) fn begin_reading(&self) -> Option<Option<usize>> {
        self.memory.begin_reading(&self.own)
    }

    /// The queue is not read any more, and so many of its messages are unsettled.
    pub(super) fn end_reading(&self, unsettled: usize) {
        self.memory.end_reading(&self.own, unsettled);
    }

    /// Whether a listener of the configuration reads it.
    pub(super) fn is_wanted(&self) -> bool {
        self.memory.is_wanted(&self.own)
    }

    /// Records the current content; `None` where it could not be seen.
    pub(super) fn saw(&self, seen: Option<QueueSeen>) {
        self.memory.saw(&self.own, seen);
    }

    /// It is not there.
    pub(super) fn gone(&self) {
        self.memory.gone(&self.own);
    }

    /// These bindings are about to be made. An attempt that is given up may have made them all the same, so they are
    /// remembered before it begins.
    pub(super) fn binds(&self, bindings: &[Binding], listener: &str) {
        self.memory.made(&self.own, bindings, listener);
    }

    /// Connected; then looks again and again at what is left, for as long as anything is.
    pub(super) async fn connected(&self, listener: &str, transport: &dyn Transport) {
        self.tidied(listener, transport, true).await;
        loop {
            sleep(AGAIN).await;
            self.tidied(listener, transport, false).await;
        }
    }

    /// `aloud`: queues that are left are said.
    async fn tidied(&self, listener: &str, transport: &dyn Transport, aloud: bool) {
        let superfluous = self.memory.superfluous(&self.own);
        let left = self.memory.left().into_iter().filter(|left| left.vhost == self.own.vhost);
        let left: Vec<String> = left.map(|left| left.queue).collect();
        if superfluous.is_empty() && left.is_empty() {
            return;
        }
        let own = |queue: &String| OwnQueue { vhost: self.own.vhost.clone(), queue: queue.clone() };
        let tidied = timeout(PATIENCE, transport.tidy(&superfluous, &left, false)).await;
        if !matches!(tidied, Ok(Ok(_))) {
            left.iter().for_each(|queue| self.memory.saw(&own(queue), None));
        }
        match tidied {
            Ok(Ok(seen)) => {
                self.memory.removed(&self.own, &superfluous);
                for Binding { queue, exchange, routing_key } in &superfluous {
                    tracing::info!(
                        listener.name = listener,
                        queue.name = &**queue,
                        exchange = &**exchange,
                        routing_key = &**routing_key,
                        "a binding that is no longer configured is removed"
                    );
                }
                for (queue, seen) in left.iter().zip(seen) {
                    match seen {
                        Some(seen) => self.memory.saw(&own(queue), Some(seen)),
                        None => self.memory.gone(&own(queue)),
                    }
                }
                let here = |left: &UnreadQueue| left.queue.vhost == self.own.vhost;
                self.memory.left_queues().into_iter().filter(here).filter(|_| aloud).for_each(say_left);
            }
            Ok(Err(error)) => tracing::warn!(
                listener.name = listener,
                error = error.to_string(),
                "bindings that are no longer configured cannot be removed: osnl tries again in a minute"
            ),
            Err(_) => tracing::warn!(
                listener.name = listener,
                error = "no answer",
                "bindings that are no longer configured cannot be removed: osnl tries again in a minute"
            ),
        }
    }
}

fn say_left(left: UnreadQueue) {
    let delete = left.delete_command();
    let UnreadQueue { queue: OwnQueue { queue, .. }, seen, emptied_by } = left;
    match (emptied_by, delete, seen) {
        (Some(listener), _, _) => {
            tracing::info!(
                listener.name = listener,
                queue.name = queue,
                "the queue is being emptied and then left"
            );
        }
        (None, Some(delete), _) => tracing::warn!(
            queue.name = queue,
            remedy = delete,
            "osnl created this queue, no listener reads it, and it is empty: delete it"
        ),
        (None, None, Some((seen, _))) => tracing::warn!(
            queue.name = queue,
            queue.waiting = seen.messages,
            queue.consumers = seen.consumers,
            "osnl created this queue, no listener reads it, and it holds messages or has other consumers: a listener with \
             queue = NAME reads them"
        ),
        (None, None, None) => tracing::warn!(
            queue.name = queue,
            "osnl created this queue, no listener reads it, and the number of its messages is unknown"
        ),
    }
}
