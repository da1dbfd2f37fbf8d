//! The bounds of the quarantine, which removes messages of the largest queue first, so that one queue does
//! not displace others.

use std::sync::Arc;

const BYTES: i64 = 64 << 20;

/// The largest quarantine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuarantineBounds {
    messages: i64,
    bytes: i64,
}

/// The part of the quarantine from one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueShare {
    /// The listener that received the messages, as queues of several brokers may have one name.
    pub listener: Arc<str>,
    pub queue: Arc<str>,
    pub messages: i64,
    pub bytes: i64,
}

impl QuarantineBounds {
    #[must_use]
    pub(crate) fn for_max_dead(max_dead: u64) -> Self {
        Self { messages: i64::try_from(max_dead).unwrap_or(i64::MAX), bytes: BYTES }
    }

    /// Returns the index of the share whose oldest message is removed next; `None` within the bounds.
    ///
    /// Beyond the number of messages, this is the queue with most messages; beyond the bytes, the queue with
    /// most bytes.
    #[must_use]
    pub(crate) fn leaves(&self, shares: &[QueueShare]) -> Option<usize> {
        let sum = |of: fn(&QueueShare) -> i64| shares.iter().map(of).sum::<i64>();
        let of: fn(&QueueShare) -> i64 = match () {
            () if sum(|share| share.bytes) > self.bytes => |share| share.bytes,
            () if sum(|share| share.messages) > self.messages => |share| share.messages,
            () => return None,
        };
        let filled = shares.iter().enumerate().filter(|(_, share)| share.messages > 0);
        filled.max_by_key(|(_, share)| of(share)).map(|(index, _)| index)
    }
}

impl QueueShare {
    pub(crate) fn lose(&mut self, bytes: i64) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_queue_gives_way_by_what_is_exceeded() {
        let bounds = QuarantineBounds { messages: 5, bytes: 100 };
        let check = |shares: &[(i64, i64)], expected: Option<usize>| {
            let share =
                |&(messages, bytes)| QueueShare { listener: "l".into(), queue: "q".into(), messages, bytes };
            let shares: Vec<_> = shares.iter().map(share).collect();
            assert_eq!(bounds.leaves(&shares), expected, "{shares:?}");
        };
        check(&[], None);
        check(&[(3, 50), (2, 50)], None);
        check(&[(4, 4), (2, 90)], Some(0));
        check(&[(4, 4), (1, 97)], Some(1));
        check(&[(1, 20), (5, 90)], Some(1));
        // A single message beyond all bounds is removed, and nothing is left then.
        check(&[(0, 0), (1, 101)], Some(1));
        check(&[(0, 101)], None);
    }
}
