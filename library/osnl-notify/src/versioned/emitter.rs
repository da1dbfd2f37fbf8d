use std::sync::Arc;

use osnl_model::Emission;

/// A sender of notifications: a [`Notifier`](crate::Notifier), or in tests a [`Recorder`](crate::Recorder).
///
/// No method may block or panic, because the reported operation calls the emitter. The emitter logs failures
/// to send; the operation does not learn of a failure.
pub trait Emitter: Send + Sync {
    /// Sends a notification that is masked, written, above the threshold, and without a token in its context.
    /// The emitter adds ids and time.
    fn emit(&self, emission: Emission);

    /// Reports that a payload could not be written, which only a custom field type can cause.
    fn not_written(&self, event_type: &str, error: &serde_json::Error);

    /// Whether emissions are sent at all. [`Outlet::new`](super::Outlet::new) asks once, so that no payloads
    /// are built for an emitter that drops them.
    fn is_enabled(&self) -> bool {
        true
    }
}

impl<E: Emitter + ?Sized> Emitter for Arc<E> {
    fn emit(&self, emission: Emission) {
        self.as_ref().emit(emission);
    }

    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        self.as_ref().not_written(event_type, error);
    }

    fn is_enabled(&self) -> bool {
        self.as_ref().is_enabled()
    }
}
