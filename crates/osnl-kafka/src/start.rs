//! The place from which each assigned partition is read: the table of `docs/kafka.md` under "Topics, groups, and where
//! reading begins".
//!
//! A group has read before if any of its topics has a committed offset, or if this program remembers the group
//! ([`ListenOptions::known_groups`](osnl_transport::ListenOptions::known_groups)), because brokers delete offsets with their topic.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use osnl_transport::{LostPosition, TransportError};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{ANSWER, KafkaClient};
use super::failure;
use super::offsets::{Offsets, PartitionKey, Position};
use super::options::FirstOffset;

#[derive(Debug)]
pub(super) struct StartRule {
    pub(super) group: String,
    pub(super) first: FirstOffset,
    pub(super) topics: Vec<String>,
    pub(super) late: BTreeSet<String>,
    pub(super) has_read: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: PartitionKey,
    pub(super) position: Position,
    pub(super) is_committed: bool,
    /// The offset after the last message; `None` while there is no leader. A position that is not committed is a guess then.
    pub(super) end: Option<i64>,
    pub(super) lost: Option<LostPosition>,
}

impl Place {
    pub(super) fn is_guess(&self) -> bool {
        self.end.is_none() && !self.is_committed
    }

    pub(super) fn waiting(&self) -> u64 {
        self.end.map_or(0, |end| Offsets::resume(&self.position).unfinished(end))
    }
}

#[derive(Debug, Default)]
pub(super) struct FoundPlaces {
    pub(super) places: Vec<Place>,
    pub(super) is_new: bool,
    pub(super) is_shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Committed(i64),
    /// The group has committed offsets of other partitions of the topic, or the topic was missing at the start.
    OfTopic,
    /// The group has read before, and has no offset of the topic.
    OfGroup,
    Nothing,
}

/// Returns the first offset to read of a partition with offsets from `low` to before `high`, and whether the position of
/// the group is lost.
fn start(history: History, first: FirstOffset, (low, high): (i64, i64)) -> (i64, bool) {
    match history {
        History::Committed(offset) if (low..=high).contains(&offset) => (offset, false),
        History::Committed(_) | History::OfGroup => (low, true),
        History::OfTopic => (low, false),
        History::Nothing => match first {
            FirstOffset::Latest => (high, false),
            FirstOffset::Earliest => (low, false),
        },
    }
}

type OfTopic = (BTreeMap<i32, Position>, BTreeMap<i32, i32>);

/// Finds the places of assigned partitions. `has_read` tells whether the group has read as far as this program knows.
pub(super) fn positions(
    client: &KafkaClient,
    assigned: &TopicPartitionList,
    rule: &StartRule,
    has_read: bool,
) -> Result<FoundPlaces, TransportError> {
    let failed = |error: KafkaError| {
        failure::lost(format!("the offsets of group \"{}\" are not known: {error}", rule.group))
    };
    let elements = assigned.elements();
    // Nothing is assigned while another member has to give partitions back first.
    if elements.is_empty() {
        return Ok(FoundPlaces { is_shared: true, ..FoundPlaces::default() });
    }
    let mut topics: BTreeMap<&str, OfTopic> = BTreeMap::new();
    for topic in elements.iter().map(|element| element.topic()) {
        if !topics.contains_key(topic) {
            let mine = elements.iter().filter(|element| element.topic() == topic).map(|of| of.partition());
            topics.insert(topic, read_topic(client, topic, mine.collect()).map_err(failed)?);
        }
    }
    let is_known = |(committed, _): &OfTopic| !committed.is_empty();
    let mut has_read = has_read || topics.values().any(is_known);
    // The partitions of the other topics went to other members.
    for topic in rule.topics.iter().filter(|topic| !topics.contains_key(topic.as_str())) {
        has_read = has_read || is_known(&read_topic(client, topic, Vec::new()).map_err(failed)?);
    }
    let partitions: usize = topics.values().map(|(_, leaders)| leaders.len()).sum();
    let is_shared = elements.len() < partitions;
    let mut found = FoundPlaces { is_new: !has_read, is_shared, places: Vec::new() };
    for element in &elements {
        let (topic, number) = (element.topic(), element.partition());
        let (committed, leaders) = &topics[topic];
        let position = committed.get(&number);
        let history = match position {
            Some(position) => History::Committed(position.offset),
            None if !committed.is_empty() || rule.late.contains(topic) => History::OfTopic,
            None if has_read => History::OfGroup,
            None => History::Nothing,
        };
        let range = match leaders.get(&number) {
            Some(..0) => None,
            _ => Some(client.fetch_watermarks(topic, number, ANSWER).map_err(failed)?),
        };
        let before = position.map(|position| position.offset);
        let (offset, is_lost) = match (range, before) {
            (Some(range), _) => start(history, rule.first, range),
            // The library reads the partition when it has a leader, and then reports an offset that does not exist.
            (None, Some(before)) => (before, false),
            // The end of an unknown range would skip messages.
            (None, None) => start(history, rule.first, (0, 0)),
        };
        let kept = position.filter(|position| position.offset == offset);
        found.places.push(Place {
            key: (topic.into(), number),
            is_committed: kept.is_some(),
            position: kept.cloned().unwrap_or(Position { offset, metadata: String::new() }),
            end: range.map(|(_, end)| end),
            lost: is_lost.then_some(LostPosition { before, start: offset }),
        });
    }
    Ok(found)
}

/// Asks for all partitions of a topic, because the offsets of other members tell whether the group knows the topic.
fn read_topic(client: &KafkaClient, topic: &str, mine: Vec<i32>) -> KafkaResult<OfTopic> {
    let mut leaders = match client.leaders(topic, ANSWER) {
        Ok(leaders) => leaders.unwrap_or_default(),
        // The user may not see the topic.
        Err(KafkaError::Global(_)) => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    for number in mine {
        leaders.entry(number).or_default();
    }
    let mut committed = BTreeMap::new();
    if leaders.is_empty() {
        return Ok((committed, leaders));
    }
    let mut list = TopicPartitionList::new();
    for number in leaders.keys() {
        list.add_partition(topic, *number);
    }
    let list = client.committed_offsets(list, ANSWER)?;
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            // The library panics over metadata that is not UTF-8; ours is.
            let metadata =
                catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
            committed.insert(element.partition(), Position { offset, metadata });
        }
    }
    Ok((committed, leaders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_that_has_never_read_obeys_the_option() {
        use FirstOffset::{Earliest, Latest};
        let lost = (10, true);
        for (history, latest, earliest) in [
            (History::Committed(10), (10, false), (10, false)),
            (History::Committed(15), (15, false), (15, false)),
            (History::Committed(20), (20, false), (20, false)),
            (History::Committed(0), lost, lost),
            (History::Committed(9), lost, lost),
            (History::Committed(21), lost, lost),
            (History::Committed(i64::MAX), lost, lost),
            (History::OfTopic, (10, false), (10, false)),
            (History::OfGroup, lost, lost),
            (History::Nothing, (20, false), (10, false)),
        ] {
            for (first, expected) in [(Latest, latest), (Earliest, earliest)] {
                assert_eq!(start(history, first, (10, 20)), expected, "{history:?} {first:?}");
            }
        }
    }
}
