//! The times of faults.

use std::time::Instant;

/// A time in which a fault concerned a daemon; `None` is all daemons.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultWindow {
    pub(super) daemon: Option<usize>,
    pub(super) from: Instant,
    pub(super) until: Instant,
}
