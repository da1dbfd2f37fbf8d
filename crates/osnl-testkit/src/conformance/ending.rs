use std::collections::BTreeSet;
use std::time::Duration;

use super::BrokerRig;
use super::session::{ConsumerSession, POOL, depth_becomes, number, numbers, publish, within};

/// The broker has not refused access, so that the next attempt may follow at once.
pub async fn a_closed_connection_ends_the_consumer_recoverably<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..1).await;
    session.take(1).await;
    rig.close_connections();
    let error = session.poll().await.expect_err("the connection is gone");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    let mut next = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(numbers(&next.take(1).await), [0]);
}

/// Delivery is at least once, and redelivered messages are marked; settled messages are not redelivered.
pub async fn after_each_of_many_lost_connections_every_unsettled_message_comes_again<R: BrokerRig>(
    mut rig: R,
) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..10).await;
    let mut open: BTreeSet<u32> = (0..10).collect();
    session.take(10).await;
    for round in 0..8 {
        rig.close_connections();
        while session.poll().await.is_ok() {}
        session = ConsumerSession::open(&rig, POOL).await;
        let taken = session.take(open.len()).await;
        assert_eq!(numbers(&taken), open.iter().copied().collect::<Vec<_>>());
        assert!(taken.iter().all(|message| message.redelivered));
        let done: Vec<_> = taken.into_iter().filter(|message| number(message) == round).collect();
        session.acknowledge(done);
        session.flush().await;
        open.remove(&round);
        depth_becomes(&rig, POOL, 0, open.len() as u64);
    }
    assert_eq!(open.into_iter().collect::<Vec<_>>(), [8, 9]);
}

pub async fn a_deleted_queue_ends_the_consumer_recoverably<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..1).await;
    session.take(1).await;
    rig.delete_queue(POOL);
    let error = session.poll().await.expect_err("the queue is gone");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    assert!(error.to_string().contains(POOL), "{error}");
    let mut next = ConsumerSession::open(&rig, POOL).await;
    assert!(next.consumer.subscription().created);
    publish(&mut rig, 1..2).await;
    assert_eq!(numbers(&next.take(1).await), [1]);
}

pub async fn the_end_is_noticed_while_nothing_is_taken<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..20).await;
    for taken in [10, 2, 0] {
        session.batch.set_limit(taken);
        // With single messages, two polls can return one more than the requested number.
        let had = session.take(taken).await.len();
        // Only the wait is given up; messages that arrived meanwhile stay for the next poll.
        let given_up = tokio::time::timeout(Duration::from_millis(30), session.consumer.ended()).await;
        assert!(given_up.is_err(), "nothing has ended");
        if taken == 2 {
            session.batch.set_limit(8);
            assert_eq!(numbers(&session.take(10 - had).await).last(), Some(&9));
        }
        rig.close_connections();
        let error = within(session.consumer.ended()).await;
        assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
        depth_becomes(&rig, POOL, 20, 0);
        session = ConsumerSession::open(&rig, POOL).await;
    }
    // The link is at work: once, a queue that was deleted while the link opened did not end the connection of RabbitMQ 3.
    session.batch.set_limit(1);
    session.take(1).await;
    rig.delete_queue(POOL);
    let error = within(session.consumer.ended()).await;
    assert!(error.to_string().contains(R::queue(POOL)), "{error}");
}
