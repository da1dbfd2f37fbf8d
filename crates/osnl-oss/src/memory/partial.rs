//! A memory of which only some rows have been read, and the names of those that were looked for besides.

use std::cell::RefCell;
use std::collections::BTreeSet;

use osnl_core::recall::{ReadRows, message_of_row, message_row};

use super::Memory;
use crate::event::Occurrence;

/// The rows that are known, and those that are not.
#[derive(Debug, Default)]
pub(super) struct Partial {
    read: BTreeSet<String>,
    unread: RefCell<BTreeSet<String>>,
}

impl Partial {
    fn look_for(&self, name: &str) {
        if !self.read.contains(name) {
            self.unread.borrow_mut().insert(name.to_owned());
        }
    }
}

impl Memory {
    /// A memory of the rows that were read. It [names](Self::unread) those that it has looked for besides.
    pub(crate) fn of_rows(rows: &ReadRows) -> Self {
        let mut memory = Self::default();
        let there = |(name, row): (&String, &Option<String>)| Some((name.clone(), row.clone()?));
        let (messages, resources): (Vec<_>, Vec<_>) =
            rows.iter().filter_map(there).partition(|(name, _)| message_of_row(name).is_some());
        let unreadable = memory.restore(resources);
        if unreadable > 0 {
            tracing::warn!(rows = unreadable, "rows about earlier events cannot be read and are ignored");
        }
        for (name, text) in messages {
            if let (Some(id), Ok(happened)) = (message_of_row(&name), serde_json::from_str(&text)) {
                memory.decided.put(id.to_owned(), happened);
            }
        }
        memory.partial = Some(Partial { read: rows.keys().cloned().collect(), unread: RefCell::default() });
        memory
    }

    /// Returns the names of the rows that have to be read before its answers count.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        self.partial.as_ref().map(|partial| partial.unread.borrow().clone()).unwrap_or_default()
    }

    /// Takes note that this row counts.
    pub(super) fn look_for(&self, name: &str) {
        if let Some(partial) = &self.partial {
            partial.look_for(name);
        }
    }

    /// Returns the meaning of a message that came before.
    pub(super) fn decision(&self, id: &str) -> Option<Vec<Occurrence>> {
        let known = self.decided.get(id);
        if let (None, Some(partial)) = (&known, &self.partial) {
            partial.look_for(&message_row(id));
        }
        known
    }

    /// Takes note of the meaning of a message.
    pub(super) fn decide(&mut self, id: String, happened: Vec<Occurrence>) {
        if self.partial.is_some() {
            self.touched.insert(message_row(&id));
        }
        self.decided.put(id, happened);
    }

    /// Returns the row about a message as a journal keeps it.
    pub(super) fn message_text(&self, name: &str) -> Option<String> {
        serde_json::to_string(&self.decided.get(message_of_row(name)?)?).ok()
    }
}
