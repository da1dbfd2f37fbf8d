//! A cluster of Kafka in the process: the mock cluster of librdkafka, which speaks Kafka's protocol over TCP.

mod front;

use std::time::Duration;

use osnl_transport::kafka_unfinished;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

pub use self::front::KafkaFront;

/// The longest wait for each answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A message as the broker keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The number of its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub body: String,
    /// The number of its headers.
    pub headers: usize,
}

/// A cluster of one broker. Its messages are gone when it is dropped.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl MockKafka {
    /// Starts it, on a free port.
    #[must_use]
    pub fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        config.set("message.max.bytes", "8000000");
        let producer = config.create().unwrap();
        Self { cluster, producer }
    }

    /// Returns its `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Returns its transport URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("kafka://{}/", self.address())
    }

    /// The cluster, for faults.
    #[must_use]
    pub fn cluster(&self) -> &MockCluster<'static, DefaultProducerContext> {
        &self.cluster
    }

    /// Makes a topic with this many partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).unwrap();
    }

    /// Returns the names of its topics.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let metadata = self.client("looks").fetch_metadata(None, ANSWER).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// Publishes to one partition; [`flush`](Self::flush) waits until the broker has it.
    pub fn publish_to(&self, topic: &str, partition: i32, body: &[u8], headers: OwnedHeaders) {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(body).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Publishes to the first partition; returns when the broker has it.
    pub fn publish(&self, topic: &str, body: &str) {
        self.publish_to(topic, 0, body.as_bytes(), OwnedHeaders::new());
        self.flush();
    }

    /// Waits until the broker has what was published.
    pub fn flush(&self) {
        self.producer.flush(ANSWER).unwrap();
    }

    /// Returns a client that asks about a group and is no member of it.
    #[must_use]
    pub fn client(&self, group: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config.set("group.id", group).set("allow.auto.create.topics", "false");
        config.create().unwrap()
    }

    /// Returns the position of a group, and the end, of the partitions of a topic: number, offset, metadata, end.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str) -> Vec<(i32, Option<i64>, String, i64)> {
        let client = self.client(group);
        let metadata = client.fetch_metadata(Some(topic), ANSWER).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let list = client.committed_offsets(list, ANSWER).unwrap();
        let of = |element: &TopicPartitionListElem<'_>| {
            let (_, end) = client.fetch_watermarks(topic, element.partition(), ANSWER).unwrap();
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            (element.partition(), offset, element.metadata().to_owned(), end)
        };
        list.elements().iter().map(of).collect()
    }

    /// Returns the number of messages of a topic that a group has not finished.
    #[must_use]
    pub fn unfinished(&self, group: &str, topic: &str) -> u64 {
        let of = |(_, offset, metadata, end): (i32, Option<i64>, String, i64)| {
            offset.map_or(0, |offset| kafka_unfinished(offset, &metadata, end))
        };
        self.committed(group, topic).into_iter().map(of).sum()
    }

    /// Reads all messages of a topic, from their beginning.
    #[must_use]
    pub fn all(&self, topic: &str) -> Vec<StoredMessage> {
        let client = self.client("reader");
        let metadata = client.fetch_metadata(Some(topic), ANSWER).unwrap();
        let (mut list, mut total) = (TopicPartitionList::new(), 0);
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = client.fetch_watermarks(topic, partition.id(), ANSWER).unwrap();
            total += high - low;
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        client.assign(&list).unwrap();
        let mut all = Vec::new();
        while i64::try_from(all.len()).unwrap() < total {
            let message = client.poll(ANSWER).expect("a message").unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            all.push(StoredMessage {
                partition: message.partition(),
                key: message.key().map(text),
                body: text(message.payload().unwrap()),
                headers: message.headers().map_or(0, Headers::count),
            });
        }
        all
    }

    /// From now on the broker says that there is no such topic.
    pub fn delete_topic(&self, topic: &str) {
        let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        self.cluster.topic_error(topic, gone).unwrap();
    }

    /// Closes all connections and refuses new ones.
    pub fn stop(&self) {
        self.cluster.broker_down(-1).unwrap();
    }

    /// Accepts connections again.
    pub fn start_again(&self) {
        self.cluster.broker_up(-1).unwrap();
    }
}
