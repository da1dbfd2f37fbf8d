//! The circuit breaker of one target: closed, open until a moment, or probing. Pure: the caller passes the time.
//!
//! The breaker opens
//! - at once on failures that only the target or the way to it can cause: connect, TLS, 429, and a 503 with
//!   `Retry-After`,
//! - on a time-out, a reset, a "not now", 408, 425, or a 5xx, for **two new keys in a row**, which had never
//!   failed before. If a key has succeeded within the last minute, [`MANY_FAILING`] or twice the concurrency
//!   is needed, whichever is more. So an event that makes the target stumble holds only its own key,
//! - on the same refusal (3xx, 400, 401, 403, 404, 405, 407, a failed program, a mail server's 5xx) for **five
//!   different keys** in a row, or of the login for two. If a key has succeeded within the last minute, the row must
//!   last for [`LONG_ROW`] too. A wrong path is a fault of the target; a rejected name is a fault of the event.
//!
//! An open breaker allows one probe at a time, after a pause that grows to half a minute. Single events may
//! cause stumbles and refusals, so there a delivery that has never failed probes after [`LONGEST_FRESH`] at
//! most. After a success the limit of concurrent attempts doubles from one with each success. After stumbles
//! it starts at two, so that a newer delivery runs beside the oldest, which may be the cause.
//!
//! The breaker judges a target over all its keys. A host that an event names is one key of many, so `hosts.rs`
//! judges it. Tests: `schedule/tests/held.rs`, `tenants.rs`.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;
use std::time::Duration;

use osnl_core::attempt::{ActionError, ErrorClass};
use tokio::time::Instant;

use super::policy::RetryPolicy;

/// Keys that must fail for the first time, without a success between, before the breaker opens.
const FAILING_KEYS: usize = 2;
const MANY_FAILING: usize = 64;
const REFUSED_KEYS: usize = 5;
/// The length of a row of refusals that proves a lasting cause although the target has lately taken another delivery.
/// Shorter than six attempts of one delivery, which use up the default `max_attempts`.
const LONG_ROW: Duration = Duration::from_secs(10);
/// The status that a failed program counts as: no target answers 0.
const FAILED: u16 = 0;
/// The longest pause between probes, and so the longest time until a recovered target is noticed.
pub(super) const LONGEST_OPEN: Duration = Duration::from_secs(30);
/// The longest pause between probes with deliveries that have never failed, where an event may be at fault.
pub(super) const LONGEST_FRESH: Duration = Duration::from_secs(3);
/// The time for which a success or a stumble counts.
const LATELY: Duration = Duration::from_secs(60);

/// Whether calls to the target may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// The target answers: calls begin, within the limit of concurrent calls.
    Closed,
    /// The target is down: no call begins before `until`, then a probe.
    Open { until: Instant },
    /// One call tests the target, and no other begins.
    Probing,
}

/// The effect of an attempt on the breaker, for the log: an opening or closing is logged once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerChange {
    None,
    Opened,
    Closed,
}

/// The cause of the latest opening: it decides which delivery probes, and how fast calls resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpeningCause {
    /// Only the target, or the way to it, can be the cause: connect, TLS, 429, `Retry-After`.
    Target,
    /// Time-outs, resets, 5xx, "not now".
    Stumbles,
    /// The same refusal for many keys: a wrong path or login, which is a fault of the configuration.
    Refusals,
}

/// The key of a failed attempt, by which the breaker tells one bad event from a bad target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedKey<'a> {
    pub(crate) key: &'a str,
    /// Whether the delivery had failed before this attempt.
    pub(crate) before: bool,
}

/// Keys in a row that were refused with one status.
#[derive(Clone, Debug)]
struct RefusalRow {
    status: u16,
    keys: HashSet<String>,
    since: Instant,
    /// Whether the breaker has opened over the row. The row then stands until a success: a refusal of one event in between
    /// closes the breaker, and the next refusal opens it again.
    stands: bool,
}

/// Tells a target that is down from an event that fails, so that a dead target costs no attempts.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    /// Whether calls may begin.
    state: BreakerState,
    /// The most concurrent calls at full pace; at least one.
    concurrency: usize,
    /// The concurrent calls allowed now: fewer than `concurrency` while the target recovers.
    allowed: usize,
    /// The openings since the last success, probes included; each lengthens the next pause.
    openings: u32,
    /// Keys that stumbled for the first time since the last success. Opening clears the set, which bounds it.
    failing: HashSet<String>,
    /// The latest first failure of a delivery by a time-out, reset, or 5xx; `None` after a success of the oldest
    /// delivery.
    stumbled: Option<Instant>,
    /// The row of equal refusals; `None` after a success.
    refusal: Option<RefusalRow>,
    /// The cause of the latest opening; without a meaning while closed.
    cause: OpeningCause,
    /// The earliest probe with a delivery that has never failed; `None` while closed.
    fresh_at: Option<Instant>,
    /// The latest success; `None` before the first, and after a change of the settings.
    succeeded: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            state: BreakerState::Closed,
            concurrency,
            allowed: concurrency,
            openings: 0,
            failing: HashSet::new(),
            stumbled: None,
            refusal: None,
            cause: OpeningCause::Target,
            fresh_at: None,
            succeeded: None,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open { .. } | BreakerState::Probing => false,
        }
    }

    /// Returns whether the breaker has opened since the last success or change of the settings.
    pub(crate) fn has_opened(&self) -> bool {
        self.openings > 0
    }

    fn is_open_over_refusals(&self) -> bool {
        !self.is_closed() && self.cause == OpeningCause::Refusals
    }

    /// Returns whether the oldest deliveries may be at fault, so that newer deliveries run beside them.
    pub(crate) fn is_event_suspect(&self, now: Instant) -> bool {
        let has_stumbled = self.stumbled.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        has_stumbled || (!self.is_closed() && self.cause != OpeningCause::Target)
    }

    pub(crate) fn acquit(&mut self) {
        self.stumbled = None;
    }

    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    pub(crate) fn is_at_full_pace(&self) -> bool {
        self.is_closed() && self.allowed >= self.concurrency
    }

    /// Applies other settings, or another target. Past failures are forgotten, and a held target is probed at once.
    pub(crate) fn change(&mut self, concurrency: usize, now: Instant) {
        self.allowed =
            if self.allowed >= self.concurrency { concurrency } else { self.allowed.min(concurrency) };
        self.concurrency = concurrency;
        self.openings = 0;
        self.failing.clear();
        self.stumbled = None;
        self.succeeded = None;
        match self.state {
            BreakerState::Closed => self.refusal = None,
            // A probe of the target before proves nothing about this target.
            BreakerState::Probing | BreakerState::Open { .. } => {
                self.state = BreakerState::Open { until: now };
                self.fresh_at = Some(now);
            }
        }
    }

    /// Returns the time at which another attempt may begin. `None` means after the end of an attempt. `fresh`: for a
    /// delivery that has never failed.
    pub(crate) fn next_at(&self, now: Instant, under_way: usize, fresh: bool) -> Option<Instant> {
        match self.state {
            BreakerState::Closed => (under_way < self.allowed).then_some(now),
            // The probe runs alone: attempts that began before the opening must end first.
            BreakerState::Open { .. } if under_way == 0 => self.next_probe_at(fresh).map(|at| at.max(now)),
            BreakerState::Open { .. } | BreakerState::Probing => None,
        }
    }

    /// Returns the time of the next probe of an open breaker. Attempts that began before the opening may delay the probe.
    pub(crate) fn next_probe_at(&self, fresh: bool) -> Option<Instant> {
        match self.state {
            BreakerState::Open { until } => {
                Some(self.fresh_at.filter(|_| fresh).map_or(until, |at| at.min(until)))
            }
            BreakerState::Closed | BreakerState::Probing => None,
        }
    }

    pub(crate) fn begin(&mut self) {
        if let BreakerState::Open { .. } = self.state {
            self.state = BreakerState::Probing;
        }
    }

    pub(crate) fn success(&mut self, now: Instant) -> BreakerChange {
        self.failing.clear();
        self.refusal = None;
        self.openings = 0;
        self.succeeded = Some(now);
        match self.state {
            BreakerState::Closed => {
                self.allowed = (self.allowed * 2).min(self.concurrency);
                debug_assert!(self.allowed > 0, "a target that answers is called");
                BreakerChange::None
            }
            // A straggler that began before the opening proves as much as a probe.
            BreakerState::Open { .. } | BreakerState::Probing => self.close(),
        }
    }

    pub(crate) fn neutral(&mut self, now: Instant) {
        if self.state == BreakerState::Probing {
            self.state = BreakerState::Open { until: now };
            self.fresh_at = Some(now);
        }
    }

    pub(crate) fn failure(
        &mut self,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        match error.class {
            ErrorClass::Content | ErrorClass::Dependency => {
                self.neutral(now);
                BreakerChange::None
            }
            ErrorClass::Rejected => self.after_answer(),
            ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Status(429) => {
                self.open(OpeningCause::Target, failed, error, policy, now)
            }
            ErrorClass::Status(503) | ErrorClass::Busy(Some(_)) if error.retry_after.is_some() => {
                self.open(OpeningCause::Target, failed, error, policy, now)
            }
            ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Status(408 | 425 | 500..)
            | ErrorClass::Busy(_) => self.after_stumble(failed, error, policy, now),
            ErrorClass::Status(status) | ErrorClass::Refused(Some(status)) => {
                self.after_refusal(status, failed, error, policy, now)
            }
            ErrorClass::Refused(None) => self.after_refusal(FAILED, failed, error, policy, now),
        }
    }

    /// Counts a failure that one event can cause as well as the target: the breaker opens when new keys fail in a row.
    fn after_stumble(
        &mut self,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        if !failed.before {
            self.stumbled = Some(now);
        }
        if !self.is_closed() {
            return self.open(OpeningCause::Stumbles, failed, error, policy, now);
        }
        if !failed.before {
            self.refusal = None;
            self.failing.insert(failed.key.to_owned());
        }
        // Without a recent success, first failures of the last minute count by the lower number.
        let most = if self.has_succeeded_lately(now) {
            MANY_FAILING.max(2 * self.concurrency)
        } else {
            FAILING_KEYS
        };
        match self.failing.len() >= most {
            true => self.open(OpeningCause::Stumbles, failed, error, policy, now),
            false => BreakerChange::None,
        }
    }

    fn has_succeeded_lately(&self, now: Instant) -> bool {
        self.succeeded.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    /// Counts an answer that refuses: the same for many keys is a fault of the target or the configuration.
    fn after_refusal(
        &mut self,
        status: u16,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        self.failing.clear();
        let (has_succeeded, is_open) = (self.has_succeeded_lately(now), self.is_open_over_refusals());
        let row = match &mut self.refusal {
            Some(row) if row.status == status || row.stands => row,
            other => other.insert(RefusalRow { status, keys: HashSet::new(), since: now, stands: false }),
        };
        if row.keys.len() < REFUSED_KEYS {
            row.keys.insert(failed.key.to_owned());
        }
        let is_login = error.class.is_login();
        let enough = row.keys.len() >= if is_login { FAILING_KEYS } else { REFUSED_KEYS };
        let long = !has_succeeded || now.saturating_duration_since(row.since) >= LONG_ROW;
        // From 500 on it is a mail server's refusal of the login, the sender, or this host.
        let of_the_target = matches!(status, FAILED | 300..=399 | 400 | 401 | 403 | 404 | 405 | 407 | 500..);
        if of_the_target && ((enough && long) || row.stands || is_open) {
            row.stands = true;
            return self.open(OpeningCause::Refusals, failed, error, policy, now);
        }
        self.after_answer()
    }

    /// Notes that the target answers, though it has taken nothing: a probe succeeds by that.
    fn after_answer(&mut self) -> BreakerChange {
        self.failing.clear();
        match self.state {
            BreakerState::Probing => self.close(),
            BreakerState::Closed | BreakerState::Open { .. } => BreakerChange::None,
        }
    }

    fn open(
        &mut self,
        cause: OpeningCause,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        let was_closed = self.is_closed();
        // Failures of attempts that began before the opening must not lengthen the pause.
        if let BreakerState::Open { until } = self.state
            && until > now
            && error.retry_after.is_none_or(|after| now + after <= until)
        {
            return BreakerChange::None;
        }
        self.openings = self.openings.saturating_add(1);
        let pause = policy.pause(self.openings).min(LONGEST_OPEN).max(error.retry_after.unwrap_or_default());
        let until = now + pause;
        self.fresh_at = Some(match cause {
            OpeningCause::Target => until,
            OpeningCause::Stumbles | OpeningCause::Refusals if error.retry_after.is_some() => until,
            // A key that fails again and again must not delay the probes of other keys.
            OpeningCause::Stumbles | OpeningCause::Refusals if failed.before && !was_closed => {
                self.fresh_at.unwrap_or(now)
            }
            OpeningCause::Stumbles | OpeningCause::Refusals => now + pause.min(LONGEST_FRESH),
        });
        self.state = BreakerState::Open { until };
        self.cause = cause;
        self.failing.clear();
        if was_closed { BreakerChange::Opened } else { BreakerChange::None }
    }

    fn close(&mut self) -> BreakerChange {
        self.state = BreakerState::Closed;
        self.allowed = match self.cause {
            OpeningCause::Target | OpeningCause::Refusals => 1,
            OpeningCause::Stumbles => self.concurrency.min(2),
        };
        debug_assert!((1..=self.concurrency).contains(&self.allowed), "calls are bounded by the concurrency");
        self.fresh_at = None;
        self.failing.clear();
        BreakerChange::Closed
    }
}
