use osnl_brokers::transport;
use osnl_model::TransportUrl;
use osnl_testkit::amqp::headers::{alone, arrays, tables};
use osnl_testkit::amqp::{Habits, ScriptedBroker};
use osnl_testkit::wait_until;

use crate::faults::Target;
use crate::harness::{SOON, framed, instance, port_deleted};

/// The client library's thread has a stack of 2 MiB: without a check 3,000 tables ended the process, and each later
/// start.
#[test]
fn headers_nested_as_deep_as_a_frame_allows_take_no_effect_away() {
    let broker = ScriptedBroker::start(Habits::default());
    let target = Target::down();
    let daemon = target.daemon(transport(&TransportUrl::parse(&broker.url()).unwrap()).unwrap().into());
    let hostile = [tables(3_000), arrays(3_000), tables(15_000), arrays(15_000)];
    for (n, value) in hostile.into_iter().enumerate() {
        let body = framed("network.node1", "port.delete.end", &port_deleted(&instance(n), "10.0.0.1"));
        broker.publish_raw("neutron", "notifications.info", alone(&[("evil", value)]), body);
    }
    target.come_up();
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 4);
    wait_until(SOON, "all is acknowledged", || broker.depth() == (0, 0));
    assert_eq!((target.effects(0..4), broker.consumed()), (vec![1; 4], 1));
    let warnings = daemon.log().into_iter().filter(|line| line.contains("message headers were removed"));
    assert_eq!(warnings.count(), 1, "one of the first, and the next of the tenth");
    daemon.stop().unwrap();
}
