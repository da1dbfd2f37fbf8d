//! `when`: of a rule, and of an action that a rule fires. It is decided in three places, and means and says the same in
//! each: with the rule; where the action's own condition needs nothing but the event, before the append, for each of the
//! deliveries (of a bulk request it sees the one resource, as the action's templates do, and if it is false there is no
//! delivery of that action); where it looks at an enrichment, before the first attempt.

use std::fmt;

use osnl_model::is_secret_key;
use osnl_template::{EvalError, Expression, Names};

use super::Rule;

/// The reason that a `when` does not hold.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WhenMismatch {
    /// It is false.
    #[error("when is false: {0}")]
    False(WhenFalse),
    /// It looks at something that the notification does not have, which is the same as false.
    #[error("when is false: the event has no {name}")]
    Lacks {
        /// As it is written in the rule.
        name: String,
    },
    /// It could be neither true nor false: the message is a dead letter of what it is about.
    #[error("when cannot be decided: {0}")]
    Undecided(EvalError),
}

/// The values of a `when` that is false, evaluated when it is printed: of several sides of an `and`, the first that is
/// false, and its values.
#[derive(Clone, Debug)]
pub struct WhenFalse {
    when: Expression,
    names: Names,
}

impl WhenFalse {
    /// The names it looks at with their values, secrets masked; `None` is absent.
    #[must_use]
    pub fn saw(&self) -> Vec<(String, Option<String>)> {
        self.when.saw(&self.names)
    }

    /// The expression.
    #[must_use]
    pub fn source(&self) -> &str {
        self.when.source()
    }
}

impl fmt::Display for WhenFalse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = self.when.false_side(&self.names);
        let saw = side.as_ref().map_or_else(|| self.saw(), |side| side.saw(&self.names));
        let mut words = Vec::new();
        // What stands beside a secret may be one.
        let secret = |(name, _): &(String, _)| name.split('.').any(is_secret_key);
        if let Some(side) = side.filter(|_| !saw.iter().any(secret)) {
            words.push(side.source().split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let values = saw.into_iter();
        words.extend(
            values.map(|(name, value)| format!("{name} is {}", value.as_deref().unwrap_or("absent"))),
        );
        f.write_str(&words.join(", "))
    }
}

impl Rule {
    /// Whether an action that it fires is to be done about what `names` name.
    ///
    /// # Errors
    /// The action's own condition does not hold.
    pub fn asks(&self, action: &str, names: &Names) -> Result<(), WhenMismatch> {
        self.conditions.get(action).map_or(Ok(()), |when| holds(when, names))
    }
}

/// Whether a condition holds.
///
/// # Errors
/// It does not.
pub fn holds(when: &Expression, names: &Names) -> Result<(), WhenMismatch> {
    match when.holds(names) {
        Ok(true) => Ok(()),
        Ok(false) => Err(WhenMismatch::False(WhenFalse { when: when.clone(), names: names.clone() })),
        Err(EvalError::Lacks { name }) => Err(WhenMismatch::Lacks { name }),
        Err(error @ (EvalError::Fuel | EvalError::TooLong | EvalError::Failed { .. })) => {
            Err(WhenMismatch::Undecided(error))
        }
    }
}
