//! [`Phase`] as SQL, which decides as `DeliveryListRow::phase` does.
//!
//! A file is searched by its indexes, a row that was read is judged by code. The tests here compare both.

use super::rows::hex_text;
use crate::query::{Phase, QueryContext};

impl QueryContext {
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
             WHEN d.state = 1 THEN {} WHEN d.state = 2 THEN {} \
             WHEN d.state = 3 THEN {} WHEN d.state = 4 THEN {} WHEN d.state = 5 THEN {} WHEN d.state = 6 THEN {} \
             ELSE {} END",
            phase(Phase::Orphaned),
            phase(Phase::Waiting),
            phase(Phase::Running),
            phase(Phase::Retrying),
            phase(Phase::Ready),
            phase(Phase::ForRelease),
            phase(Phase::Dead),
            phase(Phase::Delivered),
            phase(Phase::NoActionNeeded),
            phase(Phase::Discarded),
            phase(Phase::Shadow),
            orphaned = self.orphaned(),
            running = self.running_sql(),
        )
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::DeliveryId;
    use crate::query::RowState;

    #[test]
    fn sql_and_code_agree_on_every_kind_of_row() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::prepare(&mut connection).unwrap();
        let event = "INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, \
                     routing_key, body) VALUES (1, 1, 1, 0, 1, 'l', 'q', 'e', 'k', '')";
        connection.execute_batch(event).unwrap();
        let mut id = DeliveryId::from_event(1, 0).row();
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
        for context in [QueryContext::default(), QueryContext { running, configured }] {
            for row in &all {
                let sql = format!("SELECT {} FROM delivery d WHERE d.id = ?", context.phase_sql());
                let number: i64 = connection.query_row(&sql, [row.id.row()], |row| row.get(0)).unwrap();
                let phase = row.phase(&context);
                assert_eq!(Phase::from_number(number), Some(phase), "{row:?}");
                assert!(phase.states().contains(&row.state), "{row:?}");
                seen.insert(phase);
            }
        }
        assert_eq!(seen.len(), Phase::ALL.len());
    }
}
