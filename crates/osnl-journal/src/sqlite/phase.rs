//! [`Phase`] and the need for attention as SQL, which decides as [`Phase::of_row`] does.

use rusqlite::Connection;

use super::rows::hex_text;
use crate::query::{Moment, Phase, RowState};

impl Moment {
    fn orphaned(&self) -> String {
        let Some(known) = &self.configured else { return "0".to_owned() };
        let known: Vec<String> = known.iter().map(|name| hex_text(name)).collect();
        format!("d.action NOT IN ({})", known.join(", "))
    }

    pub(super) fn running_sql(&self) -> String {
        let running: Vec<String> = self.running.iter().map(|id| id.row().to_string()).collect();
        format!("d.id IN ({})", running.join(", "))
    }

    pub(super) fn phase_sql(&self) -> String {
        let phase = |phase: Phase| phase as i64;
        format!(
            "CASE WHEN d.state <= 2 AND {orphaned} THEN {} WHEN d.state = 0 THEN {} \
             WHEN d.state = 1 AND {running} THEN {} WHEN d.state = 1 AND d.due > 0 AND d.tries > 0 THEN {} \
             WHEN d.state = 1 THEN {} WHEN d.state = 2 AND d.guarded THEN {} WHEN d.state = 2 THEN {} \
             WHEN d.state = 3 THEN {} WHEN d.state = 4 THEN {} WHEN d.state = 5 THEN {} WHEN d.state = 6 THEN {} \
             ELSE {} END",
            phase(Phase::Orphaned),
            phase(Phase::Waiting),
            phase(Phase::Running),
            phase(Phase::Retrying),
            phase(Phase::Ready),
            phase(Phase::HeldByGuard),
            phase(Phase::HeldAfterCrashes),
            phase(Phase::Dead),
            phase(Phase::Delivered),
            phase(Phase::NoActionNeeded),
            phase(Phase::Discarded),
            phase(Phase::Shadow),
            orphaned = self.orphaned(),
            running = self.running_sql(),
        )
    }

    /// SQL for whether a row `d` needs an operator's attention, or soon will: dead, held, orphaned, retrying.
    pub(super) fn attention_sql(&self) -> String {
        format!(
            // The sign prevents an index for each part, whose rows would all be sorted.
            "+(d.state IN (2, 3) OR d.state = 1 AND d.due > 0 AND d.tries > 0 OR d.state <= 2 AND {})",
            self.orphaned()
        )
    }

    /// SQL for the same rows by indexes; `orphans` is from [`orphan_states`](Self::orphan_states).
    pub(super) fn attention_ids_sql(&self, orphans: &[RowState]) -> String {
        self.attention_parts(orphans).join(" UNION ALL ")
    }

    pub(super) fn newest_attention_sql(&self, orphans: &[RowState], before: i64, limit: u32) -> String {
        let newest = |part: String| {
            format!("SELECT id FROM ({part} AND d.id < {before} ORDER BY d.id DESC LIMIT {limit})")
        };
        self.attention_parts(orphans).into_iter().map(newest).collect::<Vec<_>>().join(" UNION ALL ")
    }

    fn attention_parts(&self, orphans: &[RowState]) -> Vec<String> {
        let part = |index: &str, condition: &str| {
            let by = if index.is_empty() { String::new() } else { format!(" INDEXED BY {index}") };
            format!("SELECT d.id FROM delivery d{by} WHERE {condition}")
        };
        let orphans = orphans.iter().filter_map(|state| {
            let index = match state {
                RowState::Ready => "delivery_ready",
                RowState::Waiting => "",
                // All deliveries in these states need attention anyway.
                _ => return None,
            };
            Some(part(index, &format!("d.state = {} AND {}", *state as i64, self.orphaned())))
        });
        let all = [
            part("delivery_dead_newest", "d.state = 3"),
            part("delivery_held", "d.state = 2"),
            part("delivery_retrying", "d.state = 1 AND d.due > 0 AND d.tries > 0"),
        ];
        all.into_iter().chain(orphans).collect()
    }

    /// Returns the open states of deliveries whose actions are missing, by the counts.
    pub(super) fn orphan_states(&self, connection: &Connection) -> rusqlite::Result<Vec<RowState>> {
        if self.configured.is_none() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT DISTINCT d.state FROM tally d WHERE d.count > 0 AND d.state <= 2 AND {}",
            self.orphaned()
        );
        connection.prepare(&sql)?.query_map([], |row| row.get(0))?.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeliveryId;

    #[test]
    fn sql_and_code_agree_on_every_kind_of_row() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::prepare(&mut connection).unwrap();
        let event = "INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, \
                     routing_key, body) VALUES (1, 1, 1, 0, 1, 'l', 'q', 'e', 'k', '')";
        connection.execute_batch(event).unwrap();
        let mut id = DeliveryId::of(1, 0).row();
        for state in RowState::ALL {
            for (action, due, tries, guarded) in
                [("a", 0, 0, 0), ("a", 7, 0, 0), ("a", 7, 2, 1), ("it's", 0, 2, 1), ("gone", 7, 2, 0)]
            {
                let sql = "INSERT INTO delivery (id, rule, action, state, due, tries, guarded) \
                           VALUES (?1, 'r', ?2, ?3, ?4, ?5, ?6)";
                connection.execute(sql, (id, action, state, due, tries, guarded)).unwrap();
                id += 1;
            }
        }
        let all = super::super::reader::list(&connection, &Default::default(), &Default::default()).unwrap();
        let running = all.iter().filter(|row| row.id.0 % 3 == 0).map(|row| row.id).collect();
        let configured = Some(vec!["a".to_owned(), "it's".to_owned()]);
        let mut seen = std::collections::BTreeSet::new();
        for moment in [Moment::default(), Moment { running, configured }] {
            let ids = |condition: &str| -> Vec<i64> {
                let sql = format!("SELECT d.id FROM delivery d WHERE {condition} ORDER BY d.id");
                let mut select = connection.prepare(&sql).unwrap();
                select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            };
            let attention = ids(&moment.attention_sql());
            let orphans = [RowState::Waiting, RowState::Ready, RowState::Held];
            let orphans = if moment.configured.is_some() { &orphans[..] } else { &[] };
            assert_eq!(ids(&format!("d.id IN ({})", moment.attention_ids_sql(orphans))), attention);
            let newest: Vec<i64> = attention.iter().rev().take(3).rev().copied().collect();
            let found = ids(&format!("d.id IN ({})", moment.newest_attention_sql(orphans, i64::MAX, 3)));
            assert!(found.ends_with(&newest), "{found:?} {newest:?}");
            for row in &all {
                let sql = format!("SELECT {} FROM delivery d WHERE d.id = ?", moment.phase_sql());
                let number: i64 = connection.query_row(&sql, [row.id.row()], |row| row.get(0)).unwrap();
                let phase = Phase::of_row(row, &moment);
                assert_eq!(Phase::of_number(number), Some(phase), "{row:?}");
                assert!(phase.states().contains(&row.state), "{row:?}");
                assert_eq!(attention.contains(&row.id.row()), moment.needs_attention(row), "{row:?}");
                seen.insert(phase);
            }
        }
        assert_eq!(seen.len(), Phase::ALL.len() - 1, "all but arrived");
    }
}
