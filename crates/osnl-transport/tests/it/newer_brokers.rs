use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::amqp::protocol::{AMQPClass, queue};
use osnl_testkit::amqp::{Habits, ScriptedBroker};
use osnl_transport::{
    Batch, Consumer, Declare, ListenOptions, QueueKind, QueueType, Transport, TransportError, Window,
};

use crate::session::transport;

fn connects_to(broker: &ScriptedBroker) -> Box<dyn Transport> {
    transport(&TransportUrl::parse(&broker.url()).unwrap()).unwrap()
}

async fn listen(transport: &dyn Transport, queue: QueueKind) -> Result<Box<dyn Consumer>, TransportError> {
    let to = [(Target::new("neutron", "notifications"), Priority::Info)];
    let options = ListenOptions::new(Some("p"), 10, Declare::Create, queue);
    transport.listen(&to, &options).await
}

fn declared(broker: &ScriptedBroker) -> Vec<bool> {
    let asked = broker.asked().into_iter();
    asked
        .filter_map(|method| match method {
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) if !declare.passive => {
                Some(declare.durable)
            }
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn where_transient_queues_are_refused_the_second_attempt_declares_a_durable_one_and_says_so() {
    let broker = ScriptedBroker::start(Habits { refuses_transient_queues: true, ..Habits::default() });
    let transport = connects_to(&broker);
    let first = listen(&*transport, QueueKind::OSLO).await.err().expect("a refusal");
    assert!(first.to_string().contains("541"), "{first}");
    // The operator has nothing to correct: the next attempt follows soon, and the start continues.
    assert!(first.is_recoverable() && !first.is_refused_access(), "{first:?}");
    assert!(!matches!(first, TransportError::Refused { .. }));

    let consumer = listen(&*transport, QueueKind::OSLO).await.unwrap();
    let found = consumer.subscription();
    assert_eq!((found.durable, found.created), (Some(true), true));
    assert!(found.remarks.iter().any(|remark| remark.contains("declared durable")), "{:?}", found.remarks);
    assert_eq!(declared(&broker), [false, true, true]);
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_used_as_it_is_whatever_the_version_s_words() {
    let in_queue = |argument: &str, rest: &str| {
        format!("PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'p' in vhost '/': {rest}")
    };
    let quorum = "received none but current is the value 'quorum' of type 'longstr'";
    for (kind, text, durable) in [
        (QueueKind::OSLO, in_queue("durable", "received 'false' but current is 'true'"), Some(true)),
        (QueueKind::DURABLE, in_queue("durable", "received 'true' but current is 'false'"), Some(false)),
        (QueueKind::OSLO, in_queue("auto_delete", "received 'false' but current is 'true'"), Some(false)),
        // The words of 3.8 and later, and of 3.6 without the types of values.
        (QueueKind::DURABLE, in_queue("x-queue-type", quorum), Some(true)),
        (QueueKind::DURABLE, in_queue("x-queue-type", "received none but current is 'quorum'"), Some(true)),
        (
            QueueKind::DURABLE,
            in_queue(
                "x-single-active-consumer",
                "received the value 'true' of type 'bool' but current is none",
            ),
            Some(true),
        ),
        (QueueKind::OSLO, "PRECONDITION_FAILED - queue 'p' is of another type".to_owned(), None),
    ] {
        let broker = ScriptedBroker::start(Habits { inequivalent: Some(text.clone()), ..Habits::default() });
        broker.publish("neutron", "notifications.info", "{}");
        let mut consumer =
            listen(&*connects_to(&broker), kind).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let found = consumer.subscription();
        assert_eq!((found.durable, found.created, found.waiting), (durable, false, 1), "{text}");
        let differs = found.open[0].differs.as_deref().unwrap_or_default();
        let named = text.split('\'').nth(1).filter(|_| text.contains("arg '"));
        assert!(differs.contains(named.unwrap_or(&text)), "{differs}");
        let (mut window, mut batch) = (Window::new(found.epoch), Batch::with_limit(1));
        consumer.poll(&mut batch).await.unwrap();
        window.admit(&batch);
        let message = batch.drain().next().unwrap();
        assert!(!message.redelivered);
        window.acknowledge(message).unwrap();
        consumer.flush(&mut window).await.unwrap();
        consumer.close().await;
        assert_eq!(broker.depth(), (0, 0), "{text}");
    }
}

/// RabbitMQ 4.3 compares the time last, so everything else is equal, and a policy can set the time.
#[tokio::test]
async fn a_queue_that_changes_hands_late_is_as_ours_and_the_policy_is_named() {
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-consumer-disconnected-timeout' for queue 'p' in vhost '/': \
                received the value '20000' of type 'signedint' but current is none";
    let broker = ScriptedBroker::start(Habits { inequivalent: Some(text.to_owned()), ..Habits::default() });
    let kind = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    let consumer = listen(&*connects_to(&broker), kind).await.unwrap();
    let found = consumer.subscription();
    let open = &found.open[0];
    assert_eq!((&open.differs, open.queue_type, open.durable), (&None, Some(QueueType::Quorum), Some(true)));
    let remark = found.remarks.iter().find(|remark| remark.contains("found none"));
    let command = "rabbitmqctl set_policy -p / --apply-to quorum_queues osnl-p '^p$' '{\"consumer-disconnected-timeout\": 20000}'";
    assert!(remark.is_some_and(|remark| remark.contains(command)), "{:?}", found.remarks);
    consumer.close().await;
}

#[tokio::test]
async fn a_consumer_that_timed_out_ends_recoverably_in_the_broker_s_words() {
    let broker = ScriptedBroker::start(Habits::default());
    broker.publish("neutron", "notifications.info", "{}");
    let mut consumer = listen(&*connects_to(&broker), QueueKind::OSLO).await.unwrap();
    let mut batch = Batch::with_limit(1);
    consumer.poll(&mut batch).await.unwrap();
    broker.time_out_consumers();
    batch.drain().for_each(drop);
    let error = consumer.poll(&mut batch).await.expect_err("the channel is closed");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    let said = error.to_string();
    assert!(said.contains("406") && said.contains("Timeout value used: 1800000 ms"), "{said}");
    assert_eq!(broker.depth(), (1, 0));
}
