//! Groups the deliveries that are not done by action and cause, so that a screen has one row for one thing to do.

use std::collections::{BTreeMap, BTreeSet};

use super::super::refusal::RequestRefusal;
use super::super::words::short_answer;
use super::super::{Delivery, DeliveryGroup, DeliveryGroups, MOST_LISTED, StateTotals, Which};
use super::ControlHandler;
use super::deliveries::ListedPage;
use crate::journal::query::{Phase, RowOrder, RowState, Tally};

const SOME: usize = 10;
/// Deliveries that are read for the causes of many: the newest, and as many of the oldest.
const SEEN: u32 = 100;

impl DeliveryGroup {
    #[must_use]
    pub fn of(newest: Delivery) -> Self {
        Self { count: 1, has_more: false, newest, some: Vec::new(), is_mixed: false }
    }
}

impl ControlHandler {
    /// Returns the deliveries that are not done as groups. With `count_at_most` a number above it is not exact.
    pub async fn groups(
        &self,
        which: &Which,
        count_at_most: Option<u64>,
    ) -> Result<DeliveryGroups, RequestRefusal> {
        let facts = self.facts().await;
        let newest = async |which: &Which, limit: u32| {
            let page = ListedPage { order: RowOrder::Newest, after: None, limit };
            self.list_at(&facts, which, page, count_at_most).await
        };
        let totals = newest(which, 1).await?.totals;
        let asked: Vec<Phase> = which.states.iter().filter_map(|name| Phase::named(name)).flatten().collect();
        let mut groups = Vec::new();
        let is_asked = |phase: &Phase| *phase <= Phase::Dead && (asked.is_empty() || asked.contains(phase));
        for phase in Phase::BY_URGENCY.into_iter().filter(is_asked) {
            let of_phase = Which { states: vec![phase.word().to_owned()], ..which.clone() };
            let count = match totals.by_state.get(phase.word()).copied() {
                // A count that stopped may have missed the phase.
                _ if totals.more => newest(&of_phase, 1).await?.totals.all,
                count => count.unwrap_or_default(),
            };
            if count == 0 {
                continue;
            }
            if count < u64::from(MOST_LISTED) {
                groups.extend(folded(newest(&of_phase, MOST_LISTED).await?.deliveries));
                continue;
            }
            // A page of the newest could have hidden the few of another action.
            let actions: BTreeSet<String> = match &which.action {
                Some(action) => BTreeSet::from([action.clone()]),
                None => {
                    let kept = self.kept_in_time().await?;
                    let may_be = |of: &&Tally| kept.dead_in_queues > 0 || may_be(phase, of.state);
                    kept.tally.iter().filter(may_be).map(|of| of.action.clone()).collect()
                }
            };
            for action in actions {
                let of_action = Which { action: Some(action), ..of_phase.clone() };
                let totals = newest(&of_action, 1).await?.totals;
                let limit = if totals.all < u64::from(MOST_LISTED) { MOST_LISTED } else { SEEN };
                let mut rows = newest(&of_action, limit).await?.deliveries;
                if limit == SEEN {
                    // A cause that has passed is among the oldest.
                    let page = ListedPage { order: RowOrder::Oldest, after: None, limit };
                    rows.extend(self.list_at(&facts, &of_action, page, Some(1)).await?.deliveries);
                }
                groups.extend(counted(folded(rows), &totals));
            }
        }
        Ok(DeliveryGroups { groups: of_one_obstacle(groups), totals })
    }
}

/// Whether a delivery that a store keeps in a state may be in a phase. A search for none reads all of the phase.
fn may_be(phase: Phase, state: RowState) -> bool {
    match phase {
        Phase::Dead => state == RowState::Dead,
        Phase::ForRelease => state == RowState::Held,
        Phase::Arrived
        | Phase::Ready
        | Phase::Running
        | Phase::Retrying
        | Phase::Waiting
        | Phase::Orphaned => state.is_open(),
        Phase::Delivered | Phase::NoActionNeeded | Phase::Shadow | Phase::Discarded => !state.is_open(),
    }
}

/// Folds the deliveries of one state, newest first.
fn folded(rows: Vec<Delivery>) -> Vec<DeliveryGroup> {
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut groups: Vec<DeliveryGroup> = Vec::new();
    for row in rows {
        let place = *places.entry((row.action.clone(), cause(&row))).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => {
                group.count += 1;
                if group.some.len() < SOME {
                    group.some.push(row);
                }
            }
            None => {
                groups.push(DeliveryGroup { some: vec![row.clone()], ..DeliveryGroup::of(row) });
            }
        }
    }
    groups
}

/// Joins the groups of an action whose target is down or that is paused: whether an attempt was made changes nothing.
fn of_one_obstacle(groups: Vec<DeliveryGroup>) -> Vec<DeliveryGroup> {
    let mut joined: Vec<DeliveryGroup> = Vec::new();
    for group in groups {
        let obstacle = group.newest.obstacle();
        let same = |one: &&mut DeliveryGroup| {
            obstacle.is_some()
                && one.newest.action == group.newest.action
                && one.newest.obstacle() == obstacle
        };
        match joined.iter_mut().find(same) {
            Some(one) => {
                one.count += group.count;
                one.has_more |= group.has_more;
                let room = SOME.saturating_sub(one.some.len());
                one.some.extend(group.some.into_iter().take(room));
            }
            None => joined.push(group),
        }
    }
    joined
}

/// Groups of which not all deliveries were seen become one group, because the others may have further causes.
fn counted(groups: Vec<DeliveryGroup>, totals: &StateTotals) -> Vec<DeliveryGroup> {
    let seen: u64 = groups.iter().map(|group| group.count).sum();
    let StateTotals { all: count, more: has_more, .. } = *totals;
    if seen == count && !has_more {
        return groups;
    }
    let newest = groups.into_iter().next();
    newest.map(|newest| DeliveryGroup { count, has_more, is_mixed: true, ..newest }).into_iter().collect()
}

/// Returns the obstacle of a delivery, or its answer without the names and numbers of its own resource.
fn cause(delivery: &Delivery) -> String {
    let is_lane = |cause: &&String| crate::journal::DeliveryId::parse(cause).is_some();
    let waits = delivery.waits_for.as_ref().filter(|cause| *cause != "release" && !is_lane(cause));
    let answer = delivery.reason.as_deref().or(delivery.last_answer.as_deref());
    let own = [&delivery.resource_id, &delivery.resource_name, &delivery.key, &delivery.message_id];
    let mut text = waits.map_or_else(|| answer.map(short_answer).unwrap_or_default(), Clone::clone);
    for own in own.into_iter().flatten().filter(|own| own.len() > 2) {
        text = text.replace(own.as_str(), "#");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, action: &str, answer: &str) -> Delivery {
        let resource = format!("port-{id}");
        let json = serde_json::json!({
            "id": id, "state": "retrying", "received": "", "age_seconds": 1, "ended": null, "action": action, "rule": "r",
            "event_type": null, "failed_attempts": 0, "reason": null, "last_answer": answer.replace("ID", &resource),
            "resource_id": resource, "queue": "q", "message_id": null, "copies": 0,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn deliveries_of_one_cause_are_one_group_whatever_resource_it_names() {
        let rows = [
            row("9.0", "cmdb", "status 404: Not Found, reply: no port ID"),
            row("8.0", "cmdb", "status 500: no"),
            row("7.0", "cmdb", "status 404: Not Found, reply: no port ID"),
            row("6.0", "dns", "status 500: no"),
        ];
        let groups = folded(rows.to_vec());
        let found: Vec<_> = groups.iter().map(|one| (&*one.newest.id, one.count)).collect();
        assert_eq!(found, [("9.0", 2), ("8.0", 1), ("6.0", 1)]);
        // More than were seen: the causes of the others are not known.
        let totals = |all: u64, more| StateTotals { all, more, ..StateTotals::default() };
        let all = counted(groups.clone(), &totals(4, false));
        assert_eq!(all, groups);
        let more = counted(groups[..2].to_vec(), &totals(5000, false));
        assert_eq!((more.len(), more[0].count, more[0].is_mixed), (1, 5000, true));
        let down = |mut group: DeliveryGroup| {
            group.newest.waits_for = Some("target down".to_owned());
            group
        };
        let joined: Vec<_> = of_one_obstacle(groups.iter().cloned().map(down).collect());
        let found: Vec<_> = joined.iter().map(|one| (&*one.newest.id, one.count, one.some.len())).collect();
        assert_eq!(found, [("9.0", 3, 3), ("6.0", 1, 1)]);
        assert_eq!(of_one_obstacle(groups.clone()), groups);
        let one = counted(groups[..1].to_vec(), &totals(5000, false));
        assert_eq!((one[0].count, one[0].is_mixed), (5000, true));
        // As many as the bound of the count were seen, and there are more.
        let bounded = counted(groups[..2].to_vec(), &totals(3, true));
        let found: Vec<_> = bounded.iter().map(|one| (one.count, one.has_more, one.is_mixed)).collect();
        assert_eq!(found, [(3, true, true)]);
    }
}
