use std::ops::Range;
use std::time::SystemTime;

use rusqlite::{Connection, ToSql};

use super::about::About;
use super::answers::AnswerPolicy;
use super::phase::{Moment, Phase};
use super::records::DeliveryListRow;
use super::rows::{RowState, SHIFT, millis};
use crate::DeliveryId;

/// A filter of deliveries; an empty or `None` field excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub after: Option<DeliveryId>,
    pub ids: Vec<DeliveryId>,
    pub event: Option<u64>,
    pub rule: Option<String>,
    pub action: Option<String>,
    pub states: Vec<RowState>,
    pub phases: Vec<Phase>,
    /// The facts of the moment that phases depend on.
    pub moment: Moment,
    /// Alternatives, any of which must match.
    pub about: Vec<About>,
    /// The resource's id, name, or order key.
    pub key: Option<String>,
    /// The HTTP status of an answer: `409`, or `4xx`.
    pub status: Option<AnswerPolicy>,
    pub text: Option<AnswerPolicy>,
    pub event_type: Option<String>,
    pub since: Option<SystemTime>,
    pub until: Option<SystemTime>,
}

/// The values of a statement, from `?3` on.
#[derive(Default)]
pub(super) struct BoundValues(Vec<Box<dyn ToSql>>);

impl BoundValues {
    pub(super) fn bind(&mut self, text: &str) -> String {
        self.0.push(Box::new(text.to_owned()));
        format!("?{}", self.0.len() + 2)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RowCondition<'a> {
    After(DeliveryId),
    Ids(&'a [DeliveryId]),
    Event(u64),
    Rule(&'a str),
    Action(&'a str),
    States(&'a [RowState]),
    Phases(&'a [Phase], &'a Moment),
    About(&'a [About]),
    Key(&'a str),
    Answered(&'a AnswerPolicy),
    EventType(&'a str),
    Since(SystemTime),
    Until(SystemTime),
}

impl RowCondition<'_> {
    /// Returns the SQL. Texts from outside are bound values and never a part of the SQL.
    fn sql(self, values: &mut BoundValues) -> String {
        let among = |column: &str, numbers: Vec<i64>| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{column} IN ({})", numbers.join(", "))
        };
        match self {
            Self::After(id) => format!("d.id > {}", id.row()),
            Self::Ids(ids) => among("d.id", ids.iter().map(|id| id.row()).collect()),
            Self::Event(number) => About::Event(number).sql(values),
            Self::Rule(rule) => format!("d.rule = {}", values.bind(rule)),
            Self::Action(action) => format!("d.action = {}", values.bind(action)),
            Self::States(states) => among("d.state", states.iter().map(|state| *state as i64).collect()),
            Self::Phases(phases, moment) => phases_sql(phases, moment),
            Self::About(about) => {
                let any: Vec<String> = about.iter().map(|about| about.sql(values)).collect();
                format!("({})", any.join(" OR "))
            }
            Self::Key(key) => About::Resource(key.to_owned()).sql(values),
            Self::Answered(answers) => answers.sql(values),
            Self::EventType(event_type) => format!("e.event_type = {}", values.bind(event_type)),
            Self::Since(at) => format!("e.received >= {}", millis(at)),
            Self::Until(at) => format!("e.received < {}", millis(at)),
        }
    }

    /// Whether a row matches; the number of an event has a meaning only in a file.
    fn matches(self, row: &DeliveryListRow) -> bool {
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
            // Times in a file have milliseconds, so the comparison does too.
            Self::Since(at) => millis(row.received) >= millis(at),
            Self::Until(at) => millis(row.received) < millis(at),
        }
    }
}

impl Filter {
    pub(super) fn conditions(&self) -> Vec<RowCondition<'_>> {
        let Self { after, ids, event, rule, action, states, phases, moment, .. } = self;
        let Self { about, key, status, text, event_type, since, until, .. } = self;
        let all = [
            after.map(RowCondition::After),
            (!ids.is_empty()).then_some(RowCondition::Ids(ids)),
            event.map(RowCondition::Event),
            rule.as_deref().map(RowCondition::Rule),
            action.as_deref().map(RowCondition::Action),
            (!states.is_empty()).then_some(RowCondition::States(states)),
            (!phases.is_empty()).then_some(RowCondition::Phases(phases, moment)),
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

    pub(super) fn span(&self, connection: &Connection) -> rusqlite::Result<Range<i64>> {
        let event = match (self.event, &self.about[..]) {
            (Some(event), _) | (None, &[About::Event(event)]) => event,
            (None, _) => return Ok(0..i64::MAX),
        };
        let event = i64::try_from(event).unwrap_or(i64::MAX >> SHIFT);
        let next: Option<i64> =
            connection.query_row("SELECT min(id) FROM event WHERE id > ?", [event], |row| row.get(0))?;
        Ok(DeliveryId::of(event, 0).row()..next.map_or(i64::MAX, |next| DeliveryId::of(next, 0).row()))
    }

    pub(super) fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut values = BoundValues::default();
        let conditions = self.conditions().into_iter();
        let sql = conditions.map(|condition| format!(" AND {}", condition.sql(&mut values))).collect();
        (sql, values.0)
    }

    #[must_use]
    pub fn matches(&self, row: &DeliveryListRow) -> bool {
        self.conditions().into_iter().all(|condition| condition.matches(row))
    }

    /// Whether the filter has only conditions on action, state, and phase.
    pub(super) fn is_by_action_and_state(&self) -> bool {
        self.conditions().into_iter().all(|condition| match condition {
            RowCondition::Action(_) | RowCondition::States(_) | RowCondition::Phases(..) => true,
            RowCondition::After(_)
            | RowCondition::Ids(_)
            | RowCondition::Event(_)
            | RowCondition::Rule(_)
            | RowCondition::About(_)
            | RowCondition::Key(_)
            | RowCondition::Answered(_)
            | RowCondition::EventType(_)
            | RowCondition::Since(_)
            | RowCondition::Until(_) => false,
        })
    }
}

/// Returns the SQL for phases, states first: states have indexes and exclude most rows.
fn phases_sql(phases: &[Phase], moment: &Moment) -> String {
    let mut states: Vec<i64> =
        phases.iter().flat_map(|phase| phase.states()).map(|state| *state as i64).collect();
    states.sort_unstable();
    states.dedup();
    let list = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let phases = phases.iter().map(|phase| *phase as i64).collect();
    format!("d.state IN ({}) AND {} IN ({})", list(states), moment.phase_sql(), list(phases))
}
