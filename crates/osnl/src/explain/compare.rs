//! Compares two sets of rules on the same events.
//!
//! Memory is bounded by the number of rules, since only a few event names are kept.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Content, ExplainedEvent, Explainer, RuleVerdict, Ruling};
use crate::native::{Native, RuleConf};

const NAMED: usize = 5;

/// The differences between two sets of rules on the same events, for `osnl explain --rules`.
#[derive(Debug)]
pub struct RuleSetComparison<'a> {
    now: Explainer<'a>,
    tried: Explainer<'a>,
    /// Rules that are written alike in both sets, so that earlier failures apply to both.
    alike: Vec<String>,
    /// The rules of the second set, then those of the first alone.
    pub rules: Vec<RuleComparison>,
    pub events: u64,
    pub firing_now: u64,
    pub would_fire: u64,
}

/// The differences of one rule between two sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleComparison {
    pub rule: String,
    pub is_now: bool,
    pub is_tried: bool,
    pub fires_now: u64,
    pub would_fire: u64,
    pub more: EventSample,
    pub no_longer: EventSample,
    pub unknown: u64,
    pub undecided: u64,
}

/// A number of events, and the names of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventSample {
    pub count: u64,
    /// The first events, by message id, or by name without an id.
    #[serde(rename = "message_ids")]
    pub named: Vec<String>,
}

impl EventSample {
    fn add(&mut self, event: &ExplainedEvent) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(event.message_id().unwrap_or(&event.name).to_owned());
        }
    }
}

impl<'a> RuleSetComparison<'a> {
    #[must_use]
    pub fn new(now: &'a Native, tried: &'a Native, listener: Option<&'a str>) -> Self {
        let written = |conf: &Native| -> HashMap<String, String> {
            conf.rules.iter().map(|rule| (rule.rule.name.to_string(), format!("{rule:?}"))).collect()
        };
        let (of_now, of_tried) = (written(now), written(tried));
        let is_new = |rule: &&RuleConf| !of_tried.contains_key(&*rule.rule.name);
        let names = tried.rules.iter().chain(now.rules.iter().filter(is_new)).map(|rule| &*rule.rule.name);
        let rule = |name: &str| RuleComparison {
            rule: name.to_owned(),
            is_now: of_now.contains_key(name),
            is_tried: of_tried.contains_key(name),
            ..RuleComparison::default()
        };
        let rules = names.map(rule).collect();
        let alike = of_tried.iter().filter(|(name, rule)| of_now.get(*name) == Some(*rule));
        let alike = alike.map(|(name, _)| name.clone()).collect();
        let of = |conf| Explainer { with_effects: false, ..Explainer::new(conf).with_listener(listener) };
        Self { now: of(now), tried: of(tried), alike, rules, events: 0, firing_now: 0, would_fire: 0 }
    }

    pub fn add(&mut self, event: &ExplainedEvent) {
        let (before, after) = (self.now.verdicts(event), self.tried.verdicts(&self.without_memories(event)));
        let (before, after) = (by_rule(before), by_rule(after));
        let fires = |ruling: Option<&Ruling>| ruling.is_some_and(Ruling::fires);
        self.events += 1;
        self.firing_now += u64::from(before.values().any(Ruling::fires));
        self.would_fire += u64::from(after.values().any(Ruling::fires));
        for found in &mut self.rules {
            let then = after.get(&*found.rule);
            found.unknown += u64::from(matches!(then, Some(Ruling::Unknown)));
            found.undecided += u64::from(matches!(then, Some(Ruling::Undecided(_))));
            let (now, then) = (fires(before.get(&*found.rule)), fires(then));
            found.fires_now += u64::from(now);
            found.would_fire += u64::from(then);
            match (now, then) {
                (false, true) => found.more.add(event),
                (true, false) => found.no_longer.add(event),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Removes failures of earlier rules, which do not apply to a rewritten rule.
    fn without_memories(&self, event: &ExplainedEvent) -> ExplainedEvent {
        let mut event = event.clone();
        if let Content::Head { failed, .. } = &mut event.content {
            failed.retain(|failed| self.alike.contains(&failed.rule));
        }
        event
    }
}

fn by_rule(verdicts: Vec<RuleVerdict>) -> HashMap<Arc<str>, Ruling> {
    verdicts.into_iter().map(|found| (found.rule, found.ruling)).collect()
}
