use osnl::listener::ListenerState;
use osnl_brokers::transport;
use osnl_model::TransportUrl;
use osnl_testkit::amqp::protocol::{AMQPClass, basic};
use osnl_testkit::amqp::{Habits, ScriptedBroker};
use osnl_testkit::wait_until;

use crate::faults::Target;
use crate::harness::{DaemonRig, SOON, framed, instance, port_deleted};

fn publish(broker: &ScriptedBroker, instances: std::ops::Range<usize>) {
    for n in instances {
        let body = framed("network.node1", "port.delete.end", &port_deleted(&instance(n), "10.0.0.1"));
        broker.publish("neutron", "notifications.info", body);
    }
}

fn daemon(broker: &ScriptedBroker, target: &Target) -> DaemonRig {
    target.daemon(transport(&TransportUrl::parse(&broker.url()).unwrap()).unwrap().into())
}

fn all_done(broker: &ScriptedBroker, target: &Target, daemon: DaemonRig, events: usize) {
    target.come_up();
    daemon.wait_until("all are delivered", |c| c.delivered.get() == events as u64);
    wait_until(SOON, "all is acknowledged", || broker.depth() == (0, 0));
    assert_eq!(target.effects(0..events), vec![1; events]);
    daemon.stop().unwrap();
}

/// RabbitMQ 4.0 and later drop a message that was returned 20 times. Messages in work still have their effect, and
/// osnl does not return them.
#[test]
fn a_delivery_limit_takes_no_effect_away() {
    let broker = ScriptedBroker::start(Habits { delivery_limit: Some(20), ..Habits::default() });
    let target = Target::down();
    let daemon = daemon(&broker, &target);
    publish(&broker, 0..2);
    daemon.wait_until("they are in work", |c| c.matched.get() == 2);
    for cut in 1..=21 {
        let before = daemon.counters.deduplicated.get();
        broker.cut();
        wait_until(SOON, "it consumes again", || broker.consumed() == cut + 1);
        let comes_again = if cut <= 20 { 2 } else { 0 };
        daemon.wait_until("what comes again is adopted", |c| c.deduplicated.get() == before + comes_again);
    }
    assert_eq!((broker.dropped(), broker.depth()), (2, (0, 0)));
    let gave_back = |method: &AMQPClass| {
        matches!(method, AMQPClass::Basic(basic::AMQPMethod::Reject(_) | basic::AMQPMethod::Nack(_)))
    };
    assert!(!broker.asked().iter().any(gave_back));
    publish(&broker, 2..3);
    all_done(&broker, &target, daemon, 3);
}

#[test]
fn a_queue_with_other_arguments_is_used_and_the_difference_told() {
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'k2hr3_osnl' in vhost '/': received none \
         but current is the value 'quorum' of type 'longstr'";
    let habits =
        Habits { inequivalent: Some(text.to_owned()), delivery_limit: Some(20), ..Habits::default() };
    let broker = ScriptedBroker::start(habits);
    publish(&broker, 0..2);
    let target = Target::down();
    let daemon = daemon(&broker, &target);
    daemon.wait_for_log("the queue exists with other arguments than configured");
    all_done(&broker, &target, daemon, 2);
}

/// An alarm concerns publishers, and RabbitMQ notifies only connections that publish. If a broker notifies all, the
/// client library holds back output, so that only acknowledgements are late.
#[test]
fn a_blocked_connection_is_told_and_goes_on_consuming() {
    let broker = ScriptedBroker::start(Habits::default());
    let target = Target::down();
    let daemon = daemon(&broker, &target);
    broker.block("low on memory");
    daemon.wait_for_log("blocks publishers");
    assert!(
        daemon.log().iter().any(|line| line.contains("blocks publishers") && line.contains("low on memory"))
    );
    target.come_up();
    for n in 0..4 {
        publish(&broker, n..n + 1);
        daemon.wait_until("it is delivered", |c| c.delivered.get() == n as u64 + 1);
    }
    assert_eq!(broker.depth(), (0, 4));
    broker.unblock();
    wait_until(SOON, "all is acknowledged", || broker.depth() == (0, 0));
    daemon.wait_for_log("accepts messages from publishers again");
    assert_eq!((daemon.listened(), daemon.state()), (1, ListenerState::Listening));
    all_done(&broker, &target, daemon, 4);
}
