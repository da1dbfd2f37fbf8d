use super::BrokerRig;
use super::session::{ConsumerSession, POOL, depth_becomes, number, numbers, publish};

pub async fn what_is_acknowledged_never_comes_again<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..5).await;
    let taken = session.take(5).await;
    session.acknowledge(taken);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
    session.close().await;
    let mut next = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(next.consumer.subscription().waiting, 0);
    publish(&mut rig, 5..6).await;
    assert_eq!(numbers(&next.take(1).await), [5]);
}

pub async fn what_is_unsettled_at_the_close_comes_again_in_order_and_marked<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..6).await;
    let (done, _open): (Vec<_>, Vec<_>) =
        session.take(6).await.into_iter().partition(|message| [1, 3, 4].contains(&number(message)));
    session.acknowledge(done);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 3);
    session.close().await;
    depth_becomes(&rig, POOL, 3, 0);
    publish(&mut rig, 6..7).await;
    let mut again = ConsumerSession::open(&rig, POOL).await;
    let taken = again.take(4).await;
    assert_eq!(numbers(&taken), [0, 2, 5, 6]);
    assert_eq!(taken.iter().map(|m| m.redelivered).collect::<Vec<_>>(), [true, true, true, false]);
}

pub async fn what_is_given_back_comes_again_marked<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..1).await;
    for _ in 0..3 {
        let taken = session.take(1).await;
        for message in taken {
            session.window.requeue(message).unwrap();
        }
        session.flush().await;
    }
    let taken = session.take(1).await;
    assert_eq!((numbers(&taken), taken[0].redelivered), (vec![0], true));
    session.acknowledge(taken);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
}

/// A `multiple` acknowledgement must not cover a requeued message.
pub async fn a_prefix_does_not_swallow_what_is_given_back<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..4).await;
    for message in session.take(4).await {
        match number(&message) {
            1 => session.window.requeue(message).unwrap(),
            _ => session.window.acknowledge(message).unwrap(),
        }
    }
    session.flush().await;
    let again = session.take(1).await;
    assert_eq!((numbers(&again), again[0].redelivered), (vec![1], true));
    depth_becomes(&rig, POOL, 0, 1);
}

/// The new connection may use the same tag for another message.
pub async fn a_message_of_an_earlier_connection_cannot_be_settled<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    publish(&mut rig, 0..2).await;
    let mut old = session.take(2).await;
    rig.close_connections();
    session.poll().await.expect_err("the connection is gone");
    let mut next = ConsumerSession::open(&rig, POOL).await;
    assert_eq!(numbers(&next.take(2).await), [0, 1]);
    let (one, other) = (old.remove(0), old.remove(0));
    assert!(next.window.acknowledge(one).is_err());
    assert!(next.window.requeue(other).is_err());
    assert_eq!((next.window.due(), next.window.unsettled()), (0, 2));
    next.flush().await;
    depth_becomes(&rig, POOL, 0, 2);
}
