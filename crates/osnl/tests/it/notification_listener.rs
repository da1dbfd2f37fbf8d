use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl::notification_listener::{
    BoxFuture, BuildError, Builder, Endpoint, Handler, Head, MemoryBroker, NotificationFilter,
    NotificationListener, NotificationResult, Order, Pattern, Priority, ReceivedNotification, RequeuePolicy,
    RunEnd, RunningListener, Shutdown, Target, TransportUrl,
};
use osnl_testkit::ListenOnly;
use osnl_transport::{Properties, Transport, TransportError};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::harness::SOON;

const POOL: &str = "library";

fn neutron() -> Target {
    Target::new("neutron", "notifications")
}

fn quick() -> RequeuePolicy {
    RequeuePolicy {
        first: Duration::from_millis(100),
        longest: Duration::from_millis(800),
        attempts: NonZeroU32::new(4).unwrap(),
    }
}

fn on(broker: &MemoryBroker) -> Builder {
    NotificationListener::on(Arc::new(broker.transport()))
        .target(neutron())
        .pool(POOL)
        .requeue_policy(quick())
}

async fn started(builder: Builder) -> RunningListener {
    let running = builder.build().unwrap().start();
    running.listening().await;
    running
}

fn body(event_type: &str, priority: &Value, payload: &Value) -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let id = LAST.fetch_add(1, Ordering::Relaxed);
    json!({"message_id": format!("m{id}"), "publisher_id": "network.n1", "event_type": event_type,
        "priority": priority, "payload": payload, "_unique_id": format!("u{id}")})
    .to_string()
}

fn port(device: &str, n: usize) -> Value {
    json!({"port": {"device_id": device, "n": n}})
}

fn no_requeue() -> Arc<dyn Transport> {
    Arc::new(ListenOnly::new(|_, _| {
        Box::pin(async { Err(TransportError::Connect { host: "-".into(), reason: "never".into() }) })
    }))
}

fn publish(broker: &MemoryBroker, event_type: &str, payload: &Value) {
    let taken = broker.publish(&neutron(), &Priority::Info, body(event_type, &json!("INFO"), payload));
    assert_eq!(taken, 1);
}

fn noting(
    answer: impl Fn(&ReceivedNotification) -> NotificationResult + Send + Sync + 'static,
) -> (Handler, mpsc::UnboundedReceiver<ReceivedNotification>) {
    let (send, receive) = mpsc::unbounded_channel();
    let handler = Handler::new(move |received: ReceivedNotification| {
        let answer = answer(&received);
        let _ = send.send(received);
        async move { answer }
    });
    (handler, receive)
}

fn event_type(received: &ReceivedNotification) -> &str {
    received.notification().event_type.as_deref().unwrap()
}

async fn until(reached: impl Fn() -> bool) {
    osnl_testkit::until(SOON, "the count", async || reached()).await;
}

async fn idle(broker: &MemoryBroker, running: RunningListener) {
    running.stop();
    assert_eq!(running.wait().await.unwrap(), RunEnd::Drained);
    assert_eq!(broker.ready(POOL), 0, "everything is acknowledged");
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_asked_in_order_and_no_further_than_the_first_requeue() {
    let broker = MemoryBroker::new();
    let (send, mut asked) = mpsc::unbounded_channel();
    let say = |name: &'static str, answer: NotificationResult| {
        let send = send.clone();
        Handler::new(move |received: ReceivedNotification| {
            let _ = send.send((name, event_type(&received).to_owned()));
            let answer = if event_type(&received) == "stop" { answer } else { NotificationResult::Handled };
            async move { answer }
        })
    };
    let only_go = NotificationFilter {
        event_type: Some(Pattern::new("^go$").unwrap()),
        ..NotificationFilter::default()
    };
    let running = started(
        on(&broker)
            .endpoint(say("first", NotificationResult::Handled))
            .endpoint(say("filtered", NotificationResult::Handled).filter(only_go))
            .endpoint(say("second", NotificationResult::Requeue))
            .endpoint(say("third", NotificationResult::Handled)),
    )
    .await;
    publish(&broker, "go", &json!({}));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(asked.recv().await.unwrap().0);
    }
    assert_eq!(seen, ["first", "filtered", "second", "third"]);
    // Without allow_requeue the message is acknowledged, as with oslo.messaging.
    publish(&broker, "stop", &json!({}));
    assert_eq!(asked.recv().await.unwrap().0, "first");
    assert_eq!(asked.recv().await.unwrap().0, "second");
    idle(&broker, running).await;
    assert!(asked.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_requeued_message_comes_again_ever_later_and_is_set_aside_in_the_end() {
    let broker = MemoryBroker::new();
    let (handler, mut seen) = noting(|received| match event_type(received) {
        "never" => NotificationResult::Requeue,
        _ => NotificationResult::Handled,
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let set_aside = told.clone();
    let running = started(
        on(&broker)
            .endpoint(handler)
            .allow_requeue(true)
            .on_set_aside(move |message| set_aside.lock().unwrap().push(message.reason.clone())),
    )
    .await;
    let begin = tokio::time::Instant::now();
    publish(&broker, "never", &port("A", 1));
    publish(&broker, "behind", &port("A", 2));
    publish(&broker, "beside", &port("B", 1));
    let mut order = Vec::new();
    for _ in 0..6 {
        let received = seen.recv().await.unwrap();
        order.push((event_type(&received).to_owned(), begin.elapsed().as_millis() / 100));
    }
    let expected = [("never", 0), ("beside", 0), ("never", 1), ("never", 3), ("never", 7), ("behind", 7)];
    assert_eq!(order, expected.map(|(name, at)| (name.to_owned(), at)));
    let aside = running.set_aside();
    assert_eq!(aside.len(), 1);
    assert!(std::str::from_utf8(&aside[0].received.body).unwrap().contains("never"), "with its bytes");
    assert_eq!(*told.lock().unwrap(), ["no endpoint could handle it in 4 attempt(s)"]);
    assert_eq!(running.counters().dead.get(), 1);
    idle(&broker, running).await;
}

#[tokio::test(start_paused = true)]
async fn an_endless_message_goes_back_to_the_broker_and_begins_anew_later() {
    let broker = MemoryBroker::new();
    let tried = Arc::new(AtomicUsize::new(0));
    let (send, mut seen) = mpsc::unbounded_channel();
    let handler = Handler::new(move |_| {
        let is_late = tried.fetch_add(1, Ordering::Relaxed) == 4;
        let _ = send.send(tokio::time::Instant::now());
        async move { if is_late { NotificationResult::Handled } else { NotificationResult::Requeue } }
    });
    let running = started(on(&broker).endpoint(handler).allow_requeue(true).requeue_endlessly()).await;
    let begin = tokio::time::Instant::now();
    publish(&broker, "never", &port("A", 1));
    let mut at = Vec::new();
    for _ in 0..5 {
        at.push((seen.recv().await.unwrap() - begin).as_millis() / 100);
    }
    // Pauses double up to the longest before the message is requeued.
    assert_eq!(at, [0, 1, 3, 7, 15]);
    until(|| running.counters().delivered.get() == 1).await;
    assert!(running.set_aside().is_empty());
    assert_eq!((running.counters().returned.get(), running.counters().dead.get()), (1, 0));
    idle(&broker, running).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_panics_or_fails_requeues_and_the_listener_goes_on() {
    /// An endpoint that panics before its future exists, in the future, or in its filter.
    struct Panics(AtomicUsize);
    impl Endpoint for Panics {
        fn wants(&self, head: &Head<'_>) -> bool {
            assert!(head.event_type.as_deref() != Some("question"), "asked");
            true
        }
        fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult> {
            let first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
            assert!(!(first && event_type(received) == "call"), "called");
            Box::pin(async move {
                assert!(!(first && event_type(received) == "future"), "polled");
                NotificationResult::Handled
            })
        }
    }
    for (event_type, attempts) in [("call", 2), ("future", 2), ("question", 1)] {
        let broker = MemoryBroker::new();
        let running = started(on(&broker).allow_requeue(true).endpoint(Panics(AtomicUsize::new(0)))).await;
        publish(&broker, event_type, &json!({}));
        until(|| running.counters().delivered.get() != 0).await;
        assert_eq!(running.counters().attempts.get(), attempts, "{event_type}");
        idle(&broker, running).await;
    }
    let broker = MemoryBroker::new();
    let tried = AtomicUsize::new(0);
    let fails_once = Handler::new(move |_| {
        let first = tried.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Err("not now") } else { Ok(()) } }
    });
    let running = started(on(&broker).allow_requeue(true).endpoint(fails_once)).await;
    publish(&broker, "x", &json!({}));
    until(|| running.counters().delivered.get() != 0).await;
    assert_eq!((running.counters().attempts.get(), running.counters().failures.get()), (2, 1));
    idle(&broker, running).await;
}

#[tokio::test(start_paused = true)]
async fn the_priority_of_the_body_decides_in_any_case_of_letters() {
    let broker = MemoryBroker::new();
    let (send, mut seen) = mpsc::unbounded_channel();
    let of = |name: &'static str, priorities: Vec<Priority>| {
        let send = send.clone();
        Handler::new(move |_| {
            let _ = send.send(name);
            async {}
        })
        .priorities(priorities)
    };
    let running = started(
        on(&broker)
            .endpoint(of("all", Priority::ALL.to_vec()))
            .endpoint(of("warn", vec![Priority::Warn]))
            .endpoint(of("notice", vec![Priority::Other("notice".to_owned())])),
    )
    .await;
    for (priority, expected) in [
        (json!("AUDIT"), vec!["all"]),
        (json!("debug"), vec!["all"]),
        (json!("Info"), vec!["all"]),
        (json!("WARN"), vec!["all", "warn"]),
        (json!("warn"), vec!["all", "warn"]),
        (json!("ERROR"), vec!["all"]),
        (json!("CRITICAL"), vec!["all"]),
        (json!("sAmPlE"), vec!["all"]),
        (json!("NOTICE"), vec!["notice"]),
        (json!("FATAL"), vec![]),
        (json!(null), vec![]),
    ] {
        let before = running.counters().received.get();
        broker.publish(&neutron(), &Priority::Info, body("x", &priority, &json!({})));
        until(|| running.counters().received.get() != before).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut got = Vec::new();
        while let Ok(name) = seen.try_recv() {
            got.push(name);
        }
        assert_eq!(got, expected, "{priority}");
    }
    assert_eq!(running.counters().unmatched.get(), 2);
    assert!(running.set_aside().is_empty());
    idle(&broker, running).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoints_want_is_what_is_bound() {
    let check = async |priorities: Vec<Vec<Priority>>, bound: &[&str]| {
        let broker = MemoryBroker::new();
        let mut builder = on(&broker).target(Target::new("nova", "versioned"));
        for priorities in priorities {
            builder = builder.endpoint(Handler::new(|_| async {}).priorities(priorities));
        }
        let running = started(builder).await;
        for (exchange, topic) in [("neutron", "notifications"), ("nova", "versioned")] {
            for name in ["audit", "debug", "info", "warn", "error", "critical", "sample", "notice"] {
                let key = format!("{topic}.{name}");
                let taken = broker.publish_raw(exchange, &key, "{}".into(), Properties::default());
                assert_eq!(taken == 1, bound.contains(&name), "{exchange} {key}");
            }
        }
        until(|| running.counters().received.get() >= 2 * bound.len() as u64).await;
        idle(&broker, running).await;
    };
    check(vec![vec![Priority::Info], vec![Priority::Info, Priority::Error]], &["info", "error"]).await;
    check(vec![vec![Priority::Other("notice".to_owned())]], &["notice"]).await;
    let all: Vec<_> = Priority::ALL.iter().map(Priority::as_str).collect();
    check(vec![Priority::ALL.to_vec()], &all).await;
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_bounded_and_order_is_kept() {
    let check = async |order: Order, concurrency: usize, beside: usize| {
        let broker = MemoryBroker::new();
        let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (send, mut seen) = mpsc::unbounded_channel();
        let watched = most.clone();
        let handler = Handler::new(move |received: ReceivedNotification| {
            let (under_way, most, send) = (under_way.clone(), watched.clone(), send.clone());
            async move {
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                let port = &received.notification().payload["port"];
                let _ = send.send((port["device_id"].as_str().unwrap().to_owned(), port["n"].as_u64()));
            }
        });
        let running = started(on(&broker).endpoint(handler).order(order).concurrency(concurrency)).await;
        for n in 0..40 {
            publish(&broker, "port.update.end", &port(&format!("device-{}", n % 8), n));
        }
        let mut by_device = std::collections::BTreeMap::<_, Vec<_>>::new();
        for _ in 0..40 {
            let (device, n) = seen.recv().await.unwrap();
            by_device.entry(device).or_default().push(n);
        }
        assert!(by_device.values().all(|numbers| numbers.is_sorted()), "{order:?} {by_device:?}");
        assert_eq!(most.load(Ordering::SeqCst), beside, "{order:?} {concurrency}");
        idle(&broker, running).await;
    };
    check(Order::PerResource, 64, 8).await;
    check(Order::PerResource, 3, 3).await;
    check(Order::PerQueue, 64, 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_brings_back_finds_its_first_copy() {
    let broker = MemoryBroker::new();
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let handler = Handler::new(move |_| {
        let wait = wait.clone();
        async move { wait.notified().await }
    });
    let running = started(on(&broker).endpoint(handler).prefetch(6)).await;
    for n in 0..5 {
        publish(&broker, "x", &json!({ "n": n }));
    }
    for lost in 1..=3 {
        until(|| running.counters().received.get() >= lost * 5).await;
        broker.disconnect_all();
    }
    until(|| running.counters().received.get() >= 20).await;
    assert_eq!((running.counters().matched.get(), running.counters().deduplicated.get()), (5, 15));
    for n in 5..50 {
        publish(&broker, "x", &json!({ "n": n }));
    }
    until(|| running.counters().received.get() >= 21).await;
    assert_eq!(broker.ready(POOL), 44, "no more than the prefetch is here");
    for _ in 0..1000 {
        go.notify_waiters();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((running.counters().attempts.get(), running.counters().delivered.get()), (50, 50));
    idle(&broker, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_settled_after_its_future_and_the_rest_goes_back() {
    let broker = MemoryBroker::new();
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let (send, mut begun) = mpsc::unbounded_channel();
    let handler = Handler::new(move |received: ReceivedNotification| {
        let (wait, send) = (wait.clone(), send.clone());
        async move {
            let _ = send.send(event_type(&received).to_owned());
            if event_type(&received) == "later" {
                return NotificationResult::Requeue;
            }
            wait.notified().await;
            NotificationResult::Handled
        }
    });
    let shared = Shutdown::new();
    let slow = RequeuePolicy { first: Duration::from_secs(60), ..quick() };
    let builder = on(&broker).allow_requeue(true).requeue_policy(slow).shutdown(&shared).endpoint(handler);
    let running = started(builder).await;
    publish(&broker, "later", &port("A", 0));
    publish(&broker, "under way", &port("B", 0));
    publish(&broker, "behind", &port("B", 1));
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    let time = tokio::time::Instant::now();
    shared.drain.cancel();
    let go_on = go.clone();
    let (ended, ()) = tokio::join!(running.wait(), async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        go_on.notify_one();
    });
    assert_eq!(ended.unwrap(), RunEnd::Drained);
    assert_eq!(time.elapsed().as_secs(), 1, "the pause of the requeued one is not waited for");
    assert!(begun.try_recv().is_err(), "what was not begun is not begun");
    assert_eq!(broker.ready(POOL), 2, "the requeued one and the one behind");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_given_up_at_the_deadline() {
    let broker = MemoryBroker::new();
    let running = started(on(&broker).endpoint(Handler::new(|_| std::future::pending::<()>()))).await;
    publish(&broker, "x", &json!({}));
    until(|| running.counters().attempts.get() != 0).await;
    assert_eq!(running.stop_within(Duration::from_secs(5)).await.unwrap(), RunEnd::DeadlinePassed);
    assert_eq!(broker.ready(POOL), 1, "unsettled, so it goes back");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_listener_waits_for_no_call() {
    let broker = MemoryBroker::new();
    let (inner, is_first) = (Arc::new(broker.transport()), Arc::new(AtomicBool::new(true)));
    let transport = ListenOnly::new(move |to, options| {
        let (inner, is_first) = (inner.clone(), is_first.clone());
        Box::pin(async move {
            if is_first.swap(false, Ordering::Relaxed) {
                return inner.listen(to, options).await;
            }
            Err(TransportError::TlsFiles { reason: "the CA file is gone".to_owned() })
        })
    });
    let builder = NotificationListener::on(Arc::new(transport)).target(neutron()).pool(POOL);
    let running = started(builder.endpoint(Handler::new(|_| std::future::pending::<()>()))).await;
    publish(&broker, "x", &json!({}));
    until(|| running.counters().attempts.get() != 0).await;
    broker.disconnect_all();
    let ended = tokio::time::timeout(SOON, running.wait()).await.expect("it does not wait for the call");
    assert!(matches!(ended, Err(TransportError::TlsFiles { .. })), "{ended:?}");
    assert_eq!(broker.ready(POOL), 1, "unsettled, so it comes again");
}

#[tokio::test(start_paused = true)]
async fn a_message_nobody_kept_stays_with_the_broker() {
    let broker = MemoryBroker::new();
    let running = started(
        on(&broker).endpoint(Handler::new(|_| async {})).on_set_aside(|_| panic!("the disk is full")),
    )
    .await;
    broker.publish_raw("neutron", "notifications.info", "not json".into(), Properties::default());
    until(|| running.counters().quarantined.get() != 0).await;
    running.stop();
    running.wait().await.unwrap();
    assert_eq!(broker.ready(POOL), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_goes_back_for_ever_is_no_match_and_is_counted() {
    let broker = MemoryBroker::new();
    let (handler, mut seen) = noting(|_| NotificationResult::Handled);
    let catastrophic = Pattern::new(r"(?=.*)(a|aa)+\1$").unwrap();
    let filter = NotificationFilter {
        event_type: Some(catastrophic.clone()),
        payload: [("k".to_owned(), catastrophic)].into(),
        ..NotificationFilter::default()
    };
    let running = started(on(&broker).endpoint(handler.filter(filter))).await;
    let hard = "a".repeat(60) + "b";
    publish(&broker, &hard, &json!({"k": "aaa"}));
    publish(&broker, "aaa", &json!({ "k": hard }));
    publish(&broker, "aaa", &json!({"k": "aaa"}));
    assert_eq!(event_type(&seen.recv().await.unwrap()), "aaa");
    assert_eq!((running.counters().step_limits.get(), running.counters().unmatched.get()), (2, 2));
    idle(&broker, running).await;
}

#[test]
fn what_cannot_work_is_an_error_when_it_is_built() {
    let broker = MemoryBroker::new();
    let check = |builder: Builder, message: &str| {
        let error = builder.build().err().map(|error: BuildError| error.to_string());
        assert_eq!(error.as_deref(), Some(message));
    };
    let nobody = || Handler::new(|_| async {});
    let transport = || Arc::new(broker.transport());
    check(
        NotificationListener::on(transport()).endpoint(nobody()),
        "nothing to listen to: give at least one target",
    );
    check(on(&broker), "nobody to notify: give at least one endpoint");
    check(
        on(&broker).endpoint(nobody().priorities([])),
        "no endpoint has a priority: nothing would be bound",
    );
    check(on(&broker).endpoint(nobody()).prefetch(0), "prefetch is 0: at least 1");
    check(on(&broker).endpoint(nobody()).concurrency(0), "concurrency is 0: at least 1");
    check(
        NotificationListener::on(no_requeue()).target(neutron()).endpoint(nobody()).allow_requeue(true),
        "allow_requeue is not supported by nowhere: leave it out, or use another transport",
    );
    let patient = RequeuePolicy { attempts: NonZeroU32::new(100).unwrap(), ..RequeuePolicy::default() };
    check(
        on(&broker).endpoint(nobody()).allow_requeue(true).requeue_policy(patient),
        "a message that is requeued 100 times would wait for more than 900s, and the broker would end the connection \
         over it: fewer attempts, or shorter pauses",
    );
    let pigeon = TransportUrl::parse("carrierpigeon://127.0.0.1:9/").unwrap();
    let error = NotificationListener::builder(&pigeon).target(neutron()).endpoint(nobody()).build().err();
    assert!(matches!(error, Some(BuildError::Transport(_))));
    let builder = NotificationListener::on(no_requeue()).target(neutron()).endpoint(nobody());
    assert!(builder.build().is_ok());
}
