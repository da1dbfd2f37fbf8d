//! The joint between a finished notification and whatever sends it.

use std::sync::Arc;

use osnl_model::Emission;

/// Takes notifications to send them: a [`Notifier`](crate::Notifier), or in tests a [`Recorder`](crate::Recorder).
///
/// No method may block or panic: they are called in the midst of the operation that is reported on. What cannot
/// be sent is the emitter's to log; the operation does not hear of it.
pub trait Emitter: Send + Sync {
    /// Takes a notification: masked, written, above the threshold, without a token in its context. Its ids and its
    /// time are the emitter's to add.
    fn emit(&self, emission: Emission);

    /// Hears that a payload could not be written, which only a field type of one's own can bring about.
    fn not_written(&self, event_type: &str, error: &serde_json::Error);

    /// Whether what it takes goes anywhere. Asked once, by [`Outlet::new`](super::Outlet::new): payloads for an emitter
    /// that drops them are not built.
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
