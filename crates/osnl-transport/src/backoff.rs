//! The pauses between attempts to connect to a broker, by the options of oslo.messaging's drivers. Pure.
//!
//! Attempts of deliveries have the pauses of `RetryPolicy` in `osnl-delivery/src/policy.rs`, with other options.

use std::time::Duration;

use crate::error::TransportError;

/// The pauses between connections that the operator has set in the transport's URL.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reconnect {
    /// The pause before the first attempt after a lost connection, and a random addition up to the second value.
    pub delay: Option<(Duration, Duration)>,
    /// The pauses between failed attempts; `None` for those of [`Backoff`].
    pub retry: Option<RetryPauses>,
}

/// Pauses that grow by a step with each failure, as in oslo.messaging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPauses {
    pub first: Duration,
    pub step: Duration,
    pub longest: Duration,
}

impl RetryPauses {
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        self.first.saturating_add(self.step.saturating_mul(failures.saturating_sub(1))).min(self.longest)
    }
}

/// The pauses between attempts to connect. A missing broker or exchange is tried about once a second, so the first
/// message arrives within a second of its return. A broker that refuses the connection is tried less and less often,
/// down to every 30 s.
///
/// Pauses from the transport's options, such as `rabbit_retry_interval`, stay as the operator set them after each kind of
/// failure.
#[derive(Debug)]
pub struct Backoff {
    asked: Reconnect,
    failures: u32,
    refusals: u32,
}

const ROUND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

impl Backoff {
    #[must_use]
    pub fn new(asked: Reconnect) -> Self {
        Self { asked, failures: 0, refusals: 0 }
    }

    #[must_use]
    pub fn before(&self) -> Option<Duration> {
        let (delay, splay) = self.asked.delay?;
        Some(delay + splay.mul_f64(fastrand::f64()))
    }

    /// Returns the pause after this failure. Up to a fifth is removed at random, so that many daemons do not connect at
    /// the same moment.
    pub fn after(&mut self, error: &TransportError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if let Some(retry) = self.asked.retry {
            return retry.after(self.failures);
        }
        let pause = if error.is_refused_access() {
            self.refusals = self.refusals.saturating_add(1);
            ROUND.saturating_mul(2u32.saturating_pow(self.refusals - 1)).min(LONGEST)
        } else {
            self.refusals = 0;
            ROUND
        };
        pause.mul_f64(1.0 - 0.2 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_refused_connection_is_tried_each_second_and_a_refused_login_ever_less_often() {
        let refused =
            TransportError::LoginRefused { host: "h".into(), user: "u".into(), reason: "403".into() };
        let away = TransportError::Connect { host: "h".into(), reason: "refused".into() };
        let mut backoff = Backoff::new(Reconnect::default());
        assert_eq!(backoff.before(), None);
        let mut check = |error: &TransportError, longest: f64| {
            let pause = backoff.after(error).as_secs_f64();
            assert!((longest * 0.8..=longest).contains(&pause), "{pause} against {longest}");
        };
        (0..10).for_each(|_| check(&away, 1.0));
        [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0].into_iter().for_each(|longest| check(&refused, longest));
        check(&away, 1.0);
        check(&refused, 1.0);
        // A service that starts late is found within a second, however long it takes.
        let missing = TransportError::NoExchange { exchange: "neutron".into() };
        (0..10).for_each(|_| check(&missing, 1.0));
    }

    #[test]
    fn pauses_that_the_options_ask_for_win() {
        let seconds = Duration::from_secs;
        let retry = RetryPauses { first: seconds(1), step: seconds(2), longest: seconds(4) };
        let asked = Reconnect { delay: Some((seconds(2), seconds(3))), retry: Some(retry) };
        let mut backoff = Backoff::new(asked);
        for _ in 0..50 {
            let before = backoff.before().unwrap();
            assert!((seconds(2)..=seconds(5)).contains(&before), "{before:?}");
        }
        let refused =
            TransportError::LoginRefused { host: "h".into(), user: "u".into(), reason: "403".into() };
        let away = TransportError::Connect { host: "h".into(), reason: "refused".into() };
        let pauses = [&away, &refused, &away, &refused].map(|error| backoff.after(error).as_secs());
        assert_eq!(pauses, [1, 3, 4, 4]);
    }
}
