//! The place from which each assigned partition is read.
//!
//! | the group | a partition is read from |
//! | --- | --- |
//! | has committed an offset that exists | there |
//! | has committed one that does not exist | its beginning, with an attention |
//! | has offsets of the topic, none of this partition | its beginning: the partition is new |
//! | has read before, and has no offset of the topic | its beginning, with an attention |
//! | has never read | the place that `auto_offset_reset` names |
//!
//! A topic that was deleted and created anew has lost its committed offsets, or has fewer messages than they say: nothing of the
//! new one is skipped. A topic that was missing when the subscription began is read from its beginning too. Each place is
//! committed at once, so that nothing is skipped between this life and the next.
//!
//! A group has read before if it has committed an offset of any of its topics, or if this program remembers it
//! ([`QueueKind::resume`](crate::QueueKind::resume)): brokers delete the offsets of a topic together with it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::failure;
use super::offsets::{Position, unfinished};
use super::options::FirstOffset;
use crate::{LostPosition, TransportError};

/// The longest wait for each answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// The rule for partitions of which the group has no offset.
#[derive(Debug)]
pub(super) struct StartRule {
    pub(super) group: String,
    pub(super) first: FirstOffset,
    /// All topics of the subscription.
    pub(super) topics: Vec<String>,
    /// Topics that were not there when the subscription began.
    pub(super) late: Mutex<BTreeSet<String>>,
    /// Whether this program remembers that the group has read.
    pub(super) has_read: bool,
}

/// The place of one partition.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) position: Position,
    /// Whether the group has committed it.
    pub(super) is_committed: bool,
    /// The offset after the last message; `None` while it has no leader.
    pub(super) end: Option<i64>,
    /// The position that the group had and that does not exist any more.
    pub(super) lost: Option<LostPosition>,
}

impl Place {
    /// Returns the messages that wait there, as far as is known.
    pub(super) fn waiting(&self) -> u64 {
        self.end.map_or(0, |end| unfinished(&self.position, end))
    }
}

/// The places of an assignment.
#[derive(Debug, Default)]
pub(super) struct FoundPlaces {
    pub(super) places: Vec<Place>,
    /// Whether the group has never read before.
    pub(super) is_new: bool,
    /// Whether some partition of the topics went to another member.
    pub(super) is_shared: bool,
}

/// The knowledge of a group about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// It has committed this offset.
    Committed(i64),
    /// It has committed offsets of other partitions of the topic.
    OfTopic,
    /// The topic was missing when the subscription began.
    Late,
    /// It has read before, and has no offset of the topic.
    OfGroup,
    /// It has never read.
    Nothing,
}

/// The place that the rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// The committed position.
    Committed,
    /// This offset; no message was lost or skipped.
    At(i64),
    /// This offset, since the position of the group does not exist any more.
    Lost(i64),
}

/// Returns the place in a partition that has offsets from `low` to before `high`: the rule of this [module](self).
fn start(history: History, first: FirstOffset, (low, high): (i64, i64)) -> Start {
    match history {
        History::Committed(offset) if (low..=high).contains(&offset) => Start::Committed,
        History::Committed(_) | History::OfGroup => Start::Lost(low),
        History::OfTopic | History::Late => Start::At(low),
        History::Nothing => Start::At(match first {
            FirstOffset::Latest => high,
            FirstOffset::Earliest => low,
        }),
    }
}

/// The offsets of a group in one topic, and the partitions of the topic.
struct OfTopic {
    committed: BTreeMap<i32, Position>,
    numbers: BTreeSet<i32>,
    leaderless: BTreeSet<i32>,
}

/// Finds the places of these partitions. `has_read`: the group has read, as far as this program knows.
pub(super) fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    assigned: &TopicPartitionList,
    rule: &StartRule,
    has_read: bool,
) -> Result<FoundPlaces, TransportError> {
    let failed = |error: rdkafka::error::KafkaError| {
        failure::lost(format!("the offsets of group \"{}\" are not known: {error}", rule.group))
    };
    let elements = assigned.elements();
    // As when another member has to let go first.
    if elements.is_empty() {
        return Ok(FoundPlaces { is_shared: true, ..FoundPlaces::default() });
    }
    let mut mine: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for element in &elements {
        mine.entry(element.topic()).or_default().insert(element.partition());
    }
    let mut topics: BTreeMap<&str, OfTopic> = BTreeMap::new();
    for (topic, numbers) in &mine {
        topics.insert(topic, of_topic(consumer, topic, numbers).map_err(failed)?);
    }
    let is_known = |of: &OfTopic| !of.committed.is_empty();
    let mut has_read = has_read || topics.values().any(is_known);
    // The partitions of the other topics went to other members.
    for topic in rule.topics.iter().filter(|topic| !mine.contains_key(topic.as_str())) {
        has_read = has_read || is_known(&of_topic(consumer, topic, &BTreeSet::new()).map_err(failed)?);
    }
    let mut found = FoundPlaces { is_new: !has_read, ..FoundPlaces::default() };
    for (topic, mine) in &mine {
        let of = &topics[topic];
        found.is_shared |= mine.len() < of.numbers.len();
        for number in mine {
            let position = of.committed.get(number);
            let is_late = rule.late.lock().unwrap_or_else(PoisonError::into_inner).contains(*topic);
            let history = match position {
                Some(position) => History::Committed(position.offset),
                None if is_known(of) => History::OfTopic,
                None if is_late => History::Late,
                None if has_read => History::OfGroup,
                None => History::Nothing,
            };
            let range = match position {
                // The library reads it when it has a leader, and reports an offset that is not there then.
                Some(_) if of.leaderless.contains(number) => None,
                _ => Some(consumer.fetch_watermarks(topic, *number, ANSWER).map_err(failed)?),
            };
            found.places.push(place(rule, (topic, *number), position, history, range));
        }
    }
    Ok(found)
}

/// Returns the place in a partition; without a range it has no leader.
fn place(
    rule: &StartRule,
    (topic, partition): (&str, i32),
    position: Option<&Position>,
    history: History,
    range: Option<(i64, i64)>,
) -> Place {
    let found = range.map_or(Start::Committed, |range| start(history, rule.first, range));
    let at = |offset| Position { offset, metadata: String::new() };
    let (position, is_committed, lost) = match found {
        Start::Committed => (position.cloned().unwrap_or_default(), true, None),
        Start::At(offset) => (at(offset), false, None),
        Start::Lost(offset) => {
            let before = position.map(|position| position.offset);
            (at(offset), false, Some(LostPosition { before, start: offset }))
        }
    };
    Place { topic: topic.to_owned(), partition, position, is_committed, end: range.map(|(_, end)| end), lost }
}

/// Asks for the offsets of the group in all partitions of a topic: those of others tell whether the group knows the topic.
fn of_topic<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    mine: &BTreeSet<i32>,
) -> KafkaResult<OfTopic> {
    let metadata: Metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let partitions =
        || metadata.topics().iter().filter(|of| of.name() == topic).flat_map(|of| of.partitions());
    let numbers: BTreeSet<i32> = partitions().map(|p| p.id()).chain(mine.iter().copied()).collect();
    let leaderless = partitions().filter(|p| p.leader() < 0).map(|p| p.id()).collect();
    let mut list = TopicPartitionList::new();
    for number in &numbers {
        list.add_partition(topic, *number);
    }
    let committed = if numbers.is_empty() { BTreeMap::new() } else { committed(consumer, list)? };
    Ok(OfTopic { committed, numbers, leaderless })
}

/// Returns the positions that the group has committed in these partitions.
fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: TopicPartitionList,
) -> KafkaResult<BTreeMap<i32, Position>> {
    let list = consumer.committed_offsets(list, ANSWER)?;
    let mut committed = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            // The library panics over metadata that is not UTF-8; ours is.
            let metadata =
                catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
            committed.insert(element.partition(), Position { offset, metadata });
        }
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_that_has_never_read_obeys_the_option() {
        use FirstOffset::{Earliest, Latest};
        let check = |history, latest, earliest| {
            for (first, expected) in [(Latest, latest), (Earliest, earliest)] {
                assert_eq!(start(history, first, (10, 20)), expected, "{history:?} {first:?}");
            }
        };
        let both = |history, expected| check(history, expected, expected);
        for offset in [10, 15, 20] {
            both(History::Committed(offset), Start::Committed);
        }
        for offset in [0, 9, 21, i64::MAX] {
            both(History::Committed(offset), Start::Lost(10));
        }
        both(History::OfTopic, Start::At(10));
        both(History::Late, Start::At(10));
        both(History::OfGroup, Start::Lost(10));
        check(History::Nothing, Start::At(20), Start::At(10));
    }
}
