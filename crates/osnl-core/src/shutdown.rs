//! The two signals that end the program: *drain*, then *abort*.

use tokio_util::sync::CancellationToken;

/// Told to every loop. Draining takes nothing new and finishes what is in work; aborting drops it.
/// Whatever is dropped is unsettled, so the broker delivers it again.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Finish what is in work.
    pub drain: CancellationToken,
    /// Leave everything as it is, now.
    pub abort: CancellationToken,
}

impl Shutdown {
    /// Neither signal given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
