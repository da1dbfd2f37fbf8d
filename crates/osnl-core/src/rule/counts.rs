//! Counts how often each rule fired, and which condition failed first.
//!
//! A message adds one to one number, however many rules there are: [`Heads`] counts combinations of priority, publisher
//! and event type. [`FailureCounts`] computes the numbers of each rule from that, when the caller asks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use osnl_model::Predicate;

use super::RuleMismatch;

/// The number of times that a rule fired, and that each of its conditions failed, for `osnl explain --counts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCounts {
    pub rule: Arc<str>,
    /// The messages that the rule's listener has read.
    pub seen: u64,
    pub fired: u64,
    /// The count of each condition as the first that failed, in order of evaluation. A message that is in `seen` but in
    /// no other number was unreadable.
    pub failed: Vec<(Condition, u64)>,
}

impl RuleCounts {
    pub(super) fn plus(mut self, before: &Self) -> Self {
        self.seen += before.seen;
        self.fired += before.fired;
        for (condition, times) in &before.failed {
            match self.failed.iter_mut().find(|(own, _)| own == condition) {
                Some((_, own)) => *own += times,
                None => self.failed.push((condition.clone(), *times)),
            }
        }
        self
    }
}

/// A part of a rule that can fail first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    Priority,
    Filter(Predicate),
    When,
    Stopped,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Priority => f.write_str("priority"),
            Self::Filter(predicate) => predicate.fmt(f),
            Self::When => f.write_str("when"),
            Self::Stopped => f.write_str("stop of a rule before it"),
        }
    }
}

impl From<&RuleMismatch> for Condition {
    fn from(mismatch: &RuleMismatch) -> Self {
        match mismatch {
            RuleMismatch::Priority(_) => Self::Priority,
            RuleMismatch::Filter(mismatch) | RuleMismatch::GivenUp(mismatch) => {
                Self::Filter(mismatch.predicate.clone())
            }
            RuleMismatch::When(_) => Self::When,
            RuleMismatch::Stopped { .. } => Self::Stopped,
        }
    }
}

/// The numbers of the three texts of a head, by which the matching rules are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HeadNumbers {
    pub(super) priority: usize,
    pub(super) publisher: usize,
    pub(super) event_type: usize,
}

/// The number of messages with each combination of priority, publisher, and event type.
#[derive(Debug, Default)]
pub(super) struct Heads(HashMap<HeadNumbers, u64, foldhash::fast::RandomState>);

impl Heads {
    pub(super) fn count(&mut self, numbers: HeadNumbers) {
        *self.0.entry(numbers).or_default() += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HeadNumbers, u64)> {
        self.0.iter().map(|(numbers, times)| (*numbers, *times))
    }
}

/// The counts of all rules of a set, by the place of the rule.
#[derive(Debug, Default)]
pub(super) struct FailureCounts {
    seen: u64,
    /// Failures of the head's conditions for each rule: priority, publisher, event type.
    heads: Vec<[u64; 3]>,
    /// Verdicts of each rule after its head has passed.
    behind: Vec<Behind>,
}

/// The verdicts of one rule on whole messages.
#[derive(Debug, Default)]
struct Behind {
    fired: u64,
    /// The failures of `when`, outside the map: with a thousand rules nearly all failures are here.
    when: u64,
    failed: HashMap<Condition, u64>,
}

impl FailureCounts {
    pub(super) fn for_rules(rules: usize) -> Self {
        let behind = (0..rules).map(|_| Behind::default()).collect();
        Self { seen: 0, heads: vec![[0; 3]; rules], behind }
    }

    /// Counts the first condition of the head that failed, for each rule. The parts are the sets of rules that match
    /// priority, publisher, and event type.
    pub(super) fn head(&mut self, parts: [&[u64]; 3], times: u64) {
        self.seen += times;
        for (at, counts) in self.heads.iter_mut().enumerate() {
            let holds = |part: &[u64]| part.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
            if let Some(first) = parts.iter().position(|part| !holds(part)) {
                counts[first] += times;
            }
        }
    }

    pub(super) fn behind_head(&mut self, rule: usize, failed: Option<Condition>) {
        let Some(behind) = self.behind.get_mut(rule) else { return };
        match failed {
            None => behind.fired += 1,
            Some(Condition::When) => behind.when += 1,
            Some(condition @ (Condition::Priority | Condition::Filter(_) | Condition::Stopped)) => {
                *behind.failed.entry(condition).or_default() += 1
            }
        }
    }

    pub(super) fn counts(&self, rule: usize, name: Arc<str>) -> RuleCounts {
        let head = [
            Condition::Priority,
            Condition::Filter(Predicate::PublisherId),
            Condition::Filter(Predicate::EventType),
        ];
        let of_head = self.heads.get(rule).copied().unwrap_or_default();
        let behind = self.behind.get(rule);
        let mut rest: Vec<_> =
            behind.map(|behind| behind.failed.clone().into_iter().collect()).unwrap_or_default();
        rest.extend(behind.filter(|behind| behind.when > 0).map(|behind| (Condition::When, behind.when)));
        rest.sort_by_key(|(condition, _): &(Condition, u64)| condition.to_string());
        let failed = head.into_iter().zip(of_head).filter(|(_, times)| *times > 0).chain(rest).collect();
        RuleCounts { rule: name, seen: self.seen, fired: behind.map_or(0, |behind| behind.fired), failed }
    }
}
