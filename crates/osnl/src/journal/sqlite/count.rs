//! How many deliveries a filter matches.

use rusqlite::{Result, ToSql};

use super::reader::{Filter, Reader, Row};
use super::rows::State;

impl Reader {
    /// How many there are in each state. By action and state it is known; else they are counted.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count(&self, filter: &Filter) -> Result<Vec<(State, u64)>> {
        if filter.is_by_action_and_state() {
            let wanted = |tally: &super::Tally| {
                filter.action.as_ref().is_none_or(|action| *action == tally.action)
                    && (filter.states.is_empty() || filter.states.contains(&tally.state))
            };
            return Ok(self.tally()?.into_iter().filter(wanted).map(|t| (t.state, t.count)).collect());
        }
        let (conditions, values) = filter.sql();
        let sql = format!(
            "SELECT d.state, count(*) FROM delivery d \
             JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
             WHERE d.id > ?1 AND ?2 {conditions} GROUP BY d.state"
        );
        let mut all: Vec<&dyn ToSql> = vec![&-1_i64, &true];
        all.extend(values.iter().map(|value| &**value));
        let mut select = self.0.prepare(&sql)?;
        let rows =
            select.query_map(&all[..], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        rows.collect()
    }
}

impl Filter {
    fn is_by_action_and_state(&self) -> bool {
        let Self { after, ids, event, rule, action: _, states: _, key, event_type, since, until } = self;
        let texts = [rule, key, event_type].into_iter().all(Option::is_none);
        let times = [since, until].into_iter().all(Option::is_none);
        texts && times && after.is_none() && ids.is_empty() && event.is_none()
    }

    /// Whether it lets a row through; an event's number means what it does in a file only.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        let Self { after, ids, event, rule, action, states, key, event_type, since, until } = self;
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        after.is_none_or(|after| row.id > after)
            && (ids.is_empty() || ids.contains(&row.id))
            && event.is_none_or(|event| row.id.0 >> 16 == event)
            && same(rule, Some(&row.rule))
            && same(action, Some(&row.action))
            && (states.is_empty() || states.contains(&row.state))
            && same(key, row.key.as_deref())
            && same(event_type, row.event_type.as_deref())
            && since.is_none_or(|since| row.received >= since)
            && until.is_none_or(|until| row.received < until)
    }
}
