//! The words for the state of a delivery, defined only here and used by screens, JSON, filters, and the
//! glossary.
//!
//! A [`RowState`] is a number of the file. A phase combines that number with facts of the moment: whether an
//! attempt runs or has failed, and whether the action is configured. SQL and [`Phase::of_row`] decide alike.

use rusqlite::Connection;

use super::records::DeliveryListRow;
use super::rows::{RowState, hex_text};
use crate::{DeliveryId, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Kept, and not yet in a lane. Only a shared journal has this phase.
    Arrived,
    /// First of its resource, without a failed attempt.
    Ready,
    Running,
    Retrying,
    /// Behind another delivery of its resource.
    Waiting,
    /// Held by a guard until an operator releases or discards it.
    HeldByGuard,
    /// Held because osnl ended unexpectedly three times during its attempts.
    HeldAfterCrashes,
    /// Open, and its action is not configured.
    Orphaned,
    Dead,
    Delivered,
    NoActionNeeded,
    /// Decided by a rule in shadow mode; nothing was called.
    Shadow,
    Discarded,
}

impl Phase {
    pub const ALL: [Self; 13] = [
        Self::Arrived,
        Self::Ready,
        Self::Running,
        Self::Retrying,
        Self::Waiting,
        Self::HeldByGuard,
        Self::HeldAfterCrashes,
        Self::Orphaned,
        Self::Dead,
        Self::Delivered,
        Self::NoActionNeeded,
        Self::Shadow,
        Self::Discarded,
    ];

    pub const GROUPS: [(&'static str, &'static [Self]); 4] = [
        (
            "pending",
            &[Self::Arrived, Self::Ready, Self::Running, Self::Retrying, Self::Waiting, Self::Orphaned],
        ),
        (
            "open",
            &[
                Self::Arrived,
                Self::Ready,
                Self::Running,
                Self::Retrying,
                Self::Waiting,
                Self::HeldByGuard,
                Self::HeldAfterCrashes,
                Self::Orphaned,
            ],
        ),
        ("held", &[Self::HeldByGuard, Self::HeldAfterCrashes]),
        ("done", &[Self::Delivered, Self::NoActionNeeded, Self::Shadow]),
    ];

    pub const NAMES: [&'static str; 17] = [
        "arrived",
        "ready",
        "running",
        "retrying",
        "waiting",
        "held-by-guard",
        "held-after-crashes",
        "orphaned",
        "dead",
        "delivered",
        "no-action-needed",
        "shadow",
        "discarded",
        "pending",
        "held",
        "open",
        "done",
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::HeldByGuard => "held by guard",
            Self::HeldAfterCrashes => "held after crashes",
            Self::Orphaned => "orphaned",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
            Self::NoActionNeeded => "no action needed",
            Self::Shadow => "shadow",
            Self::Discarded => "discarded",
        }
    }

    /// Returns the phases of a name: a word, with blanks or hyphens, or a group.
    #[must_use]
    pub fn named(name: &str) -> Option<Vec<Self>> {
        let name = name.trim().to_ascii_lowercase();
        if let Some((_, group)) = Self::GROUPS.into_iter().find(|(group, _)| *group == name) {
            return Some(group.to_vec());
        }
        let name = name.replace(['-', '_'], " ");
        Self::ALL.into_iter().find(|phase| phase.word() == name).map(|phase| vec![phase])
    }

    #[must_use]
    pub fn of_row(row: &DeliveryListRow, moment: &Moment) -> Self {
        if row.state.is_open() && !moment.is_configured(&row.action) {
            return Self::Orphaned;
        }
        match Self::of_state(row.state) {
            _ if row.is_arrived => Self::Arrived,
            Self::Ready if moment.running.contains(&row.id) => Self::Running,
            Self::Ready if row.due.is_some() && row.tries > 0 => Self::Retrying,
            Self::HeldAfterCrashes if row.is_guarded => Self::HeldByGuard,
            phase => phase,
        }
    }

    /// Returns the word for a state alone; `held` covers both phases of this name.
    #[must_use]
    pub fn word_of(state: RowState) -> &'static str {
        match state {
            RowState::Held => "held",
            other => Self::of_state(other).word(),
        }
    }

    fn of_state(state: RowState) -> Self {
        match state {
            RowState::Waiting => Self::Waiting,
            RowState::Ready => Self::Ready,
            RowState::Held => Self::HeldAfterCrashes,
            RowState::Dead => Self::Dead,
            RowState::Delivered => Self::Delivered,
            RowState::NothingToDo => Self::NoActionNeeded,
            RowState::Discarded => Self::Discarded,
            RowState::Shadow => Self::Shadow,
        }
    }

    #[must_use]
    pub fn after(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::NothingToDo => Self::NoActionNeeded,
            Outcome::Dead(_) | Outcome::DeadHoldingKey(_) => Self::Dead,
            Outcome::Returned => Self::Ready,
        }
    }

    pub(super) fn states(self) -> &'static [RowState] {
        match self {
            Self::Arrived => &[],
            Self::Ready | Self::Running | Self::Retrying => &[RowState::Ready],
            Self::Waiting => &[RowState::Waiting],
            Self::HeldByGuard | Self::HeldAfterCrashes => &[RowState::Held],
            Self::Orphaned => &[RowState::Waiting, RowState::Ready, RowState::Held],
            Self::Dead => &[RowState::Dead],
            Self::Delivered => &[RowState::Delivered],
            Self::NoActionNeeded => &[RowState::NothingToDo],
            Self::Shadow => &[RowState::Shadow],
            Self::Discarded => &[RowState::Discarded],
        }
    }

    pub(super) fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase as i64 == number)
    }
}

/// The facts about deliveries that only the daemon has, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub running: Vec<DeliveryId>,
    pub configured: Option<Vec<String>>,
}

impl Moment {
    pub(super) fn is_configured(&self, action: &str) -> bool {
        self.configured.as_ref().is_none_or(|known| known.iter().any(|known| known == action))
    }

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

    /// Whether the row needs attention, by the rule of [`attention_sql`](Self::attention_sql).
    pub(super) fn needs_attention(&self, row: &DeliveryListRow) -> bool {
        match Phase::of_row(row, self) {
            Phase::Dead
            | Phase::HeldAfterCrashes
            | Phase::HeldByGuard
            | Phase::Orphaned
            | Phase::Retrying => true,
            Phase::Running => row.due.is_some() && row.tries > 0,
            Phase::Arrived
            | Phase::Ready
            | Phase::Waiting
            | Phase::Delivered
            | Phase::NoActionNeeded
            | Phase::Shadow
            | Phase::Discarded => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_each_word_is_understood() {
        let check = |name: &str, expected: &[Phase]| {
            assert_eq!(Phase::named(name).as_deref(), Some(expected), "{name}");
        };
        for phase in Phase::ALL {
            check(phase.word(), &[phase]);
        }
        check("no-action-needed", &[Phase::NoActionNeeded]);
        check("Held_By_Guard", &[Phase::HeldByGuard]);
        check("held", &[Phase::HeldByGuard, Phase::HeldAfterCrashes]);
        for state in RowState::ALL {
            let phases = Phase::named(Phase::word_of(state)).unwrap_or_default();
            assert!(phases.iter().any(|phase| phase.states().contains(&state)), "{state:?}");
        }
        let pending = Phase::named("pending").unwrap();
        assert!(pending.contains(&Phase::Retrying) && !pending.contains(&Phase::HeldAfterCrashes));
        assert_eq!(Phase::named("dedd"), None);
        for phase in Phase::ALL {
            assert!(Phase::NAMES.contains(&phase.word().replace(' ', "-").as_str()), "{phase:?}");
        }
        for name in Phase::NAMES {
            assert!(Phase::named(name).is_some(), "{name}");
        }
    }

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
