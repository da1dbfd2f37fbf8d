//! Calls of an action whose rate several daemons keep together: each begins with a token of the journal.

use std::sync::Arc;

use osnl_journal::CallTokens;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The tokens of an action, if its rate is kept with other daemons, and their changes.
#[derive(Debug)]
pub(super) struct TokenChanges(Option<(Arc<dyn CallTokens>, watch::Receiver<u64>)>);

impl TokenChanges {
    pub(super) fn of(tokens: Option<Arc<dyn CallTokens>>) -> Self {
        Self(tokens.map(|tokens| (tokens.clone(), tokens.changed())))
    }

    pub(super) fn tokens(&self) -> Option<Arc<dyn CallTokens>> {
        self.0.as_ref().map(|(tokens, _)| tokens.clone())
    }

    /// Completes when tokens have come or gone; never without any.
    pub(super) async fn changed(&mut self) {
        if let Some((_, changes)) = &mut self.0
            && changes.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// A call that is prepared: it begins with a token, or is given back.
#[derive(Debug)]
pub(super) struct ReservedCall {
    tokens: Arc<dyn CallTokens>,
    has_begun: bool,
}

impl ReservedCall {
    /// A call that the schedule has reserved.
    pub(super) fn of(tokens: Arc<dyn CallTokens>) -> Self {
        Self { tokens, has_begun: false }
    }

    /// Waits for a token that counts now: the one that was there when the call was prepared may not count any more, after a
    /// long enrichment, or in a process that was stopped.
    pub(super) async fn begin(mut self) {
        let mut changes = self.tokens.changed();
        loop {
            changes.mark_unchanged();
            match self.tokens.begin(Instant::now()) {
                Ok(()) => break,
                Err(at) => _ = timeout_at(at, changes.changed()).await,
            }
        }
        self.has_begun = true;
    }
}

impl Drop for ReservedCall {
    fn drop(&mut self) {
        if !self.has_begun {
            self.tokens.release();
        }
    }
}
