//! RabbitMQ 4.3 and later close the connection with 541 over a queue that is neither durable nor exclusive.

use amq_protocol::protocol::{AMQPClass, basic, channel, connection, exchange, queue};
use osnl_model::{Priority, Target, TransportUrl};
use osnl_transport::{Declare, ListenOptions, QueueKind, TransportError, transport};

use crate::scripted::Scripted;

/// As such a broker answers: no queue is there yet, and only a durable one may be made.
fn newer_broker(method: &AMQPClass) -> Option<AMQPClass> {
    Some(match method {
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(_)) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
        }
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) if declare.passive => {
            let close = channel::Close {
                reply_code: 404,
                reply_text: "NOT_FOUND - no queue 'p' in vhost '/'".into(),
                class_id: 50,
                method_id: 10,
            };
            AMQPClass::Channel(channel::AMQPMethod::Close(close))
        }
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) if !declare.durable => {
            let close = connection::Close {
                reply_code: 541,
                reply_text: "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.".into(),
                class_id: 50,
                method_id: 10,
            };
            AMQPClass::Connection(connection::AMQPMethod::Close(close))
        }
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
            let ok = queue::DeclareOk { queue: declare.queue.clone(), message_count: 0, consumer_count: 0 };
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))
        }
        AMQPClass::Queue(queue::AMQPMethod::Bind(_)) => {
            AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Consume(_)) => {
            let ok = basic::ConsumeOk { consumer_tag: "c".into() };
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok))
        }
        _ => return None,
    })
}

#[tokio::test]
async fn the_second_attempt_declares_a_durable_queue_and_says_so() {
    let broker = Scripted::start(newer_broker);
    let transport = transport(&TransportUrl::parse(&broker.url()).unwrap()).unwrap();
    let to = [(Target::new("neutron", "notifications"), Priority::Info)];
    let options = ListenOptions {
        pool: Some("p".to_owned()),
        prefetch: 10,
        declare: Declare::Create,
        queue: QueueKind::OSLO,
    };
    let first = transport.listen(&to, &options).await.err().expect("a refusal");
    assert!(first.to_string().contains("541"), "{first}");
    // Nothing that anybody has to mend: the next attempt comes soon, and the start is not ended.
    assert!(first.is_recoverable() && !first.is_refused_access(), "{first:?}");
    assert!(!matches!(first, TransportError::Refused { .. }));

    let consumer = transport.listen(&to, &options).await.unwrap();
    let found = consumer.subscription();
    assert_eq!((found.durable, found.created), (Some(true), true));
    assert!(found.remarks.iter().any(|remark| remark.contains("declared durable")), "{:?}", found.remarks);
    let declared: Vec<bool> = broker
        .asked
        .try_iter()
        .filter_map(|method| match method {
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) if !declare.passive => {
                Some(declare.durable)
            }
            _ => None,
        })
        .collect();
    assert_eq!(declared, [false, true]);
}
