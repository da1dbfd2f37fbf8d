use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::Lists;

#[derive(Clone, Debug, Default)]
pub struct WatchedActions {
    pub actions: BTreeSet<Arc<str>>,
    pub lists: Option<Lists>,
}

impl WatchedActions {
    pub fn add(&mut self, action: Arc<str>, lists: Lists) {
        self.actions.insert(action);
        self.lists = Some(match self.lists.take() {
            Some(others) => others.and(&lists),
            None => lists,
        });
    }
}
