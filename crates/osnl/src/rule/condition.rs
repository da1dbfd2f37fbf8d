//! `when`: of a rule, and of an action that a rule fires.
//!
//! An action's own condition is decided with the rule, before the append, for each of its deliveries: of a bulk request it
//! sees the one resource, as the action's templates do. If it is false there is no delivery of that action.

use super::{Rule, RuleMismatch, WhenFalse};
use crate::template::{EvalError, Expression, Names};

impl Rule {
    /// Whether an action that it fires is to be done about what `names` name.
    ///
    /// # Errors
    /// The action's own condition is false, or cannot be decided.
    pub fn asks(&self, action: &str, names: &Names) -> Result<(), RuleMismatch> {
        self.conditions.get(action).map_or(Ok(()), |when| holds(when, names))
    }
}

pub(super) fn holds(when: &Expression, names: &Names) -> Result<(), RuleMismatch> {
    match when.holds(names) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RuleMismatch::When(WhenFalse { when: when.clone(), names: names.clone() })),
        Err(EvalError::Lacks { name }) => Err(RuleMismatch::Lacks { name }),
        Err(error @ (EvalError::Fuel | EvalError::TooLong | EvalError::Failed { .. })) => {
            Err(RuleMismatch::Undecided(error))
        }
    }
}
