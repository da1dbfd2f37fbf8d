use std::time::Duration;

use osnl_config::Rate;

use crate::gather::BatchLimits;
use crate::limits::{DeliveryLimits, HostLimits};
use crate::policy::RetryPolicy;
use crate::schedule::WhenExhausted;

/// The options of one action that decide when and how often it is called.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// The most calls under way; at least one.
    pub concurrency: usize,
    /// The longest time of one call.
    pub timeout: Duration,
    /// The number of attempts, and the pauses between them.
    pub policy: RetryPolicy,
    /// The end of a delivery without an attempt left.
    pub when_exhausted: WhenExhausted,
    /// The bounds of waiting, and the fate of dead letters.
    pub limits: DeliveryLimits,
    /// The bounds of the events that share a call.
    pub batch: BatchLimits,
    /// The most calls within a time; `None` for no limit.
    pub rate: Option<Rate>,
    /// The share of the action that each host named by events may use.
    pub hosts: HostLimits,
}

#[cfg(any(test, feature = "sample"))]
impl DeliverySettings {
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
