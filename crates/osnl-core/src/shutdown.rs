use tokio_util::sync::CancellationToken;

/// The signals that every loop observes. Draining takes nothing new and finishes the work in hand. Aborting drops that
/// work: the messages are unsettled, so the broker redelivers them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub abort: CancellationToken,
}

impl Shutdown {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns signals that these cancel too, and that cancel none of these.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), abort: self.abort.child_token() }
    }
}
