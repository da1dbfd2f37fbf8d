use std::sync::Arc;
use std::time::Duration;

use osnl_notify::notifier::{BuildError, Confirm, Context, Driver, Notifier, OnFull};
use osnl_notify::versioned::{
    Level, Outlet, Threshold, Topics, VersionedNotification, VersionedObject, ironic::NotificationPublisher,
};
use osnl_transport::MemoryBroker;
use tokio::time::Instant;

use super::builder;
use crate::log::Log;

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct Count {
    n: i64,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "x", version = "1.0")]
struct CountedEvent {
    payload: Count,
    level: Level,
    event_type: String,
    publisher: NotificationPublisher,
}

fn emit(outlet: &Outlet, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let publisher = NotificationPublisher::new("x-api", "h");
        CountedEvent::new(Count { n }, "e".to_owned(), publisher, Level::Warning)
            .emit(outlet, &Context::new());
    }
}

fn outlet(notifier: &Notifier, topics: &str) -> Outlet {
    let topics = Topics::from_option("x", topics);
    Outlet::new(notifier.to(&topics).unwrap(), Threshold::Always)
}

/// `confirm` and `on_full` apply only to callers that await.
#[tokio::test(start_paused = true)]
async fn a_full_buffer_loses_what_it_counts_and_says_so_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let broker = MemoryBroker::new();
    broker.set_down(true);
    let notifier = builder(Arc::new(broker.transport()), Driver::MessagingV2)
        .confirm(Confirm::Awaited(Duration::from_secs(60)))
        .on_full(OnFull::Wait(Duration::from_secs(60)))
        .buffer(10)
        .build()
        .unwrap();
    let outlet = outlet(&notifier, "a,b");
    let begun = Instant::now();
    emit(&outlet, 0..20);
    let counters = notifier.counters();
    assert_eq!((counters.unplaced.get(), counters.lost.get(), begun.elapsed()), (15, 30, Duration::ZERO));
    let unsent = notifier.flush(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((unsent.waiting, unsent.lost), (10, 30));
    broker.set_down(false);
    notifier.flush(Duration::from_secs(5)).await.unwrap();
    emit(&outlet, 20..22);
    notifier.flush(Duration::from_secs(5)).await.unwrap();
    assert_eq!(
        (broker.ready("a.warn"), broker.ready("b.warn"), broker.ready("notifications.warn")),
        (7, 7, 0)
    );
    notifier.close(Duration::from_secs(5)).await.unwrap();
    emit(&outlet, 22..24);

    let lines = log.lines();
    let said: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("lost") || line.contains("place"))
        .collect();
    assert_eq!(
        said,
        [
            "ERROR a notification is lost, and so are those that follow it event.type=\"e\" error=\"all 10 places of the \
             notifier's buffer are taken\"",
            "INFO the notifier's buffer has room again; notifications were lost while it was full lost=15",
            "ERROR a notification is lost, and so are those that follow it event.type=\"e\" error=\"the notifier is closed\"",
        ]
    );
}

#[tokio::test]
async fn a_notifier_that_sends_nothing_closes_its_outlet() {
    let outlet = |drivers: &[Driver]| {
        let builder = drivers.iter().fold(Notifier::builder("p"), |all, driver| all.driver(driver.clone()));
        Outlet::new(builder.build().unwrap(), Threshold::Always).passes(Level::Critical)
    };
    assert!(!outlet(&[]) && !outlet(&[Driver::Noop]) && outlet(&[Driver::Noop, Driver::Log]));
}

#[tokio::test]
async fn other_topics_must_fit_into_the_buffer_too() {
    let broker = MemoryBroker::new();
    let notifier = builder(Arc::new(broker.transport()), Driver::Messaging).buffer(1).build().unwrap();
    let check = |topics: &str, expected: BuildError| {
        let error = notifier.to(&Topics::from_option("x", topics)).map(|_| ()).unwrap_err();
        assert_eq!(error, expected);
    };
    check(" , ", BuildError::NoTopic);
    check("a, b", BuildError::SmallBuffer { capacity: 1, needed: 2 });
}
