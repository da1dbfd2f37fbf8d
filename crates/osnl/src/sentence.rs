//! Values, expressions, and mismatches in one line each.

use osnl_model::{Mismatch, Predicate, is_secret_path};

use crate::rule::{Condition, RuleMismatch};

/// The longest value that is shown, in characters; the rest is counted.
const SHOWN: usize = 200;

pub(crate) fn one_line(source: &str) -> String {
    shortened(&source.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[must_use]
pub(crate) fn reason(mismatch: &RuleMismatch) -> String {
    match mismatch {
        RuleMismatch::Priority(_)
        | RuleMismatch::GivenUp(_)
        | RuleMismatch::When(_)
        | RuleMismatch::Stopped { .. } => mismatch.to_string(),
        RuleMismatch::Filter(found) => {
            let observed = shortened(&found.observed.to_string());
            failure(&Condition::from(mismatch), &observed, pattern(found))
        }
    }
}

/// Returns the failure of a condition in words, with the value of the event and the value that the rule allows.
pub(crate) fn failure(condition: &Condition, observed: &str, allows: &str) -> String {
    match condition {
        Condition::Filter(_) => format!("{condition} is {observed}, which does not match \"{allows}\""),
        Condition::Priority => format!("{condition} is {observed}, and the rule requires {allows}"),
        Condition::When | Condition::Stopped => format!("{condition} is false: {observed}"),
    }
}

/// Returns the pattern, masked for a secret key, since it may be secret too.
pub(crate) fn pattern(mismatch: &Mismatch) -> &str {
    match &mismatch.predicate {
        Predicate::Context(key) | Predicate::Payload(key) if is_secret_path(key) => "***",
        Predicate::Context(_)
        | Predicate::Payload(_)
        | Predicate::Metadata(_)
        | Predicate::EventType
        | Predicate::PublisherId => &mismatch.pattern,
    }
}

pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} characters more)", &text[..end], text[end..].chars().count()),
    }
}
