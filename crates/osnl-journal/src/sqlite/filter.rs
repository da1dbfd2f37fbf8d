//! The deliveries that are meant: of a file by SQL, of what is in memory by looking at each.

use std::time::SystemTime;

use rusqlite::ToSql;

use super::about::About;
use super::answers::Answers;
use super::phase::{Moment, Phase};
use super::records::Row;
use super::rows::{State, millis};
use crate::DeliveryId;

/// The deliveries that are meant; what is empty or `None` excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those with a larger number.
    pub after: Option<DeliveryId>,
    /// These.
    pub ids: Vec<DeliveryId>,
    /// All of this event's, by its number.
    pub event: Option<u64>,
    /// The rule.
    pub rule: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// In one of these states of the file.
    pub states: Vec<State>,
    /// In one of these phases.
    pub phases: Vec<Phase>,
    /// The facts of the moment that phases depend on.
    pub moment: Moment,
    /// With one of these: any of them.
    pub about: Vec<About>,
    /// About this resource: its id, its name, or its order key.
    pub key: Option<String>,
    /// With an answer of this HTTP status: `409`, or `4xx`.
    pub status: Option<Answers>,
    /// With this text in an answer or a reason.
    pub text: Option<Answers>,
    /// The event type.
    pub event_type: Option<String>,
    /// Received at this moment or later.
    pub since: Option<SystemTime>,
    /// Received before this moment.
    pub until: Option<SystemTime>,
}

/// A condition of a filter: it means the same in SQL and for a row.
#[derive(Clone, Copy, Debug)]
enum Condition<'a> {
    After(DeliveryId),
    Ids(&'a [DeliveryId]),
    Event(u64),
    Rule(&'a str),
    Action(&'a str),
    States(&'a [State]),
    Phases(&'a [Phase], &'a Moment),
    About(&'a [About]),
    Key(&'a str),
    Answered(&'a Answers),
    EventType(&'a str),
    Since(SystemTime),
    Until(SystemTime),
}

impl Condition<'_> {
    /// A condition in which `?` is the value; numbers stand in the text.
    fn sql(self) -> (String, Option<Box<dyn ToSql>>) {
        let with = |condition: &str, value: Box<dyn ToSql>| (condition.to_owned(), Some(value));
        let text = |condition: &str, text: &str| with(condition, Box::new(text.to_owned()));
        let among = |column: &str, numbers: Vec<i64>| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            (format!("{column} IN ({})", numbers.join(", ")), None)
        };
        match self {
            Self::After(id) => with("d.id > ?", Box::new(id.row())),
            Self::Ids(ids) => among("d.id", ids.iter().map(|id| id.row()).collect()),
            Self::Event(number) => {
                let event = i64::try_from(number).unwrap_or(i64::MAX >> 17);
                let first = DeliveryId::of(event, 0).row();
                (format!("d.id >= {first} AND e.id = ?"), Some(Box::new(event)))
            }
            Self::Rule(rule) => text("d.rule = ?", rule),
            Self::Action(action) => text("d.action = ?", action),
            Self::States(states) => among("d.state", states.iter().map(|state| *state as i64).collect()),
            Self::Phases(phases, moment) => (phases_sql(phases, moment), None),
            Self::About(about) => {
                let any: Vec<String> = about.iter().map(About::sql).collect();
                (format!("({})", any.join(" OR ")), None)
            }
            Self::Key(key) => (About::Resource(key.to_owned()).sql(), None),
            Self::Answered(answers) => (answers.sql(), None),
            Self::EventType(event_type) => text("e.event_type = ?", event_type),
            Self::Since(at) => with("e.received >= ?", Box::new(millis(at))),
            Self::Until(at) => with("e.received < ?", Box::new(millis(at))),
        }
    }

    /// An event's number means what it does in a file only.
    fn matches(self, row: &Row) -> bool {
        match self {
            Self::After(id) => row.id > id,
            Self::Ids(ids) => ids.contains(&row.id),
            Self::Event(number) => row.id.0 >> 16 == number,
            Self::Rule(rule) => row.rule == rule,
            Self::Action(action) => row.action == action,
            Self::States(states) => states.contains(&row.state),
            Self::Phases(phases, moment) => phases.contains(&Phase::of_row(row, moment)),
            Self::About(about) => about.iter().any(|about| about.matches(row)),
            Self::Key(key) => About::Resource(key.to_owned()).matches(row),
            Self::Answered(answers) => answers.matches(row),
            Self::EventType(event_type) => row.event_type.as_deref() == Some(event_type),
            // As precise as a file.
            Self::Since(at) => millis(row.received) >= millis(at),
            Self::Until(at) => millis(row.received) < millis(at),
        }
    }
}

impl Filter {
    fn conditions(&self) -> Vec<Condition<'_>> {
        let Self { after, ids, event, rule, action, states, phases, moment, .. } = self;
        let Self { about, key, status, text, event_type, since, until, .. } = self;
        let all = [
            after.map(Condition::After),
            (!ids.is_empty()).then_some(Condition::Ids(ids)),
            event.map(Condition::Event),
            rule.as_deref().map(Condition::Rule),
            action.as_deref().map(Condition::Action),
            (!states.is_empty()).then_some(Condition::States(states)),
            (!phases.is_empty()).then_some(Condition::Phases(phases, moment)),
            (!about.is_empty()).then_some(Condition::About(about)),
            key.as_deref().map(Condition::Key),
            status.as_ref().map(Condition::Answered),
            text.as_ref().map(Condition::Answered),
            event_type.as_deref().map(Condition::EventType),
            since.map(Condition::Since),
            until.map(Condition::Until),
        ];
        all.into_iter().flatten().collect()
    }

    /// Conditions with `?3` and on, and their values.
    pub(super) fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut sql = String::new();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        for (condition, value) in self.conditions().into_iter().map(Condition::sql) {
            values.extend(value);
            sql.push_str(&format!(" AND {}", condition.replace('?', &format!("?{}", values.len() + 2))));
        }
        (sql, values)
    }

    /// Whether it lets a row through.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        self.conditions().into_iter().all(|condition| condition.matches(row))
    }

    /// Whether nothing but action, state, and phase counts.
    pub(super) fn is_by_action_and_state(&self) -> bool {
        self.conditions().into_iter().all(|condition| match condition {
            Condition::Action(_) | Condition::States(_) | Condition::Phases(..) => true,
            Condition::After(_)
            | Condition::Ids(_)
            | Condition::Event(_)
            | Condition::Rule(_)
            | Condition::About(_)
            | Condition::Key(_)
            | Condition::Answered(_)
            | Condition::EventType(_)
            | Condition::Since(_)
            | Condition::Until(_) => false,
        })
    }
}

/// The states first: they have indexes, and most rows need no further look.
fn phases_sql(phases: &[Phase], moment: &Moment) -> String {
    let mut states: Vec<i64> =
        phases.iter().flat_map(|phase| phase.states()).map(|state| *state as i64).collect();
    states.sort_unstable();
    states.dedup();
    let list = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let phases = phases.iter().map(|phase| *phase as i64).collect();
    format!("d.state IN ({}) AND {} IN ({})", list(states), moment.phase_sql(), list(phases))
}
