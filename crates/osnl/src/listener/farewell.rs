//! Leaving a queue of ours for another one: once that one is bound and read, nothing more is to come into the old one,
//! and what is in it is read before its listener drains.
//!
//! What is published after the one was bound and before the other is unbound stands in both, and is delivered twice.

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::{QueueType, Transport};

use super::gauges::Gauges;
use super::tidying::Tidying;
use super::{Listener, ListenerConfig};

/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_secs(1);

/// What is needed of a listener that runs to leave its queue well.
pub(crate) struct Farewell {
    listener: Arc<str>,
    transport: Arc<dyn Transport>,
    /// `None` where the queue is not ours to empty.
    tidying: Option<Tidying>,
    gauges: Arc<Gauges>,
}

impl Farewell {
    pub(super) fn of(listener: &Listener) -> Self {
        let Listener { config: ListenerConfig { name, options, .. }, transport, tidying, gauges, .. } =
            listener;
        let (listener, transport, gauges) = (name.clone(), transport.clone(), gauges.clone());
        // Nothing is taken from a stream.
        let tidying = tidying.clone().filter(|_| options.queue.queue_type != QueueType::Stream);
        Self { listener, transport, tidying, gauges }
    }

    /// Ends when nothing is left in the queue, or when that is not ours to wait for.
    pub(crate) async fn emptied(&self) {
        let Some(tidying) = &self.tidying else { return };
        let (name, queue) = (&*self.listener, tidying.queue());
        let mut taken = None;
        loop {
            let bound = tidying.bound();
            match self.transport.tidy(&bound, &[queue.to_owned()], true).await {
                Ok(seen) => match seen.first() {
                    Some(Some(seen)) if seen.consumers > 1 => {
                        tracing::warn!(
                            listener.name = name,
                            "queue {queue} has other consumers: it stays bound, and what is in it is theirs"
                        );
                        return;
                    }
                    Some(Some(seen)) => {
                        tidying.unbound(&bound);
                        let now = Some(self.gauges.messages());
                        if seen.messages == 0 && taken == now {
                            tracing::info!(listener.name = name, "queue {queue} is empty and left");
                            return;
                        }
                        taken = now;
                    }
                    Some(None) | None => return,
                },
                Err(error) => tracing::warn!(
                    listener.name = name,
                    "queue {queue} is to be left, and it is not known what is in it: {error}; looked at again"
                ),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
