//! Counts the deliveries that a filter matches.

use rusqlite::{Result, ToSql};

use super::filter::Filter;
use super::reader::Reader;
use super::rows::State;

impl Reader {
    /// Returns the number of matching deliveries in each state. By action and state it is known; else they are
    /// counted.
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
