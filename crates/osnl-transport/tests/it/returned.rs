use osnl_model::Priority;
use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, RawMessage, Vhost, wait_until};
use osnl_transport::{Declare, IncomingMessage, QueueKind, QueueType};

use crate::session::{SOON, Session, options, rabbit, targets};

const QUEUE: &str = "q";

fn body(message: &IncomingMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

async fn session(vhost: &Vhost, prefetch: u16) -> Session {
    let kind = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    let to = targets(&["neutron"], &[Priority::Info]);
    Session::open(&*rabbit(vhost), &to, &options(Some(QUEUE), prefetch, Declare::Create, kind)).await.unwrap()
}

async fn take(session: &mut Session, count: usize) -> Vec<IncomingMessage> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(session.poll().await.unwrap());
    }
    taken
}

fn ready(vhost: &Vhost, expected: u64) {
    wait_until(SOON, "all are with the broker", || vhost.queue_depth(QUEUE) == Some((expected, 0)));
}

/// A smaller prefetch after a larger one rotates the queue: messages that returned twice are behind the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_returned_comes_in_its_first_order_whatever_prefetch_the_daemons_before_had() {
    let vhost = Broker::shared().vhost("returned");
    session(&vhost, 10).await.close().await;
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for n in 0..40_usize {
        publisher.raw(&RawMessage {
            exchange: "neutron".into(),
            routing_key: "notifications.info".into(),
            body: n.to_string().into_bytes(),
            ..RawMessage::default()
        });
    }
    ready(&vhost, 40);
    for (prefetch, is_closed) in [(20, true), (5, false), (8, true), (3, false)] {
        let mut one = session(&vhost, prefetch).await;
        take(&mut one, usize::from(prefetch)).await;
        if is_closed {
            one.close().await
        } else {
            drop(one)
        }
        ready(&vhost, 40);
    }
    let mut last = session(&vhost, 30).await;
    let mut seen = Vec::new();
    let mut open = Vec::new();
    // One in three stays open until the end, so that acknowledgements are single and multiple.
    while seen.len() < 30 || !seen.contains(&39) {
        for message in last.poll().await.unwrap() {
            seen.push(body(&message));
            match body(&message) % 3 {
                0 => open.push(message),
                _ => last.window.acknowledge(message).unwrap(),
            }
        }
        last.flush().await.unwrap();
    }
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
    wait_until(SOON, "the open ones are left", || vhost.queue_depth(QUEUE) == Some((0, open.len() as u64)));
    for message in open {
        last.window.acknowledge(message).unwrap();
    }
    last.flush().await.unwrap();
    ready(&vhost, 0);
    last.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_gets_what_the_active_one_held_and_then_what_follows() {
    let vhost = Broker::shared().vhost("handed-over");
    let mut active = session(&vhost, 10).await;
    let mut standby = session(&vhost, 10).await;
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for n in 0..30_usize {
        publisher.raw(&RawMessage {
            exchange: "neutron".into(),
            routing_key: "notifications.info".into(),
            body: n.to_string().into_bytes(),
            ..RawMessage::default()
        });
    }
    let mut held = take(&mut active, 10).await;
    for message in held.drain(..4) {
        active.window.acknowledge(message).unwrap();
    }
    active.flush().await.unwrap();
    held.extend(take(&mut active, 4).await);
    active.close().await;
    let seen: Vec<usize> = standby.read(26).await.iter().map(|seen| seen.body.parse().unwrap()).collect();
    assert_eq!(seen, (4..30).collect::<Vec<_>>());
    standby.close().await;
}
