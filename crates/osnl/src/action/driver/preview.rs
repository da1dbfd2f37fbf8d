//! What an action would do about a notification, without doing it.

use super::Wanted;

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
    /// Nothing: the action's own condition does not hold, or cannot be decided.
    NotAsked {
        /// Why.
        why: String,
    },
    /// A dead letter: no request can be made of it.
    Unusable {
        /// Why.
        why: String,
    },
}

impl Preview {
    /// A line of JSON with all of an event; with what is asked for it, if there is anything.
    pub(crate) fn line(to: String, wanted: &Wanted<'_>) -> Self {
        match wanted.enrichments() {
            None => Self::Line { to },
            Some(enrichments) => Self::Effect { does: format!("a line in {to}"), with: vec![enrichments] },
        }
    }
}
