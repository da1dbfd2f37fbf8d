//! The finished offsets of one partition.
//!
//! A group has one committed offset per partition, and everything below it counts as finished. So the lowest unfinished
//! offset is committed. Ranges of finished offsets above it are written into the metadata of the commit, and skipped
//! when they are read again. The metadata also has the offset up to which messages were handed out, because a message
//! below it is marked as redelivered.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Brokers refuse metadata of more than 4,096 characters (`offset.metadata.max.bytes`).
const MOST: usize = 3500;
/// The first word of our metadata. That of other programs is ignored.
const OURS: &str = "osnl1";

pub(super) type PartitionKey = (Arc<str>, i32);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    /// The lowest unfinished offset.
    low: i64,
    /// Finished ranges above it, from the key to before the value. They neither touch nor overlap.
    done: BTreeMap<i64, i64>,
    /// The first offset that was not read yet.
    next: i64,
    /// Everything below it was handed out before this assignment.
    seen_before: i64,
    /// Everything below it was handed out.
    handed: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

impl Offsets {
    pub(super) fn resume(position: &Position) -> Self {
        let Position { offset, metadata } = position;
        let (handed, done) = decode(*offset, metadata).unwrap_or((*offset, BTreeMap::new()));
        Self { low: *offset, next: *offset, seen_before: handed, handed, done }
    }

    pub(super) fn seen(&mut self, handed: i64) {
        self.seen_before = self.seen_before.max(handed);
        self.handed = self.handed.max(handed);
    }

    pub(super) fn handed(&self) -> i64 {
        self.handed
    }

    /// Returns whether a fetched message was handed out before, or `None` if it is known. Offsets below it that never
    /// come, because the topic is compacted or has transactions, count as finished.
    pub(super) fn admit(&mut self, offset: i64) -> Option<bool> {
        if offset < self.next {
            return None;
        }
        let from = std::mem::replace(&mut self.next, offset.saturating_add(1));
        self.finish_range(from, offset);
        (!self.is_done(offset)).then_some(offset < self.seen_before)
    }

    pub(super) fn hand_out(&mut self, offset: i64) {
        self.handed = self.handed.max(offset.saturating_add(1));
    }

    pub(super) fn finish(&mut self, offset: i64) {
        self.finish_range(offset, offset.saturating_add(1));
    }

    pub(super) fn low(&self) -> i64 {
        self.low
    }

    pub(super) fn position(&self) -> Position {
        Position { offset: self.low, metadata: self.encode() }
    }

    pub(super) fn unfinished(&self, end: i64) -> u64 {
        let done: i64 = self.done.iter().map(|(from, to)| (*to).min(end).saturating_sub(*from).max(0)).sum();
        u64::try_from(end.saturating_sub(self.low).saturating_sub(done)).unwrap_or(0)
    }

    fn is_done(&self, offset: i64) -> bool {
        offset < self.low || self.done.range(..=offset).next_back().is_some_and(|(_, to)| offset < *to)
    }

    fn finish_range(&mut self, from: i64, mut to: i64) {
        let mut from = from.max(self.low);
        if from >= to {
            return;
        }
        while let Some((start, end)) = self.done.range(..=to).next_back().map(|(start, end)| (*start, *end))
            && end >= from
        {
            self.done.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        match from == self.low {
            true => self.low = to,
            false => drop(self.done.insert(from, to)),
        }
    }

    /// Ranges are pairs of a distance and a length. Messages of ranges without room are redelivered after a restart.
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

fn decode(low: i64, metadata: &str) -> Option<(i64, BTreeMap<i64, i64>)> {
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    let mut words = metadata.split(' ');
    if words.next()? != OURS {
        return None;
    }
    let handed = low.checked_add(number(words.next()?)?)?;
    let (mut done, mut before) = (BTreeMap::new(), low);
    for pair in words {
        let (distance, length) = pair.split_once('+')?;
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
