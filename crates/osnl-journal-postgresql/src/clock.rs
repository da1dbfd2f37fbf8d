//! The clock of leases: it counts while the machine is suspended, and is never compared with another machine's.

use std::fmt::Debug;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A clock that only goes forward.
pub trait LeaseClock: Debug + Send + Sync {
    /// Returns the time since some moment in the past.
    fn now(&self) -> Duration;
}

/// The time since the machine was booted, suspended or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl LeaseClock for BootClock {
    fn now(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}
