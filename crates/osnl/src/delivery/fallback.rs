//! `on_failure`: who does instead what is given up.

use std::sync::Arc;

use osnl_model::{Notification, bulk_part};

use crate::action::Event;
use crate::template::{EvalError, Expression, Names};

/// The action that gets what another gives up.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// Its name.
    pub action: Arc<str>,
    /// Its own condition. What is given up is not known before, so this is decided then.
    pub when: Option<Expression>,
}

impl Fallback {
    /// Whether it shall be done about this event. Who cannot decide lets it be done: what failed already should not
    /// vanish because of an expression.
    pub(super) fn takes(&self, event: &Event) -> bool {
        let Some(when) = &self.when else { return true };
        let notification = &event.notification;
        let part = event.resource.and_then(|n| bulk_part(notification, n as usize));
        let names = match part {
            Some(payload) => Names::from(Notification { payload, ..(**notification).clone() }),
            None => Names::new(notification.clone()),
        };
        match when.holds(&names) {
            Ok(holds) => holds,
            Err(EvalError::Lacks { .. }) => false,
            Err(error @ (EvalError::Fuel | EvalError::TooLong | EvalError::Failed { .. })) => {
                tracing::error!(
                    action.name = &*self.action,
                    "when cannot be decided, so it is done: {error}"
                );
                true
            }
        }
    }
}
