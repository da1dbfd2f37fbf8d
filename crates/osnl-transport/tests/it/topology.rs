use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{
    Broker, BrokerObjects, DeclaredBinding, DeclaredQueue, Exchange, Notice, OsloPublisher, PublisherOptions,
    RawMessage, Vhost, wait_until,
};
use osnl_transport::{
    Argument, Binding, Declare, MemoryBroker, Properties, QueueKind, QueueMade, QueueType, RabbitOptions,
    RabbitTransport, Transport, TransportError,
};
use serde_json::json;

use crate::session::{SOON, Session, bodies, options, rabbit, targets};

const TWO: [Priority; 2] = [Priority::Info, Priority::Error];

enum Rig {
    Memory(MemoryBroker),
    Rabbit(Vhost, OsloPublisher),
}

impl Rig {
    fn both(name: &str) -> [Self; 2] {
        let vhost = Broker::shared().vhost(name);
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        [Self::Memory(MemoryBroker::new()), Self::Rabbit(vhost, publisher)]
    }

    fn transport(&self) -> Box<dyn Transport> {
        match self {
            Self::Memory(broker) => Box::new(broker.transport()),
            Self::Rabbit(vhost, _) => rabbit(vhost),
        }
    }

    fn publish(&mut self, exchange: &str, key: &str, body: &str) {
        let body = body.as_bytes().to_vec();
        match self {
            Self::Memory(broker) => {
                broker.publish_raw(exchange, key, body.into(), Properties::default());
            }
            Self::Rabbit(_, publisher) => {
                let (exchange, routing_key) = (exchange.to_owned(), key.to_owned());
                publisher.raw(&RawMessage { exchange, routing_key, body, ..RawMessage::default() });
            }
        }
    }

    fn ready_becomes(&self, queue: &str, expected: u64) {
        wait_until(SOON, &format!("{queue} has {expected} ready"), || match self {
            Self::Memory(broker) => broker.ready(queue) as u64 == expected,
            Self::Rabbit(vhost, _) => vhost.queue_depth(queue).is_some_and(|(ready, _)| ready == expected),
        });
    }
}

fn topology(vhost: &Vhost) -> (Vec<Exchange>, Vec<DeclaredQueue>, Vec<DeclaredBinding>) {
    let still = |queue: DeclaredQueue| DeclaredQueue { ready: 0, unacked: 0, consumers: 0, ..queue };
    let queues = vhost.list_queues().into_iter().map(still);
    (vhost.list_exchanges(), queues.collect(), vhost.list_bindings())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_exchanges_two_topics_seven_priorities_share_one_connection() {
    let exchanges = ["neutron", "nova", "cinder"];
    let topics = ["notifications", "versioned_notifications"];
    let mut to = Vec::new();
    for (exchange, topic) in exchanges.iter().flat_map(|x| topics.map(|t| (*x, t))) {
        to.extend(Priority::ALL.iter().map(|p| (Target::new(exchange, topic), p.clone())));
    }
    for (pool, queues) in [(None, 14), (Some("osnl"), 1)] {
        let vhost = Broker::shared().vhost("many");
        let options = options(pool, 200, Declare::Create, QueueKind::OSLO);
        let mut session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        wait_until(SOON, "the broker counts it", || vhost.connections() == 1);
        let found = session.consumer.subscription();
        assert_eq!((found.open.len(), found.bindings.len(), found.created), (queues, 42, true));
        assert_eq!((vhost.list_queues().len(), vhost.list_bindings().len()), (queues, 42));
        assert!(vhost.list_queues().iter().all(|queue| queue.consumers == 1));

        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let mut sent = Vec::new();
        for (target, priority) in &to {
            let exchange = target.exchange.clone().unwrap();
            let key = target.routing_key(priority);
            let body = format!("{exchange} {key}").into_bytes();
            publisher.raw(&RawMessage {
                exchange: exchange.clone(),
                routing_key: key.clone(),
                body,
                ..RawMessage::default()
            });
            sent.push((pool.map_or(key.clone(), str::to_owned), format!("{exchange} {key}")));
        }
        let mut seen: Vec<_> = session.read(42).await.into_iter().map(|s| (s.queue, s.body)).collect();
        sent.sort();
        seen.sort();
        assert_eq!(seen, sent);
        session.close().await;
        wait_until(SOON, "all is settled", || {
            vhost.list_queues().iter().all(|queue| (queue.ready, queue.unacked) == (0, 0))
        });
    }
}

async fn two_queues(rig: &mut Rig, prefetch: u16, infos: u32, errors: u32) -> Session {
    let options = options(None, prefetch, Declare::Create, QueueKind::OSLO);
    let to = targets(&["neutron"], &TWO);
    let transport = rig.transport();
    Session::open(&*transport, &to, &options).await.unwrap().close().await;
    (0..infos).for_each(|n| rig.publish("neutron", "notifications.info", &format!("info {n}")));
    (0..errors).for_each(|n| rig.publish("neutron", "notifications.error", &format!("error {n}")));
    let session = Session::open(&*transport, &to, &options).await.unwrap();
    let waiting: Vec<u32> = session.consumer.subscription().open.iter().map(|queue| queue.waiting).collect();
    assert_eq!(waiting, [infos, errors]);
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_keeps_no_other_waiting_and_each_keeps_its_order() {
    for mut rig in Rig::both("fair") {
        let mut session = two_queues(&mut rig, 40, 100, 2).await;
        // The broker has sent twenty of one queue and two of the other; both queues get turns.
        session.batch.set_limit(1);
        if let Rig::Rabbit(..) = &rig {
            rig.ready_becomes("notifications.error", 0);
        }
        let seen = session.read(102).await;
        let of = |queue: &str| -> Vec<&str> {
            seen.iter().filter(|s| s.queue == queue).map(|s| s.body.as_str()).collect()
        };
        let numbered = |word: &str, n: u32| (0..n).map(|n| format!("{word} {n}")).collect::<Vec<_>>();
        assert_eq!(of("notifications.info"), numbered("info", 100));
        assert_eq!(of("notifications.error"), numbered("error", 2));
        let last_error = seen.iter().rposition(|s| s.queue == "notifications.error").unwrap();
        assert!(last_error < 15, "the errors waited for {last_error} others");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_covers_no_message_of_another_queue() {
    for mut rig in Rig::both("covers") {
        let mut session = two_queues(&mut rig, 20, 5, 5).await;
        // All ten are on their way; the test sees three of one queue and none of the other.
        let mut infos = Vec::new();
        session.batch.set_limit(1);
        while infos.len() < 3 {
            for message in session.poll().await.unwrap() {
                if &*message.queue == "notifications.info" {
                    infos.push(message);
                }
            }
        }
        for message in infos {
            session.window.acknowledge(message).unwrap();
        }
        session.flush().await.unwrap();
        session.close().await;
        rig.ready_becomes("notifications.info", 2);
        rig.ready_becomes("notifications.error", 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefetch_bounds_all_queues_together() {
    for mut rig in Rig::both("bounded") {
        let mut session = two_queues(&mut rig, 10, 20, 20).await;
        let mut held = Vec::new();
        while held.len() < 10 {
            held.extend(session.poll().await.unwrap());
        }
        rig.ready_becomes("notifications.info", 15);
        rig.ready_becomes("notifications.error", 15);
        if let Rig::Rabbit(vhost, _) = &rig {
            let unacknowledged: u64 = vhost.list_queues().iter().map(|queue| queue.unacked).sum();
            assert_eq!(unacknowledged, 10);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_in_a_topic_binds_what_it_means() {
    for mut rig in Rig::both("wildcard") {
        let to: Vec<_> = ["*", "#.deep"].map(|t| (Target::new("neutron", t), Priority::Info)).to_vec();
        let options = options(Some("p"), 10, Declare::Create, QueueKind::OSLO);
        let mut session = Session::open(&*rig.transport(), &to, &options).await.unwrap();
        for key in ["a.info", "a.error", "a.b.info", "a.b.deep.info", "deep.info", "b.info"] {
            rig.publish("neutron", key, key);
        }
        assert_eq!(bodies(&session.read(4).await), ["a.info", "a.b.deep.info", "deep.info", "b.info"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_only_read_is_looked_for_and_left_as_it_is() {
    for mut rig in Rig::both("existing") {
        let options = options(Some("theirs"), 10, Declare::Nothing, QueueKind::OSLO);
        let refused = Session::open(&*rig.transport(), &[], &options).await.err().unwrap();
        assert!(matches!(&refused, TransportError::NoQueue { queue } if queue == "theirs"), "{refused}");
        assert!(refused.is_recoverable() && refused.is_missing() && !refused.is_refused_access());
        let before = match &mut rig {
            Rig::Memory(_) => {
                let made = crate::session::options(Some("theirs"), 10, Declare::Create, QueueKind::OSLO);
                let to = targets(&["neutron"], &[Priority::Info]);
                Session::open(&*rig.transport(), &to, &made).await.unwrap().close().await;
                None
            }
            Rig::Rabbit(vhost, publisher) => {
                assert_eq!(vhost.list_queues(), []);
                let arguments = json!({"x-max-length": 77, "x-queue-mode": "lazy"});
                publisher.prepare(&BrokerObjects {
                    queue: "theirs".into(),
                    arguments,
                    ..BrokerObjects::default()
                });
                Some(topology(vhost))
            }
        };
        let mut session = Session::open(&*rig.transport(), &[], &options).await.unwrap();
        let found = session.consumer.subscription();
        assert_eq!((found.queues(), &found.bindings[..], found.created), (vec!["theirs"], &[][..], false));
        assert_eq!(found.open[0].differs, None);
        rig.publish("neutron", "notifications.info", "x");
        assert_eq!(bodies(&session.read(1).await), ["x"]);
        session.close().await;
        if let Rig::Rabbit(vhost, _) = &rig {
            assert_eq!(Some(topology(vhost)), before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_queue_of_ours_is_used_as_it_is_and_what_differs_is_named() {
    let vhost = Broker::shared().vhost("differs");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let arguments = json!({"x-max-length": 5});
    publisher.prepare(&BrokerObjects { queue: "osnl".into(), arguments, ..BrokerObjects::default() });
    let before = topology(&vhost);
    let wanted = |name: &str, argument: Argument| QueueKind {
        durable: true,
        arguments: [(name.to_owned(), argument)].into(),
        ..QueueKind::OSLO
    };
    let max_length = |n| wanted("x-max-length", Argument::Integer(n));
    let quorum = QueueKind { queue_type: QueueType::Quorum, ..max_length(5) };
    // RabbitMQ 4 records the type of a queue that was declared without one.
    let is_old = vhost.greeting()[1].starts_with("3.");
    let other_type = if is_old {
        "x-queue-type: configured quorum, found none"
    } else {
        "x-queue-type: configured quorum, found classic"
    };
    for (kind, differs) in [
        (max_length(5), None),
        (max_length(9), Some("x-max-length: configured 9, found 5")),
        (QueueKind::OSLO, Some("durable: configured false, found true")),
        (QueueKind { auto_delete: true, ..max_length(5) }, Some("auto_delete: configured true, found false")),
        (quorum, Some(other_type)),
    ] {
        let options = options(Some("osnl"), 10, Declare::Passive, kind);
        let to = targets(&["neutron"], &[Priority::Info]);
        let mut session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        let open = &session.consumer.subscription().open[0];
        let known = (open.durable, open.auto_delete);
        assert_eq!((open.differs.as_deref(), known), (differs, (Some(true), Some(false))));
        publisher.raw(&RawMessage { body: b"x".to_vec(), ..RawMessage::default() });
        assert_eq!(bodies(&session.read(1).await), ["x"]);
        session.close().await;
        assert_eq!(topology(&vhost), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auto_delete_queue_is_known_as_one_whatever_else_differs() {
    let vhost = Broker::shared().vhost("auto-delete");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let durable = QueueKind { durable: true, ..QueueKind::OSLO };
    let bounded = QueueKind {
        arguments: [("x-max-length".to_owned(), Argument::Integer(9))].into(),
        ..QueueKind::OSLO
    };
    for kind in [QueueKind::OSLO, durable.clone(), bounded, QueueKind { auto_delete: true, ..durable }] {
        let objects = BrokerObjects { queue: "osnl".into(), auto_delete: true, ..BrokerObjects::default() };
        publisher.prepare(&objects);
        let options = options(Some("osnl"), 10, Declare::Passive, kind.clone());
        let to = targets(&["neutron"], &[Priority::Info]);
        let session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        assert_eq!(session.consumer.subscription().is_auto_deleted(), Some(true), "{kind:?}");
        session.close().await;
        wait_until(SOON, "the broker has deleted it", || vhost.queue_depth("osnl").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_declared_with_the_arguments_that_mean_it() {
    let arguments = [
        ("x-max-length".to_owned(), Argument::Integer(1000)),
        ("x-max-length-bytes".to_owned(), Argument::Integer(5_000_000_000)),
        ("x-overflow".to_owned(), Argument::Text("reject-publish".to_owned())),
    ];
    let plain = QueueKind { durable: true, arguments: arguments.into(), ..QueueKind::OSLO };
    let limited = json!({
        "x-max-length": 1000, "x-max-length-bytes": 5_000_000_000_u64, "x-overflow": "reject-publish",
    });
    let quorum = QueueKind {
        queue_type: QueueType::Quorum,
        durable: true,
        single_active_consumer: true,
        delivery_limit: Some(5),
        max_in_memory_length: Some(10),
        max_in_memory_bytes: Some(1000),
        ..QueueKind::OSLO
    };
    let vhost = Broker::shared().vhost("kinds");
    for (name, kind, durable, auto_delete, expected) in [
        ("classic", plain.clone(), true, false, limited),
        ("leaving", QueueKind { auto_delete: true, ..QueueKind::OSLO }, false, true, json!({})),
        (
            "mirrored",
            QueueKind { ha_policy: Some("all".into()), ..QueueKind::OSLO },
            false,
            false,
            json!({"x-ha-policy": "all"}),
        ),
        (
            "quorum",
            quorum,
            true,
            false,
            json!({
                "x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": 5,
                "x-max-in-memory-length": 10, "x-max-in-memory-bytes": 1000,
            }),
        ),
    ] {
        let options = options(Some(name), 10, Declare::Create, kind);
        let to = targets(&["neutron"], &[Priority::Info]);
        let transport = rabbit(&vhost);
        let session = Session::open(&*transport, &to, &options).await.unwrap();
        let made = vhost.list_queues().into_iter().find(|queue| queue.name == name).unwrap();
        assert_eq!((made.durable, made.auto_delete), (durable, auto_delete), "{name}");
        assert_eq!(made.arguments, expected, "{name}");
        let again = Session::open(&*transport, &to, &options).await.unwrap();
        let open = &again.consumer.subscription().open[0];
        assert_eq!((open.created, &open.differs, open.durable), (false, &None, Some(durable)), "{name}");
        assert_eq!(open.queue_type, Some(options.queue.queue_type));
        session.close().await;
        again.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_service_is_altered() {
    for durable in [false, true] {
        let vhost = Broker::shared().vhost("service");
        // The real Notifier declares its exchange and its queue notifications.info.
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable });
        publisher.notify(&Notice::default());
        let before = topology(&vhost);
        assert_eq!((before.0.len(), before.1.len(), before.2.len()), (1, 1, 1));
        assert_eq!((before.0[0].durable, before.1[0].durable), (durable, durable));
        let to = targets(&["neutron"], &[Priority::Info]);
        for declare in [Declare::Create, Declare::Passive] {
            let durables = QueueKind { durable: true, ..QueueKind::OSLO };
            for kind in [QueueKind::OSLO, QueueKind::DURABLE, durables] {
                let session = Session::open(&*rabbit(&vhost), &to, &options(None, 10, declare, kind)).await;
                session.unwrap().close().await;
                assert_eq!(topology(&vhost), before);
            }
        }
        let kind = QueueKind::DURABLE;
        let mut session =
            Session::open(&*rabbit(&vhost), &to, &options(Some("osnl"), 10, Declare::Create, kind))
                .await
                .unwrap();
        let (exchanges, queues, bindings) = topology(&vhost);
        assert_eq!(exchanges, before.0);
        assert_eq!(queues.into_iter().filter(|queue| queue.name != "osnl").collect::<Vec<_>>(), before.1);
        assert_eq!(bindings.into_iter().filter(|b| b.queue != "osnl").collect::<Vec<_>>(), before.2);
        publisher.notify(&Notice::default());
        assert_eq!(session.read(1).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused_with_a_pool_for_each_reader_instead() {
    let vhost = Broker::shared().vhost("types");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: "log".into(), arguments, ..BrokerObjects::default() });
    publisher.raw(&RawMessage { body: b"x".to_vec(), ..RawMessage::default() });
    let before = topology(&vhost);
    let to = targets(&["neutron"], &[Priority::Info]);
    let plain = QueueKind { durable: true, ..QueueKind::OSLO };
    let quorum = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    for kind in [QueueKind::DURABLE, plain, quorum.clone()] {
        for declare in [Declare::Create, Declare::Passive, Declare::Nothing] {
            let options = options(Some("log"), 10, declare, kind.clone());
            let error = Session::open(&*rabbit(&vhost), &to, &options).await.err().unwrap();
            assert!(error.is_recoverable(), "the queue may be made anew: {error}");
            let error = error.to_string();
            for word in ["\"log\"", "it is a stream", "give each reader a pool of its own"] {
                assert!(error.contains(word), "{error}");
            }
        }
    }
    assert_eq!(topology(&vhost), before);
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let inspector = RabbitTransport::new(url, RabbitOptions::default()).unwrap();
    let inspection = inspector.inspect(&[], &["log".to_owned()], Some(&quorum), SOON).await;
    let found = &inspection.queues[0].1;
    assert!(
        matches!(found, osnl_transport::QueueInspection::There { made: QueueMade::Stream, .. }),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_queue_with_a_delivery_limit_is_named_with_what_it_drops() {
    let vhost = Broker::shared().vhost("limits");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let to = targets(&["neutron"], &[Priority::Info]);
    let ours = QueueKind { queue_type: QueueType::Quorum, durable: true, ..QueueKind::OSLO };
    let limited = QueueKind { delivery_limit: Some(3), ..ours.clone() };
    let default = crate::versions::version(&vhost).default_delivery_limit();
    let default =
        default.map(|limit| format!("has the broker's delivery limit, {limit} unless a policy sets another"));
    let dropped = "has a delivery limit of 3; beyond it, a message is dropped";
    let handed_on = "has a delivery limit of 3; beyond it, a message goes to exchange \"dlx\"";
    for (name, more, kind, expected) in [
        ("none", json!({}), &ours, default.as_deref()),
        ("own", json!({"x-delivery-limit": 3}), &limited, Some(dropped)),
        ("other", json!({"x-delivery-limit": 3}), &ours, Some(dropped)),
        ("transient", json!({"x-delivery-limit": 3}), &QueueKind::OSLO, Some(dropped)),
        ("dead", json!({"x-delivery-limit": 3, "x-dead-letter-exchange": "dlx"}), &ours, Some(handed_on)),
        (
            "long",
            json!({"x-delivery-limit": 3, "x-max-length": 9}),
            &ours,
            Some("may have a delivery limit; which is unknown"),
        ),
        (
            "theirs",
            json!({"x-delivery-limit": 3, "x-dead-letter-exchange": "dlx"}),
            &limited,
            Some(handed_on),
        ),
    ] {
        let mut arguments = more;
        arguments["x-queue-type"] = json!("quorum");
        publisher.prepare(&BrokerObjects {
            queue: name.into(),
            arguments: arguments.clone(),
            ..BrokerObjects::default()
        });
        let options = options(Some(name), 10, Declare::Create, kind.clone());
        let session = Session::open(&*rabbit(&vhost), &to, &options).await.unwrap();
        let open = &session.consumer.subscription().open[0];
        let said = open.drops.clone().unwrap_or_default();
        match expected {
            Some(expected) => assert!(said.starts_with(expected), "{name}: {said} {:?}", open.differs),
            None => assert_eq!(said, "", "{name}"),
        }
        session.close().await;
    }
    let names: Vec<String> = vhost.list_queues().into_iter().map(|queue| queue.name).collect();
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let inspector = RabbitTransport::new(url, RabbitOptions::default()).unwrap();
    for (name, kind, expected) in [
        ("own", &ours, Some(dropped)),
        ("own", &QueueKind::OSLO, Some(dropped)),
        ("none", &ours, default.as_deref()),
        ("gone", &ours, None),
    ] {
        let inspection = inspector.inspect(&[], &[name.to_owned()], Some(kind), SOON).await;
        match &inspection.queues[0].1 {
            osnl_transport::QueueInspection::There { drops, .. } => {
                let is_said = drops.as_deref().zip(expected).map(|(drops, said)| drops.starts_with(said));
                assert_eq!(
                    (drops.is_some(), is_said != Some(false)),
                    (expected.is_some(), true),
                    "{name}: {drops:?}"
                );
            }
            osnl_transport::QueueInspection::Missing => assert_eq!(name, "gone"),
            osnl_transport::QueueInspection::Refused(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(vhost.list_queues().into_iter().map(|queue| queue.name).collect::<Vec<_>>(), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_queue_that_is_no_stream_is_deleted_and_a_kept_one_keeps_its_bindings() {
    let vhost = Broker::shared().vhost("mend");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let mut emptied = Vec::new();
    for kind in ["classic", "quorum", "stream"] {
        for has_message in [false, true] {
            let queue = format!("{kind}-{has_message}");
            let key = queue.clone();
            publisher.prepare(&BrokerObjects {
                queue: queue.clone(),
                routing_keys: vec![key.clone()],
                arguments: json!({"x-queue-type": kind}),
                ..BrokerObjects::default()
            });
            if has_message {
                let (exchange, routing_key) = ("neutron".to_owned(), key.clone());
                publisher.raw(&RawMessage {
                    exchange,
                    routing_key,
                    body: b"{}".to_vec(),
                    ..RawMessage::default()
                });
                wait_until(SOON, "the message is there", || {
                    vhost.queue_depth(&queue).is_some_and(|(ready, _)| ready == 1)
                });
            }
            let binding = Binding { queue: queue.clone(), exchange: "neutron".to_owned(), routing_key: key };
            emptied.push((queue, vec![binding]));
        }
    }
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let transport = RabbitTransport::new(url.clone(), RabbitOptions::from_query(&url).unwrap()).unwrap();
    let refused = transport.mend(&[], &[], &emptied).await.unwrap_err().to_string();
    assert!(refused.contains("delete queue \"stream-false\": 540"), "{refused}");
    let left: Vec<String> = vhost.list_queues().into_iter().map(|queue| queue.name).collect();
    assert_eq!(left, ["classic-true", "quorum-true", "stream-false", "stream-true"]);
    let bound =
        vhost.list_bindings().into_iter().filter(|one| one.exchange == "neutron").map(|one| one.queue);
    assert_eq!(bound.collect::<Vec<_>>(), left);
    let kept = transport.mend(&[], &[], &emptied[1..2]).await.unwrap();
    assert_eq!(kept, ["classic-true"]);
}
