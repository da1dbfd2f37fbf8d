use osnl_model::{Priority, Target};
use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, RawMessage, Vhost};
use osnl_transport::{Declare, OutgoingMessage, QueueKind, TapMessage};

use crate::session::{Session, options, rabbit, targets, within};

const SIZE: usize = 100_000;

/// The smallest frames that the broker allows: RabbitMQ 4.1 doubled the protocol's least.
fn smallest(vhost: &Vhost) -> &'static str {
    let [_, version, _] = vhost.greeting();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    if (numbers.next(), numbers.next()) >= (Some(4), Some(1)) { "8192" } else { "4096" }
}

/// A body of a hundred kilobytes comes in 13 frames or 25, from a publisher and to it.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_a_broker_with_the_smallest_frames_every_way() {
    let broker = tokio::task::block_in_place(Broker::start);
    broker.set("frame_max", smallest(&broker.root()));
    let (vhost, transport) = (broker.root(), rabbit(&broker.root()));
    let body = |n: usize| format!("{{\"n\": {n}, \"long\": \"{}\"}}", "x".repeat(SIZE));
    let to = targets(&["neutron"], &[Priority::Info]);
    let wanted = options(Some("p"), 10, Declare::Create, QueueKind::OSLO);
    let mut session = Session::open(&*transport, &to, &wanted).await.unwrap();
    let mut tap =
        within(transport.tap(&crate::tap::options(&[("neutron", "notifications.info")]))).await.unwrap();

    let (target, outgoing) =
        (Target::new("neutron", "notifications"), |n| OutgoingMessage::json(body(n).into_bytes()));
    within(transport.send(&target, &Priority::Info, outgoing(1))).await.unwrap();
    tokio::task::block_in_place(|| {
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        publisher.raw(&RawMessage {
            exchange: "neutron".to_owned(),
            routing_key: "notifications.info".to_owned(),
            body: body(2).into_bytes(),
            ..RawMessage::default()
        });
    });
    within(transport.send(&target, &Priority::Info, outgoing(3))).await.unwrap();

    let sent = [body(1), body(2), body(3)];
    let read: Vec<String> = session.read(3).await.into_iter().map(|message| message.body).collect();
    assert!(read == sent, "the listener: {:?}", read.iter().map(String::len).collect::<Vec<_>>());
    let mut tapped: Vec<TapMessage> = Vec::new();
    while tapped.len() < sent.len() {
        within(tap.poll(&mut tapped, 10)).await.unwrap();
        within(tap.acknowledge()).await.unwrap();
    }
    let tapped: Vec<String> =
        tapped.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect();
    assert!(tapped == sent, "the tap: {:?}", tapped.iter().map(String::len).collect::<Vec<_>>());
    tap.close().await;
    session.close().await;
    transport.close().await;
}
