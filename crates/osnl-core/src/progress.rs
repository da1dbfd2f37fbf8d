//! The progress of an event that needs several calls.
//!
//! Calls that are done are counted and not made deliveries of their own. The attempt shares the count, so that one
//! that ran out of time has it too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::event::{DONE, Enriched, Event};

/// The number of an event's calls that are done. Clones share it: calls count even if their attempt fails or runs out
/// of time. The delivery loop keeps it in the journal.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU32>);

impl Event {
    /// The number of its calls that are done, from the first on.
    #[must_use]
    pub fn done(&self) -> usize {
        usize::try_from(self.kept().max(self.progress.0.load(Ordering::Acquire))).unwrap_or(usize::MAX)
    }

    /// One more is done.
    pub fn one_is_done(&self) {
        let done = u32::try_from(self.done()).unwrap_or(u32::MAX);
        self.progress.0.store(done.saturating_add(1), Ordering::Release);
    }

    /// The values to keep with the delivery so that a later attempt continues from there; `None` if they are kept.
    pub fn progressed(&self) -> Option<Arc<Enriched>> {
        let done = self.progress.0.load(Ordering::Acquire);
        if done <= self.kept() {
            return None;
        }
        let mut enriched = self.enriched.as_deref().cloned().unwrap_or_default();
        enriched.insert(DONE.to_owned(), done.into());
        Some(Arc::new(enriched))
    }

    fn kept(&self) -> u32 {
        let kept = self.enriched.as_ref().and_then(|kept| kept.get(DONE)?.as_u64());
        kept.and_then(|done| u32::try_from(done).ok()).unwrap_or_default()
    }
}
