use osnl_core::misfit::Misfit;

use super::CallRequest;

/// The effect that an action would have on one event, for `osnl explain` and the page; secrets are masked.
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
    /// The event needs no action.
    Nothing {
        why: String,
    },
    /// The condition of the action does not hold.
    NotAsked {
        why: String,
    },
    /// The condition has no answer for this event: a dead letter.
    Undecided {
        why: String,
    },
    /// Every attempt would fail: a dead letter.
    Unusable {
        why: Misfit,
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
