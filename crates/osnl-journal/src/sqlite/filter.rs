//! The conditions of a [`Filter`] as SQL, on rows `d` of `delivery` and `e` of `event`. Texts from outside are bound
//! values and never a part of the SQL.
//!
//! [`Filter::matches`] decides the same about a row that was read. `sqlite/tests/listing.rs` compares both.

use std::ops::Range;

use rusqlite::{Connection, ToSql};

use super::rows::{message_number, millis};
use crate::DeliveryId;
use crate::claim::SHIFT;
use crate::query::{About, AnswerPolicy, Filter, HeldBy, Phase, QueryContext, RowCondition, RowState};

/// The parameters of a statement, in the order of their numbers.
#[derive(Default)]
pub(super) struct BoundValues(Vec<Box<dyn ToSql>>);

impl BoundValues {
    pub(super) fn bind(&mut self, text: &str) -> String {
        self.0.push(Box::new(text.to_owned()));
        format!("?{}", self.0.len() + 2)
    }
}

/// Returns the SQL for phases, states first: states have indexes and exclude most rows.
fn phases_sql(phases: &[Phase], context: &QueryContext) -> String {
    let mut states: Vec<i64> =
        phases.iter().flat_map(|phase| phase.states()).map(|state| *state as i64).collect();
    states.sort_unstable();
    states.dedup();
    let list = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let phases = phases.iter().map(|phase| *phase as i64).collect();
    format!("d.state IN ({}) AND {} IN ({})", list(states), context.phase_sql(), list(phases))
}

impl RowCondition<'_> {
    fn sql(self, values: &mut BoundValues) -> String {
        let among = |column: &str, numbers: Vec<i64>| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{column} IN ({})", numbers.join(", "))
        };
        match self {
            Self::Ids(ids) => among("d.id", ids.iter().map(|id| id.row()).collect()),
            Self::Event(number) => About::Event(number).sql(values),
            Self::Rule(rule) => format!("d.rule = {}", values.bind(rule)),
            Self::Action(action) => format!("d.action = {}", values.bind(action)),
            Self::States(states) => among("d.state", states.iter().map(|state| *state as i64).collect()),
            Self::Phases(phases, context) => phases_sql(phases, context),
            Self::HeldBy(by) => {
                let is_guarded = i64::from(by == HeldBy::Guard);
                format!("d.state = {} AND d.guarded = {is_guarded}", RowState::Held as i64)
            }
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
}

impl Filter {
    pub(super) fn span(&self, connection: &Connection) -> rusqlite::Result<Range<i64>> {
        let event = match (self.event, &self.about[..]) {
            (Some(event), _) | (None, &[About::Event(event)]) => event,
            (None, _) => return Ok(0..i64::MAX),
        };
        let event = i64::try_from(event).unwrap_or(i64::MAX >> SHIFT);
        let next: Option<i64> =
            connection.query_row("SELECT min(id) FROM event WHERE id > ?", [event], |row| row.get(0))?;
        Ok(DeliveryId::from_event(event, 0).row()
            ..next.map_or(i64::MAX, |next| DeliveryId::from_event(next, 0).row()))
    }

    /// Returns the tables that the conditions read: a search that needs no event is faster without.
    pub(super) fn tables(&self) -> &'static str {
        let reads_event = |condition: RowCondition<'_>| {
            matches!(condition, RowCondition::EventType(_) | RowCondition::Since(_) | RowCondition::Until(_))
        };
        match self.conditions().into_iter().any(reads_event) {
            true => "delivery d JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16)",
            false => "delivery d",
        }
    }

    pub(super) fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut values = BoundValues::default();
        let conditions = self.conditions().into_iter();
        let sql = conditions.map(|condition| format!(" AND {}", condition.sql(&mut values))).collect();
        (sql, values.0)
    }
}

impl About {
    pub(super) fn sql(&self, values: &mut BoundValues) -> String {
        match self {
            Self::Delivery(id) => format!("d.id = {}", id.row()),
            Self::Event(number) => {
                let event = i64::try_from(*number).unwrap_or(i64::MAX >> 17);
                let first = DeliveryId::from_event(event, 0).row();
                // An event of more than 65536 deliveries has several numbers.
                let next = format!("(SELECT min(id) << 16 FROM event WHERE id > {event})");
                let known = format!("EXISTS (SELECT 1 FROM event WHERE id = {event})");
                format!("(d.id >= {first} AND d.id < coalesce({next}, {}) AND {known})", i64::MAX)
            }
            Self::Resource(name) => resource_sql(&values.bind(name)),
            Self::Named(name) => {
                let id = values.bind(name);
                let (resource, number) = (resource_sql(&id), message_number(name));
                format!(
                    "({resource} OR d.message = {number} \
                     OR d.message IS NULL AND EXISTS (SELECT 1 FROM event m WHERE m.id = {OF_ROW} AND m.message_id = {id}))"
                )
            }
        }
    }
}

impl AnswerPolicy {
    pub(super) fn sql(&self, values: &mut BoundValues) -> String {
        let text = match self {
            Self::Status(_) => String::new(),
            Self::Text(text) => values.bind(&text.to_lowercase()),
        };
        let holds = |column: &str| match self {
            // As `AnswerPolicy::statuses` reads them.
            Self::Status(status) => {
                let status = status.replace('x', "[0-9]");
                let at = format!("instr({column}, 'status ')");
                format!(
                    "CASE {at} WHEN 0 THEN {column} || '; ' GLOB '*: {status}; *' \
                     ELSE instr(': ' || {column}, ': status ') = {at} \
                     AND substr({column}, {at} + 7, 3) GLOB '{status}' END"
                )
            }
            Self::Text(_) => format!("instr(lower({column}), {text}) > 0"),
        };
        format!(
            "({} OR d.tries > 0 AND EXISTS (SELECT 1 FROM attempt a WHERE a.delivery = d.id AND {}))",
            holds("coalesce(d.reason, '')"),
            holds("a.answer")
        )
    }
}

const OF_ROW: &str = "(SELECT max(id) FROM event WHERE id <= d.id >> 16)";

fn resource_sql(name: &str) -> String {
    let same = |column: &str| format!("d.{column} = {name} COLLATE NOCASE");
    format!("({} OR {} OR {})", same("key"), same("resource_id"), same("resource_name"))
}
