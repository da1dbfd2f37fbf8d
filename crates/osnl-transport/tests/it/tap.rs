use std::future::Future;
use std::time::{Duration, Instant};

use osnl_model::TransportUrl;
use osnl_testkit::{Broker, BrokerObjects, OsloPublisher, PublisherOptions, RawMessage, Vhost};
use osnl_transport::{
    BodyBounds, ExchangeFound, ExchangeInspection, MemoryBroker, Properties, RabbitTransport, Tap,
    TapBinding, TapBound, TapMessage, TapOptions, Transport, TransportError,
};

use crate::session::transport;

const SOON: Duration = Duration::from_secs(60);

enum Rig {
    Memory(MemoryBroker),
    Rabbit(Box<Rabbit>),
}

struct Rabbit {
    vhost: Vhost,
    publisher: OsloPublisher,
}

impl Rig {
    fn both(name: &str) -> [Self; 2] {
        [Self::Memory(MemoryBroker::new()), Self::Rabbit(Box::new(Rabbit::new(name)))]
    }

    fn transport(&self) -> Box<dyn Transport> {
        match self {
            Self::Memory(broker) => Box::new(broker.transport()),
            Self::Rabbit(rabbit) => rabbit.transport(),
        }
    }

    fn publish(&mut self, exchange: &str, key: &str, body: &str) {
        match self {
            Self::Memory(broker) => {
                broker.publish_raw(exchange, key, body.to_owned().into(), Properties::default());
            }
            Self::Rabbit(rabbit) => rabbit.publisher.raw(&RawMessage {
                exchange: exchange.to_owned(),
                routing_key: key.to_owned(),
                body: body.as_bytes().to_vec(),
                declare: true,
                ..RawMessage::default()
            }),
        }
    }
}

impl Rabbit {
    fn new(name: &str) -> Self {
        let vhost = Broker::shared().vhost(name);
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        Self { vhost, publisher }
    }

    fn transport(&self) -> Box<dyn Transport> {
        transport(&TransportUrl::parse(&self.vhost.url()).unwrap()).unwrap()
    }
}

pub(crate) fn options(bindings: &[(&str, &str)]) -> TapOptions {
    let binding = |&(exchange, routing_key): &(&str, &str)| TapBinding {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
    };
    TapOptions {
        bindings: bindings.iter().map(binding).collect(),
        prefetch: 100,
        max_messages: 1000,
        max_bytes: 1 << 20,
        ttl: Duration::from_secs(60),
        bodies: BodyBounds::DEFAULT,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap()
}

async fn take(tap: &mut dyn Tap, count: usize) -> Vec<String> {
    let mut taken: Vec<TapMessage> = Vec::new();
    while taken.len() < count {
        let limit = taken.len() + 10;
        within(tap.poll(&mut taken, limit)).await.unwrap();
        tap.acknowledge().await.unwrap();
    }
    taken.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[tokio::test]
async fn every_tap_sees_what_its_bindings_match_and_what_appears_later() {
    for mut rig in Rig::both("tap-sees") {
        rig.publish("nova", "notifications.info", "before");
        let wanted =
            options(&[("nova", "notifications.*"), ("nova", "#.error"), ("late", "#"), ("never", "#")]);
        let transport = rig.transport();
        let mut taps = [transport.tap(&wanted).await.unwrap(), transport.tap(&wanted).await.unwrap()];
        for tap in &taps {
            assert_eq!(tap.tapped().bound, ["nova"]);
            assert_eq!(tap.tapped().missing, ["late", "never"]);
            assert_eq!(tap.tapped().refused, []);
        }
        rig.publish("nova", "notifications.info", "1");
        rig.publish("nova", "other.info", "not bound");
        rig.publish("nova", "x.y.error", "2");
        rig.publish("nova", "notifications.error", "3, once though two bindings match");
        rig.publish("late", "x", "before it is bound");
        for tap in &mut taps {
            assert_eq!(tap.find("never").await.unwrap(), TapBound::default());
            assert_eq!(tap.find("late").await.unwrap(), TapBound { is_bound: true, refusal: None });
        }
        rig.publish("late", "x", "4");
        for tap in &mut taps {
            let seen = take(&mut **tap, 4).await;
            assert_eq!(seen, ["1", "2", "3, once though two bindings match", "4"]);
            assert_eq!(tap.dropped().await.unwrap(), Some(0));
        }
        for tap in taps {
            tap.close().await;
        }
    }
}

#[tokio::test]
async fn what_a_bound_drops_is_counted_and_the_latest_are_kept() {
    let bounded = TapOptions { prefetch: 1, ..options(&[("nova", "k")]) };
    let by_count = || TapOptions { max_messages: 5, ..bounded.clone() };
    let by_time = || TapOptions { ttl: Duration::from_millis(20), ..bounded.clone() };
    let [memory, rabbit] = Rig::both("tap-bound");
    let rabbit_by_time = Rig::Rabbit(Box::new(Rabbit::new("tap-ttl")));
    // RabbitMQ hands one message over before the bound is reached.
    let cases: [(Rig, TapOptions, u64, u64, &[&str]); 3] = [
        (memory, by_count(), 50, 44, &["46", "47", "48", "49", "50"]),
        (rabbit, by_count(), 50, 44, &["46", "47", "48", "49", "50"]),
        (rabbit_by_time, by_time(), 10, 9, &["1"]),
    ];
    for (mut rig, options, published, least, kept) in cases {
        rig.publish("nova", "k", "before");
        let mut tap = rig.transport().tap(&options).await.unwrap();
        for n in 1..=published {
            rig.publish("nova", "k", &n.to_string());
        }
        let mut dropped = 0;
        let end = Instant::now() + SOON;
        while dropped < least {
            dropped += tap.dropped().await.unwrap().unwrap();
            assert!(Instant::now() < end, "{dropped} of {published}, {options:?}");
        }
        let seen = take(&mut *tap, usize::try_from(published - dropped).unwrap()).await;
        assert_eq!(seen[seen.len() - kept.len()..], *kept, "{options:?}");
        assert_eq!(tap.dropped().await.unwrap(), Some(0), "counted once");
        tap.close().await;
    }
}

#[tokio::test]
async fn a_lost_connection_ends_a_tap_with_an_error_that_can_be_recovered_from() {
    for mut rig in Rig::both("tap-lost") {
        rig.publish("nova", "k", "before");
        let mut tap = rig.transport().tap(&options(&[("nova", "k")])).await.unwrap();
        match &rig {
            Rig::Memory(broker) => broker.disconnect_all(),
            Rig::Rabbit(rabbit) => rabbit.vhost.close_all_connections("maintenance"),
        }
        let error = within(tap.poll(&mut Vec::new(), 1)).await.unwrap_err();
        assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
        assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_an_exchange_is_can_be_asked_without_making_one() {
    let mut rabbit = Rabbit::new("tap-asks");
    for durable in [false, true] {
        let exchange = format!("topic-{durable}");
        rabbit.publisher.prepare(&BrokerObjects { exchange, durable, ..BrokerObjects::default() });
    }
    let before = rabbit.vhost.list_exchanges();
    let url = TransportUrl::parse(&rabbit.vhost.url()).unwrap();
    let transport = RabbitTransport::new(url, Default::default()).unwrap();
    let of = |kind: &str, durable| {
        ExchangeInspection::There(ExchangeFound { kind: Some(kind.to_owned()), durable: Some(durable) })
    };
    let expected = [
        ("topic-false", of("topic", false)),
        ("topic-true", of("topic", true)),
        ("amq.fanout", of("fanout", true)),
        ("amq.topic", of("topic", true)),
        ("not-there", ExchangeInspection::Missing),
    ]
    .map(|(exchange, inspection)| (exchange.to_owned(), inspection));
    let names: Vec<String> = expected.iter().map(|(exchange, _)| exchange.clone()).collect();
    let inspection = transport.inspect(&names, &[], None, SOON).await;
    assert_eq!(inspection.exchanges, expected);
    assert_eq!(rabbit.vhost.list_exchanges(), before);
}

#[tokio::test]
async fn a_user_who_may_do_little_is_told_what_is_refused() {
    let mut rabbit = Rabbit::new("tap-rights");
    for exchange in ["nova", "glance"] {
        let body = Vec::new();
        rabbit.publisher.raw(&RawMessage {
            exchange: exchange.into(),
            body,
            declare: true,
            ..RawMessage::default()
        });
    }
    // The permissions to configure, write and read cover own queues and `nova`, but not the default exchange.
    let own = "^amq\\.gen-.*";
    rabbit.vhost.set_permissions("guest", [own, own, "^(amq\\.gen-.*|nova)$"]);
    let mut tap = rabbit.transport().tap(&options(&[("nova", "#"), ("glance", "#")])).await.unwrap();
    let found = tap.tapped().clone();
    assert_eq!(
        (found.bound, found.user.as_str(), found.counts_dropped),
        (vec!["nova".to_owned()], "guest", false)
    );
    assert_eq!(found.refused.len(), 1);
    assert!(
        found.refused[0].0 == "glance" && found.refused[0].1.contains("403 ACCESS_REFUSED"),
        "{:?}",
        found.refused
    );
    assert_eq!(tap.dropped().await.unwrap(), None);
    let found = tap.find("glance").await.unwrap();
    assert!(!found.is_bound && found.refusal.is_some_and(|no| no.contains("403 ACCESS_REFUSED")));
    tap.close().await;

    // A topic that the user may not read stops no other topic of its exchange.
    rabbit.vhost.ctl(&["set_topic_permissions", "guest", "nova", ".*", "^notifications\\."]);
    let keys = options(&[("nova", "audit.#"), ("nova", "notifications.#"), ("nova", "secret.#")]);
    let tap = rabbit.transport().tap(&keys).await.unwrap();
    let found = tap.tapped().clone();
    assert_eq!((found.bound, found.missing), (vec!["nova".to_owned()], vec![]));
    assert!(
        matches!(&found.refused[..], [(_, reason)] if reason.contains("access to topic 'audit.#'")),
        "{:?}",
        found.refused
    );
    let bindings = rabbit.vhost.list_bindings().into_iter().filter(|one| one.exchange == "nova");
    let keys: Vec<String> = bindings.map(|one| one.routing_key).collect();
    assert_eq!(keys, ["notifications.#"]);
    tap.close().await;
}
