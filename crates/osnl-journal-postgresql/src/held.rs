//! Deliveries that guards hold, as they are reported after the commit.

use std::sync::Arc;

use osnl_config::Rate;
use osnl_journal::DeliveryId;

/// A guard.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) kind: &'static str,
    pub(crate) name: Arc<str>,
    pub(crate) rate: Rate,
}

/// A delivery that is held.
#[derive(Clone, Debug)]
pub(crate) struct HeldDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) rule: String,
    pub(crate) action: String,
    pub(crate) key: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) reason: String,
    /// All guards that hold it.
    pub(crate) guards: Vec<Guard>,
}
