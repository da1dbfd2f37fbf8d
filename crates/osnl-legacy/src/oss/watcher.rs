//! Notes the meaning of each message before it is stored, in the order of arrival.
//!
//! At an attempt, the meaning would depend on the order in which targets answer. Noted on arrival,
//! it is stored with the message and with all knowledge: a restart loses nothing, and a repeated
//! message has the same meaning.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use osnl_journal::LearntFacts;
use osnl_model::Notification;

use super::event::Occurrence;
use super::memory::{EventMeaning, Memory};
use super::servers::Complete;
use super::watched::WatchedActions;
use osnl_core::observe::{Observe, PartKeys};
use osnl_core::received::{MessageNotes, NotesReading, ReceivedMessage};

/// One watcher serves all listeners: events of neutron are needed for the meaning of nova's events.
#[derive(Debug, Default)]
pub struct Watcher {
    memory: Mutex<Memory>,
    watched: RwLock<WatchedActions>,
}

impl Watcher {
    #[must_use]
    pub fn new(watched: WatchedActions, kept: Vec<(String, String)>) -> Self {
        let mut memory = Memory::default();
        let unread = memory.restore(kept);
        if unread > 0 {
            tracing::warn!(rows = unread, "rows about earlier events cannot be read and are ignored");
        }
        Self { memory: Mutex::new(memory), watched: RwLock::new(watched) }
    }

    pub fn watch(&self, watched: WatchedActions) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    pub(super) fn learn<'a>(&self, found: impl Iterator<Item = &'a Complete>) -> LearntFacts {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        found.for_each(|complete| memory.learn(complete));
        LearntFacts { changes: memory.changes(), ..LearntFacts::default() }
    }

    #[must_use]
    pub fn noted(&self, received: &ReceivedMessage) -> MessageNotes {
        received.decode().map(|n| self.note(received, &n).0).unwrap_or_default()
    }
}

impl Observe for Watcher {
    fn serves(&self, action: &str) -> bool {
        self.watched.read().unwrap_or_else(PoisonError::into_inner).actions.contains(action)
    }

    fn note(&self, received: &ReceivedMessage, n: &Notification) -> (MessageNotes, PartKeys) {
        let payload = received.payload_text();
        let told = {
            let lists = self.watched.read().unwrap_or_else(PoisonError::into_inner).lists.clone();
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let told = lists.map(|lists| memory.interpret(n, payload.as_deref(), &lists)).unwrap_or_default();
            let keys = memory.keys(&told.happened);
            (told, keys)
        };
        let (EventMeaning { happened, changes }, keys) = told;
        if !happened.is_empty() {
            say_handled(n);
        }
        (
            MessageNotes {
                happened: written(&happened),
                changes,
                reading: NotesReading::default(),
                ..received.noted.clone()
            },
            keys,
        )
    }
}

fn written(happened: &[Occurrence]) -> Option<Arc<str>> {
    serde_json::to_string(happened).ok().map(Into::into)
}

fn say_handled(n: &Notification) {
    let event_type = n.event_type.as_deref().unwrap_or_default();
    tracing::info!(
        event.type = event_type,
        former = format_args!("Handle event `{event_type}`."),
        "handling an event"
    );
}
