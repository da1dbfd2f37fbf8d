//! The part of a bulk request that a letter of one of its resources has.

use osnl_core::received::ReceivedMessage;

use super::Letters;
use crate::dead_letters::LetterPart;
use crate::memory::state::{EntryItems, OpenEntry};

impl Letters {
    /// Returns the part for the letter of a resource, which replaces a former letter or is new; `None` for the message.
    pub(in crate::memory) fn part_of(
        &self,
        open: &OpenEntry,
        resource: Option<u32>,
        former: Option<u64>,
    ) -> Option<LetterPart> {
        self.part_of_message(&open.received, &open.items, resource, former)
    }

    /// A letter that replaces another one has the body of that, by which both are known as copies of one letter.
    pub(in crate::memory) fn part_of_message(
        &self,
        received: &ReceivedMessage,
        items: &EntryItems,
        resource: Option<u32>,
        former: Option<u64>,
    ) -> Option<LetterPart> {
        let resource = resource?;
        let reads = &self.listeners.get(&received.origin.listener)?.reads;
        let former = former.and_then(|letter| self.find(letter));
        if former.is_some_and(|known| known.letter.has_body_of(received)) {
            return None;
        }
        let items = items.find(received)?;
        if former.is_none() && reads.reads_others(items.list()) {
            return None;
        }
        LetterPart::new(&received.body, items, resource)
    }
}
