//! Access to the ring from its own process: messages by page, and counts over all listeners.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::{KeepUnmatched, Ring, UnmatchedMessage, UnmatchedState, locked};
use crate::rule::Condition;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleTotals {
    pub seen: u64,
    pub fired: u64,
    pub failed: HashMap<Condition, u64>,
    pub last_fired: Option<SystemTime>,
}

impl Ring {
    #[must_use]
    pub fn keep(&self) -> KeepUnmatched {
        self.shared.keep
    }

    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.shared.started
    }

    /// Returns messages newest first; a number is valid for the life of the process.
    #[must_use]
    pub fn page(&self, before: Option<u64>, most: usize) -> Vec<(u64, UnmatchedMessage)> {
        self.shared.page(before, most)
    }

    #[must_use]
    pub fn get(&self, number: u64) -> Option<UnmatchedMessage> {
        let before = number.checked_add(1)?;
        let found = self.shared.page(Some(before), 1).pop();
        found.filter(|(found, _)| *found == number).map(|(_, message)| message)
    }

    /// Returns the counts of each rule; the call may block for a moment.
    #[must_use]
    pub fn totals(&self) -> HashMap<Arc<str>, RuleTotals> {
        let sets: Vec<_> = locked(&self.shared.rules).iter().map(|(_, rules)| rules.clone()).collect();
        let mut totals: HashMap<Arc<str>, RuleTotals> = HashMap::new();
        for rules in &sets {
            for counts in rules.counts() {
                let total = totals.entry(counts.rule).or_default();
                total.seen += counts.seen;
                for (condition, times) in counts.failed {
                    *total.failed.entry(condition).or_default() += times;
                }
            }
            // Sets of several listeners share the counters of a rule's name.
            for (rule, fired) in rules.fired() {
                totals.entry(rule.clone()).or_default().fired = fired;
            }
            for (rule, last) in rules.last_fired() {
                totals.entry(rule.clone()).or_default().last_fired = last;
            }
        }
        totals
    }
}

impl UnmatchedState {
    fn page(&self, before: Option<u64>, most: usize) -> Vec<(u64, UnmatchedMessage)> {
        let slots = locked(&self.slots);
        let heads = u64::from(self.keep.heads);
        let first = slots.noted.saturating_sub(heads);
        let behind = before.unwrap_or(slots.noted).min(slots.noted);
        let of = |n: u64| Some((n, slots.places.get((n % heads.max(1)) as usize)?.clone()));
        (first..behind).rev().take(most).filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;

    use super::*;
    use crate::rule::{Rule, RuleSet};

    #[test]
    fn messages_are_read_by_their_numbers_newest_first() {
        let ring = Ring::new(KeepUnmatched { heads: 3, bodies: false });
        let numbers =
            |before: Option<u64>| ring.page(before, 2).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(numbers(None), [0_u64; 0]);
        for n in 0..5 {
            ring.shared.note(|slot, _| slot.exchange = n.to_string());
        }
        assert_eq!(numbers(None), [4, 3]);
        assert_eq!(numbers(Some(3)), [2]);
        assert_eq!(numbers(Some(2)), [0_u64; 0]);
        assert_eq!(numbers(Some(u64::MAX)), [4, 3]);
        let exchange = |n: u64| ring.get(n).map(|found| found.exchange);
        assert_eq!(exchange(2).as_deref(), Some("2"));
        for gone in [0, 1, 5, u64::MAX] {
            assert_eq!(exchange(gone), None, "{gone}");
        }
        assert_eq!(Ring::new(KeepUnmatched { heads: 0, bodies: false }).page(None, 2).len(), 0);
    }

    #[test]
    fn the_counts_of_all_listeners_add_up_and_a_shared_one_counts_once() {
        let counters = Arc::<crate::metrics::Counters>::default();
        let ring = Ring::new(KeepUnmatched::default());
        let rule = |name: &str, stop: bool| Rule { name: name.into(), stop, ..Rule::default() };
        let mut sets = Vec::new();
        for (listener, messages) in [("a", 2), ("b", 3)] {
            let set = Arc::new(RuleSet::new(vec![rule("r", true), rule("s", false)], counters.clone()));
            ring.watch(&listener.into(), &set);
            for _ in 0..messages {
                assert!(set.wants(&Notification::default().head()));
                let _ = set.decide(&Notification::default().into());
            }
            sets.push(set);
        }
        let totals = ring.totals();
        let (r, s) = (&totals["r"], &totals["s"]);
        assert_eq!((r.seen, r.fired, r.failed.len()), (5, 5, 0));
        assert_eq!((s.seen, s.fired, s.failed[&Condition::Stopped]), (5, 0, 5));
        assert!(r.last_fired.is_some_and(|at| at.elapsed().unwrap_or_default().as_secs() < 60));
        assert_eq!(s.last_fired, None);
    }
}
