//! Defects of k2hr3_osnl 1.0.8 that no other test has.

use std::time::{Duration, Instant};

use osnl_testkit::{Reply, Sink};
use serde_json::json;

use crate::harness::{QUEUE, SOON, daemon_for, instance, port_deleted, publish};

#[test]
fn a_pause_of_one_message_blocks_no_other() {
    let sink = Sink::start();
    let stalled = instance(0);
    sink.reply_when(move |request| request.target.contains(&stalled).then_some(Reply::Hang));
    let (broker, daemon) = daemon_for(&sink, "timeout_seconds = 30\n");
    publish(&broker, &port_deleted(&instance(0), "10.0.0.1"));
    sink.wait_for(1, SOON);
    let began = Instant::now();
    (1..=100).for_each(|n| publish(&broker, &port_deleted(&instance(n), "10.0.0.1")));
    daemon.wait_until("the others are delivered", |c| c.delivered.get() == 100);
    assert!(began.elapsed() < Duration::from_secs(30), "before the stalled one can have ended");
    drop(daemon);
}

#[test]
fn a_message_that_can_never_succeed_is_not_requeued() {
    let sink = Sink::start();
    let (broker, daemon) = daemon_for(&sink, "requeue_on_error = True\n");
    publish(&broker, &json!({"port": {"device_id": "reserved_dhcp_port", "device_owner": "network:dhcp"}}));
    publish(
        &broker,
        &json!({"port": {"device_id": instance(9), "device_owner": "network:router_interface"}}),
    );
    publish(&broker, &port_deleted(&instance(1), "10.0.0.256"));
    publish(&broker, &port_deleted("i-0000002a", "10.0.0.1"));
    daemon.wait_until("all have ended", |c| c.no_action_needed.get() == 2 && c.dead.get() == 2);
    assert_eq!(daemon.counters.returned.get(), 0);
    daemon.stop().unwrap();
    assert_eq!((sink.requests().len(), broker.ready(QUEUE)), (0, 0));
}
