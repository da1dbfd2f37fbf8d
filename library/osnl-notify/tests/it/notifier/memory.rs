use std::sync::Arc;
use std::time::Duration;

use osnl_model::Priority;
use osnl_notify::notifier::{BuildError, Confirm, Context, Driver, Notifier, OnFull, Recorder, Retry};
use osnl_transport::{Declare, MemoryBroker};
use serde_json::json;

use super::{LONG, builder};

#[tokio::test]
async fn several_drivers_get_the_same_notification_and_noop_alone_is_not_enabled() {
    let broker = MemoryBroker::new();
    let recorder = Recorder::new();
    let notifier = builder(Arc::new(broker.transport()), Driver::MessagingV2)
        .driver(Driver::Messaging)
        .driver(Driver::Log)
        .driver(Driver::Noop)
        .driver(Driver::Test(recorder.clone()))
        .topics(["a", "b"])
        .build()
        .unwrap();
    assert!(notifier.is_enabled());
    let other = notifier.prepare(Some("compute.node2"), None);
    notifier.sample(&Context::new().with("k", &1).unwrap(), "e1", &json!({"p": 1})).await.unwrap();
    other.audit(&Context::new(), "e2", "text").await.unwrap();
    assert_eq!((broker.ready("a.sample"), broker.ready("b.sample"), broker.ready("a.audit")), (2, 2, 2));
    let recorded: Vec<_> = recorder
        .take()
        .into_iter()
        .map(|r| {
            (r.publisher_id.unwrap(), r.event_type.unwrap(), r.priority.unwrap(), r.payload.get().to_owned())
        })
        .collect();
    let expected = [
        ("compute.node1", "e1", Priority::Sample, "{\"p\": 1}"),
        ("compute.node2", "e2", Priority::Audit, "\"text\""),
    ];
    assert_eq!(recorded, expected.map(|(p, e, r, t)| (p.to_owned(), e.to_owned(), r, t.to_owned())));
    assert!(recorder.take().is_empty());

    let quiet = Notifier::builder("p").driver(Driver::Noop).build().unwrap();
    quiet.info(&Context::new(), "e", &()).await.unwrap();
    quiet.flush(LONG).await.unwrap();
    assert!(!quiet.is_enabled() && quiet.counters().emitted.get() == 1);
    assert!(!Notifier::builder("p").build().unwrap().is_enabled());
}

#[tokio::test(start_paused = true)]
async fn in_the_background_a_broker_that_is_away_keeps_nobody_waiting_and_gets_everything_in_order() {
    let broker = MemoryBroker::new();
    broker.set_down(true);
    let notifier = builder(Arc::new(broker.transport()), Driver::Messaging)
        .confirm(Confirm::Background)
        .on_full(OnFull::Error)
        .buffer(10)
        .build()
        .unwrap();
    for n in 0..10 {
        notifier.info(&Context::new(), "e", &n).await.unwrap();
    }
    notifier.info(&Context::new(), "e", &10).await.unwrap_err();
    let unsent = notifier.flush(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(
        unsent.to_string(),
        "10 messages are not confirmed by the broker, 0 were given up: memory: the broker is down"
    );
    broker.set_down(false);
    notifier.flush(Duration::from_secs(2)).await.unwrap();
    assert_eq!((broker.ready("notifications.info"), notifier.counters().confirmed.get()), (10, 10));
    assert_eq!(notifier.counters().refused.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_for_each_message() {
    let broker = MemoryBroker::new();
    broker.set_down(true);
    let notifier = builder(Arc::new(broker.transport()), Driver::Messaging).build().unwrap();
    let context = Context::new();
    for times in [0, 1, 3] {
        let begun = tokio::time::Instant::now();
        let prepared = notifier.prepare(None, Some(Retry::Times(times)));
        let error = prepared.info(&context, "e", &()).await.unwrap_err().to_string();
        let expected = format!("given up after {} attempts: memory: the broker is down", times + 1);
        assert_eq!(error, expected);
        // One attempt about each second, and one pause of the attempt before.
        assert!(begun.elapsed() <= Duration::from_secs(u64::from(times) + 1), "{:?}", begun.elapsed());
    }
    assert_eq!(notifier.counters().lost.get(), 3);
    assert_eq!(notifier.flush(LONG).await.unwrap_err().lost, 3);
    notifier.flush(LONG).await.unwrap();
}

#[test]
fn what_cannot_be_built_says_why() {
    let broker: Arc<dyn osnl_transport::Transport> = Arc::new(MemoryBroker::new().transport());
    let check = |result: Result<Notifier, BuildError>, expected: BuildError| {
        assert_eq!(result.map(|_| ()).unwrap_err(), expected);
    };
    check(Notifier::builder("p").driver(Driver::Messaging).build(), BuildError::NoTransport);
    let none: [&str; 0] = [];
    check(builder(broker.clone(), Driver::Messaging).topics(none).build(), BuildError::NoTopic);
    let small = builder(broker.clone(), Driver::Messaging).topics(["a", "b"]).buffer(1).build();
    check(small, BuildError::SmallBuffer { capacity: 1, needed: 2 });
    check(builder(broker, Driver::Messaging).build(), BuildError::NoRuntime);
    assert!("routing".parse::<Driver>().unwrap_err().contains("allowed are messaging, messagingv2"));
    for (number, retry) in [(-1, Retry::Forever), (0, Retry::Times(0)), (7, Retry::Times(7))] {
        assert_eq!(Retry::from_oslo(number), retry);
    }
}

/// A temporarily refused message waits alone; the gate is for an unreachable broker.
#[tokio::test(start_paused = true)]
async fn a_missing_exchange_keeps_the_notifications_for_another_exchange_waiting_for_nothing() {
    let broker = MemoryBroker::new();
    let there = builder(Arc::new(broker.transport()), Driver::Messaging).build().unwrap();
    there.info(&Context::new(), "e", &0).await.unwrap();
    let notifier = builder(Arc::new(broker.transport()), Driver::Messaging)
        .exchange("missing")
        .declare(Declare::Passive)
        .confirm(Confirm::Background)
        .build()
        .unwrap();
    notifier.info(&Context::new(), "e", &0).await.unwrap();
    notifier.flush(Duration::from_secs(5)).await.unwrap_err();
    let other = notifier.to(&osnl_notify::versioned::Topics::from_option("nova", "notifications")).unwrap();
    for n in 0..100 {
        other.info(&Context::new(), "e", &n).await.unwrap();
    }
    let unsent = notifier.flush(Duration::from_secs(3600)).await.unwrap_err();
    assert_eq!((unsent.waiting, unsent.lost, notifier.counters().confirmed.get()), (1, 0, 100));
    assert_eq!(broker.ready("notifications.info"), 101);
    // A retry finds the new exchange within the longest pause.
    let maker = builder(Arc::new(broker.transport()), Driver::Messaging).exchange("missing").build().unwrap();
    maker.info(&Context::new(), "e", &1).await.unwrap();
    notifier.flush(Duration::from_secs(31)).await.unwrap();
    assert_eq!(notifier.counters().confirmed.get(), 101);
}

/// The pause is the message's own, and its attempts count as usual.
#[tokio::test(start_paused = true)]
async fn what_is_refused_each_time_is_given_up_after_its_own_attempts() {
    let broker = MemoryBroker::new();
    let notifier =
        builder(Arc::new(broker.transport()), Driver::Messaging).declare(Declare::Passive).build().unwrap();
    let begun = tokio::time::Instant::now();
    let prepared = notifier.prepare(None, Some(Retry::Times(3)));
    let error = prepared.info(&Context::new(), "e", &()).await.unwrap_err().to_string();
    assert!(error.starts_with("given up after 4 attempts: publish to exchange \"nova\""), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 7);
}
