//! The ends of partitions, and the members of a group, asked of the brokers beside the messages.
//!
//! The questions have a client of their own: a broker that does not answer holds up no message, and no commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::connect::LookContext;
use super::failure;
use super::offsets::{Ends, NO_LEADER, PartitionKey};
use super::settings::{Settings, unusable};
use crate::TransportError;

/// The longest wait for all answers together.
const ANSWERS: Duration = Duration::from_secs(20);
/// The longest wait for one of them.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest wait for the members of a group.
const MEMBERS: Duration = Duration::from_secs(2);

/// The client for questions about partitions and groups; it is made by the first one.
pub(super) struct EndLook {
    settings: Settings,
    client: Mutex<Option<BaseConsumer<LookContext>>>,
}

impl EndLook {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), client: Mutex::default() }
    }

    /// Asks for the ends of these partitions, and for the number of members of a group, which not every broker tells. Blocks.
    ///
    /// # Errors
    /// The question before is not answered yet.
    pub(super) fn ask(
        &self,
        partitions: &[PartitionKey],
        group: &str,
    ) -> Result<(Ends, Option<u32>), TransportError> {
        let mut client = match self.client.try_lock() {
            Ok(client) => client,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(failure::lost("the brokers have not answered the question before".to_owned()));
            }
        };
        let client = match &mut *client {
            Some(client) => client,
            none => none.insert(self.client()?),
        };
        let ends = ends(client, partitions, Instant::now() + ANSWERS);
        let members = members(client, group);
        // Errors come as events.
        while client.poll(Duration::ZERO).is_some() {}
        client.context().errors.take();
        Ok((ends, members))
    }

    fn client(&self) -> Result<BaseConsumer<LookContext>, TransportError> {
        let config = self.settings.client(&[("allow.auto.create.topics", "false".to_owned())]);
        BaseConsumer::from_config_and_context(&config, LookContext::default())
            .map_err(|error| unusable(&error))
    }
}

impl Drop for EndLook {
    /// Ends the client by a thread of its own, since that blocks.
    fn drop(&mut self) {
        let client = self.client.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(client) = client else { return };
        let ending = std::thread::Builder::new().name("kafka questions".to_owned()).spawn(|| drop(client));
        if let Err(error) = ending {
            tracing::debug!(error = error.to_string(), "no thread for the end of a Kafka client");
        }
    }
}

/// Returns the offset after the last message of each partition, by one question to each broker that leads some of them.
pub(super) fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[PartitionKey],
    until: Instant,
) -> Ends {
    let mut ends = Ends::new();
    let mut of_leader: BTreeMap<i32, Vec<PartitionKey>> = BTreeMap::new();
    let mut topics: BTreeMap<Arc<str>, Result<BTreeMap<i32, i32>, String>> = BTreeMap::new();
    for key in partitions {
        let leaders = topics.entry(key.0.clone()).or_insert_with(|| leaders(client, &key.0, until));
        match leaders.as_ref().map(|leaders| leaders.get(&key.1)) {
            Ok(Some(leader @ 0..)) => of_leader.entry(*leader).or_default().push(key.clone()),
            Ok(Some(_)) => {
                ends.insert(key.clone(), Err(NO_LEADER.to_owned()));
            }
            Ok(None) => {
                ends.insert(key.clone(), Err("it does not exist".to_owned()));
            }
            Err(reason) => {
                ends.insert(key.clone(), Err(reason.clone()));
            }
        }
    }
    for keys in of_leader.into_values() {
        let answer = of_one_leader(client, &keys, left(until)).map_err(|error| error.to_string());
        for key in keys {
            let end = match &answer {
                Ok(found) => found.get(&key).copied().ok_or_else(|| "its broker does not name it".to_owned()),
                Err(reason) => Err(reason.clone()),
            };
            ends.insert(key, end);
        }
    }
    ends
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), ANSWER)
}

/// Returns the leader of each partition of a topic; -1 is none.
fn leaders<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    until: Instant,
) -> Result<BTreeMap<i32, i32>, String> {
    let metadata = client.fetch_metadata(Some(topic), left(until)).map_err(|error| error.to_string())?;
    let of_topic = metadata.topics().iter().filter(|found| found.name() == topic);
    Ok(of_topic.flat_map(|found| found.partitions()).map(|p| (p.id(), p.leader())).collect())
}

fn of_one_leader<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    keys: &[PartitionKey],
    wait: Duration,
) -> Result<BTreeMap<PartitionKey, i64>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(keys.len());
    for (topic, number) in keys {
        // In place of a time: after the last message.
        list.add_partition_offset(topic, *number, Offset::End)?;
    }
    let found = client.offsets_for_times(list, wait)?;
    let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let Offset::Offset(offset) = element.offset() else { return None };
        let is_answer = element.error().is_ok();
        is_answer.then(|| ((Arc::from(element.topic()), element.partition()), offset))
    };
    Ok(found.elements().iter().filter_map(of).collect())
}

/// The members of a group; `None` where the broker does not tell.
pub(super) fn members<C: ConsumerContext>(client: &BaseConsumer<C>, group: &str) -> Option<u32> {
    let groups = client.fetch_group_list(Some(group), MEMBERS).ok()?;
    let found = groups.groups().iter().find(|found| found.name() == group)?;
    u32::try_from(found.members().len()).ok()
}
