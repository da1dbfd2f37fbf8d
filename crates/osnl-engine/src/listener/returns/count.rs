//! Counts messages that return after a lost connection. Pure.
//!
//! Messages have no identity here, so only numbers are compared. Messages are missing if the queue is empty at two
//! looks in a row with this as the only consumer. With another consumer since the connection ended, or at the last look
//! before, the fate of messages stays unknown: it may have taken over, read them, and left.

/// The messages of a lost connection that are expected again, and those that are back.
#[derive(Debug, Default)]
pub(in crate::listener) struct ReturnCount {
    expected: usize,
    back: usize,
    /// Whether the latest look found another consumer.
    is_shared: bool,
    /// Whether another consumer may have what is expected.
    was_shared: bool,
    /// Whether the latest look found the queue empty, with no arrival since.
    was_empty: bool,
    is_said: bool,
}

/// The fate of the messages of a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listener) enum ReturnVerdict {
    Back(usize),
    Missing(usize),
    Unknown(usize),
}

impl ReturnCount {
    pub(in crate::listener) fn expected(&self) -> usize {
        self.expected.saturating_sub(self.back)
    }

    pub(in crate::listener) fn ended(&mut self, unsettled: usize) {
        let expected = self.expected() + unsettled;
        let was_shared = self.is_shared || (self.was_shared && self.expected() > 0);
        *self = Self { expected, is_shared: self.is_shared, was_shared, ..Self::default() };
    }

    /// Expects no message any more, because a new queue has none of the old messages.
    pub(in crate::listener) fn created(&mut self) {
        (self.expected, self.back) = (0, 0);
    }

    pub(in crate::listener) fn delivered_again(&mut self, messages: usize) -> Option<ReturnVerdict> {
        self.back += messages;
        self.was_empty = false;
        if self.expected == 0 || self.back < self.expected || self.is_said {
            return None;
        }
        self.is_said = true;
        Some(ReturnVerdict::Back(self.expected))
    }

    /// Judges the broker's counts. `is_idle`: nothing is in work, and the listener would take the next message.
    pub(in crate::listener) fn judge_depth(
        &mut self,
        waiting: u64,
        others: u64,
        is_idle: bool,
    ) -> Option<ReturnVerdict> {
        self.is_shared = others > 0;
        self.was_shared |= self.is_shared;
        let is_empty = waiting == 0 && is_idle;
        let was_empty = std::mem::replace(&mut self.was_empty, is_empty);
        let rest = self.expected();
        if rest == 0 || !is_empty || !was_empty || self.is_said {
            return None;
        }
        self.is_said = true;
        if self.was_shared {
            return Some(ReturnVerdict::Unknown(rest));
        }
        self.expected -= rest;
        Some(ReturnVerdict::Missing(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum CountStep {
        Ended(usize),
        Created,
        Again(usize, Option<ReturnVerdict>),
        Depth((u64, u64, bool), Option<ReturnVerdict>),
    }

    #[test]
    fn only_a_count_tells_what_came_back() {
        use CountStep::{Again, Created, Depth, Ended};
        use ReturnVerdict::{Back, Missing, Unknown};
        const EMPTY: (u64, u64, bool) = (0, 0, true);
        let check = |name: &str, steps: &[CountStep]| {
            let mut count = ReturnCount::default();
            for (n, step) in steps.iter().enumerate() {
                match step {
                    Ended(unsettled) => count.ended(*unsettled),
                    Created => count.created(),
                    Again(messages, said) => {
                        assert_eq!(count.delivered_again(*messages), *said, "{name}: {n}");
                    }
                    Depth((waiting, others, is_idle), said) => {
                        assert_eq!(count.judge_depth(*waiting, *others, *is_idle), *said, "{name}: {n}");
                    }
                }
            }
        };
        check("none was unsettled", &[Ended(0), Again(2, None), Depth(EMPTY, None), Depth(EMPTY, None)]);
        check("all are back", &[Ended(3), Again(2, None), Again(1, Some(Back(3))), Again(1, None)]);
        let missed = || [Depth(EMPTY, None), Depth(EMPTY, Some(Missing(3))), Depth(EMPTY, None)];
        check("none is back", &[&[Ended(3)], &missed()[..]].concat());
        // A delivery limit drops messages at one of many cuts.
        let cuts = [Ended(3), Again(3, Some(Back(3))), Ended(3), Ended(0), Ended(0)];
        check("many cuts", &[&cuts[..], &missed()[..]].concat());
        let cut = [Ended(2), Again(1, None), Ended(2), Again(2, None), Again(1, Some(Back(3)))];
        check("a cut before all are back", &cut);
        let busy =
            [Depth((1, 0, true), None), Depth((0, 0, false), None), Depth(EMPTY, None), Again(0, None)];
        check("not empty, not idle, not twice", &[&[Ended(1)], &busy[..], &[Depth(EMPTY, None)]].concat());
        let others = [Ended(1), Depth((0, 1, true), None), Depth(EMPTY, Some(Unknown(1)))];
        check("another consumer", &others);
        check(
            "another consumer before the next end",
            &[
                Ended(1),
                Depth((0, 1, true), None),
                Ended(0),
                Depth(EMPTY, None),
                Depth(EMPTY, Some(Unknown(1))),
            ],
        );
        let standby = |looks: &[CountStep], said| {
            let returned = [Ended(1), Depth(EMPTY, None), Depth(EMPTY, Some(said))];
            check("a standby before the end", &[looks, &returned[..]].concat());
        };
        standby(&[Depth((0, 1, true), None)], Unknown(1));
        standby(&[Depth((0, 1, true), None), Ended(0)], Unknown(1));
        standby(&[Depth((0, 1, true), None), Depth((0, 0, true), None)], Missing(1));
        check(
            "made anew",
            &[Ended(4), Created, Depth(EMPTY, None), Depth(EMPTY, None), Ended(0), Again(1, None)],
        );
        let late = [Ended(2), Depth(EMPTY, None), Depth(EMPTY, Some(Missing(2))), Again(1, None)];
        let cut = [Ended(1), Again(1, Some(Back(1)))];
        check("missed too soon", &[&late[..], &cut[..]].concat());
    }
}
