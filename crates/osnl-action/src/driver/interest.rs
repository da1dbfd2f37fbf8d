//! The content of earlier messages may be gone at the attempt. So an observer notes the content when a message
//! arrives, is stored with the message, and may complete a delivery before its first attempt.

use std::any::Any;
use std::sync::Arc;

use osnl_core::observe::Observe;
use osnl_delivery::Prepare;
use osnl_delivery::enrich::EnrichmentStep;

/// Makes an observer from the notes of an earlier run.
pub type MakeObserver = fn(Vec<(String, String)>) -> Arc<dyn SharedObserver>;

/// The events that an observer notes for one action.
#[derive(Clone)]
pub struct Interest {
    /// Makes the observer of a daemon; all drivers of a program must name the same function.
    pub observer: MakeObserver,
    /// The driver's own description of these events, which only its observer knows.
    pub subject: Arc<dyn Any + Send + Sync>,
}

/// The observer of a daemon, which notes what any of its actions needs.
pub trait SharedObserver: Observe {
    /// Serves these actions from now on. A reload of the configuration keeps all notes.
    fn serve(&self, actions: Vec<(Arc<str>, Interest)>);

    /// Returns the work before the first attempt of an action's deliveries; `step` asks the cloud
    /// that the driver names.
    fn preparation(self: Arc<Self>, interest: &Interest, step: &EnrichmentStep) -> Option<Arc<dyn Prepare>>;
}
