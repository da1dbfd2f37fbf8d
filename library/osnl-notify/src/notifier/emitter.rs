//! The reported operation neither waits nor learns of a failure: a notification that finds the buffer full is
//! lost and counted. The log has a line when losses begin, and one when losses end.

use std::sync::atomic::Ordering;

use osnl_model::Emission;

use super::{Notifier, NotifyError};
use crate::versioned::Emitter;

impl Emitter for Notifier {
    /// Buffers the emission, as [`offer`](Notifier::offer) does. Publisher and event type are the
    /// notification's; the topics are this notifier's.
    fn emit(&self, emission: Emission) {
        let event_type = emission.event_type.clone().unwrap_or_default();
        match self.offer(emission) {
            Ok(()) if self.shared.dropping.swap(false, Ordering::Relaxed) => {
                let lost = self.counters().unplaced.get();
                tracing::info!(
                    lost,
                    "the notifier's buffer has room again; notifications were lost while it was full"
                );
            }
            Ok(()) => {}
            Err(error) => self.dropped(&event_type, &error),
        }
    }

    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        tracing::error!(event.type = event_type, error = error.to_string(), "a notification is lost: its payload cannot be written");
    }

    fn is_enabled(&self) -> bool {
        Notifier::is_enabled(self)
    }
}

impl Notifier {
    fn dropped(&self, event_type: &str, error: &NotifyError) {
        let counters = self.counters();
        counters.unplaced.increment();
        let senders = self.shared.drivers.iter().filter(|driver| driver.framing().is_some()).count();
        counters.lost.add((senders * self.targets.len()) as u64);
        counters.failed(error.to_string());
        match error {
            NotifyError::Full { .. } | NotifyError::Closed => {
                if !self.shared.dropping.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        event.type = event_type,
                        error = error.to_string(),
                        "a notification is lost, and so are those that follow it"
                    );
                }
            }
            NotifyError::Payload(_) | NotifyError::NotYet { .. } | NotifyError::Lost { .. } => {
                tracing::error!(event.type = event_type, error = error.to_string(), "a notification is lost");
            }
        }
    }
}
