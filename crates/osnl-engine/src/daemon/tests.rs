use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Head, Priority, Target};
use osnl_testkit::ListenOnly;
use osnl_transport::{BoxFuture, Declare, ListenOptions, MemoryBroker, QueueKind, Transport};
use tokio_util::task::TaskTracker;

use super::*;
use crate::intake::{Intake, RuleEngine};
use crate::listener::{Bindings, ListenerConfig, ListenerState, OwnQueue, ReadQueue};
use osnl_core::attempt::{Action, ActionError, Completion};
use osnl_core::ends::watched;
use osnl_core::event::Event;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::Rule;
use osnl_delivery::DeliverySettings;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl_journal::{Obstacle, Receipt, Settle};

struct Odd {
    own_task: bool,
}

impl Action for Odd {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            assert!(self.own_task, "an odd attempt");
            drop(
                TaskTracker::new()
                    .spawn(watched(|| "plug-in p".to_owned(), async { panic!("an odd plug-in") })),
            );
            tokio::task::yield_now().await;
            events.iter().map(|_| Ok(Completion::Delivered("d".to_owned()))).collect()
        })
    }

    fn target(&self) -> String {
        "nowhere".to_owned()
    }
}

struct OddIntake;

impl Intake for OddIntake {
    fn keep(&self, _: usize) {}

    fn obstacle(&self) -> Option<Obstacle> {
        None
    }

    fn wants(&self, _: &Head<'_>) -> bool {
        true
    }

    fn notify(&self, _: ReceivedMessage) -> Receipt {
        panic!("an odd message")
    }

    fn unreadable(&self, _: ReceivedMessage, _: String) -> Receipt {
        Receipt::complete(Settle::Acknowledge)
    }
}

const BODY: &str = r#"{"message_id": "m", "event_type": "e", "payload": {}}"#;

fn listener(broker: &MemoryBroker, intake: Arc<dyn Intake>) -> Listener {
    counting_listener(broker, intake, Arc::default())
}

fn counting_listener(broker: &MemoryBroker, intake: Arc<dyn Intake>, counters: Arc<Counters>) -> Listener {
    let targets = vec![(Target::new("x", "t"), Priority::Info)];
    let options = ListenOptions::new(Some("p"), 4, Declare::Create, QueueKind::OSLO);
    let config = ListenerConfig::new("l".into(), targets, options);
    Listener::new(config, Arc::new(broker.transport()), intake, counters)
}

async fn ended(broker: &MemoryBroker, daemon: Daemon) -> String {
    let mut state = daemon.listeners[0].state();
    let shutdown = Shutdown::new();
    let publish = async {
        let _ = state.wait_for(|state| *state == ListenerState::Listening).await;
        broker.publish(&Target::new("x", "t"), &Priority::Info, BODY);
    };
    let (ended, ()) = tokio::join!(daemon.run(&shutdown, Duration::from_secs(5)), publish);
    ended.map(|ended| format!("{ended:?}")).unwrap_or_else(|error| error.to_string())
}

fn rules(journal: &Arc<dyn Journal>) -> Arc<dyn Intake> {
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    Arc::new(RuleEngine::new(vec![rule], journal.clone(), Arc::default()))
}

fn memory() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()))
}

fn settings() -> DeliverySettings {
    DeliverySettings::sample(1, Duration::from_secs(1), Duration::from_secs(1))
}

fn deliveries(action: Odd, journal: &Arc<dyn Journal>) -> Vec<DeliveryLoop> {
    vec![DeliveryLoop::new("a", Arc::new(action), journal.clone(), settings(), Arc::default())]
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_ends_each_subscription_at_once_is_asked_once_a_second() {
    let (broker, counters, shutdown) = (MemoryBroker::new(), Arc::new(Counters::default()), Shutdown::new());
    let listener = counting_listener(&broker, rules(&memory()), counters.clone());
    let fails = async {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            broker.disconnect_all();
        }
        let rounds = counters.reconnects.get();
        assert!((50..=80).contains(&rounds), "{rounds} subscriptions in a minute");
        // A subscription that lasts ends the pauses.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let before = counters.reconnects.get();
        broker.disconnect_all();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(counters.reconnects.get(), before + 1);
        shutdown.drain.cancel();
    };
    let (ended, ()) = tokio::join!(listener.run(shutdown.clone()), fails);
    ended.unwrap();
}

/// The broker deletes such a queue, with its messages, when it has no consumer.
#[tokio::test(start_paused = true)]
async fn an_auto_delete_queue_keeps_its_listener_until_the_next_one_has_subscribed() {
    let listener = |name: &str, pool: &str, auto_delete: bool, transport: Arc<dyn Transport>| {
        let kind = QueueKind { auto_delete, ..QueueKind::OSLO };
        let options = ListenOptions::new(Some(pool), 4, Declare::Create, kind);
        let to = vec![(Target::new("x", "t"), Priority::Info)];
        let config = ListenerConfig::new(name.into(), to, options);
        let own = OwnQueue { hosts: ["h:1".to_owned()].into(), vhost: "/".into(), queue: pool.into() };
        let read = ReadQueue { own, declared: true, bindings: Vec::new() };
        let memory_of_queues = Arc::new(Bindings::open(None, "memory://"));
        let listener = Listener::new(config, transport, rules(&memory()), Arc::default());
        listener.with_bindings(memory_of_queues, vec![read])
    };
    // The name of the next listener on the queue, its option, and the queue that one of the former name reads beside it.
    for (name, auto_delete, moved) in
        [("l", true, None), ("renamed", true, None), ("l", false, None), ("next", true, Some("p2"))]
    {
        let (broker, shutdown) = (MemoryBroker::new(), Shutdown::new());
        let transport = broker.transport();
        let slow = ListenOnly::new(move |to, options| {
            let transport = transport.clone();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                transport.listen(to, options).await
            })
        });
        let former = listener("l", "p", true, Arc::new(broker.transport()));
        let slow: Arc<dyn Transport> = Arc::new(slow);
        let next = listener(name, "p", auto_delete, slow.clone());
        let mut before = former.state();
        let mut tasks = Tasks::start(&shutdown, &EndReports::default(), vec![former], Vec::new());
        before.wait_for(ListenerState::is_subscribed).await.unwrap();
        broker.publish(&Target::new("x", "t"), &Priority::Info, BODY);
        let beside = moved.map(|pool| listener("l", pool, true, Arc::new(broker.transport())));
        let another = listener(name, "p", auto_delete, slow);
        // The queue stays an auto-delete queue for the second change.
        for (left, begin) in
            [("l", beside.into_iter().chain([next]).collect::<Vec<_>>()), (name, vec![another])]
        {
            let mut after = begin.last().unwrap().state();
            tasks.apply(ReloadChanges { leave: vec![left.into()], begin, ..ReloadChanges::default() });
            tokio::time::sleep(Duration::from_secs(4)).await;
            let states = (before.borrow().name(), after.borrow().name());
            assert_eq!(states, ("listening", "connecting"), "{name} {auto_delete} {moved:?}");
            after.wait_for(ListenerState::is_subscribed).await.unwrap();
            // No delivery ends, so the former listener ends by its abort.
            let ends = before.wait_for(|state| *state == ListenerState::Stopped);
            timeout(Duration::from_secs(10), ends).await.unwrap().unwrap();
            before = after;
        }
        tasks.abort().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_ends_the_daemon_and_its_message_stays_with_the_broker() {
    let broker = MemoryBroker::new();
    let daemon = Daemon::new(vec![listener(&broker, Arc::new(OddIntake))], Vec::new(), memory());
    assert_eq!(
        ended(&broker, daemon).await,
        "listener l ended unexpectedly: an odd message; unacknowledged messages stay with the broker"
    );
    assert_eq!(broker.ready("p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_loop_that_panics_ends_the_daemon_and_its_message_stays_with_the_broker() {
    let (broker, journal) = (MemoryBroker::new(), memory());
    let listeners = vec![listener(&broker, rules(&journal))];
    let daemon = Daemon::new(listeners, deliveries(Odd { own_task: false }, &journal), journal);
    assert_eq!(
        ended(&broker, daemon).await,
        "delivery loop of action a ended unexpectedly: an odd attempt; unacknowledged messages stay with the broker"
    );
    assert_eq!(broker.ready("p"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_action_keeps_running_ends_the_daemon_when_it_panics() {
    let (broker, journal) = (MemoryBroker::new(), memory());
    let listeners = vec![listener(&broker, rules(&journal))];
    let daemon = Daemon::new(listeners, deliveries(Odd { own_task: true }, &journal), journal);
    assert_eq!(
        ended(&broker, daemon).await,
        "plug-in p ended unexpectedly: an odd plug-in; unacknowledged messages stay with the broker"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_ends_does_not_keep_the_daemon() {
    let (broker, journal, shutdown) = (MemoryBroker::new(), memory(), Shutdown::new());
    let listeners = vec![listener(&broker, rules(&journal))];
    let hung: ServiceTask = Box::new(|_| Box::pin(std::future::pending::<()>()));
    let daemon = Daemon::new(listeners, Vec::new(), journal).serving("hung", hung);
    shutdown.drain.cancel();
    let ended = timeout(4 * SERVICES_END, daemon.run(&shutdown, Duration::from_secs(5))).await;
    assert_eq!(ended.expect("it ends").unwrap(), RunEnd::Drained);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_listener_or_a_control_socket_that_panics_ends_the_daemon() {
    let odd: [(&str, TestTasks); 2] = [
        ("end of a listener", Box::new(|exits, _| drop(exits.spawn(async { panic!("odd") })))),
        ("control socket", Box::new(|_, controls| drop(controls.spawn(async { panic!("odd") })))),
    ];
    for (name, more) in odd {
        let (broker, journal) = (MemoryBroker::new(), memory());
        let listeners = vec![listener(&broker, rules(&journal))];
        let daemon = Daemon { more: Some(more), ..Daemon::new(listeners, Vec::new(), journal) };
        let expected =
            format!("{name} ended unexpectedly: odd; unacknowledged messages stay with the broker");
        assert_eq!(ended(&broker, daemon).await, expected);
    }
}

#[tokio::test]
async fn a_journal_thread_that_panics_fails_the_journal_and_ends_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        SqliteOptions::new(folder.path().join("j.db")).bounded(|bounds| bounds.allow_volatile = true);
    let store = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
    let journal: Arc<dyn Journal> = store.clone();
    let broker = MemoryBroker::new();
    let daemon = Daemon::new(vec![listener(&broker, rules(&journal))], Vec::new(), journal.clone())
        .watching(store.ends());
    store.on_writer(|| panic!("an odd row"));
    assert_eq!(
        ended(&broker, daemon).await,
        "journal ended unexpectedly: an odd row; unacknowledged messages stay with the broker"
    );
    assert!(!journal.state().borrow().takes_entries() && !journal.state().borrow().takes_outcomes());
    let receipt = journal.set_aside(ReceivedMessage::sample(BODY, false), "why".to_owned());
    assert_eq!(receipt.await, Settle::Leave);
}

struct PanickingAction {
    attempted: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Action for PanickingAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            for event in events {
                let id = event.notification.message_id.clone().unwrap_or_default();
                self.attempted.lock().unwrap().push(id.clone());
                assert_ne!(id, "poison", "poison");
            }
            events.iter().map(|_| Ok(Completion::Delivered("d".to_owned()))).collect()
        })
    }

    fn target(&self) -> String {
        "nowhere".to_owned()
    }
}

async fn run_on(
    broker: &MemoryBroker,
    folder: &std::path::Path,
    durable: bool,
    is_done: impl Fn(&Counters, &[String]) -> bool,
) -> (String, Vec<String>) {
    let in_hand = Arc::new(InHand::open(folder, durable));
    let counters = Arc::<Counters>::default();
    let journal: Arc<dyn Journal> = match durable {
        true => {
            let options =
                SqliteOptions::new(folder.join("j.db")).bounded(|bounds| bounds.allow_volatile = true);
            let journal = SqliteJournal::open(options, counters.clone()).unwrap();
            journal.hold_suspects(in_hand.take_suspects());
            Arc::new(journal)
        }
        false => Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone())),
    };
    let attempted = Arc::default();
    let action = Arc::new(PanickingAction { attempted: Arc::clone(&attempted) });
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let engine = RuleEngine::new(vec![rule], journal.clone(), counters.clone()).with_in_hand(in_hand.clone());
    let delivery = DeliveryLoop::new("a", action, journal.clone(), settings(), counters.clone());
    let deliveries = vec![delivery.with_in_hand(in_hand.clone())];
    let daemon =
        Daemon::new(vec![listener(broker, Arc::new(engine))], deliveries, journal).recording(in_hand);
    let shutdown = Shutdown::new();
    let done = async {
        while !is_done(&counters, &attempted.lock().unwrap()) {
            tokio::task::yield_now().await;
        }
        shutdown.drain.cancel();
    };
    let run = daemon.run(&shutdown, Duration::from_secs(5));
    tokio::pin!(run, done);
    let ended = tokio::select! {
        ended = &mut run => ended,
        () = &mut done => run.await,
    };
    let ended = ended.map(|ended| format!("{ended:?}")).unwrap_or_else(|error| error.to_string());
    let attempted = attempted.lock().unwrap().clone();
    (ended, attempted)
}

#[tokio::test]
async fn a_delivery_that_ends_the_daemon_three_times_is_held_or_given_up_and_the_others_go_on() {
    for durable in [false, true] {
        let (broker, folder) = (MemoryBroker::new(), tempfile::tempdir().unwrap());
        let publish = |id: &str| {
            let body = BODY.replace("\"m\"", &format!("\"{id}\""));
            broker.publish(&Target::new("x", "t"), &Priority::Info, body)
        };
        let (ended, _) = run_on(&broker, folder.path(), durable, |_, _| publish("first") == 1).await;
        assert_eq!(ended, "Drained");
        publish("poison");
        for _ in 0..3 {
            let (ended, attempted) = run_on(&broker, folder.path(), durable, |_, _| false).await;
            assert!(ended.starts_with("delivery loop of action a ended unexpectedly: "), "{ended}");
            assert!(attempted.contains(&"poison".to_owned()));
        }
        publish("good");
        let good = |counters: &Counters, attempted: &[String]| {
            attempted.contains(&"good".to_owned()) && counters.delivered.get() == attempted.len() as u64
        };
        let (ended, attempted) = run_on(&broker, folder.path(), durable, good).await;
        assert_eq!(ended, "Drained", "durable: {durable}");
        assert!(!attempted.contains(&"poison".to_owned()), "{attempted:?}");
        if durable {
            let reader = osnl_journal::sqlite::SqliteReader::open(&folder.path().join("j.db")).unwrap();
            let rows = reader.list(&Default::default(), &Default::default()).unwrap();
            let held: Vec<_> =
                rows.iter().filter(|row| row.state == osnl_journal::query::RowState::Held).collect();
            assert_eq!((held.len(), held[0].message_id.as_deref()), (1, Some("poison")));
            assert!(held[0].reason.as_deref().unwrap().contains("ended unexpectedly 3 times"));
            assert_eq!(reader.overview().unwrap().suspects, 1);
        } else {
            assert_eq!(broker.ready("p"), 0, "it is acknowledged, and does not come again");
        }
    }
}
