use super::CallRequest;

/// The effect that an action would have, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    Request {
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Option<String>,
    },
    Line {
        to: String,
    },
    Effect {
        does: String,
        with: Vec<(&'static str, String)>,
    },
    Nothing {
        why: String,
    },
    /// No effect: the action's own condition does not hold.
    NotAsked {
        why: String,
    },
    /// A dead letter: the action's own condition cannot be decided.
    Undecided {
        why: String,
    },
    /// A dead letter: the event makes no valid request.
    Unusable {
        why: String,
    },
}

impl Preview {
    pub fn line(to: String, wanted: &CallRequest<'_>) -> Self {
        match wanted.enrichments() {
            None => Self::Line { to },
            Some(enrichments) => Self::Effect { does: format!("a line in {to}"), with: vec![enrichments] },
        }
    }
}
