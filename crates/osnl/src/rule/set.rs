//! Many rules asked at once, at about the price of one.
//!
//! A cloud has some hundred event types and as many publishers, so what the patterns of all rules say of
//! each is remembered: a set of rules per event type, one per publisher, one per priority. A head that has
//! been seen before costs two look-ups and the intersection of three sets, however many rules there are.
//! Texts that a pattern has never seen are matched by each rule, once; what is remembered is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osnl_model::{Head, Priority};

use super::{Rule, StepLimits};
use crate::metrics::Counters;

/// Texts remembered of one kind. Beyond it, all are forgotten: more than any cloud has means that
/// somebody puts ids into them, and then nothing is worth remembering.
const REMEMBERED: usize = 4096;

/// Rules, in their order.
pub struct RuleSet {
    rules: Vec<Rule>,
    step_limits: StepLimits,
    memo: Mutex<Memo>,
}

#[derive(Debug, Default)]
struct Memo {
    event_types: Remembered,
    publishers: Remembered,
    priorities: HashMap<Option<Priority>, Members>,
}

/// What the rules say of each text; under `None` what they say where there is no text.
#[derive(Debug, Default)]
struct Remembered {
    texts: HashMap<Box<str>, Members>,
    none: Option<Members>,
}

/// A set of rules: one bit each.
type Members = Box<[u64]>;

impl RuleSet {
    /// These rules, in this order. Patterns that have to be given up are counted.
    #[must_use]
    pub fn new(rules: Vec<Rule>, counters: Arc<Counters>) -> Self {
        Self { rules, step_limits: StepLimits::new(counters), memo: Mutex::default() }
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any rule can fire on a message with this head.
    #[must_use]
    pub fn wants(&self, head: &Head<'_>) -> bool {
        self.memo().standing(&self.rules, &self.step_limits, head).any(|word| word != 0)
    }

    /// The rules that can fire on a message with this head, in their order.
    #[must_use]
    pub fn standing(&self, head: &Head<'_>) -> Vec<&Rule> {
        let words: Vec<u64> = self.memo().standing(&self.rules, &self.step_limits, head).collect();
        let stands = |at: usize| words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
        self.rules.iter().enumerate().filter(|(at, _)| stands(*at)).map(|(_, rule)| rule).collect()
    }

    pub(crate) fn step_limits(&self) -> &StepLimits {
        &self.step_limits
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memo {
    /// The intersection, 64 rules a word.
    fn standing<'a>(
        &'a mut self,
        rules: &[Rule],
        limits: &StepLimits,
        head: &Head<'_>,
    ) -> impl Iterator<Item = u64> + use<'a> {
        let event_types = self.event_types.of(head.event_type.as_deref(), rules, |rule, text| {
            limits.or_no(rule.filter.holds_for_event_type(text))
        });
        let publishers = self.publishers.of(head.publisher_id.as_deref(), rules, |rule, text| {
            limits.or_no(rule.filter.holds_for_publisher(text))
        });
        if self.priorities.len() >= REMEMBERED && !self.priorities.contains_key(&head.priority) {
            self.priorities.clear();
        }
        // Priorities are few, and the usual ones are cheap to clone.
        let priorities = self
            .priorities
            .entry(head.priority.clone())
            .or_insert_with(|| members(rules, |rule| rule.wants_priority(head.priority.as_ref())));
        let words = event_types.iter().zip(publishers).zip(priorities.iter());
        words.map(|((event_type, publisher), priority)| event_type & publisher & priority)
    }
}

impl Remembered {
    fn of(
        &mut self,
        text: Option<&str>,
        rules: &[Rule],
        wants: impl Fn(&Rule, Option<&str>) -> bool,
    ) -> &[u64] {
        let Some(text) = text else {
            return self.none.get_or_insert_with(|| members(rules, |rule| wants(rule, None)));
        };
        if !self.texts.contains_key(text) {
            if self.texts.len() >= REMEMBERED {
                self.texts.clear();
            }
            self.texts.insert(text.into(), members(rules, |rule| wants(rule, Some(text))));
        }
        self.texts.get(text).map_or(&[], |members| members)
    }
}

fn members(rules: &[Rule], wants: impl Fn(&Rule) -> bool) -> Members {
    let mut words = vec![0_u64; rules.len().div_ceil(64)];
    for (word, rules) in words.iter_mut().zip(rules.chunks(64)) {
        for (bit, rule) in rules.iter().enumerate() {
            *word |= u64::from(wants(rule)) << bit;
        }
    }
    words.into()
}

#[cfg(test)]
mod tests;
