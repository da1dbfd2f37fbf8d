//! The groups of deliveries as a screen shows them: one row for one thing to do.

use std::collections::HashMap;

use super::super::refusal::RequestRefusal;
use super::super::words::short_answer;
use super::super::{Delivery, DeliveryGroup, DeliveryGroups, DeliveryObstacle, StateTone, Which};
use super::ControlHandler;
use super::deliveries::totals;
use crate::journal::query::{CauseGroup, Phase};

const SOME: usize = 10;
const PENDING: &str = "pending";

impl DeliveryGroup {
    #[must_use]
    pub fn new(newest: Delivery) -> Self {
        Self {
            count: 1,
            has_more: false,
            obstacle: None,
            states: vec![newest.state],
            newest,
            some: Vec::new(),
        }
    }
}

impl DeliveryGroup {
    /// Returns what the deliveries wait for, or their state. The delivery that one of several waits for says nothing about
    /// the others.
    #[must_use]
    pub fn short_state(&self) -> String {
        let is_behind = matches!(self.newest.waits_for, Some(DeliveryObstacle::Delivery { .. }));
        match &self.obstacle {
            Some(obstacle) => obstacle.short(),
            None if self.states.len() > 1 => PENDING.to_owned(),
            None if is_behind && (self.count > 1 || self.has_more) => "waiting for an earlier one".to_owned(),
            None => self.newest.short_state(),
        }
    }

    /// Returns the state or the group of states by which a search finds the deliveries.
    #[must_use]
    pub fn searched_state(&self) -> String {
        match self.obstacle.is_some() || self.states.len() > 1 {
            true => PENDING.to_owned(),
            false => self.newest.state.word().replace(' ', "-"),
        }
    }

    #[must_use]
    pub fn tone(&self) -> StateTone {
        match &self.obstacle {
            Some(obstacle) => obstacle.tone().unwrap_or_else(|| self.newest.tone()),
            None if self.states.len() > 1 => StateTone::from_name(PENDING),
            None => self.newest.tone(),
        }
    }
}

impl ControlHandler {
    /// Returns the deliveries that are not done as groups. A count that reaches `count_at_most` is a lower bound.
    pub async fn groups(
        &self,
        which: &Which,
        count_at_most: Option<u64>,
    ) -> Result<DeliveryGroups, RequestRefusal> {
        let facts = self.facts().await;
        self.has_names(which).await?;
        let filter = which.filter(facts.context.clone())?;
        let (found, counts) = self.store.journal.groups(filter, count_at_most.unwrap_or(u64::MAX)).await?;
        let group = |found: CauseGroup| {
            let some: Vec<Delivery> = found.newest.into_iter().map(|row| facts.delivery(row)).collect();
            let newest = some.first()?.clone();
            let group = DeliveryGroup {
                count: found.count,
                has_more: found.has_more,
                some,
                ..DeliveryGroup::new(newest)
            };
            Some((found.cause, group))
        };
        let obstacle = |action: &str| facts.obstacle(action);
        Ok(DeliveryGroups {
            groups: joined(found.into_iter().filter_map(group), obstacle),
            totals: totals(counts),
        })
    }
}

/// Joins the groups whose causes are the same in few words. All pending deliveries of an action whose target is down or
/// that is paused have one cause: an attempt that was made, or an earlier delivery of the resource, changes nothing. A delivery without a failed attempt has one too: its turn has not come.
fn joined(
    groups: impl Iterator<Item = (String, DeliveryGroup)>,
    obstacle: impl Fn(&str) -> Option<DeliveryObstacle>,
) -> Vec<DeliveryGroup> {
    let pending = Phase::named(PENDING).unwrap_or_default();
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let mut joined: Vec<DeliveryGroup> = Vec::new();
    for (cause, mut group) in groups {
        let newest = &group.newest;
        let is_pending = pending.contains(&newest.state);
        group.obstacle = obstacle(&newest.action).filter(|_| is_pending);
        let (state, cause) = match &group.obstacle {
            Some(obstacle) => (PENDING.to_owned(), obstacle.to_string()),
            None if is_pending && cause.is_empty() => (PENDING.to_owned(), cause),
            None => (newest.state.word().to_owned(), short_answer(&cause)),
        };
        let place = *places.entry((newest.action.clone(), state, cause)).or_insert(joined.len());
        match joined.get_mut(place) {
            Some(one) => {
                one.count += group.count;
                one.has_more |= group.has_more;
                let is_new = |state: &Phase| !one.states.contains(state);
                let states: Vec<Phase> = group.states.into_iter().filter(is_new).collect();
                one.states.extend(states);
                one.some.extend(group.some);
                one.some.sort_by_key(|delivery| delivery.age_seconds);
                one.some.truncate(SOME);
                if group.newest.age_seconds < one.newest.age_seconds {
                    one.newest = group.newest;
                }
            }
            None => joined.push(group),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, state: &str, answer: &str, count: u64) -> (String, DeliveryGroup) {
        let json = serde_json::json!({
            "id": id, "state": state, "received": "", "age_seconds": 1, "ended": null, "action": "cmdb", "rule": "r",
            "event_type": null, "failed_attempts": 0, "reason": null, "queue": "q", "message_id": null, "copies": 0,
        });
        let newest: Delivery = serde_json::from_value(json).unwrap();
        let some = vec![newest.clone()];
        (answer.to_owned(), DeliveryGroup { count, some, ..DeliveryGroup::new(newest) })
    }

    #[test]
    fn causes_that_are_the_same_in_few_words_are_one_group_and_so_are_all_behind_one_obstacle() {
        let answer = |id: &str| {
            format!(r#"status 404: Not Found, reply: {{"error": "no port #", "request": "{id}"}}"#)
        };
        let mut groups = vec![
            group("9.0", "dead", &answer("a"), 3),
            group("8.0", "dead", "status 500: no", 1),
            group("7.0", "dead", &answer("b"), 2),
            group("6.0", "retrying", "status 500: no", 4),
            group("5.0", "ready", "", 1),
            group("4.0", "waiting", "", 30),
            group("3.0", "running", "", 2),
        ];
        groups[2].1.has_more = true;
        let found = |groups: &[(String, DeliveryGroup)], is_down: bool| {
            let obstacle = is_down.then_some(DeliveryObstacle::TargetDown);
            let groups = joined(groups.iter().cloned(), |_| obstacle.clone());
            let of = |one: &DeliveryGroup| (one.newest.id.clone(), one.count, one.has_more, one.some.len());
            groups.iter().map(of).collect::<Vec<_>>()
        };
        let row = |id: &str, count, has_more, some| (id.to_owned(), count, has_more, some);
        let dead = [row("9.0", 5, true, 2), row("8.0", 1, false, 1)];
        let pending = [row("6.0", 4, false, 1), row("5.0", 33, false, 3)];
        assert_eq!(found(&groups, false), [&dead[..], &pending[..]].concat());
        assert_eq!(found(&groups, true), [&dead[..], &[row("6.0", 37, false, 4)]].concat());
        let state = |is_down: bool, at: usize| {
            let obstacle = is_down.then_some(DeliveryObstacle::TargetDown);
            let groups = joined(groups.iter().cloned(), |_| obstacle.clone());
            (groups[at].short_state(), groups[at].searched_state(), groups[at].tone())
        };
        let words =
            |state: &str, searched: &str, tone: StateTone| (state.to_owned(), searched.to_owned(), tone);
        assert_eq!(state(true, 2), words("target down", "pending", StateTone::Bad));
        assert_eq!(state(false, 3), words("pending", "pending", StateTone::Quiet));
        assert_eq!(state(false, 0), words("dead", "dead", StateTone::Bad));
        let (_, mut behind) = groups.remove(5);
        behind.newest.waits_for = Some(DeliveryObstacle::Delivery { id: "25.5".to_owned() });
        assert_eq!(behind.short_state(), "waiting for an earlier one");
    }
}
