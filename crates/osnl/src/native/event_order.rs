//! Finds rules with `order_by_event_time` that share no times with the rule for the contrary changes of their resources.

use std::collections::BTreeSet;

use osnl_config::Warning;

use super::kinds::RULE;
use super::{LoadedConf, RuleConf};
use crate::rule::KeySource;

/// A kind of resource that an event creates or deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    resource: &'static str,
    is_deletion: bool,
}

impl LoadedConf {
    /// Warns of a rule that orders creations by their time but no deletions, or the reverse, beside a rule of the same
    /// listener that has the others alone.
    pub(super) fn half_ordered(&self) -> Vec<Warning> {
        let is_timed = |rule: &RuleConf| rule.rule.order_by_event_time && rule.rule.key != KeySource::None;
        let enabled: Vec<&RuleConf> = self.conf.rules.iter().filter(|rule| rule.enabled).collect();
        if !enabled.iter().any(|rule| is_timed(rule)) {
            return Vec::new();
        }
        let changes = |rule: &RuleConf| -> BTreeSet<Change> {
            let events = self.conf.events_of(rule).events;
            events.iter().filter_map(|event| Change::read(event.event_type)).collect()
        };
        let rules: Vec<(&RuleConf, BTreeSet<Change>)> =
            enabled.into_iter().map(|rule| (rule, changes(rule))).collect();
        let half_ordered = |(rule, own): &(&RuleConf, BTreeSet<Change>)| {
            let beside: Vec<&(&RuleConf, BTreeSet<Change>)> = rules
                .iter()
                .filter(|(other, _)| other.listeners.iter().any(|name| rule.listeners.contains(name)))
                .collect();
            let is_ordered = |change: &Change| {
                beside.iter().any(|(other, theirs)| {
                    is_timed(other) && other.rule.key == rule.rule.key && theirs.contains(change)
                })
            };
            let (other, change) = beside.iter().find_map(|(other, theirs)| {
                let is_missing = |change: &&Change| {
                    let contrary = change.contrary();
                    own.contains(&contrary) && !theirs.contains(&contrary) && !is_ordered(change)
                };
                Some((other, theirs.iter().find(is_missing)?))
            })?;
            let (how, mend) = match other.rule.order_by_event_time {
                true => ("with another key", "write the same key in both"),
                false => ("without this option", "set order_by_event_time = true there too"),
            };
            let problem = format!(
                "orders no event of [rule:{}] of the same listener, which has the {} of {} {how}",
                other.rule.name,
                if change.is_deletion { "deletions" } else { "creations" },
                change.resource
            );
            let finding = self.finding(RULE, &rule.rule.name, "order_by_event_time", &problem);
            Some(Warning(finding.allowed(mend)))
        };
        rules.iter().filter(|(rule, _)| is_timed(rule)).filter_map(half_ordered).collect()
    }
}

impl Change {
    fn read(event_type: &'static str) -> Option<Self> {
        event_type.match_indices('.').find_map(|(at, _)| {
            let is_deletion = match event_type[at + 1..].split('.').next()? {
                "create" | "created" => false,
                "delete" | "deleted" => true,
                _ => return None,
            };
            Some(Self { resource: &event_type[..at], is_deletion })
        })
    }

    fn contrary(self) -> Self {
        Self { is_deletion: !self.is_deletion, ..self }
    }
}
