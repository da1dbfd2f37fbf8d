//! The policy of retries: the decision about a failed attempt, and every pause between attempts. Pure.
//!
//! A connection to a broker has the pauses of `osnl-transport/src/backoff.rs`, an endpoint of the library those of
//! `notification_listener/requeue.rs` in `osnl`. Each has options with names and bounds of its own.

use std::num::NonZeroU32;
use std::time::Duration;

use osnl_core::attempt::{ActionError, ErrorClass};

/// The operator's limits on retries, from which every pause follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts on *answers* that refuse (every status but 401, 407, 408, 425, 429 and 5xx), the first attempt included.
    pub max_attempts: NonZeroU32,
    /// The pause after the first failure; each further failure doubles it.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// The share of a pause that may be taken off at random, 0 to 1.
    pub jitter: f64,
}

/// The consequence of a failed attempt, by its error alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The target cannot answer now, or asked to wait. The delivery waits, which costs no attempt and has no end by the
    /// policy. Whether other deliveries wait too is the breaker's decision.
    Hold,
    RetryAfter(Duration),
    GiveUp,
}

impl RetryPolicy {
    /// Decides about a failed attempt by its class:
    ///
    /// | failure | decision |
    /// | --- | --- |
    /// | connect, TLS, time-out, reset, a refused login, 408, 425, 429, 5xx, `Failure::Busy`, a dependency | hold |
    /// | any other status, a program that failed | retry until `max_attempts`, then give up |
    /// | a final refusal, an unusable notification | give up |
    #[must_use]
    pub fn decide(&self, attempt: NonZeroU32, error: &ActionError) -> Decision {
        match error.class {
            ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout | ErrorClass::Reset => Decision::Hold,
            ErrorClass::Status(408 | 425 | 429 | 500..) | ErrorClass::Busy(_) | ErrorClass::Dependency => {
                Decision::Hold
            }
            class if class.is_login() => Decision::Hold,
            ErrorClass::Rejected | ErrorClass::Content => Decision::GiveUp,
            ErrorClass::Status(_) | ErrorClass::Refused(_) if attempt >= self.max_attempts => {
                Decision::GiveUp
            }
            ErrorClass::Status(_) | ErrorClass::Refused(_) => {
                Decision::RetryAfter(self.pause(attempt.get()).max(error.retry_after.unwrap_or_default()))
            }
        }
    }

    /// Returns the pause after so many failures, at random shorter by up to the jitter. The failures of a refusal are the
    /// attempts that count, those of a hold all failed attempts, those of a breaker its openings.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(30));
        let pause = self.initial.saturating_mul(doubled).min(self.max.max(self.initial));
        pause.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: NonZeroU32::new(3).unwrap(),
        initial: Duration::from_secs(1),
        max: Duration::from_secs(60),
        jitter: 0.0,
    };

    #[test]
    fn failures_are_held_retried_or_given_up() {
        use ErrorClass::{Busy, Connect, Content, Refused, Rejected, Reset, Status, Timeout, Tls};
        let pause = |s| Decision::RetryAfter(Duration::from_secs(s));
        for (class, attempt, expected) in [
            (Connect, 99, Decision::Hold),
            (Tls, 99, Decision::Hold),
            (Timeout, 99, Decision::Hold),
            (Reset, 99, Decision::Hold),
            (Status(500), 99, Decision::Hold),
            (Status(503), 99, Decision::Hold),
            (Status(429), 99, Decision::Hold),
            (Status(408), 99, Decision::Hold),
            (Status(401), 99, Decision::Hold),
            (Status(407), 99, Decision::Hold),
            (Refused(Some(535)), 99, Decision::Hold),
            (Status(400), 1, pause(1)),
            (Status(403), 2, pause(2)),
            (Status(400), 3, Decision::GiveUp),
            (Status(301), 3, Decision::GiveUp),
            (Status(404), 1, pause(1)),
            (Content, 1, Decision::GiveUp),
            (Busy(None), 99, Decision::Hold),
            (Refused(None), 2, pause(2)),
            (Refused(None), 3, Decision::GiveUp),
            (Rejected, 1, Decision::GiveUp),
            (Busy(Some(409)), 99, Decision::Hold),
            (Refused(Some(500)), 1, pause(1)),
            (Refused(Some(500)), 3, Decision::GiveUp),
        ] {
            let error = ActionError::new(class, "x");
            let attempt = NonZeroU32::new(attempt).unwrap();
            assert_eq!(POLICY.decide(attempt, &error), expected, "{class:?} attempt {attempt}");
        }
    }

    #[test]
    fn an_answer_s_retry_after_lengthens_the_pause() {
        let error = ActionError {
            retry_after: Some(Duration::from_secs(7)),
            ..ActionError::new(ErrorClass::Status(403), "x")
        };
        assert_eq!(POLICY.decide(NonZeroU32::MIN, &error), Decision::RetryAfter(Duration::from_secs(7)));
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_jitter_only_shortens() {
        let seconds: Vec<u64> = (1..=8).map(|n| POLICY.pause(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(POLICY.pause(u32::MAX).as_secs(), 60);
        let jittered = RetryPolicy { jitter: 0.5, ..POLICY };
        for _ in 0..1000 {
            let pause = jittered.pause(3);
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&pause), "{pause:?}");
        }
    }
}
