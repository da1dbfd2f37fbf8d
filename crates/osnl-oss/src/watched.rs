//! The actions that have to know what an event means against what was seen before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::Lists;

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
