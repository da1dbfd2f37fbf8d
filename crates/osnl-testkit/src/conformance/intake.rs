use std::time::Duration;

use super::BrokerRig;
use super::session::{ConsumerSession, POOL, PREFETCH, depth_becomes, numbers, publish};

pub async fn a_subscription_opens_says_what_it_made_and_closes<R: BrokerRig>(mut rig: R) {
    let session = ConsumerSession::open(&rig, POOL).await;
    let found = session.consumer.subscription();
    assert!(found.created && !found.host.is_empty());
    assert_eq!((found.waiting, found.other_consumers), (0, 0));
    let bound: Vec<_> = found
        .bindings
        .iter()
        .map(|b| (b.queue.as_str(), b.exchange.as_str(), b.routing_key.as_str()))
        .collect();
    assert_eq!(bound, [(POOL, "neutron", "notifications.info")]);
    let epoch = found.epoch;
    session.close().await;
    let mut again = ConsumerSession::open(&rig, POOL).await;
    let found = again.consumer.subscription();
    assert_eq!(
        (found.created, found.other_consumers),
        (false, 0),
        "the first is gone when its close returns"
    );
    assert_ne!(found.epoch, epoch);
    publish(&mut rig, 0..1).await;
    let taken = again.take(1).await;
    assert!(!taken[0].redelivered && &*taken[0].queue == POOL && taken[0].exchange == "neutron");
}

pub async fn what_was_published_while_nobody_listened_waits<R: BrokerRig>(mut rig: R) {
    ConsumerSession::open(&rig, POOL).await.close().await;
    publish(&mut rig, 0..3).await;
    let mut session = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(session.consumer.subscription().waiting, 3);
    assert_eq!(numbers(&session.take(3).await), [0, 1, 2]);
}

pub async fn messages_come_in_the_order_of_their_publication<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..100).await;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let taken = session.poll().await.unwrap();
        assert!(taken.iter().all(|m| !m.redelivered));
        seen.extend(numbers(&taken));
        session.acknowledge(taken);
        session.flush().await;
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

pub async fn a_poll_brings_what_is_ready_and_no_more_than_its_room<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..u32::from(PREFETCH)).await;
    let mut seen = Vec::new();
    for room in [3, 1, 4, 2] {
        session.batch.set_limit(room);
        let mut taken = Vec::new();
        while taken.len() < room {
            session.batch.set_limit(room - taken.len());
            let some = session.poll().await.unwrap();
            assert!(!some.is_empty() && some.len() <= room - taken.len());
            taken.extend(some);
        }
        seen.extend(numbers(&taken));
        session.acknowledge(taken);
    }
    assert_eq!(seen, (0..u32::from(PREFETCH)).collect::<Vec<_>>());
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
}

pub async fn a_poll_that_was_given_up_loses_nothing<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    for n in 0..10 {
        publish(&mut rig, n..n + 1).await;
        let mut taken = Vec::new();
        for wait in [0, 1] {
            let poll = session.consumer.poll(&mut session.batch);
            let _ = tokio::time::timeout(Duration::from_millis(wait), poll).await;
            session.window.admit(&session.batch);
            taken.extend(session.batch.drain());
        }
        if taken.is_empty() {
            taken = session.take(1).await;
        }
        assert_eq!(numbers(&taken), [n]);
    }
    assert!(session.is_silent().await);
    session.close().await;
    let mut session = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(numbers(&session.take(10).await), (0..10).collect::<Vec<_>>());
}

pub async fn pools_have_a_copy_each<R: BrokerRig>(mut rig: R) {
    let mut one = ConsumerSession::open(&rig, "one").await;
    let mut two = ConsumerSession::open(&rig, "two").await;
    assert_eq!(two.consumer.subscription().other_consumers, 0);
    publish(&mut rig, 0..8).await;
    for (session, pool) in [(&mut one, "one"), (&mut two, "two")] {
        let taken = session.take(8).await;
        assert_eq!(numbers(&taken), (0..8).collect::<Vec<_>>());
        assert!(taken.iter().all(|m| &*m.queue == pool));
        session.acknowledge(taken);
        session.flush().await;
    }
    depth_becomes(&rig, "one", 0, 0);
    depth_becomes(&rig, "two", 0, 0);
}

pub async fn listeners_of_one_pool_share<R: BrokerRig>(mut rig: R) {
    let mut one = ConsumerSession::open(&rig, POOL).await;
    let mut two = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(two.consumer.subscription().other_consumers, 1);
    publish(&mut rig, 0..40).await;
    let mut shared = Vec::new();
    while shared.len() < 40 {
        tokio::select! {
            taken = one.poll() => {
                let taken = taken.unwrap();
                shared.extend(numbers(&taken));
                one.acknowledge(taken);
                one.flush().await;
            }
            taken = two.poll() => {
                let taken = taken.unwrap();
                shared.extend(numbers(&taken));
                two.acknowledge(taken);
                two.flush().await;
            }
        }
    }
    shared.sort_unstable();
    assert_eq!(shared, (0..40).collect::<Vec<_>>());
}
