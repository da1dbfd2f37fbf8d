use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of remembered writes. Only one write at a time can outlast its attempts, so the lines
/// of older writes belong to deliveries that are not attempted here any more.
const WRITES: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct LateLine {
    pub(super) delivery: Option<Arc<str>>,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct LateLines(Mutex<Writes>);

#[derive(Debug, Default)]
struct Writes {
    next: u64,
    unreported: VecDeque<(u64, HashSet<Arc<str>>)>,
}

#[derive(Debug)]
pub(super) struct FinishedWrite(u64);

impl LateLines {
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

    pub(super) fn reported(&self, FinishedWrite(write): FinishedWrite) {
        self.lock().unreported.retain(|(number, _)| *number != write);
    }

    pub(super) fn leave_out(&self, lines: &mut Vec<LateLine>) -> Vec<Arc<str>> {
        let writes = self.lock();
        let is_there =
            |delivery: &Arc<str>| writes.unreported.iter().any(|(_, there)| there.contains(delivery));
        let there = lines.extract_if(.., |line| line.delivery.as_ref().is_some_and(is_there));
        there.filter_map(|line| line.delivery).collect()
    }

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
