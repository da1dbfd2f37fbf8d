/// The way in which a run of the daemon ended, for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All work in hand was finished.
    Drained,
    /// The deadline passed first; the broker redelivers the work in hand.
    DeadlinePassed,
    /// An abort was requested; the broker redelivers the work in hand.
    Aborted,
}
