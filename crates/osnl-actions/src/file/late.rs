//! The lines that were written after their attempt had ended: the next attempt of the same delivery does not write them
//! again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes whose lines are remembered. One write at a time can outlast its attempts; beyond this many, the lines of the
/// oldest belong to deliveries that are not attempted here any more.
const WRITES: usize = 64;

/// The line of an event.
#[derive(Clone, Debug)]
pub(super) struct LateLine {
    /// The delivery, as operators write its number; `None` outside of a delivery loop.
    pub(super) delivery: Option<Arc<str>>,
    /// The text, with its end.
    pub(super) text: String,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct LateLines(Mutex<Writes>);

#[derive(Debug, Default)]
struct Writes {
    next: u64,
    /// The writes whose result no attempt has had, by their numbers, oldest first.
    unreported: VecDeque<(u64, HashSet<Arc<str>>)>,
}

/// A write whose lines are in the file.
#[derive(Debug)]
pub(super) struct FinishedWrite(u64);

impl LateLines {
    /// Notes the lines of a write that has succeeded, before its attempt can have its result.
    pub(super) fn written(&self, lines: Vec<LateLine>) -> FinishedWrite {
        let mut writes = self.lock();
        let number = writes.next;
        writes.next += 1;
        writes.unreported.push_back((number, lines.into_iter().filter_map(|line| line.delivery).collect()));
        if writes.unreported.len() > WRITES {
            writes.unreported.pop_front();
        }
        FinishedWrite(number)
    }

    /// Forgets the lines of a write: their attempt has its result.
    pub(super) fn reported(&self, FinishedWrite(write): FinishedWrite) {
        self.lock().unreported.retain(|(number, _)| *number != write);
    }

    /// Takes out of these the lines that an earlier attempt has written, and returns their deliveries.
    pub(super) fn leave_out(&self, lines: &mut Vec<LateLine>) -> Vec<Arc<str>> {
        let writes = self.lock();
        let is_there =
            |delivery: &Arc<str>| writes.unreported.iter().any(|(_, there)| there.contains(delivery));
        let there = lines.extract_if(.., |line| line.delivery.as_ref().is_some_and(is_there));
        there.filter_map(|line| line.delivery).collect()
    }

    /// Forgets lines of earlier attempts: a later one has reported them.
    pub(super) fn forget(&self, deliveries: &[Arc<str>]) {
        let mut writes = self.lock();
        for (_, there) in &mut writes.unreported {
            deliveries.iter().for_each(|delivery| _ = there.remove(delivery));
        }
        writes.unreported.retain(|(_, there)| !there.is_empty());
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().unreported.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
