//! Deliveries by the target's answer: in the reason of their end, and in the kept failed attempts.

use super::filter::BoundValues;
use super::records::DeliveryListRow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerPolicy {
    /// An HTTP status; an `x` is any digit.
    Status(String),
    Text(String),
}

impl AnswerPolicy {
    #[must_use]
    pub fn status(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| (b'1'..=b'5').contains(&byte));
        let rest = text.len() == 3 && bytes.all(|byte| byte.is_ascii_digit() || byte == b'x');
        (first && rest).then_some(Self::Status(text))
    }

    pub(super) fn sql(&self, values: &mut BoundValues) -> String {
        let text = match self {
            Self::Status(_) => String::new(),
            Self::Text(text) => values.bind(&text.to_lowercase()),
        };
        let holds = |column: &str| match self {
            // A success ends with its status, a failure has the word before the status.
            Self::Status(status) => {
                let status: String = status.chars().map(|c| if c == 'x' { '_' } else { c }).collect();
                format!("({column} LIKE '%status {status}%' OR {column} LIKE '%: {status}')")
            }
            Self::Text(_) => format!("instr(lower({column}), {text}) > 0"),
        };
        format!(
            "({} OR d.tries > 0 AND EXISTS (SELECT 1 FROM attempt a WHERE a.delivery = d.id AND {}))",
            holds("coalesce(d.reason, '')"),
            holds("a.answer")
        )
    }

    /// Compares only the reason, as a row has no attempts.
    pub(super) fn matches(&self, row: &DeliveryListRow) -> bool {
        let reason = row.reason.as_deref().unwrap_or_default();
        match self {
            Self::Status(status) => {
                let has = |found: &str| {
                    let pairs = status.bytes().zip(found.bytes());
                    found.len() >= 3 && pairs.into_iter().all(|(want, is)| want == is || want == b'x')
                };
                let after_word = reason
                    .match_indices("status ")
                    .any(|(at, word)| reason.get(at + word.len()..).is_some_and(has));
                after_word || reason.rsplit_once(": ").is_some_and(|(_, last)| last.len() == 3 && has(last))
            }
            Self::Text(text) => reason.to_lowercase().contains(&text.to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbers_or_classes() {
        for (text, expected) in [
            ("409", true),
            ("4xx", true),
            ("50X", true),
            ("600", false),
            ("4", false),
            ("xxx", false),
            ("4xxx", false),
        ] {
            assert_eq!(AnswerPolicy::status(text).is_some(), expected, "{text}");
        }
    }
}
