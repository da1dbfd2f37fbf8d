//! The values of a [`Filter`] are an operator's text: a store binds each value as a parameter, so that no value
//! becomes part of a statement.
//!
//! SQL of `sqlite/filter.rs` decides as [`Filter::matches`] does, because a file is searched by its indexes.

use std::time::SystemTime;

use osnl_core::epoch::millis;

use super::{DeliveryListRow, HeldBy, Phase, QueryContext, RowState};
use crate::DeliveryId;

/// A filter of deliveries; an empty or `None` field excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these deliveries.
    pub ids: Vec<DeliveryId>,
    /// Only deliveries of the event with this number.
    pub event: Option<u64>,
    /// Only deliveries of this rule.
    pub rule: Option<String>,
    /// Only deliveries of this action.
    pub action: Option<String>,
    /// Only these states of the store.
    pub states: Vec<RowState>,
    /// Only these states as operators see them, decided with `context`.
    pub phases: Vec<Phase>,
    /// Only deliveries that wait for release, kept back by this.
    pub held_by: Option<HeldBy>,
    /// The facts that phases need; no condition of its own.
    pub context: QueryContext,
    /// Alternatives, any of which must match.
    pub about: Vec<About>,
    /// Only deliveries of this resource.
    pub key: Option<String>,
    /// Only deliveries with this HTTP status in their reason or last answer.
    pub status: Option<AnswerPolicy>,
    /// Only deliveries with this text in their reason or last answer.
    pub text: Option<AnswerPolicy>,
    /// Only messages of this event type.
    pub event_type: Option<String>,
    /// Only messages received at this time or later.
    pub since: Option<SystemTime>,
    /// Only messages received before this time.
    pub until: Option<SystemTime>,
}

/// One condition of a filter, which SQL and code decide alike.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowCondition<'a> {
    Ids(&'a [DeliveryId]),
    Event(u64),
    Rule(&'a str),
    Action(&'a str),
    States(&'a [RowState]),
    Phases(&'a [Phase], &'a QueryContext),
    HeldBy(HeldBy),
    About(&'a [About]),
    Key(&'a str),
    Answered(&'a AnswerPolicy),
    EventType(&'a str),
    Since(SystemTime),
    Until(SystemTime),
}

impl RowCondition<'_> {
    /// Whether a row matches; the number of an event has a meaning only in a file.
    fn matches(self, row: &DeliveryListRow) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&row.id),
            Self::Event(number) => row.id.0 >> 16 == number,
            Self::Rule(rule) => row.rule == rule,
            Self::Action(action) => row.action == action,
            Self::States(states) => states.contains(&row.state),
            Self::Phases(phases, context) => phases.contains(&row.phase(context)),
            Self::HeldBy(by) => row.state == RowState::Held && HeldBy::from_guarded(row.is_guarded) == by,
            Self::About(about) => about.iter().any(|about| about.matches(row)),
            Self::Key(key) => About::Resource(key.to_owned()).matches(row),
            Self::Answered(answers) => answers.matches(row),
            Self::EventType(event_type) => row.event_type.as_deref() == Some(event_type),
            // Times in a file have milliseconds, so the comparison does too.
            Self::Since(at) => millis(row.received) >= millis(at),
            Self::Until(at) => millis(row.received) < millis(at),
        }
    }
}

impl Filter {
    pub(crate) fn conditions(&self) -> Vec<RowCondition<'_>> {
        let Self { ids, event, rule, action, states, phases, held_by, context, .. } = self;
        let Self { about, key, status, text, event_type, since, until, .. } = self;
        let all = [
            (!ids.is_empty()).then_some(RowCondition::Ids(ids)),
            event.map(RowCondition::Event),
            rule.as_deref().map(RowCondition::Rule),
            action.as_deref().map(RowCondition::Action),
            (!states.is_empty()).then_some(RowCondition::States(states)),
            (!phases.is_empty()).then_some(RowCondition::Phases(phases, context)),
            held_by.map(RowCondition::HeldBy),
            (!about.is_empty()).then_some(RowCondition::About(about)),
            key.as_deref().map(RowCondition::Key),
            status.as_ref().map(RowCondition::Answered),
            text.as_ref().map(RowCondition::Answered),
            event_type.as_deref().map(RowCondition::EventType),
            since.map(RowCondition::Since),
            until.map(RowCondition::Until),
        ];
        all.into_iter().flatten().collect()
    }

    #[must_use]
    pub fn matches(&self, row: &DeliveryListRow) -> bool {
        self.conditions().into_iter().all(|condition| condition.matches(row))
    }

    pub(crate) fn is_by_action_and_state(&self) -> bool {
        use RowCondition::{Action, Phases, States};
        let is_one = |condition| matches!(condition, Action(_) | States(_) | Phases(..));
        self.conditions().into_iter().all(is_one)
    }
}

/// Deliveries by an operator's term: the number of a delivery or an event, the id of a message, the id or the name of
/// a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Delivery(DeliveryId),
    Event(u64),
    Named(String),
    Resource(String),
}

impl About {
    /// Parses an operator's input: `17.0`, `17`, or anything else as an id or a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let delivery = DeliveryId::parse(text).map(Self::Delivery);
        let event = || text.parse().ok().filter(|number| *number < 1 << 47).map(Self::Event);
        delivery.or_else(event).unwrap_or_else(|| Self::Named(text.to_owned()))
    }

    /// Whether a delivery is meant, as the journal's query decides it.
    #[must_use]
    pub fn matches(&self, row: &DeliveryListRow) -> bool {
        let of_resource = |name: &str| {
            let same =
                |text: &Option<String>| text.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(name));
            same(&row.key) || same(&row.resource_id) || same(&row.resource_name)
        };
        match self {
            Self::Delivery(id) => row.id == *id,
            Self::Event(number) => row.id.0 >> 16 == *number,
            Self::Resource(name) => of_resource(name),
            Self::Named(name) => of_resource(name) || row.message_id.as_ref() == Some(name),
        }
    }
}

/// Deliveries by the target's answer: in the reason of their end, and in the kept failed attempts.
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

    /// Compares the reason and the last answer, as a row has no other attempts.
    pub(crate) fn matches(&self, row: &DeliveryListRow) -> bool {
        row.reason.iter().chain(&row.last_answer).any(|text| self.is_in(text))
    }

    /// Whether a status is the wanted one, or of the wanted class.
    pub(crate) fn includes(wanted: &str, status: u16) -> bool {
        wanted.bytes().zip(status.to_string().bytes()).all(|(want, is)| want == is || want == b'x')
    }

    /// Returns the statuses with which the target itself has answered. A failure has one, at its beginning or behind its
    /// kind, before any quoted text. A success has one at the end of each request.
    pub(crate) fn statuses(answer: &str) -> Vec<u16> {
        const WORD: &str = "status ";
        let number = |digits: &str| -> Option<u16> {
            let is_number = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let status: u16 = digits.parse().ok().filter(|_| is_number)?;
            (100..600).contains(&status).then_some(status)
        };
        match answer.find(WORD) {
            Some(at) if at == 0 || answer[..at].ends_with(": ") => {
                let from = at + WORD.len();
                answer.get(from..from + 3).and_then(number).into_iter().collect()
            }
            Some(_) => Vec::new(),
            None => answer.split("; ").filter_map(|request| number(request.rsplit_once(": ")?.1)).collect(),
        }
    }

    fn is_in(&self, answer: &str) -> bool {
        match self {
            Self::Status(wanted) => {
                Self::statuses(answer).into_iter().any(|status| Self::includes(wanted, status))
            }
            Self::Text(text) => answer.to_lowercase().contains(&text.to_lowercase()),
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
