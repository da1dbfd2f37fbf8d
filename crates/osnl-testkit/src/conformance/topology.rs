use osnl_model::{Priority, Target};
use osnl_transport::{Declare, ListenOptions, TransportError};

use super::session::{ConsumerSession, POOL, PREFETCH, neutron, options, publish, within};
use super::{BrokerRig, SampleMessage};

fn sample(exchange: &str, routing_key: &str) -> SampleMessage {
    SampleMessage {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        ..SampleMessage::new(format!("{exchange} {routing_key}"))
    }
}

pub async fn many_targets_feed_one_pool<R: BrokerRig>(mut rig: R) {
    let to = [
        (Target::new("neutron", "notifications"), Priority::Info),
        (Target::new("neutron", "notifications"), Priority::Error),
        (Target::new("nova", "versioned_notifications"), Priority::Info),
        (Target { exchange: None, topic: "notifications".to_owned() }, Priority::Audit),
    ];
    let mut session =
        ConsumerSession::open_with(&*rig.transport(), &to, &options(POOL, PREFETCH, Declare::Create)).await;
    assert_eq!(session.consumer.subscription().queues(), [POOL]);
    let wanted = [
        ("neutron", "notifications.info"),
        ("nova", "versioned_notifications.info"),
        ("openstack", "notifications.audit"),
        ("neutron", "notifications.error"),
    ];
    let others = [("nova", "notifications.info"), ("neutron", "notifications.warn")];
    let samples = wanted.iter().flat_map(|wanted| others.iter().chain([wanted]));
    rig.publish(samples.map(|(exchange, key)| sample(exchange, key)).collect()).await;
    let taken = session.take(wanted.len()).await;
    let seen: Vec<_> = taken.iter().map(|m| (m.exchange.as_str(), m.routing_key.as_str())).collect();
    assert_eq!(seen, wanted);
    assert!(taken.iter().all(|m| m.body == format!("{} {}", m.exchange, m.routing_key)));
    session.acknowledge(taken);
    session.flush().await;
    assert!(session.is_silent().await);
}

pub async fn unknown_priorities_and_odd_routing_keys_arrive_as_they_are<R: BrokerRig>(mut rig: R) {
    let long = "x".repeat(200);
    let to = [
        (Target::new("neutron", "notifications"), Priority::Other("urgent".to_owned())),
        (Target::new("neutron", "a.topic.with.dots"), Priority::Info),
        (Target::new("neutron", "名前 with blanks"), Priority::Info),
        (Target::new("neutron", &long), Priority::Info),
        (Target::new("neutron", "any.*"), Priority::Info),
    ];
    let mut session =
        ConsumerSession::open_with(&*rig.transport(), &to, &options(POOL, PREFETCH, Declare::Create)).await;
    let keys = [
        "notifications.urgent".to_owned(),
        "a.topic.with.dots.info".to_owned(),
        "名前 with blanks.info".to_owned(),
        format!("{long}.info"),
        "any.thing.info".to_owned(),
    ];
    rig.publish(keys.iter().map(|key| sample("neutron", key)).collect()).await;
    let seen: Vec<String> = session.take(keys.len()).await.into_iter().map(|m| m.routing_key).collect();
    assert_eq!(seen, keys);
}

/// Only the service makes its exchange. Until then each attempt to listen to its queues fails and leaves nothing
/// behind.
pub async fn a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make<R: BrokerRig>(mut rig: R) {
    let (transport, passive) = (rig.transport(), options(POOL, PREFETCH, Declare::Passive));
    let passive = ListenOptions { pool: None, ..passive };
    for _ in 0..2 {
        let error = within(transport.listen(&neutron(), &passive)).await.err().expect("no exchange");
        assert!(
            matches!(&error, TransportError::NoExchange { exchange } if exchange == "neutron"),
            "{error}"
        );
        assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    }
    rig.make_exchange("neutron").await;
    let mut session = ConsumerSession::open_with(&*transport, &neutron(), &passive).await;
    publish(&mut rig, 0..1).await;
    session.take(1).await;
}

pub async fn a_queue_of_ours_is_read_before_its_exchange_is_there<R: BrokerRig>(mut rig: R) {
    let (transport, passive) = (rig.transport(), options(POOL, PREFETCH, Declare::Passive));
    let mut session = ConsumerSession::open_with(&*transport, &neutron(), &passive).await;
    let unbound = session.consumer.subscription().unbound.clone();
    assert_eq!((unbound.len(), session.consumer.subscription().bindings.len()), (1, 0));
    let mut watch = session.consumer.binding_watch().unwrap();
    let mut missing = async || {
        let look = within(watch.look(&unbound)).await.unwrap().unwrap();
        assert!(look.refused.is_empty() && look.made.is_empty(), "{look:?}");
        look.missing
    };
    assert_eq!(missing().await, unbound);
    rig.make_exchange("neutron").await;
    assert_eq!(missing().await, []);
    publish(&mut rig, 0..1).await;
    session.take(1).await;
    assert_eq!(missing().await, [], "once more is no error");
}
