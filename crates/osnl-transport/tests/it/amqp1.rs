//! The reader of AMQP 1.0 on a stand-in for a broker: `cargo xtask test --amqp1`.

use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::conformance::{BrokerRig, SampleMessage, UnsettledMessages};
use osnl_testkit::{Amqp1Peer, closed_port, wait_until};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Transport, TransportError, Window,
    transport,
};
use serde_json::json;

osnl_testkit::conformance!(Standin);

const SOON: Duration = Duration::from_secs(30);
const ADDRESS: &str = "unicast.neutron.notifications.info";

fn transport_of(url: &str) -> Box<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap()
}

fn options(pool: Option<&str>, declare: Declare) -> ListenOptions {
    ListenOptions::new(pool, 10, declare, QueueKind::OSLO)
}

struct Reader {
    consumer: Box<dyn Consumer>,
    window: Window,
}

impl Reader {
    async fn open(url: &str, options: &ListenOptions) -> Result<Self, TransportError> {
        let to = [(Target::new("neutron", "notifications"), Priority::Info)];
        let consumer = transport_of(url).listen(&to, options).await?;
        let window = Window::new(consumer.subscription().epoch);
        Ok(Self { consumer, window })
    }

    async fn poll(&mut self) -> Result<Vec<IncomingMessage>, TransportError> {
        let mut batch = Batch::with_limit(10);
        tokio::time::timeout(SOON, self.consumer.poll(&mut batch)).await.expect("a message, or an end")?;
        self.window.admit(&batch);
        Ok(batch.drain().collect())
    }
}

struct Standin(Amqp1Peer);

impl Standin {
    fn new(product: &str) -> Self {
        Self(tokio::task::block_in_place(|| Amqp1Peer::broker(product)))
    }

    fn put(&self, address: &str, bodies: std::ops::Range<u32>) {
        for body in bodies {
            self.0.publish(address, body.to_string().as_bytes(), &json!({}));
        }
    }

    fn becomes_empty(&self, address: &str) {
        wait_until(SOON, "all are accepted", || self.0.depth(address) == (0, 0));
    }
}

/// The suite names queues by its pool, which has no effect: all its messages are at one address.
impl BrokerRig for Standin {
    async fn start() -> Self {
        Self::new("")
    }

    fn transport(&self) -> Box<dyn Transport> {
        transport_of(&self.0.url())
    }

    async fn make_exchange(&mut self, _: &str) {}

    async fn publish(&mut self, samples: Vec<SampleMessage>) {
        for sample in samples {
            let mut properties = json!({});
            for (name, value) in
                [("content_type", sample.content_type), ("content_encoding", sample.content_encoding)]
            {
                if let Some(value) = value {
                    properties[name] = value.into();
                }
            }
            if let Some(compression) = sample.compression {
                properties["properties"] = json!({"compression": compression});
            }
            let address = format!("unicast.{}.{}", sample.exchange, sample.routing_key);
            self.0.publish(&address, &sample.body, &properties);
        }
    }

    fn depth(&self, _: &str) -> UnsettledMessages {
        let (ready, unacknowledged) = self.0.depth(ADDRESS);
        UnsettledMessages::Apart(ready, unacknowledged)
    }

    fn close_connections(&self) {
        self.0.ask(&json!({"do": "cut"}));
    }

    fn delete_queue(&self, _: &str) {
        self.0.ask(&json!({"do": "delete", "address": ADDRESS}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn readers_compete_and_a_released_message_comes_again() {
    let standin = Standin::new("");
    let mut one = Reader::open(&standin.0.url(), &options(Some("p"), Declare::Create)).await.unwrap();
    let mut two = Reader::open(&standin.0.url(), &options(None, Declare::Passive)).await.unwrap();
    let remarks = one.consumer.subscription().remarks.join("\n");
    assert!(remarks.contains("pool \"p\" has no effect") && remarks.contains("to one reader"), "{remarks}");
    standin.put(ADDRESS, 0..2);
    let (ours, theirs) = (one.poll().await.unwrap(), two.poll().await.unwrap());
    assert_eq!((ours.len(), theirs.len()), (1, 1), "each has a share");
    for message in ours {
        assert_eq!((&*message.queue, message.exchange.as_str()), (ADDRESS, "neutron"));
        one.window.requeue(message).unwrap();
    }
    one.consumer.quiesce().await.unwrap();
    one.consumer.flush(&mut one.window).await.unwrap();
    let again = two.poll().await.unwrap();
    for message in theirs.into_iter().chain(again) {
        two.window.acknowledge(message).unwrap();
    }
    assert_eq!(two.window.due(), 2);
    two.consumer.flush(&mut two.window).await.unwrap();
    standin.becomes_empty(ADDRESS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_broker_decides_the_address_and_a_plain_one_is_read_as_it_is() {
    let standin = Standin::new("qpid-dispatch-router");
    let routable = "openstack.org/om/notify/anycast/v/neutron/notifications.info";
    let url = standin.0.url().replacen("127", &format!("127.0.0.1:{},127", closed_port()), 1);
    for (options, address) in
        [(options(None, Declare::Passive), routable), (options(Some("plain"), Declare::Nothing), "plain")]
    {
        let mut reader = Reader::open(&format!("{url}v"), &options).await.unwrap();
        assert_eq!(reader.consumer.subscription().queues(), [address]);
        // More than the session's window of transfers.
        standin.put(address, 0..3000);
        let mut seen = 0;
        while seen < 3000 {
            for message in reader.poll().await.unwrap() {
                assert_eq!(message.body, seen.to_string());
                seen += 1;
                reader.window.acknowledge(message).unwrap();
            }
            reader.consumer.flush(&mut reader.window).await.unwrap();
        }
        standin.becomes_empty(address);
        reader.consumer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_message_beyond_the_bound_is_cut_and_the_next_one_whole() {
    let standin = Standin::new("");
    let mut small = options(None, Declare::Passive);
    small.bodies.whole = 100_000;
    let mut reader = Reader::open(&standin.0.url(), &small).await.unwrap();
    for length in [300_000, 90_000] {
        standin.0.publish(ADDRESS, &vec![b'x'; length], &json!({}));
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(reader.poll().await.unwrap());
    }
    let cut = seen[0].cut.as_ref().map(|cut| cut.bytes);
    assert_eq!((seen[0].body.len(), cut), (osnl_transport::BodyBounds::HEAD, Some(300_000)));
    assert_eq!((seen[1].body.len(), seen[1].cut.is_none()), (90_000, true));
}
