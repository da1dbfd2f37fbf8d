//! The published state of a delivery loop's target, for `osnl status`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use osnl_core::attempt::ErrorClass;
use osnl_journal::DeliveryId;
use osnl_net::http::{Expiry, ExpiryKind};
use osnl_transport::Remedy;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{BreakerState, HeldHosts, Setup};

/// The state of a target as an operator sees it: the breaker's, unless the action is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    Closed,
    Open { until: Instant },
    Probing,
    Paused,
}

impl TargetState {
    pub(super) fn from_breaker(breaker: BreakerState, paused: bool) -> Self {
        match breaker {
            _ if paused => Self::Paused,
            BreakerState::Closed => Self::Closed,
            BreakerState::Open { until } => Self::Open { until },
            BreakerState::Probing => Self::Probing,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "ok",
            Self::Open { .. } => "down",
            Self::Probing => "probing",
            Self::Paused => "paused",
        }
    }
}

/// The state of a target and its times, as they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    pub state: TargetState,
    /// The time when the state began. A probe does not begin a new state.
    pub since: Instant,
    /// The start of the target's hold, pauses included; `None` while it is reachable.
    pub outage: Option<Instant>,
}

impl TargetStatus {
    pub(super) fn begin() -> Self {
        Self { state: TargetState::Closed, since: Instant::now(), outage: None }
    }

    pub(super) fn becomes(&mut self, state: TargetState) -> bool {
        if self.state == state {
            return false;
        }
        let held = |state| match state {
            TargetState::Open { .. } | TargetState::Probing => true,
            TargetState::Closed | TargetState::Paused => false,
        };
        let now = Instant::now();
        match state {
            TargetState::Closed => self.outage = None,
            TargetState::Open { .. } | TargetState::Probing => self.outage = self.outage.or(Some(now)),
            TargetState::Paused => {}
        }
        if !(held(self.state) && held(state)) {
            // An operator's pause ends in the outage in which it began.
            self.since = self.outage.filter(|_| held(state)).unwrap_or(now);
        }
        self.state = state;
        true
    }
}

/// The numbers that the loop writes and the status reads without waiting for the loop.
#[derive(Debug, Default)]
pub(super) struct TargetGauges {
    /// Deliveries that the loop has claimed.
    pub(super) claimed: AtomicUsize,
    /// Calls under way.
    pub(super) under_way: AtomicUsize,
    /// The latest failed attempt; `None` before the first.
    pub(super) failure: Mutex<Option<LastFailure>>,
    /// The target as it is shown, which a reload may change.
    pub(super) target: Mutex<String>,
    /// Hosts and dependencies that are down.
    pub(super) held: Mutex<HeldHosts>,
    /// Deliveries whose attempt is under way.
    pub(super) running: Mutex<BTreeSet<DeliveryId>>,
    /// The attempts that a delivery may use up.
    pub(super) max_attempts: AtomicU32,
    /// Wakes the loop for a probe that the operator requests.
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

/// The latest failed attempt of an action, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    pub at: SystemTime,
    pub answer: String,
    pub remedy: Option<Remedy>,
    pub class: Option<ErrorClass>,
}

/// Reads the state of one delivery loop from outside, and can ask for a probe.
#[derive(Clone)]
pub struct TargetMonitor {
    pub(super) name: Arc<str>,
    pub(super) status: watch::Receiver<TargetStatus>,
    pub(super) gauges: Arc<TargetGauges>,
    pub(super) setups: watch::Receiver<Setup>,
}

impl TargetMonitor {
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    #[must_use]
    pub fn target(&self) -> String {
        self.gauges.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn status(&self) -> watch::Receiver<TargetStatus> {
        self.status.clone()
    }

    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let certificate = |ends| Expiry {
            kind: ExpiryKind::Server,
            what: format!("the certificate of {}", authority(&self.target())),
            ends,
        };
        let setup = self.setups.borrow();
        let mut expiries: Vec<Expiry> = self.certificate_ends().map(certificate).into_iter().collect();
        expiries.extend(setup.action.expiries());
        expiries.extend(setup.preparation.expiries());
        expiries
    }

    /// Returns the time of the last failed question to a dependency. With `on_error = default` nothing waits for the
    /// answer, so there is no outage.
    #[must_use]
    pub fn question_failed_at(&self) -> Option<SystemTime> {
        self.setups.borrow().preparation.failed_at()
    }

    /// Requests a probe: a held target is probed at once, and deliveries that wait for a retry are due.
    pub fn probe(&self) {
        self.gauges.probe.notify_one();
    }

    #[must_use]
    pub fn under_way(&self) -> usize {
        self.gauges.under_way.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn running(&self) -> Vec<DeliveryId> {
        self.gauges.running.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.gauges.max_attempts.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn restarts(&self) -> Option<u64> {
        self.setups.borrow().action.restarts()
    }

    #[must_use]
    pub fn certificate_ends(&self) -> Option<i64> {
        self.setups.borrow().action.certificate_ends()
    }

    #[must_use]
    pub fn claimed(&self) -> usize {
        self.gauges.claimed.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn held(&self) -> HeldHosts {
        self.gauges.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns the host and port of a target that is a URL, whose path may be a template; other words stay.
fn authority(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else { return target };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_is_that_of_a_host_without_the_template_of_a_path() {
        let check = |target: &str, expected: &str| assert_eq!(authority(target), expected);
        check("https://localhost:24603/wiki/{{ resource.name }}", "localhost:24603");
        check("https://user@[::1]:443?x={{ event.id }}", "[::1]:443");
        check("POST https://a.example#b", "a.example");
        check("mail server mx:25", "mail server mx:25");
    }

    #[test]
    fn a_probe_is_no_new_beginning() {
        let long_ago = Instant::now() - Duration::from_secs(1);
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
        let long_ago = Instant::now() - Duration::from_secs(1);
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
