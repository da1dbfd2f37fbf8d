//! Asks many rules at about the price of one.
//!
//! A cloud has some hundred event types and as many publishers, so the set remembers which rules match each event type,
//! publisher and priority. A known head costs two look-ups and the intersection of three sets, however many rules there
//! are. A text that is new is matched by each rule once; the memory is bounded.
//!
//! A failed condition of a known head adds one to one number. The numbers of each rule are added up on request (see
//! [`RuleCounts`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use foldhash::fast::RandomState;
use osnl_model::{Head, Priority};

use super::counts::{FailureCounts, HeadNumbers, Heads};
use super::{Condition, Rule, RuleCounts, StepLimits};
use crate::epoch;
use crate::metrics::{Counters, RuleSeries};

/// The number of texts remembered of one kind. A service that exceeds it puts ids into the texts, so remembering is
/// useless and all are forgotten.
const REMEMBERED: usize = 4096;
/// The bound in bytes, since one text may be as long as a body.
const REMEMBERED_BYTES: usize = 1 << 20;

/// The rules of one listener, with what is remembered of the heads that they have seen.
pub struct RuleSet {
    rules: Vec<Rule>,
    step_limits: StepLimits,
    /// The heads seen so far; the lock is held for look-ups only.
    memo: Mutex<Memo>,
    /// The metrics of each rule, in the order of the rules.
    series: Vec<Arc<RuleSeries>>,
    /// The counts of rules of the same names in the set that this one has replaced.
    before: Mutex<Vec<RuleCounts>>,
}

/// The rules that match each text of a head. A text has a number, which is the index of its rules.
#[derive(Debug, Default)]
struct Memo {
    event_types: TextMatches,
    publishers: TextMatches,
    /// The number of each priority.
    priorities: HashMap<Option<Priority>, usize, RandomState>,
    /// The bytes of these texts.
    priority_bytes: usize,
    /// The matching rules, by the number of the priority.
    matching_priority: Vec<RuleBits>,
    /// Messages by their three numbers.
    heads: Heads,
    /// The verdicts so far, without those of `heads` since the last addition.
    failed: FailureCounts,
}

/// The rules that match each text of one field.
#[derive(Debug, Default)]
struct TextMatches {
    /// The number of each text.
    texts: HashMap<Box<str>, usize, RandomState>,
    bytes: usize,
    /// The number of a missing text.
    none: Option<usize>,
    /// The matching rules, by the number of the text.
    matching: Vec<RuleBits>,
}

/// A set of rules: bit n stands for the rule at place n.
pub(super) type RuleBits = Box<[u64]>;

impl RuleSet {
    #[must_use]
    pub fn new(rules: Vec<Rule>, counters: Arc<Counters>) -> Self {
        rules.iter().for_each(Rule::prepare);
        let memo = Memo { failed: FailureCounts::for_rules(rules.len()), ..Memo::default() };
        let series = rules.iter().map(|rule| counters.series.rule(&rule.name)).collect();
        Self {
            rules,
            series,
            step_limits: StepLimits::new(counters),
            memo: Mutex::new(memo),
            before: Mutex::default(),
        }
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns whether any rule can fire on a message with this head, and counts the head: call it once per message.
    #[must_use]
    pub fn wants(&self, head: &Head<'_>) -> bool {
        let mut memo = self.memo();
        let numbers = memo.numbers(&self.rules, head);
        memo.heads.count(numbers);
        memo.matching_all(numbers).any(|word| word != 0)
    }

    /// Returns the rules that match a head, in their order.
    #[must_use]
    pub fn matching(&self, head: &Head<'_>) -> Vec<&Rule> {
        self.places_matching(head).into_iter().map(|(_, rule)| rule).collect()
    }

    pub(super) fn places_matching(&self, head: &Head<'_>) -> Vec<(usize, &Rule)> {
        let mut memo = self.memo();
        let numbers = memo.numbers(&self.rules, head);
        let words: Vec<u64> = memo.matching_all(numbers).collect();
        drop(memo);
        let matches = |at: usize| words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
        self.rules.iter().enumerate().filter(|(at, _)| matches(*at)).collect()
    }

    /// Counts the verdicts on one message, each with the place of its rule and the condition that failed.
    pub(super) fn count(&self, verdicts: Vec<(usize, Option<Condition>)>) {
        let mut memo = self.memo();
        for (at, failed) in verdicts {
            if failed.is_none()
                && let Some(series) = self.series.get(at)
            {
                series.fires(epoch::now());
            }
            memo.failed.behind_head(at, failed);
        }
    }

    #[must_use]
    pub fn counts(&self) -> Vec<RuleCounts> {
        let mut memo = self.memo();
        memo.add_up();
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let before: HashMap<&str, &RuleCounts> =
            before.iter().map(|before| (&*before.rule, before)).collect();
        let counts = |(at, rule): (usize, &Rule)| {
            let counts = memo.failed.counts(at, rule.name.clone());
            match before.get(&*rule.name) {
                Some(before) => counts.plus(before),
                None => counts,
            }
        };
        self.rules.iter().enumerate().map(counts).collect()
    }

    /// Returns each rule with the number of messages on which a rule of its name fired. The number never falls: it
    /// covers all sets of the process.
    pub fn fired(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.rules.iter().zip(&self.series).map(|(rule, series)| (&rule.name, series.fired()))
    }

    pub fn last_fired(&self) -> impl Iterator<Item = (&Arc<str>, Option<SystemTime>)> {
        self.rules.iter().zip(&self.series).map(|(rule, series)| (&rule.name, series.last_fired()))
    }

    /// Takes over the counts of the set that this one replaces, by the names of the rules.
    pub fn succeed(&self, before: &Self) {
        let mut counts = before.counts();
        let names: HashSet<&str> = self.rules.iter().map(|rule| &*rule.name).collect();
        counts.retain(|counts| names.contains(&*counts.rule));
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    pub fn step_limits(&self) -> &StepLimits {
        &self.step_limits
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memo {
    /// Returns the numbers of a head's priority, publisher and event type. A pattern that is given up counts as a match
    /// here, and the rule then reports that it is undecided.
    fn numbers(&mut self, rules: &[Rule], head: &Head<'_>) -> HeadNumbers {
        self.forget_if_full(head);
        let event_type = self.event_types.number(head.event_type.as_deref(), rules, |rule, text| {
            rule.filter.holds_for_event_type(text).unwrap_or(true)
        });
        let publisher = self.publishers.number(head.publisher_id.as_deref(), rules, |rule, text| {
            rule.filter.holds_for_publisher(text).unwrap_or(true)
        });
        let (priorities, matching) = (&mut self.priorities, &mut self.matching_priority);
        let bytes = &mut self.priority_bytes;
        let priority = *priorities.entry(head.priority.clone()).or_insert_with(|| {
            *bytes += head.priority.as_ref().map_or(0, |priority| priority.as_str().len());
            matching.push(bits(rules, |rule| rule.wants_priority(head.priority.as_ref())));
            matching.len() - 1
        });
        HeadNumbers { priority, publisher, event_type }
    }

    /// Returns the words of the set of rules that match all three texts.
    fn matching_all(&self, numbers: HeadNumbers) -> impl Iterator<Item = u64> {
        let [priorities, publishers, event_types] = self.matching(numbers);
        let words = event_types.iter().zip(publishers).zip(priorities);
        words.map(|((event_type, publisher), priority)| event_type & publisher & priority)
    }

    fn matching(&self, numbers: HeadNumbers) -> [&[u64]; 3] {
        [
            &self.matching_priority[numbers.priority],
            &self.publishers.matching[numbers.publisher],
            &self.event_types.matching[numbers.event_type],
        ]
    }

    /// Adds up the counts before forgetting texts: counts are valid only as long as the numbers of the texts.
    fn forget_if_full(&mut self, head: &Head<'_>) {
        let event_types = self.event_types.has_no_place_for(head.event_type.as_deref());
        let publishers = self.publishers.has_no_place_for(head.publisher_id.as_deref());
        let has_place = self.priorities.len() < REMEMBERED && self.priority_bytes < REMEMBERED_BYTES;
        let priorities = !has_place && !self.priorities.contains_key(&head.priority);
        if !(event_types || publishers || priorities || self.heads.len() >= 4 * REMEMBERED) {
            return;
        }
        self.add_up();
        if event_types {
            self.event_types = TextMatches::default();
        }
        if publishers {
            self.publishers = TextMatches::default();
        }
        if priorities {
            self.priorities.clear();
            self.priority_bytes = 0;
            self.matching_priority.clear();
        }
    }

    fn add_up(&mut self) {
        let heads = std::mem::take(&mut self.heads);
        let mut failed = std::mem::take(&mut self.failed);
        for (numbers, times) in heads.iter() {
            failed.head(self.matching(numbers), times);
        }
        self.failed = failed;
    }
}

impl TextMatches {
    fn has_no_place_for(&self, text: Option<&str>) -> bool {
        let has_place = self.texts.len() < REMEMBERED && self.bytes < REMEMBERED_BYTES;
        !has_place && text.is_some_and(|text| !self.texts.contains_key(text))
    }

    fn number(
        &mut self,
        text: Option<&str>,
        rules: &[Rule],
        wants: impl Fn(&Rule, Option<&str>) -> bool,
    ) -> usize {
        let found = match text {
            Some(text) => self.texts.get(text),
            None => self.none.as_ref(),
        };
        if let Some(number) = found {
            return *number;
        }
        let number = self.matching.len();
        self.matching.push(bits(rules, |rule| wants(rule, text)));
        match text {
            Some(text) => {
                self.bytes += text.len();
                self.texts.insert(text.into(), number);
            }
            None => self.none = Some(number),
        }
        number
    }
}

fn bits(rules: &[Rule], wants: impl Fn(&Rule) -> bool) -> RuleBits {
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
