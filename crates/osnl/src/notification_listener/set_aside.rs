use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::received::ReceivedMessage as Raw;

/// A message that no endpoint could take, for the program to keep.
#[derive(Clone, Debug)]
pub struct SetAside {
    pub received: Raw,
    pub reason: String,
}

pub(super) type Keeper = Box<dyn Fn(&SetAside) + Send + Sync>;

#[derive(Default)]
pub(super) struct Shelf {
    kept: Mutex<SetAsideMessages>,
}

#[derive(Default)]
struct SetAsideMessages {
    messages: VecDeque<SetAside>,
    bytes: usize,
}

const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

impl Shelf {
    pub(super) fn put(&self, message: SetAside) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += message.received.body.len();
        kept.messages.push_back(message);
        let mut left = 0;
        // The newest message stays, however large.
        while kept.messages.len() > 1 && (kept.messages.len() > MOST_MESSAGES || kept.bytes > MOST_BYTES) {
            let oldest = kept.messages.pop_front();
            kept.bytes -= oldest.map_or(0, |oldest| oldest.received.body.len());
            left += 1;
        }
        drop(kept);
        if left > 0 {
            tracing::error!(
                messages = left,
                "the oldest messages that were set aside are dropped: there is no room for more"
            );
        }
    }

    pub(super) fn all(&self) -> Vec<SetAside> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).messages.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_when_there_are_too_many_or_too_large_ones() {
        let check = |sizes: &[usize], left: &[usize]| {
            let shelf = Shelf::default();
            for &size in sizes {
                let received = Raw::sample(vec![0; size], false);
                shelf.put(SetAside { received, reason: String::new() });
            }
            let sizes: Vec<_> = shelf.all().iter().map(|kept| kept.received.body.len()).collect();
            assert_eq!(sizes, left);
        };
        check(&[1, 2, 3], &[1, 2, 3]);
        check(&[MOST_BYTES / 2, MOST_BYTES / 2, 1], &[MOST_BYTES / 2, 1]);
        check(&[1, MOST_BYTES + 1], &[MOST_BYTES + 1]);
        check(&(0..MOST_MESSAGES + 2).collect::<Vec<_>>(), &(2..MOST_MESSAGES + 2).collect::<Vec<_>>());
    }
}
