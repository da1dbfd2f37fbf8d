//! The place from which each assigned partition is read.
//!
//! A group that has committed an offset is read on from there. One that has not gets a place by `auto_offset_reset`, which is
//! committed at once, so that nothing is skipped between this life and the next. A partition that was added to a topic that the
//! group reads, and a topic that was not there when the subscription began, are read from their beginning. An offset that the
//! topic does not have any more ends the subscription: nothing is skipped silently.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::failure;
use super::offsets::{Position, unfinished};
use super::options::FirstOffset;
use crate::TransportError;

/// The longest wait for each answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// The rule for partitions of which the group has no offset.
#[derive(Debug)]
pub(super) struct StartRule {
    pub(super) group: String,
    pub(super) first: FirstOffset,
    /// Topics that were not there when the subscription began.
    pub(super) late: Mutex<BTreeSet<String>>,
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
    /// Whether the group had no offset of any of its topics.
    pub(super) is_new: bool,
    /// Whether some partition of the topics went to another member.
    pub(super) is_shared: bool,
}

/// Finds the places of these partitions.
pub(super) fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    assigned: &TopicPartitionList,
    rule: &StartRule,
) -> Result<FoundPlaces, TransportError> {
    let failed = |error: rdkafka::error::KafkaError| {
        failure::lost(format!("the offsets of group \"{}\" are not known: {error}", rule.group))
    };
    let mut found = FoundPlaces { is_new: true, ..FoundPlaces::default() };
    let elements = assigned.elements();
    // As when another member has to let go first.
    if elements.is_empty() {
        return Ok(FoundPlaces { is_shared: true, ..FoundPlaces::default() });
    }
    let topics: BTreeSet<&str> = elements.iter().map(|element| element.topic()).collect();
    for topic in topics {
        let mine: BTreeSet<i32> =
            elements.iter().filter(|e| e.topic() == topic).map(|e| e.partition()).collect();
        // All partitions of the topic: the offsets of others tell whether the group knows the topic.
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER).map_err(failed)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let numbers: BTreeSet<i32> =
            (0..i32::try_from(count).unwrap_or(i32::MAX)).chain(mine.iter().copied()).collect();
        let mut list = TopicPartitionList::new();
        for number in &numbers {
            list.add_partition(topic, *number);
        }
        let committed = committed(consumer, list).map_err(failed)?;
        let is_known = committed.iter().any(|(_, position)| position.is_some());
        found.is_new &= !is_known;
        found.is_shared |= mine.len() < numbers.len();
        let of_topic = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let leaderless: BTreeSet<i32> = of_topic.filter(|p| p.leader() < 0).map(|p| p.id()).collect();
        for number in mine {
            let position = committed.iter().find(|(n, _)| *n == number).and_then(|(_, p)| p.clone());
            let is_committed = position.is_some();
            let (position, end) = match position {
                // The library reads it when it has a leader, and reports an offset that is not there then.
                Some(position) if leaderless.contains(&number) => (position, None),
                position => {
                    let range = consumer.fetch_watermarks(topic, number, ANSWER).map_err(failed)?;
                    (place(rule, (topic, number), position, is_known, range)?, Some(range.1))
                }
            };
            let topic = topic.to_owned();
            found.places.push(Place { topic, partition: number, position, is_committed, end });
        }
    }
    Ok(found)
}

/// Returns the place in a partition that has offsets from `low` to before `high`.
fn place(
    rule: &StartRule,
    (topic, partition): (&str, i32),
    position: Option<Position>,
    is_known: bool,
    (low, high): (i64, i64),
) -> Result<Position, TransportError> {
    match position {
        Some(position) if (low..=high).contains(&position.offset) => Ok(position),
        Some(position) => Err(TransportError::OffsetMissing {
            group: rule.group.clone(),
            topic: topic.to_owned(),
            partition,
            offset: position.offset,
            first: low,
            end: high,
        }),
        None => Ok(Position { offset: first(rule, topic, is_known, (low, high)), metadata: String::new() }),
    }
}

/// Returns the first offset of a partition of which the group has none.
fn first(rule: &StartRule, topic: &str, is_known: bool, (low, high): (i64, i64)) -> i64 {
    let late = rule.late.lock().unwrap_or_else(PoisonError::into_inner);
    let is_late = late.contains(topic) || is_known;
    match rule.first {
        FirstOffset::Latest if !is_late => high,
        FirstOffset::Latest | FirstOffset::Earliest => low,
    }
}

/// Returns the positions that the group has committed in these partitions.
fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: TopicPartitionList,
) -> KafkaResult<Vec<(i32, Option<Position>)>> {
    let list = consumer.committed_offsets(list, ANSWER)?;
    let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error()?;
        let Offset::Offset(offset) = element.offset() else { return Ok((element.partition(), None)) };
        // The library panics over metadata that is not UTF-8; ours is.
        let metadata = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
        Ok((element.partition(), Some(Position { offset, metadata })))
    };
    list.elements().iter().map(of).collect()
}
