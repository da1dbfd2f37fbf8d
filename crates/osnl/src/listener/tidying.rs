//! After connecting: what was made for an earlier configuration is taken away, beside the messages that come.

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{Binding, Declare, ListenOptions, Transport};
use tokio::time::timeout;

use super::bindings::{Bindings, OwnQueue};

/// A broker that takes longer is asked again with the next connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a listener remembers of its own queue, where it has one.
#[derive(Clone)]
pub(super) struct Tidying {
    memory: Arc<Bindings>,
    own: OwnQueue,
}

impl Tidying {
    /// `None` where the queue is not ours: the services' own, or one that is only read.
    pub(super) fn new(memory: Arc<Bindings>, vhost: &str, options: &ListenOptions) -> Option<Self> {
        let queue = options.pool.clone().filter(|_| options.declare != Declare::Nothing)?;
        Some(Self { memory, own: OwnQueue { vhost: vhost.to_owned(), queue } })
    }

    pub(super) fn queue(&self) -> &str {
        &self.own.queue
    }

    /// What was made for the queue.
    pub(super) fn bound(&self) -> Vec<Binding> {
        self.memory.made_for(&self.own)
    }

    /// That is no more; the queue is remembered until it is gone.
    pub(super) fn unbound(&self, bindings: &[Binding]) {
        self.memory.removed(&self.own, bindings);
    }

    /// Connected with these bindings; ends when there is nothing more to do.
    pub(super) async fn connected(&self, listener: &str, transport: &dyn Transport, bindings: &[Binding]) {
        self.memory.made(&self.own, bindings);
        let superfluous = self.memory.superfluous(&self.own);
        let left = self.memory.left().into_iter().filter(|left| left.vhost == self.own.vhost);
        let left: Vec<String> = left.map(|left| left.queue).collect();
        if superfluous.is_empty() && left.is_empty() {
            return;
        }
        match timeout(PATIENCE, transport.tidy(&superfluous, &left, false)).await {
            Ok(Ok(seen)) => {
                let gone = left.iter().zip(seen).filter(|(_, seen)| seen.is_none()).map(|(queue, _)| queue);
                let gone: Vec<String> = gone.cloned().collect();
                self.memory.removed(&self.own, &superfluous);
                for Binding { queue, exchange, routing_key } in &superfluous {
                    tracing::info!(
                        listener.name = listener,
                        "queue {queue} is no longer bound to exchange {exchange} with key {routing_key}: nothing asks for it"
                    );
                }
                let own = |queue: String| OwnQueue { vhost: self.own.vhost.clone(), queue };
                for queue in &gone {
                    self.memory.gone(&own(queue.clone()));
                }
                for queue in left.into_iter().filter(|queue| !gone.contains(queue)).map(own) {
                    tracing::warn!(
                        "queue {} was made by osnl, no listener reads it, and it fills up: {}",
                        queue.queue,
                        queue.delete_command()
                    );
                }
            }
            Ok(Err(error)) => tracing::warn!(
                listener.name = listener,
                "bindings that nothing asks for any more are still there: {error}; tried again with the next connection"
            ),
            Err(_) => tracing::warn!(
                listener.name = listener,
                "bindings that nothing asks for any more are still there: no answer; tried again with the next connection"
            ),
        }
    }
}
