use std::sync::OnceLock;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{
    Broker, BrokerObjects, OsloPublisher, PublisherOptions, RawMessage, Vhost, python, wait_until,
};
use osnl_transport::{
    Argument, BrokerVersion, Declare, OutgoingMessage, Proof, QueueInspection, QueueKind, QueueType,
    RabbitOptions, RabbitTransport, Thorough, TransportError,
};
use serde_json::json;

use crate::session::{SOON, Session, bodies, options, rabbit, targets};

pub(crate) fn version(vhost: &Vhost) -> BrokerVersion {
    BrokerVersion::read(&vhost.greeting()[1]).unwrap()
}

fn can_refuse(vhost: &Vhost) -> bool {
    version(vhost) >= BrokerVersion::read("3.13.0").unwrap()
}

fn refusing() -> &'static Broker {
    static NODE: OnceLock<Broker> = OnceLock::new();
    NODE.get_or_init(Broker::start_refusing_transient_queues)
}

fn quorum() -> QueueKind {
    QueueKind { queue_type: QueueType::Quorum, durable: true, ..QueueKind::OSLO }
}

/// RabbitMQ 4.3 refuses queues that are neither durable nor exclusive by default. 3.10 cannot refuse such queues.
#[tokio::test(flavor = "multi_thread")]
async fn where_transient_queues_are_refused_each_way_to_declare_one_ends_with_a_durable_one() {
    let broker = tokio::task::block_in_place(refusing);
    let vhost = broker.vhost("transient");
    let can_refuse = can_refuse(&vhost);
    let to = targets(&["neutron"], &[Priority::Info]);

    for pool in [Some("p"), None] {
        let transport = rabbit(&vhost);
        let options = options(pool, 10, Declare::Create, QueueKind::OSLO);
        if can_refuse {
            let first = Session::open(&*transport, &to, &options).await.err().expect("a refusal");
            let said = first.to_string();
            assert!(
                said.contains("541") && said.contains("the next attempt declares a durable one"),
                "{said}"
            );
            assert!(first.is_recoverable() && !matches!(first, TransportError::Refused { .. }), "{first:?}");
        }
        let mut session = Session::open(&*transport, &to, &options).await.unwrap();
        let found = session.consumer.subscription();
        assert_eq!((found.created, found.durable), (true, Some(can_refuse)), "{pool:?}");
        let said = found.remarks.join("\n");
        assert_eq!(said.contains("write amqp_durable_queues = true"), can_refuse, "{said}");
        let (exchange, routing_key) = ("neutron".to_owned(), "notifications.info".to_owned());
        tokio::task::block_in_place(|| {
            let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
            publisher.raw(&RawMessage {
                exchange,
                routing_key,
                body: b"1".to_vec(),
                ..RawMessage::default()
            });
        });
        assert_eq!(bodies(&session.read(1).await), ["1"]);
        session.close().await;
    }

    let (transport, target) = (rabbit(&vhost), Target::new("cinder", "other"));
    transport.send(&target, &Priority::Info, OutgoingMessage::json(b"{}".to_vec())).await.unwrap();
    transport.close().await;

    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let inspector = RabbitTransport::new(url, RabbitOptions::default()).unwrap();
    let inspection = inspector.inspect(&[], &["none".to_owned()], Some(&QueueKind::OSLO), SOON).await;
    assert!(matches!(inspection.queues[0].1, QueueInspection::Missing), "{:?}", inspection.queues[0].1);
    for thorough in [Thorough::Asks, Thorough::Does] {
        let proofs = inspector
            .prove("none", &["neutron".to_owned()], Some(&QueueKind::OSLO), thorough, SOON)
            .await
            .unwrap();
        assert_eq!(proofs.make, Some(Proof::Proven), "{thorough:?}");
        assert_eq!(proofs.bind, [("neutron".to_owned(), Proof::Proven)], "{thorough:?}");
    }
    let durable =
        |name: &str| vhost.list_queues().into_iter().find(|queue| queue.name == name).map(|q| q.durable);
    for name in ["p", "notifications.info", "other.info"] {
        assert_eq!(durable(name), Some(can_refuse), "{name}");
    }
    assert_eq!(durable("none"), None, "a proof leaves nothing");
}

const NOTIFY: &str = "
import sys, oslo_messaging
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf([])
for url in sys.stdin.read().split():
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    notifier = oslo_messaging.Notifier(
        transport, publisher_id='network.host', driver='messaging', topics=['notifications'], retry=1)
    notifier.info({}, 'port.delete.end', {})
";

#[test]
fn where_transient_queues_are_refused_oslo_sends_nothing_until_its_queues_are_durable() {
    let broker = refusing();
    let cases = [("", true), ("?amqp_durable_queues=true", false), ("?rabbit_quorum_queue=true", false)]
        .map(|(query, is_refused)| (broker.vhost("oslo"), query, is_refused));
    let urls = cases.each_ref().map(|(vhost, query, _)| format!("{}{query}", vhost.url()));
    assert_eq!(python(NOTIFY, &urls.join("\n")), "");
    for (vhost, query, is_refused) in &cases {
        let sent = u64::from(!(*is_refused && can_refuse(vhost)));
        let found = || vhost.queue_depth("notifications.info").map_or(0, |(ready, _)| ready);
        wait_until(SOON, &format!("{sent} sent with {query:?}"), || found() == sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_delivery_limit_of_the_version_is_said_and_ours_has_none() {
    let vhost = Broker::shared().vhost("default-limit");
    let default = version(&vhost).default_delivery_limit();
    let to = targets(&["neutron"], &[Priority::Info]);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.prepare(&BrokerObjects {
        queue: "theirs".into(),
        arguments: json!({"x-queue-type": "quorum"}),
        ..BrokerObjects::default()
    });
    let own = || QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    for (name, limit, kind) in [("theirs", default, quorum()), ("ours", None, own())] {
        let options = options(Some(name), 10, Declare::Create, kind);
        let session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        let open = &session.consumer.subscription().open[0];
        let said = open.drops.clone().unwrap_or_default();
        let expected = limit.map(|limit| format!("has the broker's delivery limit, {limit} unless a policy"));
        assert!(said.starts_with(expected.as_deref().unwrap_or("")), "{name}: {said}");
        assert_eq!(said.is_empty(), expected.is_none(), "{name}: {said}");
        session.close().await;
    }
    let (exchange, routing_key) = (String::new(), "ours".to_owned());
    publisher.raw(&RawMessage { exchange, routing_key, body: b"1".to_vec(), ..RawMessage::default() });
    let options = options(Some("ours"), 10, Declare::Create, own());
    for delivery in 1..=22 {
        let mut session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        assert_eq!(session.poll().await.unwrap().len(), 1, "delivery {delivery}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_queues_since_4_3_are_accepted_by_every_version() {
    let vhost = Broker::shared().vhost("arguments");
    let to = targets(&["neutron"], &[Priority::Info]);
    let mut kind = quorum();
    let number = |name: &str| (name.to_owned(), Argument::Integer(60_000));
    kind.arguments.extend(["x-consumer-disconnected-timeout", "x-consumer-timeout"].map(number));
    assert_eq!(kind.refusal(), None);
    let session =
        Session::open(&*rabbit(&vhost), &to, &options(Some("q"), 10, Declare::Create, kind)).await.unwrap();
    assert!(session.consumer.subscription().created);
    session.close().await;
}
