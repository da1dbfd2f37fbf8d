//! Notes with each message what it means, before it is kept, in the order of arrival.
//!
//! Decided at an attempt it would depend on which target answers when; decided here it is kept with the message, and so
//! is what is known since: a restart knows what it knew, and a message that comes again means the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use osnl_model::Notification;

use super::event::{Lists, Occurrence};
use super::memory::{EventMeaning, Memory, RowChange};
use super::servers::Complete;
use osnl_core::observe::{Observe, PartKeys};
use osnl_core::received::{MessageNotes, ReceivedMessage};

/// Notes with each message what it means, before it is kept, in the order of arrival. One for all listeners: what neutron
/// says is needed for what nova says.
#[derive(Debug, Default)]
pub struct Watcher {
    memory: Mutex<Memory>,
    watched: RwLock<WatchedActions>,
}

/// The actions that have to know, and all of their lists together.
#[derive(Clone, Debug, Default)]
pub struct WatchedActions {
    /// By their names; none: nothing is noted.
    pub actions: BTreeSet<Arc<str>>,
    /// The lists that count for all actions.
    pub lists: Option<Lists>,
}

impl WatchedActions {
    /// One more action.
    pub fn add(&mut self, action: Arc<str>, lists: Lists) {
        self.actions.insert(action);
        self.lists = Some(match self.lists.take() {
            Some(others) => others.and(&lists),
            None => lists,
        });
    }
}

impl Watcher {
    /// Knowing what was `kept`, for these actions.
    #[must_use]
    pub fn new(watched: WatchedActions, kept: Vec<(String, String)>) -> Self {
        let mut memory = Memory::default();
        let unread = memory.restore(kept);
        if unread > 0 {
            tracing::warn!(
                rows = unread,
                former =
                    format_args!("{unread} rows of what was seen before cannot be read, and are not known"),
                "rows about earlier events cannot be read and are ignored"
            );
        }
        Self { memory: Mutex::new(memory), watched: RwLock::new(watched) }
    }

    /// For other actions from then on: a configuration that was read again forgets nothing.
    pub fn watch(&self, watched: WatchedActions) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Takes note of what was asked for, for events that say less; answers what is known otherwise since.
    pub(super) fn learn<'a>(&self, found: impl Iterator<Item = &'a Complete>) -> Vec<RowChange> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        found.for_each(|complete| memory.learn(complete));
        memory.changes()
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
            let key = |happened: &Occurrence| Some((happened.part, memory.lane(happened)?));
            // Of a move both have the address's.
            let keys: PartKeys = told.happened.iter().filter_map(key).collect();
            (told, keys)
        };
        let (EventMeaning { happened, changes }, keys) = told;
        if !happened.is_empty() {
            // The program's log has this line for each event.
            let event_type = n.event_type.as_deref().unwrap_or_default();
            tracing::info!(
                event.type = event_type,
                former = format_args!("Handle event `{event_type}`."),
                "handling an event"
            );
        }
        // Texts and numbers: it can always be written.
        let happened = serde_json::to_string(&happened).ok().map(Into::into);
        (MessageNotes { happened, changes, ..MessageNotes::default() }, keys)
    }
}
