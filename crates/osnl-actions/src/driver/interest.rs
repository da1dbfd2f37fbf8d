//! The interest of actions in what messages mean before they are kept.
//!
//! An action is decided at its attempt, and what earlier messages said may be gone by then. An observer notes it when a
//! message arrives, is kept with it, and may complete a delivery before its first attempt.

use std::any::Any;
use std::sync::Arc;

use osnl_core::observe::Observe;
use osnl_delivery::Prepare;
use osnl_delivery::enrich::EnrichmentStep;

/// Makes an observer with the rows that earlier runs have kept, by their names.
pub type MakeObserver = fn(Vec<(String, String)>) -> Arc<dyn SharedObserver>;

/// The interest of one action.
#[derive(Clone)]
pub struct Interest {
    /// Makes the observer of a daemon; all drivers of a program name the same.
    pub observer: MakeObserver,
    /// The subject, of a type that the observer knows.
    pub subject: Arc<dyn Any + Send + Sync>,
}

/// An observer that all listeners and actions of a daemon share.
pub trait SharedObserver: Observe {
    /// Serves these actions from now on. A configuration that was read again forgets nothing.
    fn serve(&self, actions: Vec<(Arc<str>, Interest)>);

    /// The work before the first attempt of an action's deliveries; `step` asks the cloud that its driver names.
    fn preparation(self: Arc<Self>, interest: &Interest, step: &EnrichmentStep) -> Option<Arc<dyn Prepare>>;
}
