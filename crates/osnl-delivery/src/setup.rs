//! The setup with which a loop makes its attempts, and which may change while the loop runs.

use std::sync::Arc;

use osnl_core::attempt::Action;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DeliverySettings, Fallback, Preparation};

/// An action and how it is delivered. An attempt is made with what counts when it begins.
#[derive(Clone)]
pub struct Setup {
    /// Makes the attempts.
    pub action: Arc<dyn Action>,
    /// When they are made, and what failures mean.
    pub settings: DeliverySettings,
    /// Work before the first attempt of each delivery.
    pub preparation: Preparation,
    /// The recipient of deliveries that it gives up.
    pub fallback: Option<Fallback>,
}

/// Changes a loop that runs.
#[derive(Clone)]
pub struct Remote {
    setups: watch::Sender<Setup>,
    gone: CancellationToken,
}

impl Remote {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setups: watch::Sender::new(setup), gone: CancellationToken::new() }
    }

    /// Sets the setup for the next attempt. A held target is probed at once, and deliveries that wait for their next
    /// attempt are due at once: the operator has just corrected something.
    pub fn change(&self, setup: Setup) {
        self.setups.send_replace(setup);
    }

    /// Retires the action: attempts under way are finished, and everything else stays in the journal for the next
    /// action of this name. With a journal in memory, its messages go back to the broker.
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
