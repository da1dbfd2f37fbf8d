use std::sync::Arc;
use std::time::Duration;

use osnl::daemon::RunEnd;
use osnl_testkit::{Reply, Sink};
use serde_json::json;

use osnl_transport::Properties;

use crate::harness::{
    DaemonRig, QUEUE, SOON, bound_broker, conf, daemon_for, framed, instance, port_deleted, publish,
    publish_raw, quick,
};

fn survives(failures: Vec<Reply>, more: &str, attempts: usize) {
    let sink = Sink::start();
    sink.script(failures.clone());
    let conf = conf(&sink.url("/v1/role"), more);
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start(&conf, Arc::new(broker.transport()));
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("delivered", |c| c.delivered.get() == 1);
    assert_eq!(sink.requests().len(), attempts, "{failures:?}");
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    assert_eq!(broker.ready(QUEUE), 0);
}

#[test]
fn a_target_that_fails_and_comes_back_gets_its_request() {
    survives(vec![], "", 1);
    survives(vec![Reply::Status(500), Reply::Status(503)], "", 3);
    survives(vec![Reply::Status(429)], "", 2);
    survives(vec![Reply::Status(400), Reply::Status(403)], "", 3);
    survives(vec![Reply::Reset], "", 2);
    survives(vec![Reply::CloseWithoutReply, Reply::CloseWithoutReply], "", 3);
    survives(vec![Reply::Garbage], "", 2);
    survives(vec![Reply::ShortBody], "", 1);
    survives(vec![Reply::Hang], "timeout_seconds = 1\n", 2);
}

#[test]
fn a_drain_that_takes_too_long_ends_and_gives_back() {
    let sink = Sink::start();
    sink.reply_with(Reply::Hang);
    let conf = conf(&sink.url("/v1/role"), "");
    let broker = bound_broker(&conf);
    let daemon =
        DaemonRig::start_with(&conf, quick(&conf), Duration::from_millis(300), Arc::new(broker.transport()));
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    sink.wait_for(1, SOON);
    assert_eq!(daemon.stop().unwrap(), RunEnd::DeadlinePassed);
    assert_eq!(broker.ready(QUEUE), 1);
}

#[test]
fn the_priority_in_the_body_decides_whatever_the_routing_key_says() {
    let sink = Sink::start();
    let (broker, daemon) = daemon_for(&sink, "");
    let info = framed("network.x", "port.delete.end", &port_deleted(&instance(1), "10.0.0.1"));
    for body in [info.replace("INFO", "WARN"), info.replace("INFO", "info"), info] {
        publish_raw(&broker, body.as_bytes(), Properties::default());
    }
    daemon.wait_until("all have passed", |c| c.unmatched.get() == 1 && c.delivered.get() == 2);
    daemon.stop().unwrap();
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn the_same_instance_deleted_by_three_services_is_three_requests_in_order() {
    let sink = Sink::start();
    let (broker, daemon) =
        daemon_for(&sink, "[oslo_messaging_notifications]\nevent_type = ^.*$\npublisher_id = ^.*$\n");
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    publish(&broker, &json!({"nova_object.data": {"uuid": instance(1)}}));
    publish(&broker, &json!({"instance_id": instance(1)}));
    let requests = sink.wait_for(3, SOON);
    assert!(requests[0].target.ends_with("%5D"));
    assert!(requests[1].target.ends_with(&instance(1)));
    daemon.stop().unwrap();
}
