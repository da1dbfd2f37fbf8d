//! What an action would do about a notification, without doing it.

use super::{ActionConf, Wanted};
use crate::template::{EvalError, Names};

/// What would be done. No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    /// A request.
    Request {
        /// `DELETE` and the like.
        method: String,
        /// With the query.
        url: String,
        /// What an operator has a say in: names and values, in their order.
        headers: Vec<(String, String)>,
        /// The body, if it has one.
        body: Option<String>,
    },
    /// A line at the end of this file, or of stdout.
    Line {
        /// Where.
        to: String,
    },
    /// Anything else.
    Effect {
        /// In a sentence: `runs /usr/local/bin/forget`.
        does: String,
        /// Names and values: what it is given.
        with: Vec<(&'static str, String)>,
    },
    /// Nothing: the event asks for nothing.
    Nothing {
        /// Why.
        why: String,
    },
    /// A dead letter: no request can be made of it.
    Unusable {
        /// Why.
        why: String,
    },
}

impl ActionConf {
    /// What this action would do. Of one that asks somebody first only that is told: what it does then, and whether, depends on
    /// the answers.
    #[must_use]
    pub fn preview(&self, wanted: &Wanted<'_>) -> Preview {
        if !self.enrich.is_empty() {
            let does = format!("{}, when it knows {}", self.driver.conf().does(), self.enrich.join(", "));
            let with = self.enrich.iter().map(|name| ("asks", format!("[enrich:{name}]"))).collect();
            return Preview::Effect { does, with };
        }
        if let Some(when) = &self.when {
            let names = Names::from(wanted.notification.clone());
            match when.holds(&names) {
                Ok(true) => {}
                Ok(false) => return Preview::Nothing { why: format!("when is false: {}", when.source()) },
                Err(EvalError::Lacks { name }) => {
                    return Preview::Nothing { why: format!("when is false: the event has no {name}") };
                }
                Err(error @ (EvalError::Fuel | EvalError::TooLong | EvalError::Failed { .. })) => {
                    return Preview::Unusable { why: format!("when cannot be decided: {error}") };
                }
            }
        }
        self.driver.conf().preview(wanted)
    }
}
