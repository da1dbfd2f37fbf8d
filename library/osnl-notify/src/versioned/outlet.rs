use std::fmt;
use std::sync::Arc;

use super::{Emitter, Severity, Threshold};

/// The outlet of a service's notifications: an emitter behind a threshold. Create it once; clones are cheap.
#[derive(Clone)]
pub struct Outlet {
    emitter: Option<Arc<dyn Emitter>>,
    threshold: Threshold,
}

impl Outlet {
    /// Returns an outlet that passes notifications above the threshold, or none if the emitter sends none.
    pub fn new(emitter: impl Emitter + 'static, threshold: Threshold) -> Self {
        if emitter.is_enabled() {
            Self { emitter: Some(Arc::new(emitter)), threshold }
        } else {
            Self::closed()
        }
    }

    /// Returns an outlet that sends no notification.
    pub const fn closed() -> Self {
        Self { emitter: None, threshold: Threshold::Never }
    }

    /// Whether a notification of this level would be sent, so that callers can skip work for it.
    pub fn passes(&self, severity: impl Severity) -> bool {
        self.emitter.is_some() && self.threshold.passes(severity)
    }

    /// Returns the emitter, if a notification of this level is sent.
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
