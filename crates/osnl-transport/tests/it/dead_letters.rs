use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lapin::ConnectionProperties;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use osnl_model::TransportUrl;
use osnl_testkit::{Broker, Vhost, until};
use osnl_transport::{QueueAccess, QueueReader, QueuedMessage, Transport, TransportError};

use crate::session::{SOON, rabbit, transport};

const QUEUE: &str = "q.dead";

fn message(n: usize) -> QueuedMessage {
    QueuedMessage {
        body: Bytes::from(format!("body {n}")),
        headers: [("osnl-id".to_owned(), n.to_string())].into(),
        ..QueuedMessage::default()
    }
}

fn access(transport: &dyn Transport) -> &dyn QueueAccess {
    transport.queue_access().unwrap()
}

fn bodies(messages: &[QueuedMessage]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(&message.body).unwrap()).collect()
}

fn vhost() -> Vhost {
    Broker::shared().vhost("dead-letters")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_read_in_order_and_removed_one_by_one() {
    let vhost = vhost();
    let transport = rabbit(&vhost);
    let queue = access(&*transport);
    assert_eq!(queue.depth(QUEUE).await.unwrap(), None);
    assert!(queue.take(QUEUE, &|_| true).await.unwrap().is_none());
    let messages: Vec<_> = (0..300).map(message).collect();
    queue.put(QUEUE, true, &messages).await.unwrap();
    let made = vhost.list_queues().into_iter().find(|made| made.name == QUEUE).unwrap();
    assert!(made.durable && made.queue_type == "quorum", "{made:?}");
    assert_eq!(made.arguments["x-overflow"], "reject-publish");

    for round in 0..3 {
        let mut reader =
            queue.take(QUEUE, &|message| message.headers["osnl-id"].ends_with('7')).await.unwrap().unwrap();
        assert_eq!(reader.messages().len(), 300 - round);
        let ids: Vec<usize> =
            reader.messages().iter().map(|one| one.headers["osnl-id"].parse().unwrap()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        let with_body: Vec<_> =
            reader.messages().iter().filter(|one| !one.body.is_empty()).cloned().collect();
        assert_eq!(bodies(&with_body)[..2], ["body 7", "body 17"]);
        reader.acknowledge(100).await.unwrap();
        reader.close().await.unwrap();
    }
    // A quorum queue takes back what a closed channel had only after the close is answered.
    until(SOON, "the queue to have the rest", async || queue.depth(QUEUE).await.unwrap() == Some(297)).await;
}

/// Takes the queue once the reader before is gone, whose lock RabbitMQ 4.3 keeps a moment longer than its connection.
async fn take_in_turn(queue: &dyn QueueAccess) -> Result<Box<dyn QueueReader>, TransportError> {
    loop {
        match queue.take(QUEUE, &|_| true).await {
            Err(error) if error.is_locked() => {}
            taken => return taken.map(Option::unwrap),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_has_the_queue_and_another_is_told() {
    let vhost = vhost();
    let (one, other) = (rabbit(&vhost), rabbit(&vhost));
    access(&*one).put(QUEUE, true, &[message(1)]).await.unwrap();
    let reader = access(&*one).take(QUEUE, &|_| true).await.unwrap().unwrap();
    let Err(locked) = access(&*other).take(QUEUE, &|_| true).await else { panic!("two readers") };
    assert!(locked.is_locked(), "{locked}");
    drop(reader);
    let again = take_in_turn(access(&*other)).await.unwrap();
    assert_eq!(bodies(again.messages()), ["body 1"]);
}

/// A reading without a mark gets nothing from an empty queue, and nothing while another consumer has the letters.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_may_not_publish_takes_no_queue_for_empty_that_another_one_has() {
    let vhost = vhost();
    let user = format!("{}-reader", vhost.name());
    vhost.set_password(&user, "S3CRET");
    vhost.set_permissions(&user, ["^q.dead.reader$", "^$", ".*"]);
    let url = TransportUrl::parse(&vhost.url_for(&user, "S3CRET")).unwrap();
    let (one, reader) = (rabbit(&vhost), transport(&url).unwrap());
    access(&*one).put(QUEUE, true, &[message(1)]).await.unwrap();
    let url = vhost.url().replace("rabbit:", "amqp:");
    let other = lapin::Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(QUEUE.into(), "".into(), consume, none).await.unwrap();
    consumer.next().await.unwrap().unwrap();
    let Err(locked) = access(&*reader).take(QUEUE, &|_| true).await else { panic!("two readers") };
    assert!(locked.is_locked() && locked.to_string().contains("another consumer"), "{locked}");
    other.close(200, "gone".into()).await.unwrap();
    for left in [1, 0] {
        let read = take_in_turn(access(&*reader)).await.unwrap();
        assert_eq!((read.messages().len(), read.has_more()), (left, false));
        read.close().await.unwrap();
        let mut read = take_in_turn(access(&*one)).await.unwrap();
        if left == 1 {
            read.acknowledge(0).await.unwrap();
        }
        read.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_or_gone_confirms_nothing() {
    let vhost = vhost();
    let transport = rabbit(&vhost);
    let queue = access(&*transport);
    queue.put(QUEUE, true, &[message(0)]).await.unwrap();
    vhost.set_policy("full", ".*", r#"{"max-length":1}"#);
    // A queue applies a changed policy only after a delay.
    let mut full = Ok(());
    for n in 1..2000 {
        full = queue.put(QUEUE, true, &[message(n)]).await;
        if full.is_err() {
            break;
        }
    }
    assert!(matches!(full, Err(TransportError::NotTaken { .. })), "{full:?}");
    vhost.clear_policy("full");
    vhost.delete_queue(QUEUE);
    // The open connection finds the queue missing, and the next makes it anew.
    queue.put("other", true, &[]).await.unwrap();
    let kept = queue.put(QUEUE, true, &[message(1)]).await;
    assert!(matches!(kept, Ok(()) | Err(TransportError::Unroutable { .. })), "{kept:?}");
    queue.put(QUEUE, true, &[message(2)]).await.unwrap();
    let gone = queue.put("nowhere", false, &[message(3)]).await.unwrap_err();
    assert!(matches!(gone, TransportError::Unroutable { .. }), "{gone}");
}

/// The messages of a reader that is gone return after its connection has ended, and no count has them before.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_messages_another_consumer_still_has_is_not_taken_for_empty() {
    let vhost = vhost();
    let transport = rabbit(&vhost);
    let queue = access(&*transport);
    let messages: Vec<_> = (0..300).map(message).collect();
    queue.put(QUEUE, true, &messages).await.unwrap();
    let url = vhost.url().replace("rabbit:", "amqp:");
    let other = lapin::Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(QUEUE.into(), "".into(), consume, none).await.unwrap();
    for _ in 0..300 {
        consumer.next().await.unwrap().unwrap();
    }
    let Err(error) = take_in_turn(queue).await else { panic!("the reading is incomplete") };
    assert!(!error.is_locked() && error.to_string().contains("do not arrive"), "{error}");
    other.close(200, "gone".into()).await.unwrap();
    // Of the former readings no mark is left.
    for _ in 0..2 {
        let reader = take_in_turn(queue).await.unwrap();
        assert_eq!((reader.messages().len(), reader.has_more()), (300, false));
        reader.close().await.unwrap();
    }
    until(SOON, "the queue to have the messages", async || queue.depth(QUEUE).await.unwrap() == Some(300))
        .await;
}

/// A channel of RabbitMQ stashes acknowledgements while a quorum queue has not applied the former ones, and forgets them when
/// it is closed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_from_a_slow_queue_stays_removed() {
    let vhost = vhost();
    let transport = rabbit(&vhost);
    let queue = access(&*transport);
    let messages: Vec<_> = (0..1000).map(message).collect();
    queue.put(QUEUE, true, &messages).await.unwrap();
    let mut reader = queue.take(QUEUE, &|_| false).await.unwrap().unwrap();
    assert_eq!(reader.messages().len(), 1000);
    vhost.suspend_queue(QUEUE, true);
    for at in 0..1000 {
        reader.acknowledge(at).await.unwrap();
    }
    let mut closing = reader.close();
    let closed = tokio::time::timeout(Duration::from_secs(2), &mut closing).await;
    vhost.suspend_queue(QUEUE, false);
    assert!(closed.is_err(), "the queue cannot have applied anything");
    closing.await.unwrap();
    let left = queue.take(QUEUE, &|_| false).await.unwrap().unwrap();
    assert_eq!(left.messages().len(), 0);
    left.close().await.unwrap();
}
