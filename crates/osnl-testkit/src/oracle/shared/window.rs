use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct FaultWindow {
    pub(super) daemon: Option<usize>,
    pub(super) from: Instant,
    pub(super) until: Instant,
}
