//! Deliveries that are not done, counted by phase, action, and cause: one group for one thing to do.
//!
//! A store reads the groups in one pass, for each action from one [`GroupPlace`] after the other, so that many deliveries
//! of one action do not hide the few of another. Of each place a bounded number of deliveries is compared, in the order
//! of the place's index: the newest, or those whose retry is due first. The counts of a place with more deliveries are
//! lower bounds, and the newest of its deliveries may be missing where retries are due later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::{DeliveryListRow, Filter, Phase, PhaseCount, RowState, Tally, count_rows};
use crate::DeliveryId;

/// The deliveries that an answer has of each group, the newest.
const SHOWN: usize = 10;
/// The most deliveries of one place that are compared.
const MOST_COMPARED: u64 = 10_000;

/// Deliveries that wait for one and the same thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseGroup {
    pub phase: Phase,
    /// The reason or the last answer, without the names of the delivery's own resource.
    pub cause: String,
    pub count: u64,
    /// Whether the count is a lower bound, because there are deliveries that were not compared.
    pub has_more: bool,
    /// The newest of the compared deliveries, newest first.
    pub newest: Vec<DeliveryListRow>,
}

/// A part of an action's deliveries that an index of the store can list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPlace {
    pub state: RowState,
    phases: &'static [Phase],
    /// The deliveries in SQL, on rows `d`; state numbers are the same in every store.
    pub condition: &'static str,
    pub order: GroupOrder,
}

/// The order of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupOrder {
    Newest,
    Due,
}

const PLACES: [GroupPlace; 5] = [
    place(RowState::Dead, &[Phase::Dead], "d.state = 3", GroupOrder::Newest),
    place(RowState::Held, &[Phase::ForRelease], "d.state = 2", GroupOrder::Newest),
    place(RowState::Waiting, &[Phase::Waiting], "d.state = 0", GroupOrder::Newest),
    place(RowState::Ready, &[Phase::Ready], "d.state = 1 AND d.due = 0", GroupOrder::Newest),
    place(RowState::Ready, &[Phase::Ready, Phase::Retrying], "d.state = 1 AND d.due > 0", GroupOrder::Due),
];

const fn place(
    state: RowState,
    phases: &'static [Phase],
    condition: &'static str,
    order: GroupOrder,
) -> GroupPlace {
    GroupPlace { state, phases, condition, order }
}

impl Filter {
    /// Returns the places with deliveries that may match, each with its action. Running deliveries, which are few and
    /// known by number, are in none.
    #[must_use]
    pub(crate) fn places<'a>(&self, tally: &'a [Tally]) -> Vec<(GroupPlace, &'a str)> {
        let is_meant = |place: &GroupPlace, action: &str| {
            let phases: &[Phase] = match place.state.is_open() && !self.context.is_configured(action) {
                true => &[Phase::Orphaned],
                false => place.phases,
            };
            self.action.as_ref().is_none_or(|asked| asked == action)
                && (self.states.is_empty() || self.states.contains(&place.state))
                && (self.phases.is_empty() || phases.iter().any(|phase| self.phases.contains(phase)))
        };
        let mut places = Vec::new();
        for of in tally.iter().filter(|of| of.count > 0) {
            let meant =
                PLACES.into_iter().filter(|place| place.state == of.state && is_meant(place, &of.action));
            places.extend(meant.map(|place| (place, &*of.action)));
        }
        places
    }
}

/// The part of a row that tells its cause.
#[derive(Clone, Debug)]
pub(crate) struct ComparedRow {
    pub id: DeliveryId,
    pub phase: Phase,
    pub action: String,
    pub answer: Option<String>,
    /// Names of the delivery's own resource, which are no part of a cause.
    pub own: [Option<String>; 3],
}

impl ComparedRow {
    fn cause(&self) -> String {
        let mut text = self.answer.clone().unwrap_or_default();
        for own in self.own.iter().flatten().filter(|own| own.len() > 2) {
            if text.contains(&**own) {
                text = text.replace(&**own, "#");
            }
        }
        text
    }
}

/// A group while rows are compared.
#[derive(Debug, Default)]
struct CountedGroup {
    count: u64,
    has_more: bool,
    newest: Vec<DeliveryId>,
}

/// The groups by phase, action, and cause.
#[derive(Debug, Default)]
pub(crate) struct CauseTally(BTreeMap<(Phase, String, String), CountedGroup>);

impl CauseTally {
    /// Returns the number of deliveries that a store reads from a place: the last one shows that there are more.
    #[must_use]
    pub(crate) fn limit(most: u64) -> u32 {
        u32::try_from(most.min(MOST_COMPARED)).map_or(u32::MAX, |most| most.saturating_add(1))
    }

    pub(crate) fn add(&mut self, rows: Vec<ComparedRow>, limit: u32) {
        let has_more = rows.len() >= limit as usize;
        for row in rows.into_iter().take(limit as usize - 1) {
            self.add_row(row, has_more);
        }
    }

    fn add_row(&mut self, row: ComparedRow, has_more: bool) {
        let cause = row.cause();
        let group = self.0.entry((row.phase, row.action, cause)).or_default();
        group.count += 1;
        group.has_more |= has_more;
        let place = group.newest.partition_point(|known| *known > row.id);
        if place < SHOWN {
            group.newest.insert(place, row.id);
            group.newest.truncate(SHOWN);
        }
    }

    #[must_use]
    pub(crate) fn shown(&self) -> Vec<DeliveryId> {
        self.0.values().flat_map(|group| group.newest.iter().copied()).collect()
    }

    /// Returns the groups with the rows of [`shown`](Self::shown), those that wait for an operator first.
    #[must_use]
    pub(crate) fn groups(self, rows: Vec<DeliveryListRow>) -> Vec<CauseGroup> {
        let mut rows: HashMap<DeliveryId, DeliveryListRow> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        let group = |((phase, _, cause), group): ((Phase, String, String), CountedGroup)| {
            let CountedGroup { count, has_more, newest } = group;
            let newest = newest.iter().filter_map(|id| rows.remove(id)).collect();
            CauseGroup { phase, cause, count, has_more, newest }
        };
        let mut groups: Vec<CauseGroup> = self.0.into_iter().map(group).collect();
        let urgency = |phase| Phase::BY_URGENCY.iter().position(|known| *known == phase);
        groups.sort_by_key(|group| (urgency(group.phase), Reverse(group.newest.first().map(|row| row.id))));
        groups
    }
}

/// Returns the groups of rows that are all in memory, and the counts of all that match; `misses_dead` if there are
/// dead letters that were not read.
#[must_use]
pub fn groups_of(
    mut rows: Vec<DeliveryListRow>,
    filter: &Filter,
    misses_dead: bool,
) -> (Vec<CauseGroup>, Vec<PhaseCount>) {
    let mut tally = CauseTally::default();
    rows.retain(|row| filter.matches(row));
    let counts = count_rows(&rows, &filter.context);
    for row in rows.iter().filter(|row| row.state <= RowState::Dead) {
        let compared = ComparedRow {
            id: row.id,
            phase: row.phase(&filter.context),
            action: row.action.clone(),
            answer: row.reason.clone().or_else(|| row.last_answer.clone()),
            own: [row.resource_id.clone(), row.resource_name.clone(), row.key.clone()],
        };
        tally.add_row(compared, misses_dead && row.state == RowState::Dead);
    }
    (tally.groups(rows), counts)
}
