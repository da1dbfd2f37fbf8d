use std::sync::{Arc, Mutex, PoisonError};

use crate::versioned::Emitter;
use osnl_model::Emission;

/// Keeps emissions for inspection by tests: a driver of a notifier, and an emitter of versioned
/// notifications. Clones share the emissions, which grow until they are taken.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Emission>>>);

impl Recorder {
    /// Returns a recorder without emissions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out the emissions so far, oldest first. `unique_id` is `None`: it belongs to copies on the wire.
    #[must_use]
    pub fn take(&self) -> Vec<Emission> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an emission to the record.
    pub fn push(&self, emission: Emission) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(emission);
    }
}

impl Emitter for Recorder {
    fn emit(&self, emission: Emission) {
        self.push(emission);
    }

    /// # Panics
    /// Always, because a test must notice.
    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        panic!("the payload of {event_type} was not written: {error}");
    }
}
