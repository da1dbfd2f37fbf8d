//! A rule engine that can be replaced while its listener runs: what comes from then on is judged by the new rules, what
//! has been appended keeps its verdict.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use osnl_model::Head;
use osnl_transport::{BoxFuture, IncomingMessage};
use tokio::sync::Notify;

use super::{Intake, RuleEngine};
use crate::journal::Receipt;
use crate::received::Received;

/// The intake of a listener whose rules may change.
pub struct LiveRules {
    engine: RwLock<Arc<RuleEngine>>,
    replaced: Notify,
}

impl LiveRules {
    /// Begins with this engine.
    #[must_use]
    pub fn new(engine: RuleEngine) -> Self {
        Self { engine: RwLock::new(Arc::new(engine)), replaced: Notify::new() }
    }

    /// Judges by another engine from now on. Rules of a name that both have keep counting, and places that were
    /// reserved are used by what comes next.
    pub fn replace(&self, engine: RuleEngine) {
        let mut current = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        engine.succeed(&current);
        *current = Arc::new(engine);
        drop(current);
        self.replaced.notify_waiters();
    }

    /// Its rules are looked at and counted from now on, going on with the counts of another listener of the name.
    pub(crate) fn begin(&self, before: Option<&Self>) {
        let before = before.map(|before| before.engine().clone());
        self.engine().begin(before.as_deref());
    }

    fn engine(&self) -> RwLockReadGuard<'_, Arc<RuleEngine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake for LiveRules {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            loop {
                let replaced = self.replaced.notified();
                tokio::pin!(replaced);
                // Armed before looking, so that a change in between is not missed.
                replaced.as_mut().enable();
                let engine = self.engine().clone();
                // A full action may be none of the new rules'.
                tokio::select! {
                    biased;
                    places = engine.reserve(at_most) => return places,
                    () = replaced => {}
                }
            }
        })
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        self.engine().wants(head)
    }

    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        self.engine().unwanted(message, listener, head);
    }

    fn notify(&self, received: Received) -> Receipt {
        self.engine().notify(received)
    }

    fn unreadable(&self, received: Received, reason: String) -> Receipt {
        self.engine().unreadable(received, reason)
    }
}
