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
}
