//! How much of an event is done, where it asks for several calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::event::{DONE, Enriched, Event};

/// How many of the calls that an event asks for are done. Clones share it, so that what an attempt has brought about
/// counts although that attempt failed, or ran out of time; the delivery loop has it journalled.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU32>);

impl Event {
    /// How many of its calls are done, from the first on.
    #[must_use]
    pub fn done(&self) -> usize {
        usize::try_from(self.kept().max(self.progress.0.load(Ordering::Acquire))).unwrap_or(usize::MAX)
    }

    /// One more is done.
    pub fn one_is_done(&self) {
        let done = u32::try_from(self.done()).unwrap_or(u32::MAX);
        self.progress.0.store(done.saturating_add(1), Ordering::Release);
    }

    /// What is to be kept with the delivery so that a later attempt goes on from there; `None` if it is kept.
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
