//! The joint between a finished notification and whatever sends it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Json, JsonObject};
use crate::Priority;
use crate::redact::mask_secrets;

/// The context of the request that a notification reports on; each member becomes a key `_context_<member>`.
#[derive(Clone, Default, PartialEq)]
pub struct Context(pub JsonObject);

impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for Context {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The members, secrets masked.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", mask_secrets(&Json::Object(self.0.clone()).into_value()))
    }
}

/// A notification that is ready to be sent: masked, written, above the threshold.
#[derive(Clone)]
pub struct Outgoing {
    /// `baremetal.node.power_set.start`
    pub event_type: String,
    /// `ironic-conductor.hostname01`
    pub publisher_id: String,
    /// The suffix of the routing key, and in capitals the body's `priority`.
    pub priority: Priority,
    /// The payload's JSON.
    pub payload: Box<RawValue>,
    /// The request's context.
    pub context: Context,
}

/// The head; of the payload only its length, since services hide from notifications less than from logs.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, publisher_id, priority, payload, context } = self;
        let bytes = payload.get().len();
        write!(f, "{event_type} from {publisher_id}, {priority}, {bytes} bytes, context {context:?}")
    }
}

/// Takes notifications to send them.
///
/// Neither method may block or panic: they are called in the midst of the operation that is reported on. What cannot
/// be sent is the emitter's to log; the operation does not hear of it.
pub trait Emitter: Send + Sync {
    /// Takes a notification.
    fn emit(&self, outgoing: Outgoing);

    /// Hears that a payload could not be written, which only a field type of one's own can bring about.
    fn not_written(&self, event_type: &str, error: &serde_json::Error);
}

impl<E: Emitter + ?Sized> Emitter for Arc<E> {
    fn emit(&self, outgoing: Outgoing) {
        self.as_ref().emit(outgoing);
    }

    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        self.as_ref().not_written(event_type, error);
    }
}

/// An emitter that keeps what it is given: for the tests of services.
#[derive(Debug, Default)]
pub struct Recorder {
    taken: Mutex<Vec<Outgoing>>,
}

impl Recorder {
    /// What was emitted since the last call, in order.
    pub fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Emitter for Recorder {
    fn emit(&self, outgoing: Outgoing) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(outgoing);
    }

    /// # Panics
    /// Always: a test wants to know.
    fn not_written(&self, event_type: &str, error: &serde_json::Error) {
        panic!("the payload of {event_type} was not written: {error}");
    }
}
