//! Ends of claims.

use std::sync::Arc;
use std::time::Duration;

use osnl_core::event::EnrichedValues;

/// The end of a claim.
#[derive(Clone, Debug)]
pub struct End {
    /// The outcome.
    pub outcome: Outcome,
    /// The effect in words, for a listing; a store that lists nothing drops them.
    pub done: Option<String>,
    /// The kind of failure that it is given up over: dead letters of one kind are bounded together.
    pub cause: Option<String>,
    /// The action that does instead what is given up.
    pub to: Option<Handover>,
    /// The duration of the attempt that ended it.
    pub took: Option<Duration>,
}

impl End {
    /// The same, and the duration of the attempt.
    #[must_use]
    pub fn after(self, took: Option<Duration>) -> Self {
        Self { took, ..self }
    }

    /// The same, and what was done.
    #[must_use]
    pub fn saying(self, done: impl Into<String>) -> Self {
        Self { done: Some(done.into()), ..self }
    }

    /// The same, and the kind of failure.
    #[must_use]
    pub fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

    /// The same, handed to another action if it is given up.
    #[must_use]
    pub fn handed_to(self, to: Handover) -> Self {
        Self { to: Some(to), ..self }
    }
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, done: None, cause: None, to: None, took: None }
    }
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The effect is there.
    Delivered,
    /// The event asked for nothing.
    NothingToDo,
    /// Given up, and why.
    Dead(String),
    /// The same, and the later deliveries of its key wait until the operator retries or discards it. In `memory://`,
    /// where the operator can do neither, it is [`Outcome::Dead`].
    DeadHoldingKey(String),
    /// The message goes back to the broker, and with it everything of the same key behind it.
    Returned,
}

impl Outcome {
    /// Why it is given up, if it is.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        match self {
            Self::Dead(reason) | Self::DeadHoldingKey(reason) => Some(reason),
            Self::Delivered | Self::NothingToDo | Self::Returned => None,
        }
    }
}

/// The action that gets a delivery when another action gives it up.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The action.
    pub action: Arc<str>,
    /// As [`NewDelivery::ordered`](crate::NewDelivery::ordered).
    pub ordered: bool,
    /// As [`NewDelivery::told`](crate::NewDelivery::told).
    pub told: Option<Arc<EnrichedValues>>,
}

impl Handover {
    /// To this action, in its order, and without a word.
    pub fn to(action: impl Into<Arc<str>>) -> Self {
        Self { action: action.into(), ordered: true, told: None }
    }
}
