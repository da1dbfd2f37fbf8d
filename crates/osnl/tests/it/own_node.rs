use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use osnl::action::http::HttpOptions;
use osnl::listener::ListenerState;
use osnl::metrics::Counters;
use osnl_brokers::transport;
use osnl_model::{Priority, TransportUrl};
use osnl_testkit::{Broker, BrokerObjects, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until};
use osnl_transport::{
    BrokerVersion, OutgoingMessage, QueueSeen, QueuedMessage, RabbitOptions, RabbitTransport, Transport as _,
};
use serde_json::json;

use crate::faults::{Target, all_done, connects, in_work};
use crate::harness::{DaemonRig, QUEUE, SOON, instance};
use crate::native::native;
use crate::rabbit::ports;

fn node() -> MutexGuard<'static, Broker> {
    static NODE: OnceLock<Mutex<Broker>> = OnceLock::new();
    NODE.get_or_init(|| Mutex::new(Broker::start())).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A memory alarm of the node that all tests share; it ends with this value, also if a test fails.
struct MemoryAlarm<'a>(&'a Broker);

impl<'a> MemoryAlarm<'a> {
    fn raise(broker: &'a Broker) -> Self {
        let alarm = Self(broker);
        broker.set_memory_watermark(0.000_000_1);
        wait_until(SOON, "the alarm", || broker.has_alarm());
        alarm
    }
}

impl Drop for MemoryAlarm<'_> {
    fn drop(&mut self) {
        self.0.set_memory_watermark(0.4);
    }
}

fn durable_queue(vhost: &Vhost) -> OsloPublisher {
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    publisher.prepare(&BrokerObjects { queue: QUEUE.to_owned(), ..BrokerObjects::default() });
    publisher
}

/// Checks that at most two attempts begin between the node's start and the subscription, because pauses between
/// attempts are a second at most.
fn recovers_at_once(daemon: &DaemonRig, ended: Instant) {
    let returned = Instant::now();
    let back = || {
        let states = daemon.states();
        states.iter().rfind(|(_, state)| *state == ListenerState::Listening).map(|(at, _)| *at)
    };
    wait_until(SOON, "it listens again", || {
        daemon.state() == ListenerState::Listening && back().is_some_and(|at| at > ended)
    });
    let listening = back().unwrap();
    let begun = daemon.states().into_iter().filter(|(at, state)| {
        matches!(state, ListenerState::Connecting { .. }) && *at >= returned && *at < listening
    });
    let begun: Vec<Duration> = begun.map(|(at, _)| at - returned).collect();
    assert!(begun.len() <= 2, "attempts begun {begun:?} after the node's start");
}

#[test]
fn a_restart_and_a_kill_of_the_broker_lose_nothing_and_are_over_within_a_second_of_its_return() {
    let broker = node();
    for (name, end) in [("restart", Broker::shutdown as fn(&Broker)), ("kill-9", Broker::kill9)] {
        let vhost = broker.vhost(name);
        let mut publisher = durable_queue(&vhost);
        let target = Target::down();
        let daemon = target.daemon(connects(&vhost.url()));
        publisher.notify_all(&ports(0..20));
        daemon.wait_until("they are in work", |c| c.matched.get() == 20);
        let ended = Instant::now();
        end(&broker);
        wait_until(SOON, "it has tried twice", || {
            matches!(daemon.state(), ListenerState::Connecting { attempt: 2.. })
        });
        broker.start_again();
        recovers_at_once(&daemon, ended);
        daemon.wait_until("it has adopted all", |c| c.deduplicated.get() == 20);
        OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true }).notify_all(&ports(20..25));
        all_done(&vhost, &target, daemon, 25);
    }
}

#[test]
fn in_a_memory_alarm_publishers_are_blocked_and_we_go_on() {
    let broker = node();
    let vhost = broker.vhost("alarm");
    let target = Target::down();
    let daemon = in_work(&vhost, &target, connects(&vhost.url()), 20);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&ports(20..22));
    let alarm = MemoryAlarm::raise(&broker);
    let blocked = std::thread::spawn(move || publisher.notify_all(&ports(22..25)));
    target.come_up();
    daemon.wait_until("what is there is delivered", |c| c.delivered.get() == 22);
    wait_until(SOON, "and acknowledged", || vhost.queue_depth(QUEUE) == Some((0, 0)));
    // The daemon's new connection does not publish, so that the alarm does not block it.
    vhost.close_all_connections("alarm");
    wait_until(SOON, "it listens again", || daemon.listened() == 2);
    assert!(broker.has_alarm() && !blocked.is_finished());
    assert_eq!(daemon.counters.received.get(), 22);
    drop(alarm);
    blocked.join().unwrap();
    all_done(&vhost, &target, daemon, 25);
}

#[test]
fn an_alarm_is_known_to_each_look_and_a_publisher_sends_nothing_meanwhile() {
    let broker = node();
    let vhost = broker.vhost("alarm-look");
    let rabbit =
        RabbitTransport::new(TransportUrl::parse(&vhost.url()).unwrap(), RabbitOptions::default()).unwrap();
    let (target, priority) = (osnl_model::Target::new("neutron", "notifications"), Priority::Info);
    let send = |number: u8| rabbit.send(&target, &priority, OutgoingMessage::json(vec![b'0' + number]));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        assert_eq!(rabbit.blocks_publishers(SOON).await, None);
        let mut watch = rabbit.watch_alarms(SOON).await.unwrap().unwrap();
        assert_eq!(watch.look().await.unwrap(), None);
        let alarm = MemoryAlarm::raise(&broker);
        let found = [rabbit.blocks_publishers(SOON).await, watch.look().await.unwrap()];
        assert!(found.iter().all(|one| one.as_ref().is_some_and(|why| why.contains("memory"))), "{found:?}");
        // The broker says it to a connection that publishes, so the first message is on its way.
        for number in 0..3 {
            let error = tokio::select! {
                biased;
                blocked = rabbit.blocked() => blocked.to_string(),
                sent = send(number) => panic!("{sent:?}"),
            };
            assert!(error.contains("the broker blocks publishers: "), "{error}");
        }
        drop(alarm);
        send(9).await.unwrap();
        while watch.look().await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        rabbit.close().await;
    });
    wait_until(SOON, "the first and the last are there", || {
        vhost.queue_depth("notifications.info") == Some((2, 0))
    });
}

/// Without the connection that is kept, each of the tries would leave a copy at the broker.
#[test]
fn in_an_alarm_a_dead_letter_is_published_once_and_the_reason_is_told() {
    let broker = node();
    let vhost = broker.vhost("alarm-letters");
    let rabbit =
        RabbitTransport::new(TransportUrl::parse(&vhost.url()).unwrap(), RabbitOptions::default()).unwrap();
    let queue = rabbit.queue_access().unwrap();
    let letters = [QueuedMessage { body: "letter".into(), ..QueuedMessage::default() }];
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        queue.put("p.dead", true, &letters).await.unwrap();
        let alarm = MemoryAlarm::raise(&broker);
        for _ in 0..3 {
            let error = queue.put("p.dead", true, &letters).await.unwrap_err().to_string();
            assert!(error.contains("the broker blocks publishers: "), "{error}");
        }
        drop(alarm);
        while queue.put("p.dead", true, &letters).await.is_err() {
            tokio::task::yield_now().await;
        }
        rabbit.close().await;
    });
    wait_until(SOON, "those of before, during, and after the alarm are there", || {
        vhost.queue_depth("p.dead") == Some((3, 0))
    });
}

/// A mark on the reader's own connection would have the broker block it, and keep the queue with its reader.
#[test]
fn in_an_alarm_a_reading_removes_a_few_and_publishes_nothing() {
    let broker = node();
    let vhost = broker.vhost("alarm-reading");
    let rabbit =
        RabbitTransport::new(TransportUrl::parse(&vhost.url()).unwrap(), RabbitOptions::default()).unwrap();
    let queue = rabbit.queue_access().unwrap();
    let letters = [QueuedMessage { body: "letter".into(), ..QueuedMessage::default() }];
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for _ in 0..2 {
            queue.put("p.dead", true, &letters).await.unwrap();
        }
        let alarm = MemoryAlarm::raise(&broker);
        // The broker has the head of this letter, and reads its body after the alarm.
        queue.put("p.dead", true, &letters).await.unwrap_err();
        for left in [2, 1] {
            let mut reader = queue.take("p.dead", &|_| true).await.unwrap().unwrap();
            assert_eq!(reader.messages().len(), left);
            reader.acknowledge(0).await.unwrap();
            reader.close().await.unwrap();
        }
        drop(alarm);
        while queue.put("p.dead", true, &letters).await.is_err() {
            tokio::task::yield_now().await;
        }
        rabbit.close().await;
    });
    wait_until(SOON, "those of during and after the alarm are there, and no mark", || {
        vhost.queue_depth("p.dead") == Some((2, 0))
    });
}

/// Until 4.2 the broker closes the channel. Since 4.3 the broker cancels the consumer of a quorum queue, and leaves
/// that of a classic queue.
#[test]
fn the_broker_s_consumer_time_out_costs_a_connection_and_nothing_else() {
    let broker = node();
    let closes = Some("delivery acknowledgement on channel");
    let is_older = version(&broker) < BrokerVersion::read("4.3.0").unwrap();
    for (queue_type, said) in [
        ("quorum", if is_older { closes } else { Some("cancelled by the broker") }),
        ("classic", closes.filter(|_| is_older)),
    ] {
        broker.set("consumer_timeout", "1000");
        broker.set("channel_tick_interval", "300");
        let vhost = broker.vhost("consumer-timeout");
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
        let arguments = json!({"x-queue-type": queue_type});
        publisher.prepare(&BrokerObjects { queue: QUEUE.to_owned(), arguments, ..BrokerObjects::default() });
        let target = Target::down();
        let daemon = target.daemon(connects(&vhost.url()));
        publisher.notify_all(&ports(0..10));
        daemon.wait_until("they are in work", |c| c.matched.get() == 10);
        if let Some(said) = said {
            daemon.wait_until("it is back for the second time", |c| c.deduplicated.get() >= 20);
            daemon.wait_for_log(said);
        }
        broker.set("consumer_timeout", "1800000");
        // RabbitMQ's default, restored because a node without this setting ends each new channel.
        broker.set("channel_tick_interval", "60000");
        all_done(&vhost, &target, daemon, 10);
    }
}

fn version(broker: &Broker) -> BrokerVersion {
    BrokerVersion::read(&broker.root().greeting()[1]).unwrap()
}

fn seen(vhost: &Vhost, queue: &str) -> QueueSeen {
    let transport = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(transport.tidy(&[], &[queue.to_owned()])).unwrap()[0].unwrap()
}

/// A message that the daemon cannot store is requeued once, and not fetched before there is room: the queue drops
/// messages at its delivery limit, and the broker ends a consumer that keeps a message.
#[test]
fn nothing_is_lost_to_a_delivery_limit_while_nothing_can_be_kept() {
    let broker = node();
    broker.set("consumer_timeout", "1000");
    broker.set("channel_tick_interval", "300");
    let vhost = broker.vhost("delivery-limit");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.reply_with(Reply::Status(503));
    let text = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = sqlite:///{}/journal.db\nallow_volatile = yes\nmax_pending = 1\n\
         [listener:l]\ntransport_url = {}\nexchange = neutron\npool = q\ndeclare = create\n\
         queue_type = quorum\ndelivery_limit = 3\n\
         [rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {}\nretry_interval = 1s\n",
        folder.path().display(),
        folder.path().display(),
        vhost.url(),
        sink.url("/v1/role"),
    );
    let counters = Arc::new(Counters::default());
    let mut conf = native(&text);
    conf.listeners[0].give_back_after = Duration::from_millis(400);
    let daemon = conf.daemon(&HttpOptions::default(), &counters).unwrap();
    let daemon = DaemonRig::start_daemon(daemon, counters, Duration::from_secs(10));
    wait_until(SOON, "it listens", || daemon.state() == ListenerState::Listening);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&ports(0..6));
    daemon.wait_for_log("nothing could keep is given back");
    match daemon.state() {
        ListenerState::Blocked { reason, .. } => assert!(reason.words.contains("max_pending"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let given_back = QueueSeen { messages: 5, consumers: 0 };
    // A quorum queue takes back what a closed channel had only after the close is answered.
    wait_until(SOON, "the others are with the broker", || seen(&vhost, "q") == given_back);
    // Each look is a new connection, which costs the broker a part of the time-out.
    for _ in 0..50 {
        // The broker's own count, because its tools report a quorum queue some seconds late.
        assert_eq!(seen(&vhost, "q"), given_back);
    }
    sink.reply_with(Reply::Status(204));
    daemon.wait_until("all six have their effect", |c| c.delivered.get() == 6);
    wait_until(SOON, "it is no longer blocked", || daemon.state() == ListenerState::Listening);
    broker.set("consumer_timeout", "1800000");
    broker.set("channel_tick_interval", "60000");
    daemon.stop().unwrap();
    for n in 0..6 {
        let asked = |r: &osnl_testkit::SinkRequest| r.target.contains(&instance(n));
        assert!(sink.requests().iter().any(asked), "{n}");
    }
}
