//! Rejects unmatched messages by their heads before the transport hands them over, because nearly all messages match no
//! rule.

use std::sync::Arc;

use osnl_model::Budget;
use osnl_transport::{MessageView, Prefilter};

use super::Listener;
use crate::intake::Intake;

pub(super) struct IntakePrefilter {
    endpoint: Arc<dyn Intake>,
    listener: Arc<str>,
    budget: Budget,
}

impl IntakePrefilter {
    pub(super) fn of(listener: &Listener) -> Self {
        let Listener { config, endpoint, .. } = listener;
        Self { endpoint: endpoint.clone(), listener: config.name.clone(), budget: config.budget }
    }
}

impl Prefilter for IntakePrefilter {
    fn rejects(&self, message: &MessageView<'_>) -> bool {
        self.endpoint.rejects(message, &self.listener, &self.budget)
    }
}
