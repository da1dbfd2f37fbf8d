//! The groups of deliveries that are not done, and the causes for which deliveries are held.

use std::ops::Range;

use osnl_core::rule::GuardName;
use rusqlite::{Result, ToSql};

use super::super::blocks::BlockNeeds;
use super::super::rows::{delivery_id, from_millis, hex_text, is};
use super::SqliteReader;
use super::listing::{LAST_ANSWER, list, parts};
use crate::query::{
    BoundedCount, CauseGroup, CauseTally, ComparedRow, Filter, GroupOrder, HeldBy, HeldCause, ListPage,
    Phase, RowOrder, RowState,
};

impl SqliteReader {
    pub fn groups(&self, filter: &Filter, most: u64) -> Result<(Vec<CauseGroup>, BoundedCount)> {
        let _snapshot = self.0.unchecked_transaction()?;
        let parts = parts(&self.0, filter, &BlockNeeds::from_conditions(filter.conditions()))?;
        let (tally, mut groups, limit) = (self.tally()?, CauseTally::default(), CauseTally::limit(most));
        let running = filter.context.running_sql();
        let of_running = format!("d.state = 1 AND {running}");
        groups.add(self.compared(filter, &of_running, GroupOrder::Newest, &parts, u32::MAX)?, u32::MAX);
        let held = self.held_causes()?;
        for (place, action) in filter.places(&tally) {
            let filter = Filter { action: Some(action.to_owned()), ..filter.clone() };
            let mut add = |more: &str| -> Result<()> {
                let condition = format!("{}{more}", place.condition);
                groups.add(self.compared(&filter, &condition, place.order, &parts, limit)?, limit);
                Ok(())
            };
            match place.state {
                // The index has the deliveries of each reason by themselves.
                RowState::Held => {
                    for HeldCause { reason, .. } in held.iter().filter(|of| of.action == action) {
                        let reason = reason.as_deref().map_or("NULL".to_owned(), hex_text);
                        add(&format!(" AND d.reason IS {reason}"))?;
                    }
                }
                RowState::Ready => add(&format!(" AND NOT {running}"))?,
                _ => add("")?,
            }
        }
        let (ids, mut rows) = (groups.shown(), Vec::new());
        if !ids.is_empty() {
            let filter = Filter { ids, ..Filter::default() };
            let page = ListPage { order: RowOrder::Newest, after: None, limit: u32::MAX };
            rows = list(&self.0, &filter, &page)?;
        }
        Ok((groups.groups(rows), self.count_in(filter, most, &parts)?))
    }

    fn compared(
        &self,
        filter: &Filter,
        condition: &str,
        order: GroupOrder,
        parts: &[Range<i64>],
        limit: u32,
    ) -> Result<Vec<ComparedRow>> {
        let whole = parts.first().zip(parts.last()).map(|(first, last)| first.start..last.end);
        let ranges = match order {
            GroupOrder::Newest => parts.iter().rev().cloned().collect(),
            // Each range would read the whole index.
            GroupOrder::Due => Vec::from_iter(whole),
        };
        let (sql, values) = statement(filter, condition, order);
        let mut select = self.0.prepare(&sql)?;
        let mut compared = Vec::new();
        for Range { start, end } in ranges {
            let left = limit.saturating_sub(u32::try_from(compared.len()).unwrap_or(limit));
            if left == 0 {
                break;
            }
            let mut all: Vec<&dyn ToSql> = vec![&start, &end];
            all.extend(values.iter().map(|value| &**value));
            all.push(&left);
            let mut rows = select.query(&all[..])?;
            while let Some(row) = rows.next()? {
                let Some(phase) = Phase::from_number(row.get(1)?) else { continue };
                compared.push(ComparedRow {
                    id: delivery_id(row.get(0)?),
                    phase,
                    action: row.get(2)?,
                    answer: row.get(3)?,
                    own: [row.get(4)?, row.get(5)?, row.get(6)?],
                });
            }
        }
        Ok(compared)
    }

    /// Counts the held deliveries by action and reason; an index alone has these.
    pub(crate) fn held_causes(&self) -> Result<Vec<HeldCause>> {
        let mut select = self.0.prepare(concat!(
            "SELECT h.action, h.reason, h.count, d.guarded, e.received, d.cause FROM \
             (SELECT action, reason, count(*) AS count, min(id) AS first FROM delivery WHERE ",
            is!(Held),
            " GROUP BY action, reason) h JOIN delivery d ON d.id = h.first \
             JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) ORDER BY d.id"
        ))?;
        let rows = select.query_map([], |row| {
            let by = HeldBy::from_guarded(row.get(3)?);
            let guard: Option<String> = row.get(5)?;
            Ok(HeldCause {
                action: row.get(0)?,
                reason: row.get(1)?,
                count: row.get::<_, i64>(2)?.unsigned_abs(),
                by,
                guard: guard
                    .filter(|_| by == HeldBy::Guard)
                    .and_then(|section| GuardName::from_section(&section)),
                since: from_millis(row.get(4)?),
            })
        })?;
        rows.collect()
    }
}

fn statement(filter: &Filter, condition: &str, order: GroupOrder) -> (String, Vec<Box<dyn ToSql>>) {
    let (conditions, values) = filter.sql();
    let order = match order {
        GroupOrder::Newest => "d.id DESC",
        GroupOrder::Due => "d.due",
    };
    let sql = format!(
        "SELECT d.id, {}, d.action, coalesce(d.reason, {LAST_ANSWER}), d.resource_id, d.resource_name, d.key \
         FROM {} WHERE {condition} AND d.id >= ?1 AND d.id < ?2 {conditions} ORDER BY {order} LIMIT ?{}",
        filter.context.phase_sql(),
        filter.tables(),
        values.len() + 3,
    );
    (sql, values)
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params_from_iter};

    use super::*;
    use crate::query::{AnswerPolicy, Tally};

    #[test]
    fn an_index_has_each_place_in_its_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::prepare(&mut connection).unwrap();
        let tally = RowState::ALL.map(|state| Tally { action: "a".to_owned(), state, count: 1 });
        let status = AnswerPolicy::status("404");
        for filter in [
            Filter::default(),
            Filter { rule: Some("r".to_owned()), status, ..Filter::default() },
            Filter { event_type: Some("e".to_owned()), phases: Phase::ALL.to_vec(), ..Filter::default() },
        ] {
            for (place, action) in filter.places(&tally) {
                let more = if place.state == RowState::Held { " AND d.reason IS NULL" } else { "" };
                let filter = Filter { action: Some(action.to_owned()), ..filter.clone() };
                let (sql, values) = statement(&filter, &format!("{}{more}", place.condition), place.order);
                let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let values = params_from_iter((0..values.len() + 3).map(|_| 1));
                let plan = select.query_map(values, |row| row.get::<_, String>(3)).unwrap();
                let plan = plan.map(Result::unwrap).collect::<Vec<_>>().join("; ");
                let index = match (place.state, place.order) {
                    (RowState::Held, _) => {
                        "INDEX delivery_held (action=? AND reason=? AND rowid>? AND rowid<?)"
                    }
                    (RowState::Ready, GroupOrder::Due) => "INDEX delivery_ready (action=? AND due>?)",
                    (RowState::Ready, _) => {
                        "INDEX delivery_ready (action=? AND due=? AND rowid>? AND rowid<?)"
                    }
                    _ => "INDEX delivery_stopped (state=? AND action=? AND rowid>? AND rowid<?)",
                };
                assert!(plan.contains(index), "{sql}\n{plan}");
                // Only the answers of one delivery are sorted.
                let sorts = plan.matches("TEMP B-TREE").count();
                assert!(!plan.contains("SCAN") && sorts == 1, "{sql}\n{plan}");
            }
        }
    }
}
