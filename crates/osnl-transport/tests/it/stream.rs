use std::time::{SystemTime, UNIX_EPOCH};

use osnl_model::{Priority, TransportUrl};
use osnl_testkit::{
    Broker, BrokerObjects, FaultyProxy, NetworkFault, OsloPublisher, PublisherOptions, RawMessage, Vhost,
};
use osnl_transport::{Declare, ListenOptions, QueueKind, QueueType, Resume, StreamOffset, transport};
use serde_json::json;

use crate::session::{SeenMessage, Session, bodies, options, rabbit, targets};

const STREAM: &str = "log";

fn reading(stream_offset: StreamOffset, resume: Option<Resume>) -> ListenOptions {
    let queue = QueueKind {
        queue_type: QueueType::Stream,
        durable: true,
        stream_offset,
        resume: resume.map(|resume| (STREAM.to_owned(), resume)).into_iter().collect(),
        ..QueueKind::OSLO
    };
    options(Some(STREAM), 10, Declare::Nothing, queue)
}

fn stream(name: &str) -> (Vhost, OsloPublisher) {
    let vhost = Broker::shared().vhost(name);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: STREAM.into(), arguments, ..BrokerObjects::default() });
    (vhost, publisher)
}

fn publish(publisher: &mut OsloPublisher, numbers: std::ops::Range<u32>) {
    numbers.for_each(|n| {
        publisher.raw(&RawMessage { body: n.to_string().into_bytes(), ..RawMessage::default() })
    });
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn open(vhost: &Vhost, options: &ListenOptions) -> Session {
    Session::open(&*rabbit(vhost), &[], options).await.unwrap()
}

fn offsets(seen: &[SeenMessage]) -> Vec<u64> {
    seen.iter().map(|seen| seen.offset.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_where_it_is_told_to_and_goes_on_where_it_was_left() {
    let (vhost, mut publisher) = stream("offsets");
    let start = now();
    publish(&mut publisher, 0..25);
    let check = async |stream_offset: StreamOffset, resume: Option<Resume>, first: u64, count: usize| {
        let mut session = open(&vhost, &reading(stream_offset, resume)).await;
        let found = session.consumer.subscription();
        assert_eq!((found.open[0].queue_type, found.durable), (Some(QueueType::Stream), Some(true)));
        let seen = session.read(count).await;
        let expected: Vec<u64> = (first..25).collect();
        assert_eq!(offsets(&seen)[..count], expected[..count], "{stream_offset:?} {resume:?}");
        assert!(seen.iter().all(|seen| seen.body == seen.offset.unwrap().to_string()));
        session.close().await;
    };
    check(StreamOffset::First, None, 0, 25).await;
    check(StreamOffset::Timestamp(start - 60), None, 0, 25).await;
    check(StreamOffset::Next, Some(Resume::At(7)), 7, 18).await;
    check(StreamOffset::First, Some(Resume::At(24)), 24, 1).await;
    check(StreamOffset::Next, Some(Resume::Since(start - 60)), 0, 25).await;
    // Each message was confirmed before the next was sent, so the last chunk ends with the newest.
    let mut session = open(&vhost, &reading(StreamOffset::Last, None)).await;
    let seen = session.read(1).await;
    assert_eq!(seen.last().unwrap().body, "24");

    let mut session = open(&vhost, &reading(StreamOffset::Next, None)).await;
    publish(&mut publisher, 25..27);
    assert_eq!(bodies(&session.read(2).await), ["25", "26"]);
    assert_eq!(offsets(&open(&vhost, &reading(StreamOffset::First, None)).await.read(27).await).len(), 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_had_to_be_made_is_read_from_its_beginning() {
    let vhost = Broker::shared().vhost("made");
    let mut reading = reading(StreamOffset::Next, Some(Resume::At(1000)));
    reading.declare = Declare::Create;
    let to = targets(&["neutron"], &[Priority::Info]);
    let mut session = Session::open(&*rabbit(&vhost), &to, &reading).await.unwrap();
    assert!(session.consumer.subscription().created);
    publish(&mut OsloPublisher::start(&vhost.url(), PublisherOptions::default()), 0..2);
    assert_eq!(offsets(&session.read(2).await), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_cannot_take_back_ends_the_reading_and_is_not_lost() {
    let (vhost, mut publisher) = stream("requeue");
    publish(&mut publisher, 0..3);
    let mut session = open(&vhost, &reading(StreamOffset::First, None)).await;
    let mut messages = Vec::new();
    while messages.len() < 3 {
        messages.extend(session.poll().await.unwrap());
    }
    for message in messages {
        match message.stream_offset {
            Some(1) => session.window.requeue(message).unwrap(),
            _ => session.window.acknowledge(message).unwrap(),
        }
    }
    let error = session.flush().await.unwrap_err();
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    assert!(error.to_string().contains("takes nothing back"), "{error}");
    drop(session);
    let mut session = open(&vhost, &reading(StreamOffset::First, Some(Resume::At(1)))).await;
    assert_eq!(bodies(&session.read(2).await), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_of_a_stream_have_all_of_it_each() {
    let (vhost, mut publisher) = stream("readers");
    let mut one = open(&vhost, &reading(StreamOffset::First, None)).await;
    let mut two = open(&vhost, &reading(StreamOffset::First, None)).await;
    publish(&mut publisher, 0..12);
    for session in [&mut one, &mut two] {
        assert_eq!(offsets(&session.read(12).await), (0..12).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_anew_is_read_from_its_beginning() {
    let (vhost, mut publisher) = stream("anew");
    publish(&mut publisher, 0..5);
    for (position, anew) in [(0, false), (3, false), (5, false), (6, true), (1000, true)] {
        let mut session = open(&vhost, &reading(StreamOffset::Next, Some(Resume::At(position)))).await;
        let found = session.consumer.subscription();
        assert_eq!((found.created, found.remarks.len()), (anew, usize::from(anew)), "{position}");
        if position != 5 {
            let first = if anew { 0 } else { position };
            let seen = session.read(1).await;
            assert_eq!(seen[0].offset, Some(first), "{position}");
        }
        session.close().await;
    }
    vhost.delete_queue(STREAM);
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: STREAM.into(), arguments, ..BrokerObjects::default() });
    // Silence decides nothing: an empty stream may be the stream that was read, on a slow broker.
    let reading = reading(StreamOffset::Next, Some(Resume::At(5)));
    let error = Session::open(&*rabbit(&vhost), &[], &reading).await.err().unwrap();
    assert!(error.is_recoverable() && error.to_string().contains("is not known"), "{error}");
    publish(&mut publisher, 0..1);
    let mut session = open(&vhost, &reading).await;
    assert_eq!(offsets(&session.read(1).await), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_nothing_comes_is_not_taken_for_another() {
    let (vhost, mut publisher) = stream("silent");
    publish(&mut publisher, 0..5);
    let proxy = FaultyProxy::before(Broker::shared().port());
    let url = TransportUrl::parse(&vhost.url_through(proxy.port())).unwrap();
    let transport = transport(&url).unwrap();
    let reading = reading(StreamOffset::Next, Some(Resume::At(5)));
    proxy.set(NetworkFault::NoDeliveries);
    let error = Session::open(&*transport, &[], &reading).await.err().expect("nothing is known");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    proxy.set(NetworkFault::None);
    let mut session = Session::open(&*transport, &[], &reading).await.unwrap();
    assert!(!session.consumer.subscription().created);
    publish(&mut publisher, 5..6);
    assert_eq!(offsets(&session.read(1).await), [5]);
}
