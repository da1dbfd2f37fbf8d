use std::time::Instant;

/// The time of a fault of a daemon; `None` is all daemons.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultWindow {
    pub(super) daemon: Option<usize>,
    pub(super) from: Instant,
    pub(super) until: Instant,
}
