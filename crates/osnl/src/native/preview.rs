//! What an action would do about a notification, without doing it.

use super::{ActionConf, Wanted};

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
    /// What this action would do.
    #[must_use]
    pub fn preview(&self, wanted: &Wanted<'_>) -> Preview {
        self.driver.conf().preview(wanted)
    }
}
