use std::time::Duration;

use osnl_kafka::unfinished;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

const ANSWER: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub partition: i32,
    pub key: Option<String>,
    pub body: String,
    pub headers: usize,
}

pub struct KafkaClient {
    address: String,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl KafkaClient {
    pub(super) fn new(address: String, one_by_one: bool) -> Self {
        let mut config = ClientConfig::new();
        if one_by_one {
            config.set("batch.num.messages", "1");
        }
        config.set("bootstrap.servers", &address);
        config.set("message.max.bytes", "8000000");
        let producer = config.create().unwrap();
        Self { address, producer }
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("kafka://{}/", self.address)
    }

    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let metadata = self.client("looks").fetch_metadata(None, ANSWER).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// Publishes to one partition without waiting; [`flush`](Self::flush) waits for the broker.
    pub fn publish_to(&self, topic: &str, partition: i32, body: &[u8], headers: OwnedHeaders) {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(body).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    pub fn publish(&self, topic: &str, body: &str) {
        self.publish_to(topic, 0, body.as_bytes(), OwnedHeaders::new());
        self.flush();
    }

    pub fn flush(&self) {
        self.producer.flush(ANSWER).unwrap();
    }

    #[must_use]
    pub fn client(&self, group: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config.set("group.id", group).set("allow.auto.create.topics", "false");
        config.create().unwrap()
    }

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

    #[must_use]
    pub fn unfinished(&self, group: &str, topic: &str) -> u64 {
        let of = |(_, offset, metadata, end): (i32, Option<i64>, String, i64)| {
            offset.map_or(0, |offset| unfinished(offset, &metadata, end))
        };
        self.committed(group, topic).into_iter().map(of).sum()
    }

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
}
