//! Notes with each message what it means, before it is kept, in the order of arrival.
//!
//! Decided at an attempt it would depend on which target answers when; decided here it is kept with the message, and so
//! is what is known since: a restart knows what it knew, and a message that comes again means the same.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use osnl_journal::LearntFacts;
use osnl_model::Notification;

use super::event::Occurrence;
use super::memory::{EventMeaning, Memory};
use super::servers::Complete;
use super::watched::WatchedActions;
use osnl_core::observe::{Observe, PartKeys};
use osnl_core::received::{MessageNotes, ReceivedMessage};

/// Notes with each message what it means, before it is kept, in the order of arrival. One for all listeners: what neutron
/// says is needed for what nova says.
#[derive(Debug, Default)]
pub struct Watcher {
    memory: Mutex<Memory>,
    watched: RwLock<WatchedActions>,
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
        Self { memory: Mutex::new(memory), watched: RwLock::new(watched) }
    }

    /// For other actions from then on: a configuration that was read again forgets nothing.
    pub fn watch(&self, watched: WatchedActions) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Takes note of what was asked for, for events that say less; answers what is known otherwise since.
    pub(super) fn learn<'a>(&self, found: impl Iterator<Item = &'a Complete>) -> LearntFacts {
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
}

/// Returns the form in which a meaning is kept. Texts and numbers can always be written.
fn written(happened: &[Occurrence]) -> Option<Arc<str>> {
    serde_json::to_string(happened).ok().map(Into::into)
}

/// The program's log has this line for each event.
fn say_handled(n: &Notification) {
    let event_type = n.event_type.as_deref().unwrap_or_default();
    tracing::info!(
        event.type = event_type,
        former = format_args!("Handle event `{event_type}`."),
        "handling an event"
    );
}
