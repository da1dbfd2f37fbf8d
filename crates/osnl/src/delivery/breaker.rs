//! The circuit breaker of one target: closed, open until a moment, probing. Pure; the time is passed in.
//!
//! It opens
//! - at once over what only the target or the way to it can cause: connect, TLS, 429, and a 503 that
//!   says `Retry-After`,
//! - over a time-out, a reset, a "not now" or a 5xx when **two different keys** in a row had one with no success
//!   between: one event that makes the target stumble parks its own key and nothing else,
//! - over the same refusal (3xx, 400, 401, 403, 404, 405, a program that failed) for **five different keys** in a
//!   row: a wrong token, path or unregistered address is the target's state, not the event's.
//!
//! While it is open nothing is attempted. When the time is up one probe goes out, each time with
//! another key, so that a single poisonous event cannot keep the target closed. After a success the
//! limit of concurrent attempts grows from one, doubling with each success.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::RetryPolicy;
use crate::action::{ActionError, ErrorClass};

const FAILING_KEYS: usize = 2;
const REFUSED_KEYS: usize = 5;
/// What a program that failed counts as among the statuses: no target answers 0.
const FAILED: u16 = 0;
/// However long the retries wait, a target that is back is found within this time.
const LONGEST_OPEN: Duration = Duration::from_secs(30);

/// What the breaker lets through; published for logs and, later, the admin page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts are made.
    Closed,
    /// Nothing is attempted before this moment.
    Open {
        /// When the next probe is due.
        until: Instant,
    },
    /// One attempt is under way to see whether the target is back.
    Probing,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Opened,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    concurrency: usize,
    /// Attempts that may be under way while closed; grows after a re-opening.
    allowed: usize,
    /// Openings in a row without a success.
    openings: u32,
    failing: HashSet<String>,
    refusal: Option<(u16, HashSet<String>)>,
    /// It was opened over refusals: another answer of that kind keeps it open.
    over_refusals: bool,
}

impl Breaker {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            state: BreakerState::Closed,
            concurrency,
            allowed: concurrency,
            openings: 0,
            failing: HashSet::new(),
            refusal: None,
            over_refusals: false,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    /// Other settings, or another target: what was counted against it is forgotten, and while it is held the next
    /// probe is due now.
    pub(crate) fn change(&mut self, concurrency: usize, now: Instant) {
        self.allowed =
            if self.allowed >= self.concurrency { concurrency } else { self.allowed.min(concurrency) };
        self.concurrency = concurrency;
        self.openings = 0;
        self.failing.clear();
        self.refusal = None;
        if let BreakerState::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// How many more attempts may begin, given how many are under way.
    pub(crate) fn allowance(&self, now: Instant, under_way: usize) -> usize {
        match self.state {
            BreakerState::Closed => self.allowed.saturating_sub(under_way),
            // Attempts that began before it opened end first; the probe is alone.
            BreakerState::Open { until } if now >= until && under_way == 0 => 1,
            BreakerState::Open { .. } | BreakerState::Probing => 0,
        }
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self) {
        if let BreakerState::Open { .. } = self.state {
            self.state = BreakerState::Probing;
        }
    }

    /// The target did what it was asked.
    pub(crate) fn success(&mut self) -> Change {
        self.failing.clear();
        self.refusal = None;
        self.openings = 0;
        match self.state {
            BreakerState::Closed => {
                self.allowed = (self.allowed * 2).min(self.concurrency);
                Change::None
            }
            // A straggler that began before it opened proves as much as a probe.
            BreakerState::Open { .. } | BreakerState::Probing => self.close(),
        }
    }

    /// The attempt failed for a reason that is not the target's: it proves nothing.
    pub(crate) fn neutral(&mut self, now: Instant) {
        if self.state == BreakerState::Probing {
            self.state = BreakerState::Open { until: now };
        }
    }

    /// The attempt failed.
    pub(crate) fn failure(
        &mut self,
        key: &str,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> Change {
        match error.class {
            ErrorClass::Content => {
                self.neutral(now);
                Change::None
            }
            ErrorClass::Rejected => self.answered(),
            ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Status(429) => {
                self.open(error, policy, now, false)
            }
            ErrorClass::Status(503) | ErrorClass::Busy(Some(_)) if error.retry_after.is_some() => {
                self.open(error, policy, now, false)
            }
            ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Status(408 | 425 | 500..)
            | ErrorClass::Busy(_) => {
                self.refusal = None;
                self.failing.insert(key.to_owned());
                if self.state != BreakerState::Closed || self.failing.len() >= FAILING_KEYS {
                    self.open(error, policy, now, false)
                } else {
                    Change::None
                }
            }
            ErrorClass::Status(status) => self.refused(key, status, error, policy, now),
            ErrorClass::Refused(status) => self.refused(key, status.unwrap_or(FAILED), error, policy, now),
        }
    }

    fn refused(
        &mut self,
        key: &str,
        status: u16,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> Change {
        self.failing.clear();
        let keys = match &mut self.refusal {
            Some((same, keys)) if *same == status => keys,
            other => &mut other.insert((status, HashSet::new())).1,
        };
        keys.insert(key.to_owned());
        let of_the_target = matches!(status, FAILED | 300..=399 | 400 | 401 | 403 | 404 | 405);
        if of_the_target
            && (keys.len() >= REFUSED_KEYS || (self.over_refusals && self.state != BreakerState::Closed))
        {
            return self.open(error, policy, now, true);
        }
        self.answered()
    }

    /// It answers, if not as we want: whatever kept us away is over.
    fn answered(&mut self) -> Change {
        self.failing.clear();
        match self.state {
            BreakerState::Probing => self.close(),
            BreakerState::Closed | BreakerState::Open { .. } => Change::None,
        }
    }

    fn open(
        &mut self,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
        over_refusals: bool,
    ) -> Change {
        let was_closed = self.state == BreakerState::Closed;
        // Attempts that were under way when it opened say nothing new.
        if let BreakerState::Open { until } = self.state
            && until > now
            && error.retry_after.is_none_or(|after| now + after <= until)
        {
            return Change::None;
        }
        self.openings = self.openings.saturating_add(1);
        let pause = policy.pause(self.openings).min(LONGEST_OPEN).max(error.retry_after.unwrap_or_default());
        self.state = BreakerState::Open { until: now + pause };
        self.over_refusals = over_refusals;
        if was_closed { Change::Opened } else { Change::None }
    }

    fn close(&mut self) -> Change {
        self.state = BreakerState::Closed;
        self.allowed = 1;
        self.over_refusals = false;
        self.refusal = None;
        self.failing.clear();
        Change::Closed
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: NonZeroU32::MAX,
        initial: Duration::from_secs(1),
        max: Duration::from_secs(60),
        jitter: 0.0,
    };

    /// Reports, one a word: `KEY:CLASS` where class is `c`onnect, `t`ime-out or a status; `ok`; `+N` seconds
    /// pass; `begin`. Answers what is left open: seconds until the probe, or `closed`.
    fn after(script: &str) -> String {
        let start = Instant::now();
        let mut now = start;
        let mut breaker = Breaker::new(16);
        for word in script.split_whitespace() {
            if word == "ok" {
                breaker.success();
            } else if let Some(concurrency) = word.strip_prefix("change:") {
                breaker.change(concurrency.parse().unwrap(), now);
            } else if word == "begin" {
                breaker.begin();
            } else if let Some(seconds) = word.strip_prefix('+') {
                now += Duration::from_secs(seconds.parse().unwrap());
            } else {
                let (key, class) = word.split_once(':').unwrap();
                let (class, retry_after) = match class.split_once('/') {
                    Some((class, after)) => (class, Some(Duration::from_secs(after.parse().unwrap()))),
                    None => (class, None),
                };
                let class = match class {
                    "c" => ErrorClass::Connect,
                    "t" => ErrorClass::Timeout,
                    "x" => ErrorClass::Content,
                    "n" => ErrorClass::Busy(None),
                    "f" => ErrorClass::Refused(None),
                    "r" => ErrorClass::Rejected,
                    status => ErrorClass::Status(status.parse().unwrap()),
                };
                breaker.failure(
                    key,
                    &ActionError { class, reason: String::new(), retry_after },
                    &POLICY,
                    now,
                );
            }
        }
        match breaker.state() {
            BreakerState::Closed => format!("closed, {} at once", breaker.allowed),
            BreakerState::Open { until } => format!("open for {} s", (until - now).as_secs()),
            BreakerState::Probing => "probing".to_owned(),
        }
    }

    #[test]
    fn opens_over_the_target_s_state_and_not_over_an_event_s() {
        for (script, expected) in [
            ("a:c", "open for 1 s"),
            ("a:429", "open for 1 s"),
            ("a:429/20", "open for 20 s"),
            ("a:503/5", "open for 5 s"),
            // One key that makes the target stumble stays its own problem.
            ("a:500 a:500 a:500", "closed, 16 at once"),
            ("a:500 ok b:500 ok a:t", "closed, 16 at once"),
            ("a:500 b:t", "open for 1 s"),
            ("a:x b:x c:x d:x e:x f:x", "closed, 16 at once"),
            // A final refusal is the event's, and whoever says so is there.
            ("a:r b:r c:r d:r e:r f:r", "closed, 16 at once"),
            ("a:500 b:r c:500", "closed, 16 at once"),
            // The same refusal, five keys.
            ("a:400 b:400 c:400 d:400", "closed, 16 at once"),
            ("a:400 b:400 c:400 d:400 d:400 d:400", "closed, 16 at once"),
            ("a:400 b:400 c:400 d:400 e:400", "open for 1 s"),
            ("a:400 b:403 c:400 d:403 e:400 f:403", "closed, 16 at once"),
            ("a:400 b:400 ok c:400 d:400 e:400", "closed, 16 at once"),
            ("a:404 b:404 c:404 d:404 e:404", "open for 1 s"),
            ("a:409 b:409 c:409 d:409 e:409 f:409", "closed, 16 at once"),
            // Plug-ins: "not now", failed, rejected.
            ("a:n a:n", "closed, 16 at once"),
            ("a:n b:n", "open for 1 s"),
            ("a:f b:f c:f d:f", "closed, 16 at once"),
            ("a:f b:f c:f d:f e:f", "open for 1 s"),
            ("a:r b:r c:r d:r e:r f:r", "closed, 16 at once"),
            ("a:c +1 begin a:r", "closed, 1 at once"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    #[test]
    fn other_settings_probe_at_once_and_begin_to_count_anew() {
        for (script, expected) in [
            ("change:4", "closed, 4 at once"),
            ("a:c +1 begin ok change:4", "closed, 1 at once"),
            ("a:c +1 begin ok change:4 ok ok ok", "closed, 4 at once"),
            ("a:400 b:400 c:400 d:400 change:16 e:400", "closed, 16 at once"),
            ("a:429/20 change:16", "open for 0 s"),
            ("a:c +1 begin a:c +2 begin a:c change:16 begin a:c", "open for 1 s"),
            // It was opened over refusals: another one says that nothing is mended.
            ("a:400 b:400 c:400 d:400 e:400 change:16 begin f:400", "open for 1 s"),
            ("a:400 b:400 c:400 d:400 e:400 change:16 begin ok", "closed, 1 at once"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    #[test]
    fn probes_wait_longer_each_time_and_a_success_closes() {
        for (script, expected) in [
            // Stragglers of the moment it opened do not lengthen the pause.
            ("a:c b:c c:c", "open for 1 s"),
            ("a:c +1 begin", "probing"),
            ("a:c +1 begin a:c", "open for 2 s"),
            ("a:c +1 begin a:c +2 begin b:500", "open for 4 s"),
            ("a:c +1 begin a:c +2 begin a:c +4 begin a:c +8 begin a:c +16 begin a:c", "open for 30 s"),
            ("a:c +1 begin ok", "closed, 1 at once"),
            ("a:c +1 begin ok ok ok", "closed, 4 at once"),
            ("a:c +1 begin ok ok ok ok ok ok ok", "closed, 16 at once"),
            // An answer, even a refusing one, shows that the target is there.
            ("a:c +1 begin a:400", "closed, 1 at once"),
            ("a:c +1 begin a:r", "closed, 1 at once"),
            // Opened over refusals, a probe that is refused keeps it open.
            ("a:400 b:400 c:400 d:400 e:400 +1 begin f:400", "open for 2 s"),
            // An unusable notification proves nothing.
            ("a:c +1 begin b:x", "open for 0 s"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }
}
