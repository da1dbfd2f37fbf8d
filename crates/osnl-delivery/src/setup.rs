//! The parts of a delivery loop that a reload replaces.
//!
//! A concept of several layers, such as a fallback, has one home in each layer. Between them it is a field that
//! `native.rs` and `assembly/build.rs` of `osnl` hand on to here.

use std::sync::Arc;

use osnl_core::attempt::Action;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DeliverySettings, Fallback, Preparation};

/// All that a reload can change about a running delivery loop.
#[derive(Clone)]
pub struct Setup {
    pub action: Arc<dyn Action>,
    pub settings: DeliverySettings,
    pub preparation: Preparation,
    pub fallback: Option<Fallback>,
}

/// Changes or retires a running delivery loop from outside.
#[derive(Clone)]
pub struct Remote {
    setups: watch::Sender<Setup>,
    gone: CancellationToken,
}

impl Remote {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setups: watch::Sender::new(setup), gone: CancellationToken::new() }
    }

    /// Sets the setup for the next attempt. A held target is probed at once, and waiting deliveries are due at once,
    /// because the operator may have corrected the cause.
    pub fn change(&self, setup: Setup) {
        self.setups.send_replace(setup);
    }

    /// Retires the action. Attempts under way are finished, and all other deliveries stay in the journal for the next
    /// action of this name. With a journal in memory, their messages return to the broker.
    pub fn retire(&self) {
        self.gone.cancel();
    }

    pub(super) fn setups(&self) -> watch::Receiver<Setup> {
        self.setups.subscribe()
    }

    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}
