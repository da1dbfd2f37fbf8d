//! Compares two sets of rules on the same events.
//!
//! Memory is bounded by the number of rules, since only a few event names are kept.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Content, ExplainedEvent, Ruling, verdicts};
use crate::native::Native;
use crate::unmatched::FailedBehind;

const NAMED: usize = 5;

#[derive(Debug)]
pub struct RuleSetComparison<'a> {
    now: &'a Native,
    tried: &'a Native,
    listener: Option<&'a str>,
    rules: Vec<RuleComparison>,
    places: HashMap<Arc<str>, usize>,
    alike: Vec<Arc<str>>,
    events: u64,
    firing: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleComparison {
    pub rule: Arc<str>,
    pub is_now: bool,
    pub is_tried: bool,
    pub fires_now: u64,
    pub would_fire: u64,
    pub more: EventSample,
    pub no_longer: EventSample,
    pub unknown: u64,
    pub undecided: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSample {
    pub count: u64,
    /// The first events, by message id, or by name without an id.
    pub named: Vec<String>,
}

impl EventSample {
    fn add(&mut self, name: &str, subject: &ExplainedEvent) {
        self.count += 1;
        if self.named.len() < NAMED {
            let id = subject.notification().and_then(|notification| notification.message_id.clone());
            self.named.push(id.unwrap_or_else(|| name.to_owned()));
        }
    }
}

impl<'a> RuleSetComparison<'a> {
    #[must_use]
    pub fn new(now: &'a Native, tried: &'a Native, listener: Option<&'a str>) -> Self {
        let mut rules: Vec<RuleComparison> = Vec::new();
        for (conf, is_tried) in [(tried, true), (now, false)] {
            for name in conf.rules.iter().map(|rule| &rule.rule.name) {
                match rules.iter_mut().find(|found| found.rule == *name) {
                    Some(found) => found.is_now = true,
                    None => rules.push(RuleComparison::new(name.clone(), is_tried)),
                }
            }
        }
        let places = rules.iter().enumerate().map(|(at, found)| (found.rule.clone(), at)).collect();
        let written = |conf: &Native, name: &str| {
            conf.rules.iter().find(|rule| *rule.rule.name == *name).map(|rule| format!("{rule:?}"))
        };
        let same = |found: &&RuleComparison| {
            found.is_now && found.is_tried && written(now, &found.rule) == written(tried, &found.rule)
        };
        let alike = rules.iter().filter(same).map(|found| found.rule.clone()).collect();
        Self { now, tried, listener, rules, places, alike, events: 0, firing: (0, 0) }
    }

    pub fn add(&mut self, name: &str, subject: &ExplainedEvent) {
        self.events += 1;
        let before = verdicts(self.now, subject, self.listener, false);
        let after = verdicts(self.tried, &self.without_memories(subject), self.listener, false);
        self.firing.0 += u64::from(before.iter().any(|verdict| verdict.ruling.fires()));
        self.firing.1 += u64::from(after.iter().any(|verdict| verdict.ruling.fires()));
        let mut fires = vec![(false, false); self.rules.len()];
        for verdict in &before {
            let Some(at) = self.places.get(&verdict.rule) else { continue };
            fires[*at].0 = verdict.ruling.fires();
        }
        for verdict in &after {
            let Some(at) = self.places.get(&verdict.rule) else { continue };
            fires[*at].1 = verdict.ruling.fires();
            match verdict.ruling {
                Ruling::Unknown => self.rules[*at].unknown += 1,
                Ruling::Undecided(_) => self.rules[*at].undecided += 1,
                _ => {}
            }
        }
        for (found, (now, then)) in self.rules.iter_mut().zip(fires) {
            found.fires_now += u64::from(now);
            found.would_fire += u64::from(then);
            match (now, then) {
                (false, true) => found.more.add(name, subject),
                (true, false) => found.no_longer.add(name, subject),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Removes failures of earlier rules, which do not apply to a rewritten rule.
    fn without_memories(&self, subject: &ExplainedEvent) -> ExplainedEvent {
        let mut subject = subject.clone();
        if let Content::Head { failed, .. } = &mut subject.content {
            failed.retain(|FailedBehind { rule, .. }| self.alike.iter().any(|name| **name == **rule));
        }
        subject
    }

    #[must_use]
    pub fn rules(&self) -> &[RuleComparison] {
        &self.rules
    }

    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    #[must_use]
    pub fn firing(&self) -> (u64, u64) {
        self.firing
    }
}

impl RuleComparison {
    fn new(rule: Arc<str>, is_tried: bool) -> Self {
        Self {
            rule,
            is_now: !is_tried,
            is_tried,
            fires_now: 0,
            would_fire: 0,
            more: EventSample::default(),
            no_longer: EventSample::default(),
            unknown: 0,
            undecided: 0,
        }
    }
}
