use std::collections::HashSet;
use std::sync::Arc;

use osnl_config::template::Names;

use osnl_core::rule::Rule;
use osnl_delivery::AbandonedDelivery;
use osnl_journal::{Handover, NewDelivery};

pub(super) fn fallback_delivery(
    rule: &Rule,
    action: &Arc<str>,
    why: &str,
    names: &Names,
    key: Option<&str>,
    resource: Option<u32>,
) -> Option<NewDelivery> {
    let fallback = rule.on_failure.get(action).filter(|fallback| fallback.takes_named(names))?;
    let given_up = AbandonedDelivery { action, reason: why, attempts: 0, answer: "" };
    let Handover { action, ordered, enriched } = given_up.handover(fallback, None);
    let key = key.map(str::to_owned);
    let new = NewDelivery::new(rule.name.clone(), action, key);
    Some(NewDelivery { resource, ordered, enriched, ..new })
}

/// Keeps one delivery per action and resource, because an action is called once: its own delivery, else the first
/// fallback.
pub(super) fn once_each(deliveries: Vec<NewDelivery>) -> Vec<NewDelivery> {
    if deliveries.iter().all(|new| new.enriched.is_none()) {
        return deliveries;
    }
    let own: HashSet<_> = deliveries
        .iter()
        .filter(|new| new.enriched.is_none())
        .map(|new| (new.action.clone(), new.resource))
        .collect();
    let mut told = HashSet::new();
    let mut kept = deliveries;
    kept.retain(|new| {
        let to = (new.action.clone(), new.resource);
        new.enriched.is_none() || !own.contains(&to) && told.insert(to)
    });
    kept
}
