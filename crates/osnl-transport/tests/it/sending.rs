use std::time::Duration;

use futures_util::future::join_all;
use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Broker, ListenOnly, Vhost};
use osnl_transport::{
    Batch, Declare, IncomingMessage, ListenOptions, MemoryBroker, OutgoingMessage, Properties, QueueKind,
    Transport, TransportError,
};

use crate::session::transport;

const SOON: Duration = Duration::from_secs(60);

fn transports() -> (Vec<Box<dyn Transport>>, Vhost) {
    let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("sending"));
    let rabbit = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    (vec![Box::new(MemoryBroker::new().transport()), rabbit], vhost)
}

fn target() -> Target {
    Target::new("neutron", "notifications")
}

fn outgoing(number: usize) -> OutgoingMessage {
    OutgoingMessage::json(number.to_string().into_bytes())
}

async fn taken(transport: &dyn Transport, priority: Priority, count: usize) -> Vec<IncomingMessage> {
    let options = ListenOptions::new(None, 0, Declare::Passive, QueueKind::OSLO);
    let to = [(target(), priority)];
    let mut consumer = transport.listen(&to, &options).await.unwrap();
    let mut batch = Batch::with_limit(count);
    while batch.len() < count {
        tokio::time::timeout(SOON, consumer.poll(&mut batch)).await.expect("all messages").unwrap();
    }
    batch.drain().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_read_in_order_however_many_are_in_flight() {
    let (transports, _vhost) = transports();
    for transport in transports {
        assert!(transport.features().send);
        let (target, priority) = (target(), Priority::Info);
        let sent = join_all((0..3000).map(|n| transport.send(&target, &priority, outgoing(n)))).await;
        sent.into_iter().collect::<Result<(), _>>().unwrap();
        let messages = taken(&*transport, priority.clone(), 3000).await;
        let numbers: Vec<usize> =
            messages.iter().map(|m| std::str::from_utf8(&m.body).unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{}: {:?}", transport.location(), &numbers[..100]);
        assert_eq!((numbers[0], numbers[2999]), (0, 2999));
        let first = &messages[0];
        assert_eq!((first.exchange.as_str(), first.routing_key.as_str()), ("neutron", "notifications.info"));
        assert_eq!(first.properties.content_type.as_deref(), Some("application/json"));
        assert_eq!(first.properties.content_encoding.as_deref(), Some("utf-8"));
        transport.close().await;
        transport.send(&target, &priority, outgoing(0)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_go_along() {
    let (transports, _vhost) = transports();
    for transport in transports {
        let properties = Properties {
            content_type: None,
            content_encoding: Some("latin-1".into()),
            compression: Some("application/x-gzip".to_owned()),
        };
        let message = OutgoingMessage { properties, ..outgoing(1) };
        transport.send(&target(), &Priority::Audit, message).await.unwrap();
        let read = taken(&*transport, Priority::Audit, 1).await.remove(0).properties;
        assert_eq!((read.content_type, read.content_encoding.as_deref()), (None, Some("latin-1")));
        assert_eq!(read.compression.as_deref(), Some("application/x-gzip"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_unless_asked_for_and_what_no_queue_takes_is_told_if_asked_for() {
    let (transports, vhost) = transports();
    for transport in transports {
        let (target, priority) = (target(), Priority::Info);
        let passive = || OutgoingMessage { declare: Declare::Passive, ..outgoing(1) };
        let error = transport.send(&target, &priority, passive()).await.unwrap_err();
        assert!(matches!(&error, TransportError::Refused { .. }) && error.is_recoverable(), "{error}");
        assert!(
            error.to_string().starts_with("publish to exchange \"neutron\": it does not exist"),
            "{error}"
        );
        transport.send(&target, &Priority::Error, outgoing(1)).await.unwrap();
        transport.send(&target, &priority, passive()).await.unwrap();
        let mandatory = OutgoingMessage { mandatory: true, ..passive() };
        let error = transport.send(&target, &priority, mandatory.clone()).await.unwrap_err();
        let TransportError::Unroutable { exchange, routing_key } = &error else { panic!("{error:?}") };
        assert_eq!((exchange.as_str(), routing_key.as_str()), ("neutron", "notifications.info"));
        assert!(!error.is_recoverable());
        transport.send(&target, &Priority::Error, mandatory).await.unwrap();
    }
    let queues = tokio::task::block_in_place(|| vhost.list_queues());
    assert_eq!(queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["notifications.error"]);
}

/// A send that is given up must not leave its return behind for the next to find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandatory_send_that_was_given_up_does_not_fail_the_next() {
    let (transports, _vhost) = transports();
    for transport in transports {
        let target = target();
        transport.send(&target, &Priority::Error, outgoing(1)).await.unwrap();
        let mandatory = OutgoingMessage { mandatory: true, declare: Declare::Passive, ..outgoing(1) };
        for _ in 0..50 {
            let unbound = transport.send(&target, &Priority::Info, mandatory.clone());
            let _ = tokio::time::timeout(Duration::from_micros(300), unbound).await;
            transport.send(&target, &Priority::Error, mandatory.clone()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_transport_that_only_listens_says_so() {
    let deaf = ListenOnly::new(|_, _| Box::pin(async { Err(TransportError::Lost { reason: "-".into() }) }));
    let error = deaf.send(&target(), &Priority::Info, outgoing(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "nowhere: this transport publishes nothing");
}

/// A service that makes its exchange anew knows nothing of the queue that osnl has made and bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_arrives_after_the_exchange_was_deleted_and_made_again() {
    let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("sending-anew"));
    let sends = || transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    let (sender, other) = (sends(), sends());
    sender.send(&target(), &Priority::Info, outgoing(1)).await.unwrap();
    vhost.delete_exchange("neutron");
    other.send(&target(), &Priority::Error, outgoing(2)).await.unwrap();
    let until = tokio::time::Instant::now() + SOON;
    while vhost.queue_depth("notifications.info") == Some((1, 0)) {
        assert!(tokio::time::Instant::now() < until, "the queue is not bound again");
        sender.send(&target(), &Priority::Info, outgoing(3)).await.unwrap();
    }
}
