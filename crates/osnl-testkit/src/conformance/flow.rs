use osnl_transport::QueueSeen;

use super::BrokerRig;
use super::session::{ConsumerSession, POOL, PREFETCH, depth_becomes, number, numbers, publish, within};

pub async fn a_full_window_stops_deliveries_and_settling_resumes_them<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..25).await;
    let mut first = session.take(usize::from(PREFETCH)).await;
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    depth_becomes(&rig, POOL, 15, 10);
    assert!(session.is_silent().await);
    assert_eq!(session.window.unsettled(), 10);
    let rest = first.split_off(3);
    session.acknowledge(first);
    session.flush().await;
    assert_eq!(numbers(&session.take(3).await), [10, 11, 12]);
    assert!(session.is_silent().await);
    session.acknowledge(rest);
    session.flush().await;
    assert_eq!(numbers(&session.take(7).await), (13..20).collect::<Vec<_>>());
}

/// A message that waits for its target must not keep the other messages of its window at the broker.
pub async fn what_is_finished_behind_a_parked_message_is_acknowledged<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..30).await;
    let mut parked = Vec::new();
    let mut seen = 0;
    while seen < 30 {
        let taken = session.poll().await.unwrap();
        seen += taken.len();
        for message in taken {
            if [0, 14].contains(&number(&message)) {
                parked.push(message);
            } else {
                session.window.acknowledge(message).unwrap();
            }
        }
        session.flush().await;
    }
    depth_becomes(&rig, POOL, 0, 2);
    assert_eq!(session.window.unsettled(), 2);
    session.acknowledge(parked);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
}

pub async fn a_quiet_consumer_is_sent_nothing_and_can_still_settle<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..2).await;
    let messages = session.take(2).await;
    within(session.consumer.quiesce()).await.unwrap();
    publish(&mut rig, 2..5).await;
    assert!(session.is_silent().await);
    session.acknowledge(messages);
    session.flush().await;
    depth_becomes(&rig, POOL, 3, 0);
    session.close().await;
    depth_becomes(&rig, POOL, 3, 0);
}

pub async fn what_waits_in_the_queue_is_known_without_taking_it<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..13).await;
    let taken = session.take(usize::from(PREFETCH)).await;
    depth_becomes(&rig, POOL, 3, 10);
    let waiting = within(session.consumer.waiting()).await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|(queue, seen)| (&**queue, *seen)).collect();
    assert_eq!(waiting, [(POOL, QueueSeen { messages: 3, consumers: 1 })]);
    session.acknowledge(taken);
    session.flush().await;
    assert_eq!(numbers(&session.take(3).await), [10, 11, 12]);
}
