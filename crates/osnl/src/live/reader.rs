use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::Receiver;

use super::{LiveEvent, LiveEvents};

/// An observer's bounded queue of live events, which ends with it.
pub struct LiveReader {
    id: u64,
    events: Receiver<Arc<LiveEvent>>,
    missed: Arc<AtomicU64>,
    of: Arc<LiveEvents>,
}

impl LiveReader {
    pub(super) fn new(
        id: u64,
        events: Receiver<Arc<LiveEvent>>,
        missed: Arc<AtomicU64>,
        of: Arc<LiveEvents>,
    ) -> Self {
        Self { id, events, missed, of }
    }

    /// Returns the next event; `None` once another reader has taken this place.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<LiveEvent>>> {
        self.events.poll_recv(context)
    }

    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.of.leave(self.id);
    }
}

impl fmt::Debug for LiveReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveReader").field("id", &self.id).finish_non_exhaustive()
    }
}
