//! Dependencies that are down: services that a delivery needs before its attempt, and that are not its target. The
//! caller passes the time.
//!
//! An outage holds only the deliveries that need the service, until the next try is due. The outage ends when the
//! service answers, or when no try fails for [`QUIET`] after the due time, since no delivery needs the service then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{ActionError, LONGEST_ANSWER};
use osnl_model::cut;
use osnl_transport::Remedy;
use tokio::time::Instant;

use super::breaker::LONGEST_OPEN;
use super::limits::Hold;
use super::policy::RetryPolicy;

/// The time without an answer or a failure after which the outage is forgotten. This time exceeds the default time-out
/// of an enrichment.
const QUIET: Duration = Duration::from_secs(20);
const MOST: usize = 64;

/// A dependency that is down, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub dependency: Arc<str>,
    pub since: Instant,
    pub reason: String,
    /// Whether an operator must act before it answers.
    pub needs_operator: bool,
    pub remedy: Option<Remedy>,
    pub next_try: Instant,
}

/// An outage with the time that it has kept deliveries waiting, for `hold_max`.
#[derive(Debug)]
struct OutageState {
    /// The failed tries in a row; each lengthens the next pause.
    failures: u32,
    hold: Hold,
    outage: Outage,
}

/// The dependencies that are down, so that only the deliveries that need them wait.
#[derive(Debug, Default)]
pub(super) struct Outages {
    down: BTreeMap<Arc<str>, OutageState>,
    /// Whether the outages have changed since the status was published.
    changed: bool,
}

impl Outages {
    /// Notes a failed question. Returns the time of the delivery's next try, and whether the outage has just begun.
    pub(super) fn failed(
        &mut self,
        dependency: &Arc<str>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> (Instant, bool) {
        let ActionError { reason, retry_after, needs_operator, own_remedy, .. } = error;
        let (retry_after, needs_operator) = (*retry_after, *needs_operator);
        let reason = cut(reason, LONGEST_ANSWER).to_owned();
        let begins = !self.down.contains_key(dependency);
        if begins && self.down.len() >= MOST {
            // No configuration names so many dependencies; the delivery waits in any case.
            return (now + retry_after.unwrap_or(LONGEST_OPEN), false);
        }
        let down = self.down.entry(dependency.clone()).or_insert_with(|| OutageState {
            failures: 0,
            hold: Hold::begin(now),
            outage: Outage {
                dependency: dependency.clone(),
                since: now,
                reason: String::new(),
                needs_operator,
                remedy: None,
                next_try: now,
            },
        });
        // Only the first of several failures between two tries counts.
        if down.outage.next_try <= now {
            down.failures = down.failures.saturating_add(1);
            let pause = policy.pause(down.failures).min(LONGEST_OPEN);
            down.outage.next_try = now + pause.max(retry_after.unwrap_or_default());
            (down.outage.reason, down.outage.needs_operator) = (reason, needs_operator);
            down.outage.remedy.clone_from(own_remedy);
            self.changed = true;
        }
        (down.outage.next_try, begins)
    }

    pub(super) fn set(&mut self, runs: bool, now: Instant) {
        self.down.values_mut().for_each(|down| down.hold.set(runs, now));
    }

    pub(super) fn kept_waiting(
        &self,
        dependency: &str,
        arrived: Option<Instant>,
        now: Instant,
    ) -> Option<Duration> {
        self.down.get(dependency).map(|down| down.hold.kept_waiting(arrived, now))
    }

    pub(super) fn change(&mut self, now: Instant) {
        for down in self.down.values_mut() {
            down.failures = 0;
            down.hold = Hold::begin(now);
            down.outage.next_try = now;
        }
    }

    pub(super) fn answered(&mut self, dependency: &str) -> bool {
        let was = self.down.remove(dependency).is_some();
        self.changed |= was;
        was
    }

    /// Returns whether no dependency is down. During an outage, deliveries that need the service do not age.
    pub(super) fn is_empty(&self) -> bool {
        self.down.is_empty()
    }

    pub(super) fn check(&mut self, now: Instant) {
        let before = self.down.len();
        self.down.retain(|_, down| now < down.outage.next_try + QUIET);
        self.changed |= self.down.len() != before;
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn all(&self) -> Vec<Outage> {
        self.down.values().map(|down| down.outage.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: NonZeroU32::MIN,
        initial: Duration::from_secs(1),
        max: Duration::from_secs(600),
        jitter: 0.0,
    };

    #[test]
    fn an_outage_grows_its_own_pause_and_ends_with_an_answer_or_in_silence() {
        let mut outages = Outages::default();
        let name: Arc<str> = "keystone".into();
        let own_remedy = Some("correct the login".into());
        let refused = ActionError { own_remedy, ..ActionError::dependency(name.clone(), "refused") };
        let start = Instant::now();
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let begins = now == start;
            let due = now + Duration::from_secs(pause);
            assert_eq!(outages.failed(&name, &refused, &POLICY, now), (due, begins));
            assert_eq!(outages.failed(&name, &refused, &POLICY, now), (due, false));
            now = due;
        }
        let outage = &outages.all()[0];
        assert_eq!((&*outage.reason, outage.remedy.as_deref()), ("refused", Some("correct the login")));
        assert!(outages.answered(&name));
        assert!(!outages.answered(&name));
        outages.failed(&name, &refused, &POLICY, now);
        outages.check(now + QUIET);
        assert!(!outages.is_empty());
        outages.check(now + QUIET + Duration::from_secs(1));
        assert!(outages.is_empty());
        let long = ActionError::dependency(name.clone(), "x".repeat(LONGEST_ANSWER + 1));
        outages.failed(&name, &long, &POLICY, now);
        assert_eq!(outages.all()[0].reason.len(), LONGEST_ANSWER);
    }
}
