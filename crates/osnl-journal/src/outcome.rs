use std::sync::Arc;
use std::time::Duration;

use osnl_core::event::EnrichedValues;

/// The end of a claim, with what a listing shows of it.
#[derive(Clone, Debug)]
pub struct End {
    pub outcome: Outcome,
    /// The effect in words, for a listing; a store without listings drops the text.
    pub done: Option<String>,
    /// The kind of the failure: dead letters of one kind are bounded together.
    pub cause: Option<String>,
    /// The action of `on_failure` that takes a delivery that is given up; `None` without one.
    pub to: Option<Handover>,
    /// The time of the last attempt; `None` if there was none.
    pub took: Option<Duration>,
}

impl End {
    #[must_use]
    pub fn after(self, took: Option<Duration>) -> Self {
        Self { took, ..self }
    }

    #[must_use]
    pub fn saying(self, done: impl Into<String>) -> Self {
        Self { done: Some(done.into()), ..self }
    }

    #[must_use]
    pub fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

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

/// The result of a delivery; each but `Returned` is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has taken the event.
    Delivered,
    /// The target needs no change.
    NothingToDo,
    /// The delivery is given up for this reason.
    Dead(String),
    /// The delivery is dead, and later deliveries of its key wait for the operator's retry or discard.
    /// `memory://` has neither, and takes this as [`Outcome::Dead`].
    DeadHoldingKey(String),
    /// The message returns to the broker, with everything of the same key behind it.
    Returned,
}

impl Outcome {
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        match self {
            Self::Dead(reason) | Self::DeadHoldingKey(reason) => Some(reason),
            Self::Delivered | Self::NothingToDo | Self::Returned => None,
        }
    }
}

/// The delivery that replaces one that is given up (`on_failure`).
#[derive(Clone, Debug)]
pub struct Handover {
    pub action: Arc<str>,
    /// Whether it waits for earlier ones of its key.
    pub ordered: bool,
    /// The failure, for the templates of the action; `None` without one.
    pub enriched: Option<Arc<EnrichedValues>>,
}

impl Handover {
    pub fn to(action: impl Into<Arc<str>>) -> Self {
        Self { action: action.into(), ordered: true, enriched: None }
    }
}
