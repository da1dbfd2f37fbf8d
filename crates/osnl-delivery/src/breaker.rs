//! The circuit breaker of one target: closed, open until a moment, probing. Pure; the time is passed in.
//!
//! It opens
//! - at once over what only the target or the way to it can cause: connect, TLS, 429, and a 503 that
//!   says `Retry-After`,
//! - over a time-out, a reset, a "not now", 408, 425, or a 5xx when **two keys in a row that had never failed before** had one with
//!   no success between, or [`MANY_FAILING`] or twice the concurrency, whichever is more, if another key has succeeded within the last minute: an event that makes the
//!   target stumble parks its own key and nothing else, however often,
//! - over the same refusal (3xx, 400, 401, 403, 404, 405, a program that failed) for **five different keys** in a
//!   row, unless another key has succeeded within the last minute: a wrong token, path or unregistered address is a
//!   fault of the target, a name that the target does not like is a fault of the event.
//!
//! While it is open nothing is attempted but one probe at a time, after a pause that grows to half a minute. Over
//! stumbles and refusals, which some events may cause alone, a delivery that has never failed probes after
//! [`LONGEST_FRESH`] at most. After a success the limit of concurrent attempts grows from one, doubling with each success;
//! from two after stumbles, which the oldest deliveries may have caused, so that a newer one has a place beside them.

use std::collections::HashSet;
use std::time::Duration;

use osnl_core::attempt::{ActionError, ErrorClass};
use tokio::time::Instant;

use super::policy::RetryPolicy;

/// Keys that fail for the first time, with no success between, before the target is held.
const FAILING_KEYS: usize = 2;
/// The same while other keys succeed, or twice the concurrency if that is more: all calls may be theirs for a moment.
const MANY_FAILING: usize = 64;
/// Keys that get the same refusal in a row before the target is held.
const REFUSED_KEYS: usize = 5;
/// The status that a failed program counts as: no target answers 0.
const FAILED: u16 = 0;
/// However long the retries wait, a target that is back is found within this time.
pub(super) const LONGEST_OPEN: Duration = Duration::from_secs(30);
/// The longest pause between probes with deliveries that have never failed, where an event may be at fault.
pub(super) const LONGEST_FRESH: Duration = Duration::from_secs(3);
/// A success or a stumble within this time counts.
const LATELY: Duration = Duration::from_secs(60);

/// The calls that the breaker lets through; published for logs and `osnl status`.
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

/// The effect of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerChange {
    None,
    Opened,
    Closed,
}

/// The cause of the latest opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpeningCause {
    /// A failure that no event can cause.
    Target,
    /// Time-outs, resets, 5xx, "not now".
    Stumbles,
    /// Another answer of that kind keeps it open.
    Refusals,
}

/// The key of a failed attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedKey<'a> {
    pub(crate) key: &'a str,
    /// The key had failed before this attempt.
    pub(crate) before: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    concurrency: usize,
    /// Attempts that may be under way while closed; grows after a re-opening.
    allowed: usize,
    /// Openings in a row without a success.
    openings: u32,
    /// Keys that stumbled for the first time since the last success; never more than open it.
    failing: HashSet<String>,
    /// When a key stumbled for the first time, unless one of the oldest has succeeded since.
    stumbled: Option<Instant>,
    /// The latest refusal and its keys, [`REFUSED_KEYS`] at most.
    refusal: Option<(u16, HashSet<String>)>,
    cause: OpeningCause,
    /// While open: when a delivery that has never failed may probe.
    fresh_at: Option<Instant>,
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

    /// Whether it opened over refusals and is open.
    pub(crate) fn is_open_over_refusals(&self) -> bool {
        !self.is_closed() && self.cause == OpeningCause::Refusals
    }

    /// Whether the oldest deliveries may be what the target fails on: newer ones are tried beside them.
    pub(crate) fn is_event_suspect(&self, now: Instant) -> bool {
        let lately = self.stumbled.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        lately || (!self.is_closed() && self.cause != OpeningCause::Target)
    }

    /// One of the oldest deliveries succeeded.
    pub(crate) fn acquit(&mut self) {
        self.stumbled = None;
    }

    /// Calls that may be under way at once while closed.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Whether all calls may be made that the settings allow.
    pub(crate) fn is_at_full_pace(&self) -> bool {
        self.is_closed() && self.allowed >= self.concurrency
    }

    /// Other settings, or another target: what was counted against it is forgotten, and while it is held the next
    /// probe is due now.
    pub(crate) fn change(&mut self, concurrency: usize, now: Instant) {
        self.allowed =
            if self.allowed >= self.concurrency { concurrency } else { self.allowed.min(concurrency) };
        self.concurrency = concurrency;
        self.openings = 0;
        self.failing.clear();
        self.stumbled = None;
        self.refusal = None;
        self.succeeded = None;
        match self.state {
            BreakerState::Closed => {}
            // A probe of the target before says nothing about this one.
            BreakerState::Probing | BreakerState::Open { .. } => {
                self.state = BreakerState::Open { until: now };
                self.fresh_at = Some(now);
            }
        }
    }

    /// When another attempt may begin, given how many are under way; `None` is when one of these has ended. `fresh` asks for
    /// a delivery that has never failed.
    pub(crate) fn next_at(&self, now: Instant, under_way: usize, fresh: bool) -> Option<Instant> {
        match self.state {
            BreakerState::Closed => (under_way < self.allowed).then_some(now),
            // Attempts that began before it opened end first; the probe is alone.
            BreakerState::Open { .. } if under_way == 0 => self.opens_at(fresh).map(|at| at.max(now)),
            BreakerState::Open { .. } | BreakerState::Probing => None,
        }
    }

    /// When the next probe may begin, while it is open.
    pub(crate) fn opens_at(&self, fresh: bool) -> Option<Instant> {
        match self.state {
            BreakerState::Open { until } => {
                Some(self.fresh_at.filter(|_| fresh).map_or(until, |at| at.min(until)))
            }
            BreakerState::Closed | BreakerState::Probing => None,
        }
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self) {
        if let BreakerState::Open { .. } = self.state {
            self.state = BreakerState::Probing;
        }
    }

    /// The target did what it was asked.
    pub(crate) fn success(&mut self, now: Instant) -> BreakerChange {
        self.failing.clear();
        self.refusal = None;
        self.openings = 0;
        self.succeeded = Some(now);
        match self.state {
            BreakerState::Closed => {
                self.allowed = (self.allowed * 2).min(self.concurrency);
                BreakerChange::None
            }
            // A straggler that began before it opened proves as much as a probe.
            BreakerState::Open { .. } | BreakerState::Probing => self.close(),
        }
    }

    /// The attempt failed for a reason that is not the target's: it proves nothing.
    pub(crate) fn neutral(&mut self, now: Instant) {
        if self.state == BreakerState::Probing {
            self.state = BreakerState::Open { until: now };
            self.fresh_at = Some(now);
        }
    }

    /// The attempt failed.
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
            ErrorClass::Rejected => self.answered(),
            ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Status(429) => {
                self.open(OpeningCause::Target, failed, error, policy, now)
            }
            ErrorClass::Status(503) | ErrorClass::Busy(Some(_)) if error.retry_after.is_some() => {
                self.open(OpeningCause::Target, failed, error, policy, now)
            }
            ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Status(408 | 425 | 500..)
            | ErrorClass::Busy(_) => self.stumbled(failed, error, policy, now),
            ErrorClass::Status(status) => self.refused(status, failed, error, policy, now),
            ErrorClass::Refused(status) => self.refused(status.unwrap_or(FAILED), failed, error, policy, now),
        }
    }

    fn stumbled(
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
        // Without a success since, those that failed for the first time a minute ago count as they would now.
        let most = if self.lately(now) { MANY_FAILING.max(2 * self.concurrency) } else { FAILING_KEYS };
        match self.failing.len() >= most {
            true => self.open(OpeningCause::Stumbles, failed, error, policy, now),
            false => BreakerChange::None,
        }
    }

    /// Whether another key has succeeded within the last minute.
    fn lately(&self, now: Instant) -> bool {
        self.succeeded.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    fn refused(
        &mut self,
        status: u16,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        self.failing.clear();
        let keys = match &mut self.refusal {
            Some((same, keys)) if *same == status => keys,
            other => &mut other.insert((status, HashSet::new())).1,
        };
        if keys.len() < REFUSED_KEYS {
            keys.insert(failed.key.to_owned());
        }
        let enough = keys.len() >= REFUSED_KEYS;
        let of_the_target = matches!(status, FAILED | 300..=399 | 400 | 401 | 403 | 404 | 405);
        if of_the_target && ((enough && !self.lately(now)) || self.is_open_over_refusals()) {
            return self.open(OpeningCause::Refusals, failed, error, policy, now);
        }
        self.answered()
    }

    /// It answers, if not as we want: whatever kept us away is over.
    fn answered(&mut self) -> BreakerChange {
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
        // Attempts that were under way when it opened say nothing new.
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
            // A key that fails again and again does not make the others wait.
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
        self.fresh_at = None;
        self.refusal = None;
        self.failing.clear();
        BreakerChange::Closed
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
        let (breaker, now) = played(script);
        match breaker.state() {
            BreakerState::Closed => format!("closed, {} at once", breaker.allowed),
            BreakerState::Open { until } => format!("open for {} s", (until - now).as_secs()),
            BreakerState::Probing => "probing".to_owned(),
        }
    }

    fn played(script: &str) -> (Breaker, Instant) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(16);
        for word in script.split_whitespace() {
            if word == "ok" {
                breaker.success(now);
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
                    "d" => ErrorClass::Dependency,
                    status => ErrorClass::Status(status.parse().unwrap()),
                };
                breaker.failure(
                    // A key in capitals had failed before.
                    FailedKey { key, before: key.chars().all(char::is_uppercase) },
                    &ActionError { retry_after, ..ActionError::new(class, "") },
                    &POLICY,
                    now,
                );
            }
        }
        (breaker, now)
    }

    #[test]
    fn opens_over_the_target_s_state_and_not_over_an_event_s() {
        for (script, expected) in [
            ("a:c", "open for 1 s"),
            ("a:429", "open for 1 s"),
            ("a:429/20", "open for 20 s"),
            ("a:503/5", "open for 5 s"),
            // While others succeed it takes many more.
            ("ok a:500 b:500 c:t d:n e:500", "closed, 16 at once"),
            ("ok a:500 b:500 +60 c:500", "open for 1 s"),
            // One key that makes the target stumble stays its own problem.
            ("a:500 a:500 a:500", "closed, 16 at once"),
            ("a:500 ok b:500 ok a:t", "closed, 16 at once"),
            ("a:500 b:t", "open for 1 s"),
            ("a:x b:x c:x d:x e:x f:x", "closed, 16 at once"),
            // A final refusal is the event's, and proves that the target answers.
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
    fn a_key_that_has_failed_before_opens_nothing() {
        for (script, expected) in [
            ("A:500 B:500 C:t D:n", "closed, 16 at once"),
            ("a:500 B:500 C:500", "closed, 16 at once"),
            ("a:500 B:500 c:500", "open for 1 s"),
            // Once nothing has succeeded for a minute, it shows that the others of that minute were right.
            ("ok a:500 b:500 +60 B:500", "open for 1 s"),
            ("ok a:500 +60 A:500 B:500", "closed, 16 at once"),
            // A failure that only the target can cause is its own, whichever key it is reported to.
            ("A:c", "open for 1 s"),
            ("A:503/5", "open for 5 s"),
            // A dependency says nothing about the target.
            ("a:d b:d c:d", "closed, 16 at once"),
            ("a:c +1 begin b:d", "open for 0 s"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    #[test]
    fn while_others_succeed_it_opens_over_many_keys_in_a_row() {
        let (keys, mut now) = (MANY_FAILING.max(2 * 16), Instant::now());
        let mut breaker = Breaker::new(16);
        breaker.success(now);
        let fails = |breaker: &mut Breaker, n: usize, now| {
            let key = n.to_string();
            breaker.failure(
                FailedKey { key: &key, before: false },
                &ActionError::new(ErrorClass::Timeout, ""),
                &POLICY,
                now,
            )
        };
        for n in 1..keys {
            assert_eq!(fails(&mut breaker, n, now), BreakerChange::None, "{n}");
        }
        assert_eq!(fails(&mut breaker, keys, now), BreakerChange::Opened);
        // The newest are tried beside the oldest from the first stumble on, until one of the oldest succeeds.
        assert!(breaker.is_event_suspect(now));
        now += Duration::from_secs(1);
        breaker.begin();
        assert_eq!(breaker.success(now), BreakerChange::Closed);
        assert_eq!((breaker.allowed(), breaker.is_event_suspect(now)), (2, true));
        breaker.acquit();
        assert!(!breaker.is_event_suspect(now));
        fails(&mut breaker, 0, now);
        assert!(breaker.is_event_suspect(now) && !breaker.is_event_suspect(now + LATELY));
    }

    #[test]
    fn refusals_hold_no_target_that_has_lately_taken_another() {
        for (script, expected) in [
            ("ok a:400 b:400 c:400 d:400 e:400 f:400 g:400", "closed, 16 at once"),
            ("ok +59 a:400 b:400 c:400 d:400 e:400 +1 f:400", "open for 1 s"),
            ("ok +60 a:400 b:400 c:400 d:400 e:400", "open for 1 s"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    #[test]
    fn refused_keys_are_not_collected_without_end() {
        let mut breaker = Breaker::new(4);
        for key in 0..10_000 {
            let key = key.to_string();
            let failed = FailedKey { key: &key, before: false };
            breaker.failure(failed, &ActionError::new(ErrorClass::Status(409), ""), &POLICY, Instant::now());
        }
        assert_eq!(breaker.refusal.map(|(_, keys)| keys.len()), Some(REFUSED_KEYS));
    }

    /// Seconds until a probe, of deliveries that have never failed and of all.
    #[test]
    fn what_has_never_failed_probes_soon_where_an_event_may_be_at_fault() {
        let long = "+9 begin A:500 +9 begin A:500 +9 begin A:500 +9 begin";
        for (script, fresh, all) in [
            (format!("a:500 b:500 {long} c:500"), 3, 16),
            (format!("a:500 b:500 {long} C:500"), 0, 16),
            (format!("a:c {long} c:c"), 16, 16),
            (format!("a:500 b:500 {long} c:503/20"), 20, 20),
        ] {
            let (breaker, now) = played(&script);
            let left = |fresh| breaker.opens_at(fresh).unwrap().saturating_duration_since(now).as_secs();
            assert_eq!((left(true), left(false)), (fresh, all), "{script}");
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
