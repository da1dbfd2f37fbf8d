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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open { until: Instant },
    Probing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerChange {
    None,
    Opened,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpeningCause {
    Target,
    /// Time-outs, resets, 5xx, "not now".
    Stumbles,
    Refusals,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedKey<'a> {
    pub(crate) key: &'a str,
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

#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    concurrency: usize,
    allowed: usize,
    openings: u32,
    /// Keys that stumbled for the first time since the last success. Opening clears the set, which bounds it.
    failing: HashSet<String>,
    stumbled: Option<Instant>,
    refusal: Option<RefusalRow>,
    cause: OpeningCause,
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

    pub(crate) fn is_open_over_refusals(&self) -> bool {
        !self.is_closed() && self.cause == OpeningCause::Refusals
    }

    /// Returns whether the oldest deliveries may be at fault, so that newer deliveries run beside them.
    pub(crate) fn is_event_suspect(&self, now: Instant) -> bool {
        let lately = self.stumbled.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        lately || (!self.is_closed() && self.cause != OpeningCause::Target)
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
            BreakerState::Open { .. } if under_way == 0 => self.opens_at(fresh).map(|at| at.max(now)),
            BreakerState::Open { .. } | BreakerState::Probing => None,
        }
    }

    pub(crate) fn opens_at(&self, fresh: bool) -> Option<Instant> {
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
            ErrorClass::Status(status) | ErrorClass::Refused(Some(status)) => {
                self.refused(status, failed, error, policy, now)
            }
            ErrorClass::Refused(None) => self.refused(FAILED, failed, error, policy, now),
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
        // Without a recent success, first failures of the last minute count by the lower number.
        let most = if self.lately(now) { MANY_FAILING.max(2 * self.concurrency) } else { FAILING_KEYS };
        match self.failing.len() >= most {
            true => self.open(OpeningCause::Stumbles, failed, error, policy, now),
            false => BreakerChange::None,
        }
    }

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
        let (lately, is_open) = (self.lately(now), self.is_open_over_refusals());
        let row = match &mut self.refusal {
            Some(row) if row.status == status || row.stands => row,
            other => other.insert(RefusalRow { status, keys: HashSet::new(), since: now, stands: false }),
        };
        if row.keys.len() < REFUSED_KEYS {
            row.keys.insert(failed.key.to_owned());
        }
        let is_login = error.class.is_login();
        let enough = row.keys.len() >= if is_login { FAILING_KEYS } else { REFUSED_KEYS };
        let long = !lately || now.saturating_duration_since(row.since) >= LONG_ROW;
        // From 500 on it is a mail server's refusal of the login, the sender, or this host.
        let of_the_target = matches!(status, FAILED | 300..=399 | 400 | 401 | 403 | 404 | 405 | 407 | 500..);
        if of_the_target && ((enough && long) || row.stands || is_open) {
            row.stands = true;
            return self.open(OpeningCause::Refusals, failed, error, policy, now);
        }
        self.answered()
    }

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
        self.fresh_at = None;
        self.failing.clear();
        BreakerChange::Closed
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use super::*;

    pub(crate) const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: NonZeroU32::MAX,
        initial: Duration::from_secs(1),
        max: Duration::from_secs(60),
        jitter: 0.0,
    };

    /// Plays each word of a script, and returns the state at its end. `KEY:CLASS` reports a failure, with `c` (no connection),
    /// `t` (time-out), or a status as class; `ok` reports a success; `+N` lets N seconds pass; `begin` begins an attempt.
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
                    "s" => ErrorClass::Refused(Some(550)),
                    "l" => ErrorClass::Refused(Some(535)),
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
            ("ok a:500 b:500 c:t d:n e:500", "closed, 16 at once"),
            ("ok a:500 b:500 +60 c:500", "open for 1 s"),
            ("a:500 a:500 a:500", "closed, 16 at once"),
            ("a:500 ok b:500 ok a:t", "closed, 16 at once"),
            ("a:500 b:t", "open for 1 s"),
            ("a:x b:x c:x d:x e:x f:x", "closed, 16 at once"),
            // A final refusal is a fault of the event, and proves that the target answers.
            ("a:r b:r c:r d:r e:r f:r", "closed, 16 at once"),
            ("a:500 b:r c:500", "closed, 16 at once"),
            ("a:400 b:400 c:400 d:400", "closed, 16 at once"),
            ("a:400 b:400 c:400 d:400 d:400 d:400", "closed, 16 at once"),
            ("a:400 b:400 c:400 d:400 e:400", "open for 1 s"),
            ("a:400 b:403 c:400 d:403 e:400 f:403", "closed, 16 at once"),
            ("a:400 b:400 ok c:400 d:400 e:400", "closed, 16 at once"),
            ("a:404 b:404 c:404 d:404 e:404", "open for 1 s"),
            ("a:401 a:401 a:401", "closed, 16 at once"),
            ("a:401 b:401", "open for 1 s"),
            ("a:407 b:407", "open for 1 s"),
            ("a:409 b:409 c:409 d:409 e:409 f:409", "closed, 16 at once"),
            ("a:n a:n", "closed, 16 at once"),
            ("a:n b:n", "open for 1 s"),
            ("a:f b:f c:f d:f", "closed, 16 at once"),
            ("a:f b:f c:f d:f e:f", "open for 1 s"),
            ("a:s b:s c:s d:s", "closed, 16 at once"),
            ("a:s b:s c:s d:s e:s", "open for 1 s"),
            ("a:l b:l", "open for 1 s"),
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
            // Without a success for a minute, the earlier first failures count.
            ("ok a:500 b:500 +60 B:500", "open for 1 s"),
            ("ok a:500 +60 A:500 B:500", "closed, 16 at once"),
            ("A:c", "open for 1 s"),
            ("A:503/5", "open for 5 s"),
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
        // The newest deliveries run beside the oldest from the first stumble, until one of the oldest succeeds.
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
            ("ok a:400 b:400 c:400 d:400 e:400 +10 A:400", "open for 1 s"),
            ("ok a:400 b:400 c:400 d:400 +10 a:400", "closed, 16 at once"),
            ("ok a:401 +9 b:401", "closed, 16 at once"),
            ("ok a:401 +10 b:401", "open for 1 s"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    /// A single refused event in between must not cost the others an attempt each time.
    #[test]
    fn a_row_of_refusals_stands_until_a_success() {
        let row = "a:403 b:403 c:403 d:403 e:403 +1 begin";
        for (script, expected) in [
            (format!("{row} f:422"), "closed, 1 at once"),
            (format!("{row} f:422 g:403"), "open for 2 s"),
            (format!("{row} f:r g:404"), "open for 2 s"),
            (format!("{row} change:16 f:422 g:403"), "open for 1 s"),
            (format!("{row} f:422 ok g:403"), "closed, 2 at once"),
            (format!("{row} f:422 change:16 g:403"), "closed, 1 at once"),
            ("a:409 b:409 c:409 d:409 e:409 f:403".to_owned(), "closed, 16 at once"),
        ] {
            assert_eq!(after(&script), expected, "{script}");
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
        assert_eq!(breaker.refusal.map(|row| row.keys.len()), Some(REFUSED_KEYS));
    }

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
            ("a:400 b:400 c:400 d:400 e:400 change:16 begin f:400", "open for 1 s"),
            ("a:400 b:400 c:400 d:400 e:400 change:16 begin ok", "closed, 1 at once"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }

    #[test]
    fn probes_wait_longer_each_time_and_a_success_closes() {
        for (script, expected) in [
            ("a:c b:c c:c", "open for 1 s"),
            ("a:c +1 begin", "probing"),
            ("a:c +1 begin a:c", "open for 2 s"),
            ("a:c +1 begin a:c +2 begin b:500", "open for 4 s"),
            ("a:c +1 begin a:c +2 begin a:c +4 begin a:c +8 begin a:c +16 begin a:c", "open for 30 s"),
            ("a:c +1 begin ok", "closed, 1 at once"),
            ("a:c +1 begin ok ok ok", "closed, 4 at once"),
            ("a:c +1 begin ok ok ok ok ok ok ok", "closed, 16 at once"),
            // An answer, even a refusal, shows that the target is reachable.
            ("a:c +1 begin a:400", "closed, 1 at once"),
            ("a:c +1 begin a:r", "closed, 1 at once"),
            ("a:400 b:400 c:400 d:400 e:400 +1 begin f:400", "open for 2 s"),
            ("a:c +1 begin b:x", "open for 0 s"),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }
}
