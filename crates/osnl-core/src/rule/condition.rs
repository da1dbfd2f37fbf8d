//! `when` of a rule, and of an action that a rule fires.
//!
//! - The `when` of a rule is decided with the rule.
//! - The `when` of an action that needs only the event is decided before the append, for each delivery. In a bulk
//!   request it sees the one resource, as the action's templates do. If it is false, there is no delivery.
//! - The `when` of an action that reads an enrichment is decided before the first attempt.

use std::fmt;

use osnl_config::template::{EvalError, Expression, Names};

use super::Rule;

/// The reason why a `when` did not hold.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WhenMismatch {
    #[error("when is false: {0}")]
    False(WhenFalse),
    /// The condition reads a value that the notification lacks, which counts as false.
    #[error("when is false: the event has no {name}")]
    Lacks { name: String },
    /// The condition is neither true nor false, so the delivery becomes a dead letter.
    #[error("when cannot be decided: {0}")]
    Undecided(EvalError),
}

/// The values of a false `when`, evaluated when printed: of several sides of an `and`, the first that is false.
#[derive(Clone, Debug)]
pub struct WhenFalse {
    when: Expression,
    names: Names,
}

impl WhenFalse {
    #[must_use]
    pub fn shown(&self) -> String {
        self.when.shown()
    }
}

impl fmt::Display for WhenFalse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = self.when.false_side(&self.names);
        let observed = side.as_ref().unwrap_or(&self.when).observed(&self.names);
        let mut words = Vec::new();
        if let Some(side) = side.filter(|side| !side.compares_secret()) {
            words.push(side.shown());
        }
        let values = observed.into_iter();
        words.extend(
            values.map(|(name, value)| format!("{name} is {}", value.as_deref().unwrap_or("absent"))),
        );
        f.write_str(&words.join(", "))
    }
}

impl Rule {
    pub fn asks(&self, action: &str, names: &Names) -> Result<(), WhenMismatch> {
        self.conditions.get(action).map_or(Ok(()), |when| holds(when, names))
    }
}

pub fn holds(when: &Expression, names: &Names) -> Result<(), WhenMismatch> {
    match when.holds(names) {
        Ok(true) => Ok(()),
        Ok(false) => Err(WhenMismatch::False(WhenFalse { when: when.clone(), names: names.clone() })),
        Err(EvalError::Lacks { name }) => Err(WhenMismatch::Lacks { name }),
        Err(error @ (EvalError::Fuel | EvalError::Work | EvalError::TooLong | EvalError::Failed { .. })) => {
            Err(WhenMismatch::Undecided(error))
        }
    }
}
