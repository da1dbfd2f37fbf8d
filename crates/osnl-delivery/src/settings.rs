//! The settings with which an action is delivered.

use std::time::Duration;

use osnl_config::Rate;

use crate::gather::BatchLimits;
use crate::limits::{DeliveryLimits, HostLimits};
use crate::policy::RetryPolicy;
use crate::schedule::WhenExhausted;

/// The delivery settings of one action.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// Calls under way at once, each for other keys.
    pub concurrency: usize,
    /// The longest time that one call may take in all.
    pub timeout: Duration,
    /// The meaning of each failure.
    pub policy: RetryPolicy,
    /// The end of a delivery whose attempts are used up.
    pub when_exhausted: WhenExhausted,
    /// Further limits of a delivery, and the consequence for its key.
    pub limits: DeliveryLimits,
    /// The number of events that one call takes.
    pub batch: BatchLimits,
    /// The most calls within a time; `None` is as many as there are.
    pub rate: Option<Rate>,
    /// The share of the action that each host named by events may use.
    pub hosts: HostLimits,
}

#[cfg(any(test, feature = "sample"))]
impl DeliverySettings {
    /// So many attempts with these pauses, four at a time, and no other limit.
    pub fn sample(max_attempts: u32, initial: Duration, max: Duration) -> Self {
        let max_attempts = std::num::NonZeroU32::new(max_attempts).unwrap_or(std::num::NonZeroU32::MIN);
        Self {
            concurrency: 4,
            timeout: Duration::from_secs(30),
            policy: RetryPolicy { max_attempts, initial, max, jitter: 0.0 },
            when_exhausted: WhenExhausted::DeadLetter,
            limits: DeliveryLimits::default(),
            batch: BatchLimits::default(),
            rate: None,
            hosts: HostLimits::default(),
        }
    }
}
