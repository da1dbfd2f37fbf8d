use std::time::Duration;

use osnl_kafka::{KafkaOptions, KafkaTransport};
use osnl_model::TransportUrl;
use osnl_testkit::conformance::{BrokerRig, SampleMessage, UnsettledMessages};
use osnl_testkit::{KafkaClient, KafkaCluster, MockKafka, Tansu, TansuStorage};
use osnl_transport::Transport;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};

pub(super) const TOPIC: &str = "notifications.info";

pub(super) struct Mock {
    kafka: MockKafka,
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

/// Short intervals keep the tests fast.
pub(super) fn transport(kafka: &KafkaClient, query: &str) -> KafkaTransport {
    let url = TransportUrl::parse(&format!("{}{query}", kafka.url())).unwrap();
    KafkaTransport::new(&url, KafkaOptions::from_query(&url).unwrap())
        .unwrap()
        .with_setting("session.timeout.ms", "3000")
        // Half of it is the longest wait for open messages during a rebalance.
        .with_setting("max.poll.interval.ms", "4000")
        .with_setting("heartbeat.interval.ms", "200")
        .with_setting("topic.metadata.refresh.interval.ms", "300")
        .with_setting("topic.metadata.refresh.fast.interval.ms", "100")
        .with_setting("topic.metadata.propagation.max.ms", "500")
        .with_setting("socket.timeout.ms", "5000")
        .with_setting("fetch.wait.max.ms", "50")
}

impl BrokerRig for Mock {
    async fn start() -> Self {
        Self::new()
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.transport.clone())
    }

    async fn make_exchange(&mut self, _: &str) {
        self.create_topic(TOPIC, 1);
    }

    async fn publish(&mut self, samples: Vec<SampleMessage>) {
        publish(self, samples);
    }

    fn depth(&self, queue: &str) -> UnsettledMessages {
        UnsettledMessages::Together(self.unfinished(queue, TOPIC))
    }

    fn close_connections(&self) {
        lose_connections(&self.kafka);
    }

    fn delete_queue(&self, _: &str) {
        self.delete_topic(TOPIC);
    }
}

pub(super) struct OnTansu {
    tansu: Tansu,
    transport: KafkaTransport,
}

impl BrokerRig for OnTansu {
    async fn start() -> Self {
        let tansu = tokio::task::block_in_place(|| {
            let tansu = Tansu::start(TansuStorage::Memory);
            tansu.create_topic(TOPIC, 4);
            tansu
        });
        let transport = transport(&tansu, "");
        Self { tansu, transport }
    }

    fn lacks() -> &'static [&'static str] {
        &TANSU_LACKS
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.transport.clone())
    }

    async fn make_exchange(&mut self, _: &str) {}

    async fn publish(&mut self, samples: Vec<SampleMessage>) {
        publish(&self.tansu, samples);
    }

    fn depth(&self, queue: &str) -> UnsettledMessages {
        UnsettledMessages::Together(self.tansu.unfinished(queue, TOPIC))
    }

    fn close_connections(&self) {
        lose_connections(&self.tansu);
    }

    fn delete_queue(&self, _: &str) {
        self.tansu.delete_topic(TOPIC);
    }
}

pub(super) const TANSU_LACKS: [&str; 6] = [
    "a_queue_of_ours_is_read_before_its_exchange_is_there",
    // Tansu keeps no metadata of a commit: messages finished above an unfinished message are redelivered to another
    // member.
    "a_prefix_does_not_swallow_what_is_given_back",
    "what_is_finished_behind_a_parked_message_is_acknowledged",
    "what_is_unsettled_at_the_close_comes_again_in_order_and_marked",
    // Tansu does not redeliver a requeued message within the minute of a behaviour; the reason is not known.
    "what_is_given_back_comes_again_marked",
    // Tansu's answer to a fetch of a deleted topic names no topic, at which librdkafka 2.12 crashes.
    "the_end_is_noticed_while_nothing_is_taken",
];

fn publish(kafka: &KafkaClient, samples: Vec<SampleMessage>) {
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
        // Order is per partition. The mock cluster keeps 5 MB of each partition, so large messages are spread.
        let partition = if sample.body.len() == 100_000 { fastrand::i32(0..4) } else { 0 };
        kafka.publish_to(&sample.routing_key, partition, &sample.body, headers);
    }
    tokio::task::block_in_place(|| kafka.flush());
}

fn lose_connections(kafka: &impl KafkaCluster) {
    // The client library reports the end only when all its connections are lost at once. If a broker returns at once, a
    // connection may be new before the loss of the other is noticed. So the broker stays down until another client has
    // noticed.
    let observer = kafka.client("observer");
    observer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    kafka.stop();
    let is_seen = || {
        let polled = observer.poll(Duration::from_millis(100));
        matches!(polled, Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown))
    };
    osnl_testkit::wait_until(Duration::from_secs(60), "the connections to be lost", is_seen);
    kafka.start_again();
}
