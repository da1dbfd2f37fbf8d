//! One message between emission and confirm. A job answers exactly once, whatever the outcome.

use std::sync::Arc;

use osnl_model::{Emission, Priority, Target};
use osnl_transport::{OutgoingMessage, TransportError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::builder::Retry;
use super::{Counters, NotifyError};

pub(super) type EmissionOutcome = Result<(), NotifyError>;

#[derive(Debug)]
pub(super) struct Label {
    message_id: String,
    event_type: String,
}

impl Label {
    pub(super) fn from_emission(emission: &Emission) -> Self {
        Self {
            message_id: emission.message_id.clone().unwrap_or_default(),
            event_type: emission.event_type.clone().unwrap_or_default(),
        }
    }
}

/// A job that is dropped without an answer reports its message as lost.
pub(super) struct EmissionJob {
    /// Its place in the order of emission.
    pub(super) sequence: u64,
    pub(super) target: Arc<Target>,
    pub(super) priority: Priority,
    pub(super) message: OutgoingMessage,
    pub(super) retry: Retry,
    /// Failed attempts, including shared ones.
    pub(super) failures: u32,
    /// Attempts that the broker refused temporarily, of this message alone.
    pub(super) refusals: u32,
    pub(super) label: Arc<Label>,
    pub(super) counters: Arc<Counters>,
    /// `None` once the job has answered.
    pub(super) reply: Option<oneshot::Sender<EmissionOutcome>>,
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl EmissionJob {
    pub(super) fn confirmed(mut self: Box<Self>) {
        self.counters.confirmed.increment();
        self.answer(Ok(()));
    }

    pub(super) fn lost(mut self: Box<Self>, source: TransportError) {
        self.report(&source.to_string());
        let attempts = self.failures;
        self.answer(Err(NotifyError::Lost { attempts, source }));
    }

    fn report(&self, reason: &str) {
        self.counters.lost.increment();
        self.counters.failed(reason.to_owned());
        tracing::error!(
            message.id = %self.label.message_id,
            event.type = %self.label.event_type,
            attempts = self.failures,
            routing_key = &*self.target.routing_key(&self.priority),
            reason,
            "a notification is lost"
        );
    }

    fn answer(&mut self, outcome: EmissionOutcome) {
        // The emitting caller may have stopped waiting.
        let _ = self.reply.take().map(|reply| reply.send(outcome));
        self.place = None;
    }
}

impl Drop for EmissionJob {
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.report("the notifier has ended before the broker took it");
            self.answer(Err(NotifyError::Closed));
        }
    }
}
