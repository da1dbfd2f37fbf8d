//! The published state of a delivery loop's target, for a status.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use osnl_http::Expiry;
use osnl_journal::DeliveryId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{BreakerState, HeldHost, Outage, Setup};

/// Whether attempts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// They are.
    Closed,
    /// The target is held: none before this moment.
    Open {
        /// When the next probe is due.
        until: Instant,
    },
    /// The target is held: one is under way to see whether it is back.
    Probing,
    /// The operator has paused it: no attempts until the operator resumes it. Nothing ages.
    Paused,
}

impl TargetState {
    pub(super) fn of(breaker: BreakerState, paused: bool) -> Self {
        match breaker {
            _ if paused => Self::Paused,
            BreakerState::Closed => Self::Closed,
            BreakerState::Open { until } => Self::Open { until },
            BreakerState::Probing => Self::Probing,
        }
    }

    /// The word for it on every screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "ok",
            Self::Open { .. } => "held",
            Self::Probing => "probing",
            Self::Paused => "paused",
        }
    }
}

/// A state and its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Whether attempts are made.
    pub state: TargetState,
    /// When the state began; a probe does not begin a new one.
    pub since: SystemTime,
    /// When the hold of the target began, pauses included; `None` while it is reachable.
    pub outage: Option<SystemTime>,
}

impl TargetStatus {
    pub(super) fn begin() -> Self {
        Self { state: TargetState::Closed, since: SystemTime::now(), outage: None }
    }

    /// The state that follows, and since when.
    pub(super) fn becomes(&mut self, state: TargetState) -> bool {
        if self.state == state {
            return false;
        }
        let held = |state| match state {
            TargetState::Open { .. } | TargetState::Probing => true,
            TargetState::Closed | TargetState::Paused => false,
        };
        let now = SystemTime::now();
        match state {
            TargetState::Closed => self.outage = None,
            TargetState::Open { .. } | TargetState::Probing => self.outage = self.outage.or(Some(now)),
            TargetState::Paused => {}
        }
        if !(held(self.state) && held(state)) {
            // An operator's pause ends in the outage that it began in.
            self.since = self.outage.filter(|_| held(state)).unwrap_or(now);
        }
        self.state = state;
        true
    }
}

/// Numbers that change with each delivery.
#[derive(Debug, Default)]
pub(super) struct TargetGauges {
    pub(super) claimed: AtomicUsize,
    pub(super) under_way: AtomicUsize,
    pub(super) failure: Mutex<Option<LastFailure>>,
    pub(super) target: Mutex<String>,
    pub(super) held: Mutex<HeldHosts>,
    /// Deliveries with an attempt under way.
    pub(super) running: Mutex<BTreeSet<DeliveryId>>,
    pub(super) max_attempts: AtomicU32,
    /// Asks the loop for a probe.
    pub(super) probe: Notify,
}

impl TargetGauges {
    pub(super) fn begins(&self, ids: &[DeliveryId]) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    pub(super) fn ends(&self, id: DeliveryId) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// The latest failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When it ended.
    pub at: SystemTime,
    /// The target's answer.
    pub answer: String,
    /// The first thing to look at, where the answer does not name it.
    pub remedy: Option<&'static str>,
}

/// The hosts that are held beside the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldHosts {
    /// Hosts that events name, those that are held longest.
    pub hosts: Vec<HeldHost>,
    /// The number of other hosts that are held.
    pub others: usize,
    /// Dependencies that are down: deliveries that need them wait, and no others.
    pub outages: Vec<Outage>,
}

/// The state that a loop publishes while it runs.
#[derive(Clone)]
pub struct TargetMonitor {
    pub(super) name: Arc<str>,
    pub(super) status: watch::Receiver<TargetStatus>,
    pub(super) gauges: Arc<TargetGauges>,
    pub(super) setups: watch::Receiver<Setup>,
}

impl TargetMonitor {
    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the target's address for display, without secrets.
    #[must_use]
    pub fn target(&self) -> String {
        self.gauges.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether attempts are made, as that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<TargetStatus> {
        self.status.clone()
    }

    /// Returns the ends of the certificates and credentials that its attempts and enrichments use.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let certificate = |ends| Expiry { what: format!("the certificate of {}", self.target()), ends };
        let setup = self.setups.borrow();
        let mut expiries: Vec<Expiry> = self.certificate_ends().map(certificate).into_iter().collect();
        expiries.extend(setup.action.expiries());
        expiries.extend(setup.preparation.expiries());
        expiries
    }

    /// Asks for a probe now: a held target is asked at once, and deliveries that wait for a retry are due.
    pub fn probe(&self) {
        self.gauges.probe.notify_one();
    }

    /// Attempts under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.gauges.under_way.load(Ordering::Relaxed)
    }

    /// Returns the deliveries with an attempt under way.
    #[must_use]
    pub fn running(&self) -> Vec<DeliveryId> {
        self.gauges.running.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Returns the number of attempts that count before a delivery is given up.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.gauges.max_attempts.load(Ordering::Relaxed)
    }

    /// The number of times that the program of its action was started again. `None` for one that keeps none running.
    #[must_use]
    pub fn restarts(&self) -> Option<u64> {
        self.setups.borrow().action.restarts()
    }

    /// Returns the last second, since 1970, in which the certificate counts that the target showed last.
    #[must_use]
    pub fn certificate_ends(&self) -> Option<i64> {
        self.setups.borrow().action.certificate_ends()
    }

    /// Deliveries claimed from the journal, attempts under way included.
    #[must_use]
    pub fn claimed(&self) -> usize {
        self.gauges.claimed.load(Ordering::Relaxed)
    }

    /// Returns the hosts that are held beside the target, a bounded number of them.
    #[must_use]
    pub fn held(&self) -> HeldHosts {
        self.gauges.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the latest failed attempt.
    #[must_use]
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_probe_is_no_new_beginning() {
        let long_ago = SystemTime::UNIX_EPOCH;
        let open = TargetState::Open { until: Instant::now() };
        let later = TargetState::Open { until: Instant::now() + Duration::from_secs(1) };
        for (from, to, begins) in [
            (TargetState::Closed, open, true),
            (open, TargetState::Probing, false),
            (TargetState::Probing, later, false),
            (TargetState::Probing, TargetState::Closed, true),
            (open, TargetState::Paused, true),
            (TargetState::Paused, TargetState::Closed, true),
        ] {
            let mut status = TargetStatus { state: from, since: long_ago, outage: None };
            assert!(status.becomes(to));
            assert_eq!(status.since != long_ago, begins, "{from:?} {to:?}");
            assert!(!status.becomes(to));
        }
    }

    #[test]
    fn a_pause_does_not_change_when_an_outage_began() {
        let long_ago = SystemTime::UNIX_EPOCH;
        let open = TargetState::Open { until: Instant::now() };
        let mut status = TargetStatus { state: open, since: long_ago, outage: Some(long_ago) };
        status.becomes(TargetState::Paused);
        assert_ne!(status.since, long_ago, "since when it is paused");
        status.becomes(open);
        assert_eq!(status.since, long_ago);
        status.becomes(TargetState::Closed);
        status.becomes(open);
        assert_ne!(status.since, long_ago, "another outage");
    }
}
