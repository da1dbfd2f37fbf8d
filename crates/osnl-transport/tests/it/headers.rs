use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::amqp::headers::{alone, arrays, named, sized, tables, text};
use osnl_testkit::amqp::{Habits, RawClient, ScriptedBroker};
use osnl_testkit::{Broker, wait_until};
use osnl_transport::{Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Window};

use crate::session::transport;
use crate::tap;

const SOON: Duration = Duration::from_secs(60);

fn hostile() -> Vec<Vec<u8>> {
    let zlib = || ("compression", text("zlib"));
    let kind_and_headers = |kind: &[u8]| [&[0xa0, 0][..], &named(kind, &[]), &alone(&[zlib()])[2..]].concat();
    [tables(3_000), arrays(3_000), tables(15_000), arrays(15_000), sized(b'A', &[b'V'; 100_000])]
        .into_iter()
        .map(|value| alone(&[("evil", value), zlib()]))
        .chain([
            alone(&[("evil", sized(b'F', b"\x02\xff\xffV")), zlib()]),
            kind_and_headers(b"text/\xff\xfe"),
        ])
        .collect()
}

async fn listen(url: &str) -> Box<dyn Consumer> {
    let to = [(Target::new("neutron", "notifications"), Priority::Info)];
    let options = ListenOptions::new(Some("p"), 100, Declare::Create, QueueKind::OSLO);
    transport(&TransportUrl::parse(url).unwrap()).unwrap().listen(&to, &options).await.unwrap()
}

async fn receive(consumer: &mut dyn Consumer, window: &mut Window, count: usize) -> Vec<IncomingMessage> {
    let (mut batch, mut messages) = (Batch::with_limit(100), Vec::new());
    while messages.len() < count {
        let polled = tokio::time::timeout(SOON, consumer.poll(&mut batch)).await;
        polled.expect("messages in time").unwrap();
        window.admit(&batch);
        messages.extend(batch.drain());
    }
    messages
}

fn check(messages: &[IncomingMessage]) {
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(message.body, format!("body {at}"), "in order, and whole");
        assert_eq!(message.properties.compression.as_deref(), Some("zlib"), "{at}: other headers stay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_broker_s_messages_arrive_without_what_was_wrong_with_them() {
    let broker = ScriptedBroker::start(Habits::default());
    let mut consumer = listen(&broker.url()).await;
    for (at, properties) in hostile().into_iter().enumerate() {
        broker.publish_raw("neutron", "notifications.info", properties, format!("body {at}"));
    }
    let count = hostile().len();
    let mut window = Window::new(consumer.subscription().epoch);
    let messages = receive(&mut *consumer, &mut window, count).await;
    check(&messages);
    for message in messages {
        window.acknowledge(message).unwrap();
    }
    consumer.flush(&mut window).await.unwrap();
    wait_until(SOON, "all is settled on the one connection", || broker.depth() == (0, 0));
    assert_eq!(broker.consumed(), 1);
}

#[tokio::test]
async fn a_real_broker_passes_them_on_and_consumer_and_tap_go_on() {
    let vhost = Broker::shared().vhost("headers");
    let mut consumer = listen(&vhost.url()).await;
    let to = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    let mut tap = to.tap(&tap::options(&[("neutron", "#")])).await.unwrap();

    let mut publisher = RawClient::connect(&vhost.url());
    for (at, properties) in hostile().into_iter().enumerate() {
        let body = format!("body {at}");
        publisher.publish("neutron", b"notifications.info", &properties, body.as_bytes());
    }
    // A routing key need not be UTF-8, and must not end the connection either.
    publisher.publish("neutron", b"\xff\xfe", &[0, 0], b"of no topic");
    let count = hostile().len();
    let mut window = Window::new(consumer.subscription().epoch);
    check(&receive(&mut *consumer, &mut window, count).await);

    let mut seen = Vec::new();
    while seen.len() <= count {
        tokio::time::timeout(SOON, tap.poll(&mut seen, 100)).await.expect("messages in time").unwrap();
    }
    for (at, message) in seen[..count].iter().enumerate() {
        assert_eq!(message.body, format!("body {at}"));
        let marked = message.properties.headers.contains_key("x-osnl-removed");
        assert_eq!(marked, at < count - 1, "{at}: {:?}", message.properties);
    }
    assert_eq!(seen[count - 1].properties.content_type.as_deref(), Some("text/??"));
    assert_eq!((seen[count].routing_key.as_str(), &seen[count].body[..]), ("??", &b"of no topic"[..]));
    tap.close().await;
}
