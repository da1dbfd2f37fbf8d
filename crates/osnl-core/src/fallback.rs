//! `on_failure`: another action that takes the deliveries that an action gives up.
//!
//! `native/fallback.rs` refuses circles, the delivery loop decides, and `intake/fallback.rs` decides about a delivery
//! that can't begin. A store keeps the end and the new delivery in one step.

use std::sync::Arc;

use osnl_config::template::{EvalError, Expression, Names};
use osnl_model::bulk_part;

use super::event::Event;

/// The action of `on_failure`, as the action before it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    pub action: Arc<str>,
    /// The fallback's own condition, decided when a delivery is given up: the failure is not known before.
    pub when: Option<Expression>,
    /// Whether the deliveries of the fallback wait for earlier ones of their key.
    pub ordered: bool,
}

impl Fallback {
    /// Returns whether the fallback receives this event. An undecided condition counts as true: an event that failed
    /// already must not vanish because of an expression.
    pub fn takes(&self, event: &Event) -> bool {
        if self.when.is_none() {
            return true;
        }
        let notification = &event.notification;
        let part = event.resource.and_then(|n| bulk_part(notification, n as usize));
        self.takes_named(&match part {
            Some(payload) => Names::for_part(notification.clone(), payload),
            None => Names::new(notification.clone()),
        })
    }

    pub fn takes_named(&self, names: &Names) -> bool {
        let Some(when) = &self.when else { return true };
        match when.holds(names) {
            Ok(holds) => holds,
            Err(EvalError::Lacks { .. }) => false,
            Err(
                error @ (EvalError::Fuel | EvalError::Work | EvalError::TooLong | EvalError::Failed { .. }),
            ) => {
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
