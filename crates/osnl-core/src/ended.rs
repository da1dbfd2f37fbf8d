#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Drained,
    /// The deadline passed first; the broker redelivers the work in hand.
    DeadlinePassed,
    /// An abort was requested; the broker redelivers the work in hand.
    Aborted,
}
