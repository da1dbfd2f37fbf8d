use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use osnl_transport::{GroupLag, GroupSeen, TopicSeen, TopicsSeen, TransportError};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::client::{ANSWER, Ends, KafkaClient};
use super::super::offsets::PartitionKey;
use super::super::options::Settings;

/// Each group needs a client of its own.
const MOST: usize = 20;
const LONGEST: Duration = Duration::from_secs(30);

pub(super) fn read(
    client: &KafkaClient,
    settings: &Settings,
    partitions: &[PartitionKey],
    named: Vec<String>,
) -> Result<TopicsSeen, TransportError> {
    let until = Instant::now() + LONGEST;
    let ends = client.ends(partitions);
    let mut topics: BTreeMap<String, TopicSeen> = BTreeMap::new();
    for ((name, number), end) in &ends {
        let topic = topics.entry(name.to_string()).or_insert_with(|| TopicSeen {
            name: name.to_string(),
            partitions: 0,
            unreachable: Vec::new(),
        });
        topic.partitions += 1;
        if let Err(reason) = end {
            topic.unreachable.push((*number, reason.clone()));
        }
    }
    let listed = client.fetch_group_list(None, ANSWER);
    let unlisted = listed.as_ref().err().map(ToString::to_string);
    let mut found: BTreeMap<String, Option<(String, usize)>> =
        named.iter().map(|name| (name.clone(), None)).collect();
    for group in listed.iter().flat_map(|listed| listed.groups()) {
        let state = (group.state().to_lowercase(), group.members().len());
        found.insert(group.name().to_owned(), Some(state));
    }
    let mut groups = Vec::new();
    let mut more = 0;
    for (name, state) in found {
        if groups.len() >= MOST || Instant::now() >= until {
            more += 1;
            continue;
        }
        let lag = lag(settings, &name, &ends)?;
        let reads_one = lag.as_ref().is_ok_and(|lag| !lag.is_empty());
        if reads_one || lag.is_err() || named.contains(&name) {
            let (state, members) = state.unzip();
            groups.push(GroupSeen { name, state, members, lag });
        }
    }
    Ok(TopicsSeen { topics: topics.into_values().collect(), groups, more_groups: more, unlisted })
}

fn lag(settings: &Settings, group: &str, ends: &Ends) -> Result<GroupLag, TransportError> {
    let own = [
        ("group.id", group.to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("allow.auto.create.topics", "false".to_owned()),
    ];
    let client = KafkaClient::new(settings, &own)?;
    let mut list = TopicPartitionList::with_capacity(ends.len());
    for (topic, number) in ends.keys() {
        list.add_partition(topic, *number);
    }
    let committed = match client.committed_offsets(list, ANSWER) {
        Ok(committed) => committed,
        Err(error) => return Ok(Err(format!("its offsets are not known: {error}"))),
    };
    let mut lags: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for element in committed.elements() {
        let key = (element.topic().into(), element.partition());
        let Offset::Offset(offset) = element.offset() else { continue };
        let of_partition = match ends.get(&key) {
            Some(Ok(end)) => u64::try_from(end.saturating_sub(offset)).ok().or(Some(0)),
            Some(Err(_)) | None => None,
        };
        let of_topic = lags.entry(element.topic().to_owned()).or_insert(Some(0));
        *of_topic = of_topic.zip(of_partition).map(|(a, b)| a + b);
    }
    Ok(Ok(lags.into_iter().collect()))
}
