//! The offsets of one partition: which are finished, which are open, and what may be committed. Pure.
//!
//! A group has one committed offset per partition, and everything below it counts as finished. So only the lowest
//! unfinished offset is committed. Finished offsets above it, *islands*, would come again after a restart: they are
//! written into the metadata of the commit, a string of the group's own, and skipped when they are read again.
//!
//! The metadata also has the offset up to which messages were handed out. A message below it is marked as redelivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The most characters of metadata: brokers refuse more than 4,096 (`offset.metadata.max.bytes`).
const MOST: usize = 3500;
/// The first word of metadata that is ours; that of another program is not read.
const OURS: &str = "osnl1";

/// A partition: its topic and its number.
pub(super) type PartitionKey = (Arc<str>, i32);
/// The offset after the last message of each partition, or the reason why it is not known.
pub(super) type Ends = BTreeMap<PartitionKey, Result<i64, String>>;
/// The reason for a partition that no broker answers for.
pub(super) const NO_LEADER: &str = "it has no leader";

/// The offsets of one partition. See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    /// The lowest unfinished offset.
    low: i64,
    /// Finished offsets above it: from the key to before the value. Ranges neither touch nor overlap.
    done: BTreeMap<i64, i64>,
    /// Offsets that were read and are unfinished, in ascending order. Nearly always the last is added and the first removed;
    /// unlike a tree it keeps its memory.
    open: VecDeque<i64>,
    /// Offsets that were given back: they have to be read again.
    again: BTreeSet<i64>,
    /// The first offset that was not read yet.
    next: i64,
    /// Everything below it was handed out before this assignment.
    seen_before: i64,
    /// Everything below it was handed out.
    handed: i64,
}

/// The verdict about a message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new, or has to be read again; whether it was handed out before.
    Open {
        /// Whether a consumer of the group had it before.
        redelivered: bool,
    },
    /// It is open already, or finished.
    Known,
}

/// The position of a group in one partition, as it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The lowest unfinished offset.
    pub(crate) offset: i64,
    /// The islands, and the offset up to which messages were handed out.
    pub(crate) metadata: String,
}

impl Offsets {
    /// The offsets of a partition of which this was committed.
    pub(super) fn resume(position: &Position) -> Self {
        let Position { offset, metadata } = position;
        let (handed, done) = decode(*offset, metadata).unwrap_or((*offset, BTreeMap::new()));
        Self { low: *offset, next: *offset, seen_before: handed, handed, done, ..Self::default() }
    }

    /// Takes note that everything below this was handed out before.
    pub(super) fn seen(&mut self, handed: i64) {
        self.seen_before = self.seen_before.max(handed);
        self.handed = self.handed.max(handed);
    }

    /// Returns the offset below which everything was handed out.
    pub(super) fn handed(&self) -> i64 {
        self.handed
    }

    /// Decides about a message that was read; one that is `Open` is [kept](Self::keep) or [passed](Self::pass) next. Offsets
    /// below it that never come, because the topic is compacted or has transactions, count as finished.
    pub(super) fn admit(&mut self, offset: i64) -> Admission {
        if offset < self.low {
            return Admission::Known;
        }
        while let Some(gone) = self.first_again().filter(|gone| *gone < offset) {
            self.again.remove(&gone);
            self.finished(gone, gone + 1);
        }
        if self.again.remove(&offset) {
            return Admission::Open { redelivered: true };
        }
        if offset < self.next {
            return Admission::Known;
        }
        let from = self.next;
        self.next = offset.saturating_add(1);
        if from < offset {
            self.finished(from, offset);
        }
        if self.is_done(offset) {
            self.advance();
            return Admission::Known;
        }
        Admission::Open { redelivered: offset < self.seen_before }
    }

    /// Keeps an admitted message open until it is finished or given back.
    pub(super) fn keep(&mut self, offset: i64) {
        if self.open.back().is_none_or(|last| *last < offset) {
            self.open.push_back(offset);
        } else if let Err(place) = self.open.binary_search(&offset) {
            self.open.insert(place, offset);
        }
    }

    /// Finishes an admitted message that is not wanted, as if it had been handed out.
    pub(super) fn pass(&mut self, offset: i64) {
        self.hand_out(offset);
        self.finished(offset, offset.saturating_add(1));
    }

    /// Takes note that a message was handed out.
    pub(super) fn hand_out(&mut self, offset: i64) {
        self.handed = self.handed.max(offset.saturating_add(1));
    }

    /// Finishes a message; one that is not open is left alone.
    pub(super) fn finish(&mut self, offset: i64) {
        if self.close(offset) {
            self.finished(offset, offset + 1);
        }
    }

    /// Takes a message back that is to be read again.
    pub(super) fn give_back(&mut self, offset: i64) {
        if self.close(offset) {
            self.again.insert(offset);
        }
    }

    /// Removes an open offset; returns whether it was open.
    fn close(&mut self, offset: i64) -> bool {
        if self.open.front() == Some(&offset) {
            return self.open.pop_front().is_some();
        }
        self.open.binary_search(&offset).is_ok_and(|place| self.open.remove(place).is_some())
    }

    /// Returns the lowest offset that has to be read again.
    pub(super) fn first_again(&self) -> Option<i64> {
        self.again.first().copied()
    }

    /// Returns the lowest unfinished offset.
    pub(super) fn low(&self) -> i64 {
        self.low
    }

    /// Returns what is to be committed.
    pub(super) fn position(&self) -> Position {
        Position { offset: self.low, metadata: self.encode() }
    }

    /// Returns the number of offsets from the lowest unfinished one to before `end` that are not finished.
    pub(super) fn unfinished(&self, end: i64) -> u64 {
        let done: i64 = self.done.iter().map(|(from, to)| (*to).min(end).saturating_sub(*from).max(0)).sum();
        u64::try_from(end.saturating_sub(self.low).saturating_sub(done)).unwrap_or(0)
    }

    fn is_done(&self, offset: i64) -> bool {
        self.done.range(..=offset).next_back().is_some_and(|(_, to)| offset < *to)
    }

    /// Adds a range that was not finished, or only in part.
    fn finished(&mut self, mut from: i64, mut to: i64) {
        // As nearly always: the lowest one ends, and nothing above it has.
        if from == self.low && self.done.is_empty() {
            self.low = to;
            self.next = self.next.max(to);
            return;
        }
        while let Some((start, end)) = self.done.range(..=to).next_back().map(|(start, end)| (*start, *end)) {
            if end < from {
                break;
            }
            self.done.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.done.insert(from, to);
        self.advance();
    }

    /// Moves the lowest unfinished offset over what is finished.
    fn advance(&mut self) {
        while let Some(end) = self.done.get(&self.low).copied() {
            self.done.remove(&self.low);
            self.low = end;
        }
        self.next = self.next.max(self.low);
    }

    /// Writes islands as pairs of a distance and a length; those that find no room come again.
    fn encode(&self) -> String {
        let mut text = format!("{OURS} {}", self.handed.saturating_sub(self.low).max(0));
        let mut before = self.low;
        for (from, to) in &self.done {
            let pair = format!(" {}+{}", from - before, to - from);
            if text.len() + pair.len() > MOST {
                break;
            }
            text.push_str(&pair);
            before = *to;
        }
        text
    }
}

/// Returns the number of messages of a partition that are not finished, with what is committed of it and the offset
/// after its last message.
#[must_use]
pub(crate) fn unfinished(position: &Position, end: i64) -> u64 {
    Offsets::resume(position).unfinished(end)
}

/// Reads metadata; `None` unless all of it is ours.
fn decode(low: i64, metadata: &str) -> Option<(i64, BTreeMap<i64, i64>)> {
    let mut words = metadata.split(' ');
    if words.next()? != OURS {
        return None;
    }
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    let handed = low.checked_add(number(words.next()?)?)?;
    let (mut done, mut before) = (BTreeMap::new(), low);
    for word in words {
        let (distance, length) = word.split_once('+')?;
        let (distance, length) = (number(distance)?, number(length)?);
        if distance == 0 || length == 0 {
            return None;
        }
        let from = before.checked_add(distance)?;
        before = from.checked_add(length)?;
        done.insert(from, before);
    }
    Some((handed, done))
}

#[cfg(test)]
mod tests;
