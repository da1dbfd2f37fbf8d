//! What every transport promises, run against each: the in-process broker and a real RabbitMQ.
//!
//! A new transport adds a [`Rig`] and one line to `on_every_transport!`.

use std::future::Future;
use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Broker, Options, Publisher, Raw, Vhost};
use osnl_transport::{
    Batch, Consumer, Declare, ListenOptions, MemoryBroker, Properties, QueueKind, Transport, TransportError,
    Window, transport,
};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);
const PREFETCH: u16 = 10;

/// A broker and what a test does to it from outside.
trait Rig {
    fn new(name: &str) -> Self;
    fn transport(&self) -> Box<dyn Transport>;
    /// Publishes the numbers as bodies to `neutron`, key `notifications.info`.
    fn publish(&mut self, numbers: std::ops::Range<u32>);
    /// Messages of a queue: waiting, and handed to a consumer. The latter where the broker tells.
    fn depth(&self, queue: &str) -> (u64, Option<u64>);
    fn close_connections(&self);
}

struct Memory(MemoryBroker);

impl Rig for Memory {
    fn new(_: &str) -> Self {
        Self(MemoryBroker::new())
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.0.transport())
    }

    fn publish(&mut self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let body = n.to_string().into_bytes().into();
            self.0.publish_raw("neutron", "notifications.info", body, Properties::default());
        }
    }

    fn depth(&self, queue: &str) -> (u64, Option<u64>) {
        (self.0.ready(queue) as u64, None)
    }

    fn close_connections(&self) {
        self.0.disconnect_all();
    }
}

struct Rabbit {
    vhost: Vhost,
    publisher: Publisher,
}

impl Rig for Rabbit {
    fn new(name: &str) -> Self {
        let vhost = Broker::shared().vhost(name);
        let publisher = Publisher::start(&vhost.url(), Options::default());
        Self { vhost, publisher }
    }

    fn transport(&self) -> Box<dyn Transport> {
        transport(&TransportUrl::parse(&self.vhost.url()).unwrap()).unwrap()
    }

    fn publish(&mut self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.publisher.raw(&Raw { body: n.to_string().into_bytes(), ..Raw::default() });
        }
    }

    fn depth(&self, queue: &str) -> (u64, Option<u64>) {
        let (ready, unacknowledged) = self.vhost.queue_depth(queue).unwrap();
        (ready, Some(unacknowledged))
    }

    fn close_connections(&self) {
        self.vhost.close_all_connections("conformance");
    }
}

/// One subscription as the listener uses it.
struct Session {
    consumer: Box<dyn Consumer>,
    window: Window,
    batch: Batch,
}

impl Session {
    async fn open(rig: &impl Rig, pool: &str) -> Self {
        let to = [(Target::new("neutron", "notifications"), Priority::Info)];
        let options = ListenOptions {
            pool: Some(pool.to_owned()),
            prefetch: PREFETCH,
            declare: Declare::Create,
            queue: QueueKind::OSLO,
        };
        let consumer = rig.transport().listen(&to, &options).await.unwrap();
        let window = Window::new(consumer.subscription().epoch);
        Self { consumer, window, batch: Batch::with_limit(usize::from(PREFETCH)) }
    }

    /// Takes what is ready, at least one message.
    async fn poll(&mut self) -> Result<Vec<osnl_transport::IncomingMessage>, TransportError> {
        within(self.consumer.poll(&mut self.batch)).await?;
        self.window.admit(&self.batch);
        Ok(self.batch.drain().collect())
    }

    /// Takes until it has this many.
    async fn take(&mut self, count: usize) -> Vec<osnl_transport::IncomingMessage> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.poll().await.unwrap());
        }
        taken
    }

    async fn flush(&mut self) {
        within(self.consumer.flush(&mut self.window)).await.unwrap();
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

fn numbers(messages: &[osnl_transport::IncomingMessage]) -> Vec<u32> {
    messages.iter().map(|m| std::str::from_utf8(&m.body).unwrap().parse().unwrap()).collect()
}

/// The broker hears of a settlement a moment after it was sent.
async fn depth_becomes(rig: &impl Rig, queue: &str, ready: u64, unacknowledged: u64) {
    let seen = || {
        let (found, open) = rig.depth(queue);
        found == ready && open.is_none_or(|open| open == unacknowledged)
    };
    tokio::task::block_in_place(|| osnl_testkit::wait_until(SOON, "the queue's depth", seen));
}

async fn messages_come_in_order_and_no_more_than_the_window<R: Rig>(mut rig: R) {
    let mut session = Session::open(&rig, "p").await;
    rig.publish(0..25);
    let first = session.take(10).await;
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    assert!(first.iter().all(|m| !m.redelivered && &*m.queue == "p" && m.exchange == "neutron"));
    depth_becomes(&rig, "p", 15, 10).await;
    for message in first {
        session.window.acknowledge(message).unwrap();
    }
    session.flush().await;
    assert_eq!(numbers(&session.take(10).await), (10..20).collect::<Vec<_>>());
}

async fn what_is_acknowledged_is_gone_and_what_is_not_comes_again_marked<R: Rig>(mut rig: R) {
    let mut session = Session::open(&rig, "p").await;
    rig.publish(0..6);
    // Islands: 1, 3 and 4 are done while 0, 2 and 5 are not.
    for message in session.take(6).await {
        if [1, 3, 4].contains(&numbers(std::slice::from_ref(&message))[0]) {
            session.window.acknowledge(message).unwrap();
        }
    }
    session.flush().await;
    depth_becomes(&rig, "p", 0, 3).await;
    within(session.consumer.close()).await;
    depth_becomes(&rig, "p", 3, 0).await;
    let mut again = Session::open(&rig, "p").await;
    let messages = again.take(3).await;
    assert_eq!(numbers(&messages), [0, 2, 5]);
    assert!(messages.iter().all(|m| m.redelivered));
}

async fn what_is_given_back_comes_again_and_a_prefix_does_not_swallow_it<R: Rig>(mut rig: R) {
    let mut session = Session::open(&rig, "p").await;
    rig.publish(0..4);
    for message in session.take(4).await {
        match numbers(std::slice::from_ref(&message))[0] {
            1 => session.window.requeue(message).unwrap(),
            _ => session.window.acknowledge(message).unwrap(),
        }
    }
    session.flush().await;
    let again = session.take(1).await;
    assert_eq!((numbers(&again), again[0].redelivered), (vec![1], true));
    depth_becomes(&rig, "p", 0, 1).await;
}

async fn a_lost_connection_ends_the_consumer_and_its_messages_cannot_be_settled_on_the_next<R: Rig>(
    mut rig: R,
) {
    let mut session = Session::open(&rig, "p").await;
    rig.publish(0..2);
    let old = session.take(2).await;
    rig.close_connections();
    let error = session.poll().await.expect_err("the connection is gone");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    let mut next = Session::open(&rig, "p").await;
    let new = next.take(2).await;
    assert_eq!(numbers(&new), [0, 1]);
    for message in old {
        assert!(next.window.acknowledge(message).is_err());
    }
    next.flush().await;
    depth_becomes(&rig, "p", 0, 2).await;
}

async fn a_poll_that_was_given_up_loses_nothing<R: Rig>(mut rig: R) {
    let mut session = Session::open(&rig, "p").await;
    for n in 0..10 {
        rig.publish(n..n + 1);
        // Given up while the message is on its way.
        let poll = session.consumer.poll(&mut session.batch);
        let _ = tokio::time::timeout(Duration::from_millis(1), poll).await;
        let mut taken: Vec<_> = session.batch.drain().collect();
        if taken.is_empty() {
            taken = session.take(1).await;
        }
        assert_eq!(numbers(&taken), [n]);
    }
    // The broker, too, has counted each once.
    within(session.consumer.close()).await;
    let mut session = Session::open(&rig, "p").await;
    assert_eq!(numbers(&session.take(10).await), (0..10).collect::<Vec<_>>());
}

async fn a_quiet_consumer_is_sent_nothing_and_can_still_settle<R: Rig>(mut rig: R) {
    let mut session = Session::open(&rig, "p").await;
    rig.publish(0..2);
    let messages = session.take(2).await;
    within(session.consumer.quiesce()).await.unwrap();
    rig.publish(2..5);
    let poll = session.consumer.poll(&mut session.batch);
    let _ = tokio::time::timeout(Duration::from_millis(20), poll).await;
    assert!(session.batch.is_empty());
    for message in messages {
        session.window.acknowledge(message).unwrap();
    }
    session.flush().await;
    depth_becomes(&rig, "p", 3, 0).await;
}

async fn pools_have_a_copy_each_and_share_within<R: Rig>(mut rig: R) {
    let mut one = Session::open(&rig, "one").await;
    let mut also_one = Session::open(&rig, "one").await;
    assert_eq!(also_one.consumer.subscription().other_consumers, 1);
    let mut two = Session::open(&rig, "two").await;
    rig.publish(0..8);
    assert_eq!(numbers(&two.take(8).await), (0..8).collect::<Vec<_>>());
    let mut shared = Vec::new();
    while shared.len() < 8 {
        tokio::select! {
            messages = one.poll() => shared.extend(numbers(&messages.unwrap())),
            messages = also_one.poll() => shared.extend(numbers(&messages.unwrap())),
        }
    }
    shared.sort_unstable();
    assert_eq!(shared, (0..8).collect::<Vec<_>>());
}

async fn what_was_published_while_nobody_listened_waits_in_the_queue<R: Rig>(mut rig: R) {
    let session = Session::open(&rig, "p").await;
    assert!(session.consumer.subscription().created);
    within(session.consumer.close()).await;
    rig.publish(0..3);
    let mut session = Session::open(&rig, "p").await;
    let found = session.consumer.subscription();
    assert_eq!((found.created, found.waiting), (false, 3));
    assert_eq!(numbers(&session.take(3).await), [0, 1, 2]);
}

macro_rules! on_every_transport {
    ($($behaviour:ident)*) => {
        mod memory { $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $behaviour() { super::$behaviour(<super::Memory as super::Rig>::new("")).await })* }
        mod rabbit { $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $behaviour() {
                let rig = tokio::task::block_in_place(|| <super::Rabbit as super::Rig>::new("conformance"));
                super::$behaviour(rig).await
            })* }
    };
}

on_every_transport! {
    messages_come_in_order_and_no_more_than_the_window
    what_is_acknowledged_is_gone_and_what_is_not_comes_again_marked
    what_is_given_back_comes_again_and_a_prefix_does_not_swallow_it
    a_lost_connection_ends_the_consumer_and_its_messages_cannot_be_settled_on_the_next
    a_poll_that_was_given_up_loses_nothing
    a_quiet_consumer_is_sent_nothing_and_can_still_settle
    pools_have_a_copy_each_and_share_within
    what_was_published_while_nobody_listened_waits_in_the_queue
}
