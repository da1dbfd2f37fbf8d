//! Leaves a queue of ours for another one. Once the new queue is bound and read, no more messages enter the old one.
//! The old queue is read until it is empty.
//!
//! A broker's count of ready messages excludes those it has pushed, and a blocked listener takes none of its own. So a
//! queue is known to be empty only when it has no message *after* its consumer has closed, and no other consumer holds
//! any of its messages. Until then another reader begins. Restarts remember that a queue is to be emptied
//! ([`Bindings`](super::Bindings)).
//!
//! A message published after the new queue is bound and before the old one is unbound is in both, and is delivered
//! twice.

use std::sync::Arc;
use std::time::Duration;

use osnl_model::Budget;
use osnl_transport::{
    BodyBounds, Declare, ListenOptions, QueueKind, QueueSeen, QueueType, Transport, TransportError,
};
use tokio::sync::watch;

use super::gauges::Gauges;
use super::state::ListenerState;
use super::tidying::BindingCleanup;
use super::watchdog::SessionStage;
use super::{Listener, ListenerConfig};
use crate::intake::Intake;
use crate::metrics::Counters;

/// The interval between two looks for remaining messages.
const LOOK: Duration = Duration::from_secs(1);
/// The number of looks at a queue that has a consumer after ours has closed: the broker may not have noticed yet.
const LOOKS: u32 = 5;

/// The means to read a queue until it is empty.
#[derive(Clone)]
pub(crate) struct Farewell {
    listener: Arc<str>,
    transport: Arc<dyn Transport>,
    endpoint: Arc<dyn Intake>,
    counters: Arc<Counters>,
    tidying: BindingCleanup,
    prefetch: u16,
    bodies: BodyBounds,
    budget: Budget,
    give_back_after: Duration,
}

/// The messages left in a queue whose reader has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueRemains {
    /// Nothing: it is left.
    Empty,
    /// So many messages: they are to be read.
    Messages(u32),
    /// Messages that are not ours to read: another consumer has them, a listener reads them again, or the queue is
    /// gone.
    NotOurs,
}

/// The result of one look at a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookResult {
    Known(QueueRemains),
    /// Another look is needed.
    Unknown,
}

impl Farewell {
    /// `None` where the queue is not ours to empty.
    pub(super) fn of(listener: &Listener) -> Option<Self> {
        let Listener { config, transport, endpoint, counters, tidying, .. } = listener;
        // Nothing is taken from a stream.
        let tidying = tidying.clone().filter(|_| config.options.queue.queue_type != QueueType::Stream)?;
        Some(Self {
            listener: config.name.clone(),
            transport: transport.clone(),
            endpoint: endpoint.clone(),
            counters: counters.clone(),
            tidying,
            prefetch: config.options.prefetch,
            bodies: config.options.bodies,
            budget: config.budget,
            give_back_after: config.give_back_after,
        })
    }

    /// The same for another queue of the listener's virtual host: one that was to be emptied before a restart.
    pub(crate) fn for_queue(self, queue: &str) -> Self {
        Self { tidying: self.tidying.of_queue(queue), ..self }
    }

    /// The queue's name.
    pub(crate) fn queue(&self) -> &String {
        self.tidying.queue()
    }

    /// The queue is left for another one from now on, also after a restart.
    pub(crate) fn begin(&self) {
        self.tidying.begin_to_empty(&self.listener);
    }

    /// A listener that reads what is in the queue and declares nothing.
    pub(crate) fn reader(&self) -> Listener {
        let options = ListenOptions {
            bodies: self.bodies,
            pool: Some(self.tidying.queue().to_owned()),
            prefetch: self.prefetch,
            declare: Declare::Nothing,
            queue: QueueKind::OSLO,
        };
        let config = ListenerConfig {
            budget: self.budget,
            name: self.listener.clone(),
            targets: Vec::new(),
            options,
            refused_access_is_fatal: false,
            give_back_after: self.give_back_after,
        };
        Listener::new(config, self.transport.clone(), self.endpoint.clone(), self.counters.clone())
    }

    /// Unbinds the queue and ends when it looks empty to a listener that is not blocked, or when others have it too.
    /// Either may be about to change (the other consumer may be a daemon that leaves the same queue), so neither decides
    /// anything: see [`left`](Self::left), which is asked once our consumer has closed.
    pub(crate) async fn looks_empty(&self, state: watch::Receiver<ListenerState>, gauges: &Gauges) {
        let mut taken = None;
        loop {
            match self.look(1).await {
                LookResult::Known(QueueRemains::NotOurs) => return,
                LookResult::Known(QueueRemains::Empty) => {
                    let listens =
                        matches!(*state.borrow(), ListenerState::Listening | ListenerState::Standby);
                    let now = (listens && gauges.stage() == SessionStage::Polling).then(|| gauges.messages());
                    if now.is_some() && taken == now {
                        return;
                    }
                    taken = now;
                }
                LookResult::Known(QueueRemains::Messages(_)) | LookResult::Unknown => taken = None,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Returns the messages left, now that the reader has closed. Asks until the broker answers.
    pub(crate) async fn left(&self) -> QueueRemains {
        let (name, queue) = (&*self.listener, &**self.tidying.queue());
        let mut looks = 0;
        loop {
            let seen = self.look(0).await;
            looks = if seen == LookResult::Known(QueueRemains::NotOurs) { looks + 1 } else { 0 };
            match seen {
                LookResult::Known(QueueRemains::Empty) => {
                    self.tidying.end_emptying();
                    tracing::info!(listener.name = name, queue.name = queue, "the queue is empty and left");
                    return QueueRemains::Empty;
                }
                LookResult::Known(QueueRemains::Messages(messages)) => {
                    tracing::info!(
                        listener.name = name,
                        queue.name = queue,
                        queue.waiting = messages,
                        "the queue that is to be left holds messages: they are read"
                    );
                    return QueueRemains::Messages(messages);
                }
                // The broker may not have noticed yet that ours has closed.
                LookResult::Known(QueueRemains::NotOurs) if looks >= LOOKS => return self.not_ours(),
                LookResult::Known(QueueRemains::NotOurs) | LookResult::Unknown => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn not_ours(&self) -> QueueRemains {
        tracing::warn!(
            listener.name = &*self.listener,
            queue.name = &**self.tidying.queue(),
            "the queue has other consumers, is read again, or is deleted: osnl does not empty it"
        );
        self.tidying.end_emptying();
        QueueRemains::NotOurs
    }

    /// One look; `ours`: how many of its consumers are ours.
    async fn look(&self, ours: u32) -> LookResult {
        let (name, queue) = (&*self.listener, &**self.tidying.queue());
        if self.tidying.is_wanted() {
            return LookResult::Known(QueueRemains::NotOurs);
        }
        let bound = self.tidying.bound();
        let looked = self.transport.tidy(&bound, &[queue.to_owned()], true).await;
        if let Err(error) = &looked {
            tracing::warn!(
                listener.name = name,
                queue.name = queue,
                error = error.to_string(),
                "the queue is to be left, but its content is unknown: osnl looks again"
            );
        }
        let seen = decide(&looked, ours);
        match (&looked, seen) {
            (Ok(found), LookResult::Known(QueueRemains::Empty | QueueRemains::Messages(_))) => {
                self.tidying.unbound(&bound);
                self.tidying.saw(found.first().copied().flatten());
            }
            (Ok(found), LookResult::Known(QueueRemains::NotOurs)) => match found.first() {
                Some(None) => self.tidying.gone(),
                seen => self.tidying.saw(seen.copied().flatten()),
            },
            (_, LookResult::Unknown) | (Err(_), LookResult::Known(_)) => self.tidying.saw(None),
        }
        seen
    }
}

fn decide(looked: &Result<Vec<Option<QueueSeen>>, TransportError>, ours: u32) -> LookResult {
    match looked.as_ref().map(|seen| seen.first().copied()) {
        Ok(Some(Some(seen))) if seen.consumers > ours => LookResult::Known(QueueRemains::NotOurs),
        Ok(Some(Some(QueueSeen { messages: 0, .. }))) => LookResult::Known(QueueRemains::Empty),
        Ok(Some(Some(QueueSeen { messages, .. }))) => LookResult::Known(QueueRemains::Messages(messages)),
        Ok(Some(None)) => LookResult::Known(QueueRemains::NotOurs),
        Ok(None) | Err(_) => LookResult::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_broker_says_decides() {
        let seen = |messages, consumers| Ok(vec![Some(QueueSeen { messages, consumers })]);
        let lost = || Err(TransportError::Lost { reason: "silence".into() });
        for (looked, ours, expected) in [
            (seen(0, 1), 1, LookResult::Known(QueueRemains::Empty)),
            (seen(5, 1), 1, LookResult::Known(QueueRemains::Messages(5))),
            (seen(0, 2), 1, LookResult::Known(QueueRemains::NotOurs)),
            (seen(0, 0), 0, LookResult::Known(QueueRemains::Empty)),
            (seen(5, 0), 0, LookResult::Known(QueueRemains::Messages(5))),
            (seen(0, 1), 0, LookResult::Known(QueueRemains::NotOurs)),
            (Ok(vec![None]), 0, LookResult::Known(QueueRemains::NotOurs)),
            (Ok(vec![]), 0, LookResult::Unknown),
            (lost(), 0, LookResult::Unknown),
        ] {
            assert_eq!(decide(&looked, ours), expected, "{looked:?} {ours}");
        }
    }
}
