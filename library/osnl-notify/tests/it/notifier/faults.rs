use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use osnl_notify::notifier::{Confirm, Context, Driver, NotifyError, OnFull, Retry};
use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, until, wait_until};
use osnl_transport::{Declare, TransportError};
use serde_json::Value;

use super::{LONG, builder, rabbit, runtime};

fn drained(peer: &mut OsloPublisher, queue: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(message) = peer.take(queue) {
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        numbers.push(body["payload"].as_u64().unwrap());
    }
    numbers
}

#[test]
fn nothing_confirmed_is_missing_after_the_broker_was_killed_and_restarted_while_publishing() {
    let broker = Arc::new(Broker::start());
    let url = format!("{}?amqp_durable_queues=1", broker.url());
    let confirmed: BTreeSet<u64> = runtime().block_on(async {
        let notifier = builder(rabbit(&url), Driver::Messaging).buffer(200).build().unwrap();
        let emitted = async {
            let context = Context::new();
            let mut confirmed = BTreeSet::new();
            for some in (0..4000_u64).collect::<Vec<_>>().chunks(100) {
                let sends = some.iter().map(|n| {
                    let (notifier, context) = (&notifier, &context);
                    async move { (*n, notifier.info(context, "e", n).await) }
                });
                for (n, sent) in join_all(sends).await {
                    sent.unwrap();
                    confirmed.insert(n);
                }
            }
            confirmed
        };
        let faults = async {
            until(LONG, "confirmed messages", async || notifier.counters().confirmed.get() >= 500).await;
            // The node takes seconds to stop, and the emission continues meanwhile.
            let broker = broker.clone();
            let fault = move || {
                broker.kill9();
                broker.start_again();
            };
            tokio::task::spawn_blocking(fault).await.unwrap();
        };
        let (confirmed, ()) = tokio::join!(emitted, faults);
        notifier.close(LONG).await.unwrap();
        assert!(notifier.counters().retried.get() > 0, "nothing was in flight when the broker went");
        confirmed
    });
    let mut peer = OsloPublisher::start(&broker.url(), PublisherOptions { durable: true });
    let found: BTreeSet<u64> = drained(&mut peer, "notifications.info").into_iter().collect();
    let missing: Vec<_> = confirmed.difference(&found).collect();
    assert!(confirmed.len() == 4000 && missing.is_empty(), "confirmed and not there: {missing:?}");

    // The node has no memory left: it accepts no message until the alarm is over.
    broker.ctl(&["set_vm_memory_high_watermark", "0"]);
    wait_until(LONG, "the alarm", || broker.has_alarm());
    runtime().block_on(async {
        let transport = rabbit(&url);
        let notifier = builder(transport, Driver::Messaging)
            .confirm(Confirm::Awaited(Duration::from_millis(200)))
            .build()
            .unwrap();
        let context = Context::new();
        let error = notifier.info(&context, "e", &4000).await.unwrap_err();
        assert!(matches!(error, NotifyError::NotYet { .. }), "{error}");
        broker.ctl(&["set_vm_memory_high_watermark", "0.9"]);
        notifier.close(LONG).await.unwrap();
        assert_eq!((notifier.counters().confirmed.get(), notifier.counters().lost.get()), (1, 0));
    });
    assert_eq!(drained(&mut peer, "notifications.info"), [4000]);
}

#[test]
fn a_closed_connection_is_opened_again_by_the_next_emission() {
    let vhost = Broker::shared().vhost("notifier");
    runtime().block_on(async {
        let notifier = builder(rabbit(&vhost.url()), Driver::Messaging).build().unwrap();
        for n in 0..3 {
            notifier.info(&Context::new(), "e", &n).await.unwrap();
            // One connection serves them all, and the broker may still end the one before.
            until(LONG, "the one connection", async || vhost.connections() == 1).await;
            vhost.close_all_connections("test");
        }
        notifier.close(LONG).await.unwrap();
    });
    let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    assert_eq!(drained(&mut peer, "notifications.info"), [0, 1, 2]);
}

#[test]
fn what_no_queue_takes_is_told_for_each_message_and_not_tried_again() {
    let vhost = Broker::shared().vhost("notifier");
    let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    peer.prepare(&osnl_testkit::BrokerObjects {
        exchange: "nova".to_owned(),
        queue: "bound".to_owned(),
        routing_keys: vec!["notifications.error".to_owned()],
        ..osnl_testkit::BrokerObjects::default()
    });
    runtime().block_on(async {
        let notifier = builder(rabbit(&vhost.url()), Driver::Messaging)
            .declare(Declare::Passive)
            .mandatory(true)
            .build()
            .unwrap();
        let context = Context::new();
        let (yes, no) = (0..50_u64, 50..100_u64);
        let sent =
            join_all(
                yes.clone().zip(no).map(|(yes, no)| {
                    let (notifier, context) = (&notifier, &context);
                    async move {
                        tokio::join!(notifier.error(context, "e", &yes), notifier.info(context, "e", &no))
                    }
                }),
            )
            .await;
        for (bound, unbound) in sent {
            bound.unwrap();
            let error = unbound.unwrap_err();
            let NotifyError::Lost { attempts: 1, source: TransportError::Unroutable { .. } } = &error else {
                panic!("{error:?}")
            };
            assert!(error.to_string().contains("no queue is bound to exchange \"nova\""), "{error}");
        }
        let unsent = notifier.close(LONG).await.unwrap_err();
        assert_eq!((unsent.waiting, unsent.lost), (0, 50));
    });
    assert_eq!(drained(&mut peer, "bound"), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_missing_exchange_that_is_left_to_its_service_is_no_reason_to_wait_longer_than_told() {
    let vhost = Broker::shared().vhost("notifier");
    runtime().block_on(async {
        let notifier = builder(rabbit(&vhost.url()), Driver::Messaging).retry(Retry::Times(0));
        let notifier = notifier.declare(Declare::Passive).build().unwrap();
        let error = notifier.info(&Context::new(), "e", &()).await.unwrap_err().to_string();
        assert!(error.contains("\"nova\"") && error.contains("declare = create"), "{error}");
    });
    assert_eq!(vhost.list_exchanges(), []);
}

#[test]
fn a_dead_broker_blocks_nobody_longer_than_told_and_every_loss_is_counted() {
    let sink = osnl_testkit::Sink::start();
    sink.stop();
    let url = format!("rabbit://u:S3CRET@127.0.0.1:{}/", sink.port());
    runtime().block_on(async {
        let short = Duration::from_millis(50);
        let context = Context::new();
        let retried = builder(rabbit(&url), Driver::MessagingV2)
            .buffer(2)
            .confirm(Confirm::Awaited(short))
            .on_full(OnFull::Wait(short))
            .build()
            .unwrap();
        for _ in 0..2 {
            let error = retried.info(&context, "e", &()).await.unwrap_err();
            assert!(matches!(error, NotifyError::NotYet { .. }), "{error}");
        }
        let error = retried.info(&context, "e", &()).await.unwrap_err();
        assert!(matches!(error, NotifyError::Full { capacity: 2 }), "{error}");
        assert_eq!(retried.counters().refused.get(), 1);
        let unsent = retried.flush(short).await.unwrap_err();
        assert_eq!((unsent.waiting, unsent.lost), (2, 0));
        assert!(!unsent.to_string().contains("S3CRET"));
        let unsent = retried.close(short).await.unwrap_err();
        assert_eq!(unsent.waiting, 2);
        assert_eq!(retried.counters().lost.get(), 2);
        assert!(matches!(retried.info(&context, "e", &()).await, Err(NotifyError::Closed)));

        let once = builder(rabbit(&url), Driver::MessagingV2).retry(Retry::Times(0)).build().unwrap();
        let again = once.prepare(None, Some(Retry::Times(1)));
        let (once, again) = tokio::join!(once.info(&context, "e", &()), again.info(&context, "e", &()));
        let attempts = |result: Result<(), NotifyError>| match result {
            Err(NotifyError::Lost { attempts, source: TransportError::Connect { .. } }) => attempts,
            other => panic!("{other:?}"),
        };
        assert_eq!(attempts(once), 1);
        assert_eq!(attempts(again), 2);
    });
}
