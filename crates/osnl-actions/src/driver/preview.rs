//! The preview of an action's effect on a notification.

use super::CallRequest;

/// The effect that an action would have. No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    /// A request.
    Request {
        /// `DELETE` and the like.
        method: String,
        /// With the query.
        url: String,
        /// The headers that an operator can set: names and values, in their order.
        headers: Vec<(String, String)>,
        /// The body, if it has one.
        body: Option<String>,
    },
    /// A line at the end of this file, or of stdout.
    Line {
        /// The destination.
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
        /// The reason.
        why: String,
    },
    /// Nothing: the action's own condition does not hold.
    NotAsked {
        /// The reason.
        why: String,
    },
    /// A dead letter: the action's own condition cannot be decided.
    Undecided {
        /// The reason.
        why: String,
    },
    /// A dead letter: no request can be made of it.
    Unusable {
        /// The reason.
        why: String,
    },
}

impl Preview {
    /// A line of JSON with all of an event; with what is asked for it, if there is anything.
    pub fn line(to: String, wanted: &CallRequest<'_>) -> Self {
        match wanted.enrichments() {
            None => Self::Line { to },
            Some(enrichments) => Self::Effect { does: format!("a line in {to}"), with: vec![enrichments] },
        }
    }
}
