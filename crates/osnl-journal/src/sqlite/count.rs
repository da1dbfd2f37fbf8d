use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{Result, ToSql, params};

use super::blocks::BlockNeeds;
use super::reader::{SqliteReader, parts};
use crate::query::{BoundedCount, Filter, Phase, PhaseCount, RowState, counted_phases};

impl SqliteReader {
    /// Returns the number of matches in each state and phase. Counts by action and state are kept, counts by
    /// phase need only open deliveries; other filters count rows.
    pub fn count(&self, filter: &Filter) -> Result<Vec<PhaseCount>> {
        self.count_newest(filter, u64::MAX).map(|(counts, _)| counts)
    }

    pub(crate) fn count_newest(&self, filter: &Filter, most: u64) -> Result<BoundedCount> {
        self.count_in(
            filter,
            most,
            &parts(&self.0, filter, &BlockNeeds::from_conditions(filter.conditions()))?,
        )
    }

    pub(super) fn count_in(&self, filter: &Filter, most: u64, parts: &[Range<i64>]) -> Result<BoundedCount> {
        if filter.is_by_action_and_state() {
            return Ok((self.count_known(filter)?, false));
        }
        let (conditions, values) = filter.sql();
        let sql = format!(
            "SELECT state, phase, count(*) FROM (SELECT d.state AS state, {} AS phase FROM {} \
             WHERE d.id >= ?1 AND d.id < ?2 {conditions} ORDER BY d.id DESC LIMIT ?{}) GROUP BY state, phase",
            filter.context.phase_sql(),
            filter.tables(),
            values.len() + 3,
        );
        let mut select = self.0.prepare(&sql)?;
        let mut counts: BTreeMap<(RowState, Phase), u64> = BTreeMap::new();
        let mut left = i64::try_from(most).unwrap_or(i64::MAX);
        for part in parts.iter().rev() {
            let mut all: Vec<&dyn ToSql> = vec![&part.start, &part.end];
            all.extend(values.iter().map(|value| &**value));
            // One row above the bound shows that there are more.
            let limit = left.saturating_add(1);
            all.push(&limit);
            let mut rows = select.query(&all[..])?;
            while let Some(row) = rows.next()? {
                let (state, count): (RowState, i64) = (row.get(0)?, row.get(2)?);
                if let Some(phase) = Phase::from_number(row.get(1)?) {
                    let counted = count.min(left);
                    *counts.entry((state, phase)).or_default() += counted.unsigned_abs();
                    left -= counted;
                    if counted < count {
                        return Ok((counted_phases(counts), true));
                    }
                }
            }
        }
        Ok((counted_phases(counts), false))
    }

    fn count_known(&self, filter: &Filter) -> Result<Vec<PhaseCount>> {
        let context = &filter.context;
        let mut counts: BTreeMap<(RowState, Phase), u64> = BTreeMap::new();
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
            let count_where = |condition: &str| -> Result<u64> {
                let sql = format!("SELECT count(*) FROM delivery d WHERE {condition} AND d.action = ?1");
                let mut select = self.0.prepare_cached(&sql)?;
                select.query_row(params![tally.action], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
            };
            if tally.state.is_open() && !context.is_configured(&tally.action) {
                add(Phase::Orphaned, u64::MAX);
            }
            match tally.state {
                RowState::Ready => {
                    let running = context.running_sql();
                    add(Phase::Running, count_where(&format!("d.state = 1 AND {running}"))?);
                    let retrying = format!("d.state = 1 AND d.due > 0 AND d.tries > 0 AND NOT {running}");
                    add(Phase::Retrying, count_where(&retrying)?);
                    add(Phase::Ready, u64::MAX);
                }
                RowState::Held => add(Phase::ForRelease, u64::MAX),
                RowState::Waiting => add(Phase::Waiting, u64::MAX),
                RowState::Dead => add(Phase::Dead, u64::MAX),
                RowState::Delivered => add(Phase::Delivered, u64::MAX),
                RowState::NothingToDo => add(Phase::NoActionNeeded, u64::MAX),
                RowState::Discarded => add(Phase::Discarded, u64::MAX),
                RowState::Shadow => add(Phase::Shadow, u64::MAX),
            }
        }
        let is_asked = |phase: &Phase| filter.phases.is_empty() || filter.phases.contains(phase);
        counts.retain(|(_, phase), _| is_asked(phase));
        Ok(counted_phases(counts))
    }
}
