//! The pauses and the number of attempts of a requeued message.
//!
//! The message stays unacknowledged and holds its lane, because a return would change its order with messages in the
//! client library.
//!
//! These options exist for endpoints of the library alone. Deliveries have the pauses of `RetryPolicy` in
//! `osnl-delivery/src/policy.rs`.

use std::num::NonZeroU32;
use std::time::Duration;

pub(super) use crate::journal::memory::STAY as LONGEST_STAY;

/// The pauses before retries after [`Requeue`](super::NotificationResult::Requeue).
///
/// oslo.messaging redelivers at once, without end. Here the pause is first `first`, then doubles up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequeuePolicy {
    pub first: Duration,
    pub longest: Duration,
    /// The number of calls after which the message is set aside.
    pub attempts: NonZeroU32,
}

impl Default for RequeuePolicy {
    fn default() -> Self {
        const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts: TEN }
    }
}

impl RequeuePolicy {
    /// Returns the pause after this attempt (1 is the first); `None` after the last.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Option<Duration> {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1).min(30));
        (attempt < self.attempts.get())
            .then(|| self.first.saturating_mul(doubled).min(self.longest.max(self.first)))
    }

    pub(super) fn stay(&self) -> Duration {
        let mut stay = Duration::ZERO;
        let mut attempt = 1;
        while let Some(pause) = self.pause(attempt) {
            stay = stay.saturating_add(pause);
            if stay > LONGEST_STAY || pause.is_zero() {
                break;
            }
            attempt += 1;
        }
        stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let policy = RequeuePolicy {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
            attempts: NonZeroU32::new(6).unwrap(),
        };
        let pauses: Vec<_> = (1..=7).map(|attempt| policy.pause(attempt).map(|p| p.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(5), Some(5), None, None]);
        assert_eq!(policy.stay(), Duration::from_secs(17));
        assert!(RequeuePolicy::default().stay() < LONGEST_STAY);
        let endless = RequeuePolicy { attempts: NonZeroU32::MAX, ..policy };
        assert!(endless.stay() > LONGEST_STAY);
    }
}
