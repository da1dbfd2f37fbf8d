//! Keeps emissions, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use crate::versioned::Emitter;
use osnl_model::Emission;

/// Keeps what was emitted, for tests to look at: a driver of a notifier, and an emitter of versioned notifications.
/// Clones share it. Grows until it is emptied.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Emission>>>);

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out what was emitted so far, oldest first. `unique_id` is `None`: it belongs to copies on the wire.
    #[must_use]
    pub fn take(&self) -> Vec<Emission> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps one more.
    pub fn push(&self, emission: Emission) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(emission);
    }
}

impl Emitter for Recorder {
    fn emit(&self, emission: Emission) {
        self.push(emission);
    }

    /// # Panics
    /// Always: a test wants to know.
    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        panic!("the payload of {event_type} was not written: {error}");
    }
}
