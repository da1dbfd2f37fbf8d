//! The groups of deliveries as a screen shows them: one row for one thing to do.

use std::collections::HashMap;

use super::super::refusal::RequestRefusal;
use super::super::words::short_answer;
use super::super::{Delivery, DeliveryGroup, DeliveryGroups, Which};
use super::ControlHandler;
use super::deliveries::totals;
use crate::journal::query::CauseGroup;

const SOME: usize = 10;

impl DeliveryGroup {
    #[must_use]
    pub fn of(newest: Delivery) -> Self {
        Self { count: 1, has_more: false, newest, some: Vec::new() }
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
        let filter = which.filter(facts.context.clone())?;
        let (found, counts) = self.store.journal.groups(filter, count_at_most.unwrap_or(u64::MAX)).await?;
        let group = |found: CauseGroup| {
            let some: Vec<Delivery> = found.newest.into_iter().map(|row| facts.delivery(row)).collect();
            let newest = some.first()?.clone();
            Some((found.cause, DeliveryGroup { count: found.count, has_more: found.has_more, newest, some }))
        };
        Ok(DeliveryGroups { groups: joined(found.into_iter().filter_map(group)), totals: totals(counts) })
    }
}

/// Joins the groups whose causes are the same in few words. All deliveries of an action whose target is down or that
/// is paused have one cause: whether an attempt was made changes nothing.
fn joined(groups: impl Iterator<Item = (String, DeliveryGroup)>) -> Vec<DeliveryGroup> {
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let mut joined: Vec<DeliveryGroup> = Vec::new();
    for (cause, group) in groups {
        let newest = &group.newest;
        let (state, cause) = match newest.obstacle() {
            Some(obstacle) => (String::new(), obstacle.to_owned()),
            None => (newest.state.clone(), short_answer(&cause)),
        };
        let place = *places.entry((newest.action.clone(), state, cause)).or_insert(joined.len());
        match joined.get_mut(place) {
            Some(one) => {
                one.count += group.count;
                one.has_more |= group.has_more;
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
        (answer.to_owned(), DeliveryGroup { count, some, ..DeliveryGroup::of(newest) })
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
        ];
        groups[2].1.has_more = true;
        let found = |groups: &[(String, DeliveryGroup)]| {
            let groups = joined(groups.iter().cloned());
            let of = |one: &DeliveryGroup| (one.newest.id.clone(), one.count, one.has_more, one.some.len());
            groups.iter().map(of).collect::<Vec<_>>()
        };
        let row = |id: &str, count, has_more, some| (id.to_owned(), count, has_more, some);
        let dead = [row("9.0", 5, true, 2), row("8.0", 1, false, 1)];
        assert_eq!(found(&groups), [&dead[..], &[row("6.0", 4, false, 1), row("5.0", 1, false, 1)]].concat());
        for (_, group) in &mut groups[3..] {
            group.newest.waits_for = Some("target down".to_owned());
        }
        assert_eq!(found(&groups), [&dead[..], &[row("6.0", 5, false, 2)]].concat());
    }
}
