//! Counts the deliveries that a filter matches.

use std::collections::BTreeMap;

use rusqlite::{Result, ToSql, params};

use super::filter::Filter;
use super::phase::Phase;
use super::reader::Reader;
use super::rows::State;

/// The number of deliveries in one state of the file and one phase.
pub type PhaseCount = (State, Phase, u64);

impl Reader {
    /// Returns the number of matching deliveries in each state and phase. By action and state it is known, by phase
    /// looked up among those that are open; else they are counted.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count(&self, filter: &Filter) -> Result<Vec<PhaseCount>> {
        if filter.is_by_action_and_state() {
            return self.count_known(filter);
        }
        let (conditions, values) = filter.sql();
        let sql = format!(
            "SELECT d.state, {} AS phase, count(*) FROM delivery d \
             JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
             WHERE d.id > ?1 AND ?2 {conditions} GROUP BY d.state, phase",
            filter.moment.phase_sql()
        );
        let mut all: Vec<&dyn ToSql> = vec![&-1_i64, &true];
        all.extend(values.iter().map(|value| &**value));
        let mut select = self.0.prepare(&sql)?;
        let rows = select.query_map(&all[..], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?.unsigned_abs()))
        })?;
        let rows: Vec<(State, i64, u64)> = rows.collect::<Result<_>>()?;
        let named = |(state, phase, count)| Some((state, Phase::of_number(phase)?, count));
        Ok(rows.into_iter().filter_map(named).collect())
    }

    /// The tally, divided by the few rows that differ from what their state says.
    fn count_known(&self, filter: &Filter) -> Result<Vec<PhaseCount>> {
        let moment = &filter.moment;
        let mut counts: BTreeMap<(State, Phase), u64> = BTreeMap::new();
        for tally in self.tally()? {
            let is_of_action = filter.action.as_ref().is_none_or(|action| *action == tally.action);
            let is_of_state = filter.states.is_empty() || filter.states.contains(&tally.state);
            if !is_of_action || !is_of_state {
                continue;
            }
            let mut left = tally.count;
            let mut add = |phase: Phase, count: u64| {
                let count = count.min(left);
                left -= count;
                *counts.entry((tally.state, phase)).or_default() += count;
            };
            let few = |condition: &str| -> Result<u64> {
                let sql = format!("SELECT count(*) FROM delivery d WHERE {condition} AND d.action = ?1");
                let mut select = self.0.prepare_cached(&sql)?;
                select.query_row(params![tally.action], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
            };
            if tally.state.is_open() && !moment.is_configured(&tally.action) {
                add(Phase::Orphaned, u64::MAX);
            }
            match tally.state {
                State::Ready => {
                    let running = moment.running_sql();
                    add(Phase::Running, few(&format!("d.state = 1 AND {running}"))?);
                    let retrying = format!("d.state = 1 AND d.due > 0 AND d.tries > 0 AND NOT {running}");
                    add(Phase::Retrying, few(&retrying)?);
                    add(Phase::Ready, u64::MAX);
                }
                State::Held => {
                    add(Phase::HeldByGuard, few("d.state = 2 AND d.guarded")?);
                    add(Phase::Held, u64::MAX);
                }
                State::Waiting => add(Phase::Waiting, u64::MAX),
                State::Dead => add(Phase::Dead, u64::MAX),
                State::Delivered => add(Phase::Delivered, u64::MAX),
                State::NothingToDo => add(Phase::NoActionNeeded, u64::MAX),
                State::Discarded => add(Phase::Discarded, u64::MAX),
                State::Shadow => add(Phase::Shadow, u64::MAX),
            }
        }
        let is_asked = |phase: &Phase| filter.phases.is_empty() || filter.phases.contains(phase);
        let counts = counts.into_iter().filter(|((_, phase), count)| *count > 0 && is_asked(phase));
        Ok(counts.map(|((state, phase), count)| (state, phase, count)).collect())
    }
}
