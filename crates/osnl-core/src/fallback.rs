//! `on_failure`: the action that gets an event which another action gives up.

use std::sync::Arc;

use osnl_model::bulk_part;
use osnl_template::{EvalError, Expression, Names};

use super::event::Event;

/// The action that gets what another gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub action: Arc<str>,
    /// Its own condition. What is given up is not known before, so this is decided then.
    pub when: Option<Expression>,
    /// As `ordered` of a new delivery.
    pub ordered: bool,
}

impl Fallback {
    /// Whether the action gets this event. If its condition cannot be decided it does: an event that failed already
    /// should not vanish because of an expression.
    pub fn takes(&self, event: &Event) -> bool {
        if self.when.is_none() {
            return true;
        }
        let notification = &event.notification;
        let part = event.resource.and_then(|n| bulk_part(notification, n as usize));
        self.takes_named(&match part {
            Some(payload) => Names::of_part(notification.clone(), payload),
            None => Names::new(notification.clone()),
        })
    }

    /// The same by the names of the event, of a bulk request those of the one resource.
    pub fn takes_named(&self, names: &Names) -> bool {
        let Some(when) = &self.when else { return true };
        match when.holds(names) {
            Ok(holds) => holds,
            Err(EvalError::Lacks { .. }) => false,
            Err(error @ (EvalError::Fuel | EvalError::TooLong | EvalError::Failed { .. })) => {
                tracing::error!(
                    action.name = &*self.action,
                    error = error.to_string(),
                    "when cannot be decided, so the action runs"
                );
                true
            }
        }
    }
}
