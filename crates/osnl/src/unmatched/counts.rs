//! The counts of rules since the daemon's start: over all listeners in its process, by listener in a file for others.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ring, UnmatchedState, file, locked};
use crate::rule::{Condition, RuleSet};

/// The counts of one rule since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleTotals {
    pub seen: u64,
    pub fired: u64,
    pub failed: HashMap<Condition, u64>,
    pub last_fired: Option<SystemTime>,
}

/// The counts of a rule of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMatches {
    pub listener: String,
    pub rule: String,
    #[serde(rename = "seen")]
    pub tested: u64,
    #[serde(rename = "fired")]
    pub matched: u64,
    /// The number of times that each condition was the first to fail.
    pub failed: BTreeMap<String, u64>,
    /// The number of messages on which the `stop` of an earlier rule acted.
    #[serde(default)]
    pub stopped: u64,
}

#[derive(Serialize, Deserialize)]
struct CountsFile {
    since: String,
    rules: Vec<RuleMatches>,
}

/// Returns the counts beside a journal, at most some seconds old.
pub fn counts(journal: &Path) -> io::Result<(SystemTime, Vec<RuleMatches>)> {
    let text = fs::read_to_string(file::rules(journal))?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "is damaged");
    let CountsFile { since, rules } = serde_json::from_str(&text).map_err(|_| damaged())?;
    let since: Timestamp = since.parse().map_err(|_| damaged())?;
    Ok((since.into(), rules))
}

impl Ring {
    /// Returns the matches of each rule. Sets of several listeners share the counters of a rule's name.
    #[must_use]
    pub fn fired(&self) -> BTreeMap<Arc<str>, u64> {
        let fired =
            |set: &Arc<RuleSet>| set.fired().map(|(rule, times)| (rule.clone(), times)).collect::<Vec<_>>();
        self.shared.rule_sets().iter().flat_map(|(_, set)| fired(set)).collect()
    }

    /// Returns the counts of each rule; the call may block for a moment.
    #[must_use]
    pub fn totals(&self) -> HashMap<Arc<str>, RuleTotals> {
        let mut totals: HashMap<Arc<str>, RuleTotals> = HashMap::new();
        for (_, rules) in self.shared.rule_sets() {
            for counts in rules.counts() {
                let total = totals.entry(counts.rule).or_default();
                total.seen += counts.seen;
                for (condition, times) in counts.failed {
                    *total.failed.entry(condition).or_default() += times;
                }
            }
            for (rule, last) in rules.last_fired() {
                totals.entry(rule.clone()).or_default().last_fired = last;
            }
        }
        for (rule, fired) in self.fired() {
            totals.entry(rule).or_default().fired = fired;
        }
        totals
    }
}

impl UnmatchedState {
    fn rule_sets(&self) -> Vec<(Arc<str>, Arc<RuleSet>)> {
        locked(&self.rules).clone()
    }

    pub(super) fn counts(&self) -> String {
        let mut rules = Vec::new();
        for (listener, set) in self.rule_sets() {
            rules.extend(set.counts().into_iter().map(|counts| {
                let is_stop = |(condition, _): &(Condition, u64)| *condition == Condition::Stopped;
                let (stopped, failed): (Vec<_>, Vec<_>) = counts.failed.into_iter().partition(is_stop);
                RuleMatches {
                    listener: listener.to_string(),
                    rule: counts.rule.to_string(),
                    tested: counts.seen,
                    matched: counts.fired,
                    failed: failed.iter().map(|(failed, times)| (failed.to_string(), *times)).collect(),
                    stopped: stopped.iter().map(|(_, times)| times).sum(),
                }
            }));
        }
        let since = Timestamp::try_from(self.started).map(|at| format!("{at:.3}")).unwrap_or_default();
        serde_json::to_string(&CountsFile { since, rules }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;

    use super::*;
    use crate::native::KeepUnmatched;
    use crate::rule::Rule;

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
