//! Leaves the queues that a reload takes from a listener.
//!
//! A reload requires an empty queue ([`QueueExit::obstacle`]), but a message may arrive before the switch. These steps
//! lose none:
//!
//! 1. The old listener continues. Its replacement connects and binds the new queue, but reads nothing yet
//!    ([`ReadTurn`]), because it would take the journal's places from the old queue's messages.
//! 2. The bindings of the old queue are removed. Messages published in between are in both queues and delivered twice.
//! 3. When the old queue is empty and nothing is open, the old listener ends and the replacement reads.
//! 4. The broker's count is recorded ([`Bindings`]). A queue that is not empty needs attention until it is read.
//!
//! A removed listener ends at once and its queue stays bound, because the reload names no other destination. The queue
//! needs attention while it fills.
//!
//! The broker's count excludes pushed messages, so the listener must be idle too.

use std::sync::Arc;
use std::time::Duration;

use osnl_core::epoch;
use osnl_transport::{Binding, Consumer, QueueSeen, Transport, TransportError};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Bindings, OwnQueue};
use crate::listener::session::{ListenerSession, SessionEnd};
use crate::listener::watchdog::SessionStage;
use crate::listener::{Gauges, Listener, ListenerState};
use osnl_core::shutdown::Shutdown;

const ANSWER: Duration = Duration::from_secs(10);
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The looks after which a disconnected listener is skipped, since the broker has its messages.
const CHECKS: u32 = 3;

/// The queues that a reload takes from a listener, and the way to leave them without a loss.
#[derive(Clone)]
pub struct QueueExit {
    /// The listener that leaves the queues.
    pub listener: Arc<str>,
    /// The broker that has them.
    pub transport: Arc<dyn Transport>,
    /// The memory of queues and bindings, which keeps what is left.
    pub memory: Arc<Bindings>,
    /// The queues that no listener reads any more.
    pub queues: Vec<OwnQueue>,
    /// The bindings to remove, so that the queues get no further message.
    pub bindings: Vec<Binding>,
    /// Whether a listener of the same name follows, which waits until the queues are empty.
    pub is_replaced: bool,
    /// The present state of the listener.
    pub state: watch::Receiver<ListenerState>,
    /// The present numbers of the listener.
    pub gauges: Arc<Gauges>,
}

/// A queue for which a reload is refused, since its messages would be lost to osnl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitObstacle {
    pub queue: OwnQueue,
    pub reason: String,
}

impl QueueExit {
    pub async fn obstacle(&self) -> Option<ExitObstacle> {
        let first = self.queues.first()?;
        if let Some(reason) = self.open_messages() {
            return Some(ExitObstacle { queue: first.clone(), reason });
        }
        let seen = match self.inspect(&[]).await {
            Ok(seen) => seen,
            Err(_) if !self.has_read() => return None,
            Err(error) => {
                let reason = format!("the broker cannot be asked what it holds: {error}");
                return Some(ExitObstacle { queue: first.clone(), reason });
            }
        };
        let own = u32::from(self.is_connected());
        let held =
            self.queues.iter().zip(seen).find_map(|(queue, seen)| {
                Some(ExitObstacle { queue: queue.clone(), reason: held(seen?, own)? })
            });
        held.or_else(|| Some(ExitObstacle { queue: first.clone(), reason: self.open_messages()? }))
    }

    pub(crate) fn names(&self) -> String {
        self.queues.iter().map(|queue| &*queue.queue).collect::<Vec<_>>().join(", ")
    }

    pub fn has_read(&self) -> bool {
        self.gauges.opened().host.is_some() || self.queues.iter().any(|queue| self.memory.knows(queue))
    }

    fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), ListenerState::Listening | ListenerState::Standby)
    }

    fn open_messages(&self) -> Option<String> {
        match &*self.state.borrow() {
            ListenerState::Connecting { .. } | ListenerState::Stopped => return None,
            ListenerState::Blocked { reason, .. } => {
                return Some(format!("the listener is blocked ({reason}) and may hold messages"));
            }
            ListenerState::Draining => return Some("the listener is ending".to_owned()),
            ListenerState::Listening | ListenerState::Standby => {}
        }
        match (self.gauges.unsettled(), self.gauges.stage()) {
            (0, SessionStage::Polling) => None,
            (0, SessionStage::Taking | SessionStage::WindowFull | SessionStage::Reserving) => {
                Some("the listener is about to read messages".to_owned())
            }
            (unsettled, _) => Some(format!("the listener holds {} unacknowledged", messages(unsettled))),
        }
    }

    /// Removes the bindings, and waits for two successive looks with empty queues and nothing open.
    pub(crate) async fn emptied(&self) {
        self.gauges.leave(&self.bindings);
        let (mut before, mut away) = (None, 0);
        while self.gauges.opened().host.is_some() {
            let seen = self.inspect(&self.bindings).await;
            match &seen {
                Ok(seen) => {
                    self.queues.iter().for_each(|queue| self.memory.removed(queue, &self.bindings));
                    self.record(Some(seen));
                }
                Err(error) => tracing::warn!(
                    listener.name = &*self.listener,
                    error,
                    "the queue that is to be left cannot be looked at: osnl looks again"
                ),
            }
            let is_empty = seen.is_ok_and(|seen| seen.iter().flatten().all(|seen| seen.messages == 0));
            let now = (is_empty && self.open_messages().is_none()).then(|| self.gauges.messages());
            away = if self.is_connected() { 0 } else { away + 1 };
            let is_away = away >= CHECKS && !matches!(*self.state.borrow(), ListenerState::Blocked { .. });
            if (now.is_some() && now == before) || is_away {
                return;
            }
            before = now;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    pub(crate) async fn count(&self) {
        let seen = self.inspect(&[]).await.ok();
        self.record(seen.as_deref());
        for (at, OwnQueue { queue, vhost, .. }) in self.queues.iter().enumerate() {
            let left = seen.as_ref().and_then(|seen| Some((*seen.get(at)?)?.messages));
            tracing::info!(
                listener.name = &*self.listener,
                queue.name = queue,
                queue.vhost = vhost,
                queue.waiting = left,
                "the listener has left the queue"
            );
        }
    }

    fn record(&self, seen: Option<&[Option<QueueSeen>]>) {
        for (at, queue) in self.queues.iter().enumerate() {
            match seen.and_then(|seen| seen.get(at)) {
                Some(None) => self.memory.gone(queue),
                seen => self.memory.record(queue, seen.copied().flatten()),
            }
        }
    }

    async fn inspect(&self, bindings: &[Binding]) -> Result<Vec<Option<QueueSeen>>, String> {
        let queues: Vec<String> = self.queues.iter().map(|queue| queue.queue.clone()).collect();
        match timeout(ANSWER, self.transport.tidy(bindings, &queues)).await {
            Ok(seen) => seen.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer for {} s", ANSWER.as_secs())),
        }
    }
}

fn held(seen: QueueSeen, own: u32) -> Option<String> {
    let waiting = (seen.messages > 0).then(|| format!("{} in it", messages(seen.messages as usize)));
    let others = match seen.consumers.saturating_sub(own) {
        0 => None,
        1 => Some("another consumer reads it".to_owned()),
        others => Some(format!("{others} other consumers read it")),
    };
    let all: Vec<String> = waiting.into_iter().chain(others).collect();
    (!all.is_empty()).then(|| all.join(", and "))
}

fn messages(count: usize) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// Puts two listeners in order: the later one has bound its queue, then the former one is over.
#[derive(Clone, Default)]
pub(crate) struct ReadTurn {
    pub(crate) bound: CancellationToken,
    pub(crate) over: CancellationToken,
    pub(crate) queues: String,
}

impl ReadTurn {
    pub(in crate::listener) async fn comes(
        &self,
        consumer: &mut dyn Consumer,
        shutdown: &Shutdown,
    ) -> Result<bool, TransportError> {
        tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => Ok(false),
            () = shutdown.drain.cancelled() => Ok(false),
            () = self.over.cancelled() => Ok(true),
            error = consumer.ended() => Err(error),
        }
    }

    pub(in crate::listener) fn reason(&self) -> String {
        format!("what arrived last in its former queue ({}) is delivered first", self.queues)
    }
}

impl Listener {
    pub(in crate::listener) async fn read(
        &self,
        session: &mut ListenerSession<'_>,
        shutdown: &Shutdown,
    ) -> Result<SessionEnd, TransportError> {
        for turn in &self.turns {
            turn.bound.cancel();
        }
        for turn in self.turns.iter().filter(|turn| !turn.over.is_cancelled()) {
            self.blocked(epoch::now(), turn.reason().into());
            if !turn.comes(&mut *session.consumer, shutdown).await? {
                return Ok(SessionEnd::Drained);
            }
        }
        self.enter(if session.is_standby() { ListenerState::Standby } else { ListenerState::Listening });
        session.run(shutdown).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_with_messages_or_another_consumer_is_not_left() {
        for (messages, consumers, own, expected) in [
            (0, 0, 0, None),
            (0, 1, 1, None),
            (0, 0, 1, None),
            (1, 1, 1, Some("1 message in it")),
            (5, 0, 0, Some("5 messages in it")),
            (0, 1, 0, Some("another consumer reads it")),
            (5, 3, 1, Some("5 messages in it, and 2 other consumers read it")),
        ] {
            let seen = QueueSeen { messages, consumers };
            assert_eq!(held(seen, own).as_deref(), expected, "{seen:?} {own}");
        }
    }
}
