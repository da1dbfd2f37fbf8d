//! The end of a daemon or a listener.

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Everything in work was finished and settled.
    Drained,
    /// The deadline passed first; what was in work goes back to the broker.
    DeadlinePassed,
    /// An abort was asked for; what was in work goes back to the broker.
    Aborted,
}
