use std::sync::Arc;

use osnl_journal::Settle;
use osnl_testkit::ListenOnly;
use osnl_transport::{Declare, ListenOptions, MemoryBroker, QueueKind, Transport};
use tempfile::TempDir;
use tokio::time::Instant;

use super::GapCause::{
    BindingRefused, ConnectionLost, DropPolicy, ExchangeMissing, MessagesMissing, PositionLost,
    QueueRecreated, Stopped,
};
use super::*;
use crate::listener::holding::HoldingEndpoint;
use crate::listener::{BindingGaps, Listener, ListenerConfig, ListenerState, UnboundLooks};
use osnl_core::epoch::simulated;
use osnl_core::metrics::Counters;
use osnl_core::shutdown::Shutdown;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn scope(listener: &str) -> GapScope {
    GapScope::new(&listener.into(), &[(Target::new("nova", "notifications"), Priority::Info)])
}

/// A subscription of the queue `q`: what was made, and whether it is transient, in this run again, and empty.
fn subscribed(created: &[&str], is_transient: bool, is_again: bool, is_empty: bool) -> GapFact {
    GapFact::Subscribed {
        queues: set(&["q"]),
        created: set(created),
        is_transient,
        is_again,
        is_empty,
        unsettled: 0,
    }
}

fn shown(gaps: &[Gap]) -> Vec<(GapCause, bool, u64, u64)> {
    gaps.iter().map(|gap| (gap.cause, gap.is_certain, gap.from, gap.until)).collect()
}

#[test]
fn each_cause_has_its_evidence_and_its_interval() {
    type Steps = Vec<(u64, GapFact)>;
    let check = |name: &str, heard: u64, steps: Steps, expected: &[(GapCause, bool, u64, u64)]| {
        let book = GapBook::default();
        book.note(&scope("l"), subscribed(&["q"], false, false, true), at(1000));
        book.heard("l", at(heard));
        for (seconds, fact) in steps {
            book.note(&scope("l"), fact, at(seconds));
        }
        assert_eq!(shown(&book.open_gaps()), expected, "{name}");
    };
    let there = |is_again| (5000, subscribed(&[], false, is_again, true));
    check("the first subscription", 1000, vec![], &[]);
    check("a durable queue: restart", 2000, vec![there(false)], &[]);
    check("a durable queue: lost connection", 2000, vec![there(true)], &[]);
    check(
        "a transient queue that is still there",
        2000,
        vec![(5000, subscribed(&[], true, true, true))],
        &[],
    );
    let made = |is_transient, is_again| vec![(5000, subscribed(&["q"], is_transient, is_again, true))];
    check("lost connection", 2000, made(true, true), &[(ConnectionLost, true, 2000, 5001)]);
    check("stop", 2000, made(true, false), &[(Stopped, true, 2000, 5001)]);
    check("made anew", 2000, made(false, false), &[(QueueRecreated, true, 2000, 5001)]);
    let other = GapFact::Subscribed {
        queues: set(&["p"]),
        created: set(&["p"]),
        is_transient: true,
        is_again: false,
        is_empty: true,
        unsettled: 0,
    };
    check("another pool", 2000, vec![(5000, other)], &[]);
    // What waited at the subscription before is lost as well.
    let waited = vec![(3000, subscribed(&[], false, true, false)), made(false, true)[0].clone()];
    check("messages waited", 2000, waited, &[(QueueRecreated, true, 2000, 5001)]);
    let missing = vec![(4000, GapFact::QueueMissing { queue: "q".into() }), there(true), there(true)];
    check("a queue that is only read", 2000, missing, &[(QueueRecreated, true, 2000, 5001)]);
    let bound = vec![(5000, GapFact::Bound { exchange: "x".into(), looked: at(4995) })];
    check("exchange", 2000, bound, &[(ExchangeMissing, true, 4995, 5001)]);
    let allowed = vec![(5000, GapFact::Allowed { exchange: "x".into(), looked: at(4900) })];
    check("refused", 2000, allowed, &[(BindingRefused, false, 4900, 5001)]);
    let back = vec![there(true), (5030, GapFact::NotBack { messages: 3 })];
    check("not back", 2000, back, &[(MessagesMissing, false, 2000, 5031)]);
    for (before, is_certain) in [(Some(7), true), (None, false)] {
        let lost = LostPosition { before, start: 0 };
        let position = GapFact::Position { topic: "t".into(), partition: 0, lost };
        let steps = vec![there(false), (5010, position.clone()), (9000, position)];
        check("position", 2000, steps, &[(PositionLost, is_certain, 2000, 5001)]);
    }
    let limited = |ttl: Option<u64>, max_length, messages, since: Option<u64>| GapFact::Limited {
        limits: DropLimits { ttl: ttl.map(Duration::from_secs), max_length, words: "policy p".into() },
        messages,
        since: since.map(at),
    };
    let steps = |fact: GapFact| vec![there(true), (5002, fact.clone()), (5062, fact)];
    check("short ttl", 2000, steps(limited(Some(600), None, 9, None)), &[(DropPolicy, false, 2000, 5001)]);
    check("long ttl", 2000, steps(limited(Some(6000), None, 9, None)), &[]);
    let waits = |ttl| steps(limited(Some(ttl), None, 9, Some(4900)));
    check("short ttl of a listener that reads slowly", 4990, waits(100), &[(DropPolicy, false, 4900, 5063)]);
    check("long ttl of the same", 4990, waits(200), &[]);
    check("an empty queue", 4990, steps(limited(Some(100), None, 0, Some(4900))), &[]);
    let full = [(DropPolicy, false, 4900, 5063)];
    check("full", 2000, steps(limited(None, Some(9), 9, Some(4900))), &full);
    check("not full", 2000, steps(limited(None, Some(9), 8, Some(4900))), &[]);
}

#[test]
fn gaps_outlive_the_process_join_where_they_touch_and_are_closed_by_number_or_verification() {
    let folder = tempfile::tempdir().unwrap();
    let open = || GapBook::open(Some(folder.path()));
    let bound = |book: &GapBook, listener: &str, exchange: &str, from: u64, until: u64| {
        book.note(
            &scope(listener),
            GapFact::Bound { exchange: exchange.into(), looked: at(from) },
            at(until),
        );
    };
    let book = open();
    bound(&book, "l", "nova", 100, 200);
    bound(&book, "l", "cinder", 400, 500);
    bound(&book, "m", "nova", 150, 200);
    assert_eq!(book.open_gaps().len(), 3);
    bound(&book, "l", "glance", 250, 350);
    let gaps = open().open_gaps();
    assert_eq!(shown(&gaps), [(ExchangeMissing, true, 100, 501), (ExchangeMissing, true, 150, 201)]);
    assert_eq!(gaps[0].exchanges, set(&["cinder", "glance", "nova"]));
    assert_eq!((gaps[0].id, gaps[1].id), (1, 3), "the oldest number stays");

    let book = open();
    let verified = |name: &str, until| {
        let listeners = BTreeMap::from([("l".to_owned(), set(&["a", "b"]))]);
        let by = GapVerification { name: name.to_owned(), listeners, until: at(until) };
        book.verified(&by).iter().map(|gap| gap.id).collect::<Vec<_>>()
    };
    assert!(verified("a", 400).is_empty(), "the gap is later");
    assert!(verified("a", 600).is_empty(), "the other verification is missing");
    assert_eq!(open().open_gaps()[0].verified, set(&["a"]));
    assert_eq!(verified("b", 600), [1]);
    bound(&book, "l", "nova", 700, 800);
    assert_eq!(book.dismiss(Some(&[9])), []);
    assert_eq!(book.dismiss(None).len(), 2);
    assert_eq!(open().open_gaps(), []);
    bound(&book, "l", "nova", 100, 200);
    assert_eq!(book.open_gaps()[0].id, 5, "no number is given twice");

    for n in 0..MOST as u64 + 20 {
        bound(&book, "n", "nova", 1000 * n, 1000 * n + 1);
    }
    let gaps = book.open_gaps();
    assert_eq!((gaps.len(), gaps[0].from, gaps[0].until), (22, 0, 199_002), "the first {MOST} are one");
    let file = folder.path().join("gaps.json");
    for (text, is_kept) in [(r#"{"format":9,"next":1,"heard":{},"gaps":[]}"#, true), ("{", false)] {
        fs::write(&file, text).unwrap();
        bound(&open(), "l", "nova", 1, 2);
        assert_eq!(fs::read_to_string(&file).unwrap() == text, is_kept, "{text}");
    }
}

struct Rig {
    broker: MemoryBroker,
    folder: TempDir,
    kind: QueueKind,
    declare: Declare,
    is_counted: bool,
}

impl Rig {
    fn new(kind: QueueKind, declare: Declare) -> Self {
        let (broker, folder) = (MemoryBroker::new(), tempfile::tempdir().unwrap());
        Self { broker, folder, kind, declare, is_counted: true }
    }

    fn publish(&self) {
        let body = r#"{"message_id": "m", "event_type": "e", "payload": {}}"#;
        self.broker.publish(&Target::new("nova", "n"), &Priority::Info, body);
    }

    fn gaps(&self) -> Vec<GapCause> {
        GapBook::open(Some(self.folder.path())).open_gaps().iter().map(|gap| gap.cause).collect()
    }

    fn transport(&self) -> Arc<dyn Transport> {
        let memory = self.broker.transport();
        if self.is_counted {
            return Arc::new(memory);
        }
        let transport = ListenOnly::new(move |to, options| {
            let memory = memory.clone();
            Box::pin(async move { memory.listen(to, options).await })
        });
        Arc::new(transport.uncounted())
    }

    fn targets() -> Vec<(Target, Priority)> {
        vec![(Target::new("nova", "n"), Priority::Info)]
    }

    /// Makes the queue, as another program does for a listener that declares nothing.
    async fn make_queue(&self) {
        let options = ListenOptions::new(Some("p"), 4, Declare::Create, self.kind.clone());
        drop(self.broker.transport().listen(&Self::targets(), &options).await.unwrap());
    }

    fn listener(&self, intake: Arc<HoldingEndpoint>) -> Listener {
        let options = ListenOptions::new(Some("p"), 4, self.declare, self.kind.clone());
        let config = ListenerConfig::new("l".into(), Self::targets(), options);
        Listener::new(config, self.transport(), intake, Arc::new(Counters::default()))
            .with_gaps(Arc::new(GapBook::open(Some(self.folder.path()))))
    }

    /// Runs a daemon's listener while a step of the test lasts, and stops it.
    async fn run(&self, step: impl AsyncFnOnce(&mut Looks)) {
        let intake = Arc::new(HoldingEndpoint::default());
        let listener = self.listener(intake.clone());
        let (state, shutdown) = (listener.state(), Shutdown::new());
        let mut looks = Looks { state, intake };
        let script = async {
            looks.listens().await;
            step(&mut looks).await;
            drop(std::mem::take(&mut *looks.intake.open.lock().unwrap()));
            shutdown.drain.cancel();
        };
        tokio::join!(listener.run(shutdown.clone()), script).0.unwrap();
    }
}

struct Looks {
    state: tokio::sync::watch::Receiver<ListenerState>,
    intake: Arc<HoldingEndpoint>,
}

impl Looks {
    async fn listens(&mut self) {
        self.state.wait_for(ListenerState::is_subscribed).await.unwrap();
    }

    /// Passes through the looks at bindings, depth, and life.
    async fn minutes(&self, minutes: u64) {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_bound_queue_has_no_gap_whatever_happens_to_its_readers() {
    let rig = Rig::new(QueueKind::DURABLE, Declare::Create);
    rig.run(async |looks| {
        rig.publish();
        looks.minutes(2).await;
        // A full window: the listener reads nothing more for an hour.
        (0..9).for_each(|_| rig.publish());
        looks.minutes(60).await;
        // A lost connection, and a restart of the broker.
        rig.broker.disconnect_all();
        looks.minutes(1).await;
        rig.broker.set_down(true);
        looks.minutes(10).await;
        rig.broker.set_down(false);
        looks.minutes(10).await;
    })
    .await;
    // No reader.
    (0..9).for_each(|_| rig.publish());
    // A start, and a take-over by another daemon, which has a record of its own.
    rig.run(async |looks| {
        let standby = Rig {
            folder: tempfile::tempdir().unwrap(),
            broker: rig.broker.clone(),
            ..Rig::new(QueueKind::DURABLE, Declare::Create)
        };
        standby
            .run(async |others| {
                looks.minutes(2).await;
                rig.broker.disconnect_all();
                looks.minutes(1).await;
                others.minutes(1).await;
            })
            .await;
        assert_eq!(standby.gaps(), []);
    })
    .await;
    // A reload: the same queue in another listener object, and a crash without a last sign of life.
    rig.run(async |_| ()).await;
    assert_eq!(rig.gaps(), []);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_gone_is_a_gap_of_its_cause() {
    for (kind, again, restarted) in [
        (QueueKind { auto_delete: true, ..QueueKind::OSLO }, ConnectionLost, Stopped),
        (QueueKind { durable: true, ..QueueKind::OSLO }, QueueRecreated, QueueRecreated),
    ] {
        let rig = Rig::new(kind, Declare::Create);
        rig.run(async |looks| {
            rig.broker.delete_queue("p");
            looks.minutes(1).await;
        })
        .await;
        assert_eq!(rig.gaps(), [again]);
        GapBook::open(Some(rig.folder.path())).dismiss(None);
        rig.broker.delete_queue("p");
        rig.run(async |_| ()).await;
        assert_eq!(rig.gaps(), [restarted]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_clock_is_no_gap_and_shortens_none() {
    let (noon, day) = (at(1_800_000_000), Duration::from_secs(86_400));
    for wrong in [noon - day, noon + day] {
        simulated::set(Some(wrong));
        let rig = Rig::new(QueueKind { durable: true, ..QueueKind::OSLO }, Declare::Create);
        rig.run(async |looks| {
            looks.minutes(2).await;
            simulated::set(Some(noon));
            looks.minutes(2).await;
            assert_eq!(rig.gaps(), []);
            rig.broker.delete_queue("p");
            looks.minutes(1).await;
            simulated::set(Some(wrong));
            rig.broker.disconnect_all();
            looks.minutes(1).await;
        })
        .await;
        simulated::set(Some(noon));
        rig.run(async |_| ()).await;
        let gaps = GapBook::open(Some(rig.folder.path())).open_gaps();
        let lengths: Vec<u64> = gaps.iter().map(|gap| gap.until - gap.from).collect();
        assert!(matches!(lengths[..], [1..=60]), "{gaps:?}");
    }
    simulated::set(None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_listener_of_a_broker_without_counts_shows_life() {
    simulated::set(Some(at(1_800_000_000)));
    let kind = QueueKind { durable: true, ..QueueKind::OSLO };
    let rig = Rig { is_counted: false, ..Rig::new(kind, Declare::Nothing) };
    rig.make_queue().await;
    rig.run(async |looks| {
        looks.minutes(9).await;
        rig.broker.delete_queue("p");
        looks.minutes(1).await;
        rig.make_queue().await;
        looks.minutes(1).await;
    })
    .await;
    let gaps = GapBook::open(Some(rig.folder.path())).open_gaps();
    let lengths: Vec<u64> = gaps.iter().map(|gap| gap.until - gap.from).collect();
    assert!(matches!(lengths[..], [60..=180]), "{gaps:?}");
    simulated::set(None);
}

#[tokio::test(start_paused = true)]
async fn without_counts_the_drain_of_an_idle_listener_is_a_sign_of_life() {
    let (begin, second) = (1_800_000_000, Duration::from_secs(1));
    let (drained, subscribed) = (begin + 30, begin + 1);
    // The window has four places.
    for (messages, ended, heard) in [(0, 0, drained), (1, 1, drained), (1, 0, subscribed), (9, 4, subscribed)]
    {
        simulated::set(Some(at(begin)));
        let kind = QueueKind { durable: true, ..QueueKind::OSLO };
        let rig = Rig { is_counted: false, ..Rig::new(kind, Declare::Nothing) };
        rig.make_queue().await;
        rig.run(async |looks| {
            (0..messages).for_each(|_| rig.publish());
            tokio::time::sleep(30 * second).await;
            for message in looks.intake.open.lock().unwrap().drain(..ended) {
                message.send(Settle::Acknowledge).unwrap();
            }
        })
        .await;
        rig.broker.delete_queue("p");
        let made = async {
            tokio::time::sleep(second).await;
            rig.make_queue().await;
        };
        tokio::join!(rig.run(async |_| ()), made);
        let gaps = GapBook::open(Some(rig.folder.path())).open_gaps();
        let from: Vec<u64> = gaps.iter().map(|gap| gap.from).collect();
        assert_eq!(from, [heard], "{messages} messages, {ended} ended");
    }
    simulated::set(None);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_clock_during_a_lost_connection_is_no_wait() {
    simulated::set(Some(at(1000)));
    let book = GapBook::default();
    let comes_back = |now| {
        let limits = DropLimits { ttl: Some(Duration::from_secs(600)), max_length: None, words: "p".into() };
        book.note(&scope("l"), subscribed(&[], false, true, true), at(now));
        book.note(&scope("l"), GapFact::Limited { limits, messages: 9, since: None }, at(now));
        shown(&book.open_gaps())
    };
    comes_back(1000);
    book.heard("l", at(1000));
    simulated::set(Some(at(5000)));
    assert_eq!(comes_back(5000), []);
    tokio::time::advance(Duration::from_secs(4000)).await;
    assert_eq!(comes_back(9000), [(DropPolicy, false, 5001, 9001)]);
    simulated::set(None);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_makes_the_queue_anew_as_it_counts_the_others_has_the_gap() {
    let rig = Rig::new(QueueKind { durable: true, ..QueueKind::OSLO }, Declare::Create);
    let listener = rig.listener(Arc::default());
    let (second, longer) = (Duration::from_secs(1), Duration::from_secs(20));
    for (away, recounted) in [(None, None), (Some(second), Some(longer)), (Some(second), Some(longer))] {
        let consumer =
            listener.transport.listen(&listener.config.targets, &listener.config.options).await.unwrap();
        listener.subscribed(&*consumer, away, recounted);
        if recounted.is_none() {
            rig.broker.delete_queue("p");
        }
    }
    assert_eq!(rig.gaps(), [QueueRecreated]);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_was_missing_is_a_gap_of_a_listener_that_has_received() {
    let rig = Rig::new(QueueKind { durable: true, ..QueueKind::OSLO }, Declare::Passive);
    rig.run(async |looks| {
        looks.minutes(1).await;
        // A new service.
        rig.publish();
        looks.minutes(1).await;
        assert_eq!(rig.gaps(), []);
        rig.publish();
        looks.minutes(1).await;
        rig.broker.delete_exchange("nova");
        looks.minutes(1).await;
        rig.publish();
        looks.minutes(1).await;
        assert_eq!(rig.gaps(), [ExchangeMissing]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_comes_back_during_a_lost_connection_is_a_gap() {
    let rig = Rig::new(QueueKind { durable: true, ..QueueKind::OSLO }, Declare::Passive);
    rig.publish();
    rig.run(async |looks| {
        rig.publish();
        looks.minutes(1).await;
        rig.broker.delete_exchange("nova");
        looks.minutes(1).await;
        rig.broker.disconnect_all();
        assert_eq!(rig.gaps(), []);
        rig.publish();
        looks.minutes(1).await;
        assert_eq!(rig.gaps(), [ExchangeMissing]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_that_the_next_subscription_makes_is_a_possible_gap() {
    simulated::set(Some(at(1000)));
    let rig = Rig::new(QueueKind { durable: true, ..QueueKind::OSLO }, Declare::Create);
    let listener = rig.listener(Arc::default());
    listener.gauges.set_received_before();
    let looks = UnboundLooks { missing: None, refused: Some(Instant::now()) };
    let unbound = [("nova".to_owned(), looks)].into();
    listener.gauges.set_gaps(BindingGaps { unbound, ..BindingGaps::default() });
    tokio::time::advance(Duration::from_secs(100)).await;
    let consumer =
        listener.transport.listen(&listener.config.targets, &listener.config.options).await.unwrap();
    listener.subscribed(&*consumer, Some(Duration::from_secs(1)), None);
    let gaps = GapBook::open(Some(rig.folder.path())).open_gaps();
    assert_eq!(shown(&gaps), [(BindingRefused, false, 995, 1101)]);
    assert!(listener.gauges.gaps().unbound.is_empty());
    simulated::set(None);
}
