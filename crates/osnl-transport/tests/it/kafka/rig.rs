//! A mock cluster of one broker, with what tests do to it.

use std::time::Duration;

use osnl_model::TransportUrl;
use osnl_testkit::MockKafka;
use osnl_testkit::conformance::{Depth, Rig, Sample};
use osnl_transport::{KafkaOptions, KafkaTransport, Transport};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};

/// The topic of most tests.
pub(super) const TOPIC: &str = "notifications.info";

pub(super) struct Mock {
    kafka: MockKafka,
    /// That of the conformance suite, as a listener keeps its own.
    transport: KafkaTransport,
}

impl std::ops::Deref for Mock {
    type Target = MockKafka;

    fn deref(&self) -> &MockKafka {
        &self.kafka
    }
}

impl Mock {
    pub(super) fn new() -> Self {
        let kafka = MockKafka::start();
        let transport = transport(&kafka, "");
        Self { kafka, transport }
    }

    pub(super) fn kafka(&self, query: &str) -> KafkaTransport {
        transport(&self.kafka, query)
    }
}

/// Short intervals, so that no test waits for long.
fn transport(kafka: &MockKafka, query: &str) -> KafkaTransport {
    let url = TransportUrl::parse(&format!("{}{query}", kafka.url())).unwrap();
    KafkaTransport::new(&url, KafkaOptions::from_query(&url).unwrap())
        .unwrap()
        .with_setting("session.timeout.ms", "3000")
        // Half of it is the longest wait for open messages when the group shares partitions anew.
        .with_setting("max.poll.interval.ms", "4000")
        .with_setting("heartbeat.interval.ms", "200")
        .with_setting("topic.metadata.refresh.interval.ms", "300")
        .with_setting("topic.metadata.refresh.fast.interval.ms", "100")
        .with_setting("topic.metadata.propagation.max.ms", "500")
        .with_setting("socket.timeout.ms", "5000")
        .with_setting("fetch.wait.max.ms", "50")
}

impl Rig for Mock {
    async fn start() -> Self {
        Self::new()
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.transport.clone())
    }

    /// There are no exchanges; what a service makes by publishing is its topic.
    async fn make_exchange(&mut self, _: &str) {
        self.create_topic(TOPIC, 1);
    }

    async fn publish(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            let mut headers = OwnedHeaders::new();
            for (key, value) in [
                ("content_type", &sample.content_type),
                ("content_encoding", &sample.content_encoding),
                ("compression", &sample.compression),
            ] {
                if let Some(value) = value {
                    headers = headers.insert(Header { key, value: Some(value) });
                }
            }
            // Order is that of a partition. The mock cluster keeps 5 MB of each, so many large messages are spread.
            let partition = if sample.body.len() == 100_000 { fastrand::i32(0..4) } else { 0 };
            self.publish_to(&sample.routing_key, partition, &sample.body, headers);
        }
        tokio::task::block_in_place(|| self.flush());
    }

    fn depth(&self, queue: &str) -> Depth {
        Depth::Together(self.unfinished(queue, TOPIC))
    }

    fn close_connections(&self) {
        // The client library tells the end only when all its connections are lost at one time. Where a broker is back at once, one
        // may be new before the other's loss is seen, and nothing has ended: so it stays away until another client has seen it.
        let observer = self.client("observer");
        observer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
        self.stop();
        let is_seen = || {
            let polled = observer.poll(Duration::from_millis(100));
            matches!(polled, Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown))
        };
        osnl_testkit::wait_until(Duration::from_secs(20), "the connections to be lost", is_seen);
        self.start_again();
    }

    fn delete_queue(&self, _: &str) {
        self.delete_topic(TOPIC);
    }
}
