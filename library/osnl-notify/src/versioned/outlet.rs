//! The outlet of a service's notifications: an emitter behind a threshold.

use std::fmt;
use std::sync::Arc;

use super::{Emitter, Severity, Threshold};

/// The outlet of a service's notifications. Made once, cloned cheaply.
#[derive(Clone)]
pub struct Outlet {
    emitter: Option<Arc<dyn Emitter>>,
    threshold: Threshold,
}

impl Outlet {
    /// An outlet that lets pass what reaches the threshold; closed if the emitter sends nothing anyway.
    pub fn new(emitter: impl Emitter + 'static, threshold: Threshold) -> Self {
        if emitter.is_enabled() {
            Self { emitter: Some(Arc::new(emitter)), threshold }
        } else {
            Self::closed()
        }
    }

    /// An outlet that sends nothing.
    pub const fn closed() -> Self {
        Self { emitter: None, threshold: Threshold::Never }
    }

    /// Whether something of this level would be sent. For work that is only done for a notification.
    pub fn passes(&self, severity: impl Severity) -> bool {
        self.emitter.is_some() && self.threshold.passes(severity)
    }

    /// The emitter, if something of this level is sent.
    pub(super) fn open_for(&self, severity: impl Severity) -> Option<&dyn Emitter> {
        if self.threshold.passes(severity) { self.emitter.as_deref() } else { None }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("threshold", &self.threshold)
            .field("closed", &self.emitter.is_none())
            .finish()
    }
}
