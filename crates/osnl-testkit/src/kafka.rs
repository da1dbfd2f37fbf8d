//! Clusters of Kafka: the mock cluster of librdkafka in the process, and tansu, which is independent of librdkafka.
//!
//! Both speak Kafka's protocol over TCP. The mock cluster starts at once, and has faults for each request; tansu is
//! for `cargo xtask test --kafka` alone.

mod client;
mod front;
mod scram;
mod tansu;

use std::ops::Deref;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;

pub use self::client::{KafkaClient, StoredMessage};
pub use self::front::{KafkaFront, KafkaLogin};
pub use self::tansu::{Tansu, TansuStorage};

pub trait KafkaCluster: Deref<Target = KafkaClient> {
    fn create_topic(&self, topic: &str, partitions: i32);

    fn stop(&self);

    fn start_again(&self);
}

/// The mock cluster behind a [`KafkaFront`], which makes its outages: the cluster's own `broker_down` ends the process
/// if another thread starts a program meanwhile, because until the program runs, it keeps the cluster's listener.
pub struct MockKafka {
    front: KafkaFront,
    cluster: MockCluster<'static, DefaultProducerContext>,
    client: KafkaClient,
}

impl Deref for MockKafka {
    type Target = KafkaClient;

    fn deref(&self) -> &KafkaClient {
        &self.client
    }
}

impl KafkaCluster for MockKafka {
    fn create_topic(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).unwrap();
    }

    fn stop(&self) {
        self.front.stop();
    }

    fn start_again(&self) {
        self.front.start_again();
    }
}

impl MockKafka {
    #[must_use]
    pub fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let front = KafkaFront::plain(&cluster.bootstrap_servers());
        let client = KafkaClient::new(front.address(), false);
        Self { front, cluster, client }
    }

    #[must_use]
    pub fn cluster(&self) -> &MockCluster<'static, DefaultProducerContext> {
        &self.cluster
    }

    pub fn delete_topic(&self, topic: &str) {
        let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        self.cluster.topic_error(topic, gone).unwrap();
    }
}
