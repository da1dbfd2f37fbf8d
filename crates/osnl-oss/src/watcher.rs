//! Notes with each message what it means, before it is kept, in the order of arrival.
//!
//! Decided at an attempt it would depend on which target answers when; decided here it is kept with the message, and so
//! is what is known since: a restart knows what it knew, and a message that comes again means the same. Where several daemons
//! share a journal, the journal has it [decided](super::recalling) when it keeps the message.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use osnl_journal::LearntFacts;
use osnl_model::Notification;

use super::memory::{EventMeaning, Memory};
use super::recalling::{RowRecall, facts, say_handled, written};
use super::servers::Complete;
use super::watched::WatchedActions;
use osnl_core::observe::{Observe, PartKeys};
use osnl_core::recall::Recaller;
use osnl_core::received::{MessageNotes, ReceivedMessage};

/// Notes with each message what it means, before it is kept, in the order of arrival. One for all listeners: what neutron
/// says is needed for what nova says.
#[derive(Debug, Default)]
pub struct Watcher {
    memory: Mutex<Memory>,
    watched: Arc<RwLock<WatchedActions>>,
    /// The part that a shared journal asks; then the memory is empty.
    recaller: Option<Recaller>,
}

impl Watcher {
    /// Knowing what was `kept`, for these actions.
    #[must_use]
    pub fn new(watched: WatchedActions, kept: Vec<(String, String)>) -> Self {
        let mut memory = Memory::default();
        let unread = memory.restore(kept);
        if unread > 0 {
            tracing::warn!(rows = unread, "rows about earlier events cannot be read and are ignored");
        }
        Self { memory: Mutex::new(memory), watched: Arc::new(RwLock::new(watched)), recaller: None }
    }

    /// Knowing what a journal knows that several daemons share.
    #[must_use]
    pub fn of_shared_journal(watched: WatchedActions) -> Self {
        let watched = Arc::new(RwLock::new(watched));
        let recaller = Some(Recaller(Arc::new(RowRecall { watched: watched.clone() })));
        Self { memory: Mutex::default(), watched, recaller }
    }

    /// For other actions from then on: a configuration that was read again forgets nothing.
    pub fn watch(&self, watched: WatchedActions) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Takes note of what was asked for, for events that say less; answers what is known otherwise since.
    pub(super) fn learn<'a>(&self, found: impl Iterator<Item = &'a Complete>) -> LearntFacts {
        if let Some(recaller) = &self.recaller {
            let recalled = Some((recaller.clone(), facts(found)));
            return LearntFacts { recalled, ..LearntFacts::default() };
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        found.for_each(|complete| memory.learn(complete));
        LearntFacts { changes: memory.changes(), ..LearntFacts::default() }
    }

    /// Returns the meaning of a message, to be kept with it; nothing of an unreadable message.
    #[must_use]
    pub fn noted(&self, received: &ReceivedMessage) -> MessageNotes {
        received.decode().map(|n| self.note(received, &n).0).unwrap_or_default()
    }
}

impl Observe for Watcher {
    fn serves(&self, action: &str) -> bool {
        self.watched.read().unwrap_or_else(PoisonError::into_inner).actions.contains(action)
    }

    /// The instance that an address comes to or leaves is often not in the event itself.
    fn note(&self, received: &ReceivedMessage, n: &Notification) -> (MessageNotes, PartKeys) {
        let payload = received.payload_text();
        let told = {
            let lists = self.watched.read().unwrap_or_else(PoisonError::into_inner).lists.clone();
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let told = lists.map(|lists| memory.tell(n, payload.as_deref(), &lists)).unwrap_or_default();
            let keys = memory.keys(&told.happened);
            (told, keys)
        };
        let (EventMeaning { happened, changes }, keys) = told;
        if !happened.is_empty() {
            say_handled(n);
        }
        (MessageNotes { happened: written(&happened), changes, ..MessageNotes::default() }, keys)
    }

    fn recaller(&self) -> Option<Recaller> {
        self.recaller.clone()
    }
}
