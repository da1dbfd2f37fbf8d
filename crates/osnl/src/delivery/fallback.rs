//! `on_failure`: who does instead what is given up, and what is said about it.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use osnl_model::bulk_part;
use osnl_template::{EvalError, Expression, Names};
use serde_json::{Value, json};

use crate::action::{Event, FAILURE};
use crate::enrich::Enriched;
use crate::journal::Handover;

/// The action that gets what another gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub action: Arc<str>,
    /// Its own condition. What is given up is not known before, so this is decided then.
    pub when: Option<Expression>,
    /// As [`NewDelivery::ordered`](crate::journal::NewDelivery::ordered).
    pub ordered: bool,
}

/// What is given up: for templates and programs, `failure`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp<'a> {
    /// The action that gave up.
    pub(crate) action: &'a str,
    /// Why, as the dead letter says it.
    pub(crate) reason: &'a str,
    /// How often it was attempted, as `max_attempts` counts.
    pub(crate) attempts: u32,
    /// What the target said last; empty if it was never asked.
    pub(crate) answer: &'a str,
}

impl GivenUp<'_> {
    /// What the next action is told; `before` is what this one was told.
    fn told(self, before: Option<&Value>) -> Arc<Enriched> {
        let Self { action, reason, attempts, answer } = self;
        let at = Timestamp::try_from(SystemTime::now()).map(|at| at.to_string()).unwrap_or_default();
        let failure = json!({
            "action": action, "reason": reason, "attempts": attempts, "answer": answer, "at": at,
            "before": before,
        });
        Arc::new(Enriched::from([(FAILURE.to_owned(), failure)]))
    }
}

impl Fallback {
    /// Whether it shall be done about this event. Who cannot decide lets it be done: what failed already should not
    /// vanish because of an expression.
    pub(super) fn takes(&self, event: &Event) -> bool {
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
    pub(crate) fn takes_named(&self, names: &Names) -> bool {
        let Some(when) = &self.when else { return true };
        match when.holds(names) {
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

    /// What it gets, with what is said about it; `before` is what the one that gave up had been told.
    pub(crate) fn handover(&self, given_up: GivenUp<'_>, before: Option<&Value>) -> Handover {
        let (action, ordered) = (self.action.clone(), self.ordered);
        Handover { action, ordered, told: Some(given_up.told(before)) }
    }
}
