//! `on_failure` of what is a dead letter from the beginning: who is told of it, decided with the rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::delivery::GivenUp;
use crate::journal::{Handover, NewDelivery};
use crate::rule::Rule;
use crate::template::Names;

/// What another action gets of a delivery that cannot even be begun.
pub(super) fn handed_on(
    rule: &Rule,
    action: &Arc<str>,
    why: &str,
    names: &Names,
    key: Option<&str>,
    resource: Option<u32>,
) -> Option<NewDelivery> {
    let fallback = rule.on_failure.get(action).filter(|fallback| fallback.takes_named(names))?;
    let given_up = GivenUp { action, reason: why, attempts: 0, answer: "" };
    let Handover { action, ordered, told } = fallback.handover(given_up, None);
    let key = key.map(str::to_owned);
    Some(NewDelivery { resource, ordered, told, ..NewDelivery::new(rule.name.clone(), action, key) })
}

/// An action is asked once for a rule and resource: what it has of its own stays, and else what it got first.
pub(super) fn once_each(deliveries: Vec<NewDelivery>) -> Vec<NewDelivery> {
    if deliveries.iter().all(|new| new.told.is_none()) {
        return deliveries;
    }
    let mut kept: Vec<NewDelivery> = Vec::with_capacity(deliveries.len());
    let own: BTreeSet<_> = deliveries
        .iter()
        .filter(|new| new.told.is_none())
        .map(|new| (new.action.clone(), new.resource))
        .collect();
    for new in deliveries {
        let again = kept.iter().any(|kept| kept.action == new.action && kept.resource == new.resource);
        if new.told.is_none() || !(again || own.contains(&(new.action.clone(), new.resource))) {
            kept.push(new);
        }
    }
    kept
}
