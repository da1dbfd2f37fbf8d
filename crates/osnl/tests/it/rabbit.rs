use std::sync::Arc;

use osnl::daemon::RunEnd;
use osnl_brokers::transport;
use osnl_legacy::k2hr3::Conf;
use osnl_model::TransportUrl;
use osnl_testkit::{
    Broker, BrokerObjects, DeclaredBinding, DeclaredQueue, Exchange, Notice, OsloPublisher, PublisherOptions,
    RawMessage, Sink, Upstream, Vhost, fixture, wait_until,
};
use osnl_transport::Transport;
use serde_json::Value;

use crate::bodies::wire_cases;
use crate::harness::{DaemonRig, QUEUE, SOON, conf, instance, port_deleted};
use crate::vectors::assert_as_recorded;

fn rabbit(url: &str) -> Arc<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap().into()
}

pub(crate) fn listening(conf: &Conf, vhost: &Vhost) -> DaemonRig {
    let daemon = DaemonRig::start(conf, rabbit(&vhost.url()));
    let queue = &conf.oslo_messaging_notifications.pool;
    wait_until(SOON, "the daemon consumes", || {
        vhost.list_queues().iter().any(|q| q.name == *queue && q.consumers == 1)
    });
    daemon
}

fn settled(vhost: &Vhost) {
    wait_until(SOON, "everything is acknowledged", || vhost.queue_depth(QUEUE) == Some((0, 0)));
}

fn notice(payload: Value) -> Notice {
    Notice { payload, ..Notice::default() }
}

pub(crate) fn ports(range: std::ops::Range<usize>) -> Vec<Notice> {
    range.map(|n| notice(port_deleted(&instance(n), "10.0.0.1"))).collect()
}

#[test]
fn the_three_kinds_in_both_framings_give_the_recorded_requests() {
    let recorded = fixture::json("k2hr3/requests.json");
    let vector =
        |id: &str| recorded["vectors"].as_array().unwrap().iter().find(|v| v["id"] == id).unwrap().clone();
    let kinds = [
        ("neutron-v4-v6", "", "neutron", "notifications"),
        (
            "nova-versioned",
            "event_type = ^instance\\.delete\\.end$\npublisher_id = ^nova-compute:.*$\n\
             topic = versioned_notifications\nexchange = nova\n",
            "nova",
            "versioned_notifications",
        ),
        (
            "nova-legacy",
            "event_type = ^compute\\.instance\\.delete\\.end$\npublisher_id = ^compute.*$\nexchange = nova\n",
            "nova",
            "notifications",
        ),
    ];
    for (id, options, exchange, topic) in kinds {
        let vhost = Broker::shared().vhost(id);
        let sink = Sink::start();
        let conf = conf(&sink.url("/v1/role"), &format!("[oslo_messaging_notifications]\n{options}"));
        let daemon = listening(&conf, &vhost);
        let vector = vector(id);
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        for (n, driver) in ["messaging", "messagingv2"].into_iter().enumerate() {
            let mut notice = Notice {
                exchange: exchange.to_owned(),
                topic: topic.to_owned(),
                driver: driver.to_owned(),
                publisher_id: vector["publisher_id"].as_str().unwrap().to_owned(),
                event_type: vector["event_type"].as_str().unwrap().to_owned(),
                payload: vector["payload"].clone(),
                ..Notice::default()
            };
            publisher.notify(&notice);
            notice.priority = "warn".to_owned();
            publisher.notify(&notice);
            notice.priority = "info".to_owned();
            publisher.notify(&Notice { event_type: "x.delete.start".to_owned(), ..notice.clone() });
            publisher.notify(&Notice { publisher_id: "someone.else".to_owned(), ..notice });
            let made = sink.wait_for(n + 1, SOON);
            assert_as_recorded(&made[n], &vector["requests"][0], sink.port());
        }
        daemon.wait_until("the others have passed", |c| c.unmatched.get() == 4);
        settled(&vhost);
        assert_eq!(sink.requests().len(), 2, "{id}");
        assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    }
}

fn topology(vhost: &Vhost) -> (Vec<Exchange>, Vec<DeclaredQueue>, Vec<DeclaredBinding>) {
    let exchanges =
        vhost.list_exchanges().into_iter().filter(|e| !e.name.is_empty() && !e.name.starts_with("amq."));
    let queues = vhost.list_queues().into_iter().map(|queue| DeclaredQueue { consumers: 0, ..queue });
    (exchanges.collect(), queues.collect(), vhost.list_bindings())
}

#[test]
fn what_is_declared_is_what_k2hr3_osnl_declares() {
    let (theirs, ours) = (Broker::shared().vhost("theirs"), Broker::shared().vhost("ours"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k2hr3_osnl.conf");
    let text = format!(
        "[oslo_messaging_notifications]\ntransport_url = {}\n[k2hr3]\napi_url = http://127.0.0.1:9/\n",
        theirs.url()
    );
    std::fs::write(&file, text).unwrap();
    let upstream = Upstream::start(&file);
    wait_until(SOON, "the real k2hr3_osnl consumes", || {
        theirs.list_queues().iter().any(|q| q.consumers == 1)
    });
    let daemon = listening(&conf("http://127.0.0.1:9/", ""), &ours);
    assert_eq!(topology(&ours), topology(&theirs));
    assert_eq!(topology(&ours).1.len(), 1);
    drop(upstream);
    daemon.stop().unwrap();
}

#[test]
fn durable_objects_that_an_operator_prepared_are_used_as_they_are() {
    let vhost = Broker::shared().vhost("prepared");
    let sink = Sink::start();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    publisher.prepare(&BrokerObjects { queue: QUEUE.to_owned(), ..BrokerObjects::default() });
    let before = topology(&vhost);
    let daemon = listening(&conf(&sink.url("/v1/role"), ""), &vhost);
    publisher.notify_all(&ports(0..3));
    sink.wait_for(3, SOON);
    settled(&vhost);
    let after = topology(&vhost);
    assert_eq!(after.0, before.0);
    assert!(after.1.iter().any(|queue| queue.name == QUEUE && queue.durable));
    daemon.stop().unwrap();
}

#[test]
fn every_recorded_body_is_settled_on_a_real_broker_too() {
    let vhost = Broker::shared().vhost("bodies");
    let sink = Sink::start();
    let daemon = listening(&conf(&sink.url("/v1/role"), ""), &vhost);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let cases = wire_cases();
    for (_, case) in &cases {
        publisher.raw(&RawMessage {
            body: fixture::body(case),
            properties: case["properties"].clone(),
            headers: case["headers"].clone(),
            ..RawMessage::default()
        });
    }
    daemon.wait_until("all are received", |c| c.received.get() == cases.len() as u64);
    settled(&vhost);
    // 21 unreadable bodies, and one whose payload is nested too deep.
    assert_eq!(daemon.counters.quarantined.get(), 22);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
}

#[test]
fn the_next_host_is_tried_when_one_is_away() {
    let vhost = Broker::shared().vhost("hosts");
    let sink = Sink::start();
    let away = Sink::start();
    away.stop();
    let url = vhost.url().replace("@127", &format!("@127.0.0.1:{},guest:guest@127", away.port()));
    let daemon = DaemonRig::start(&conf(&sink.url("/v1/role"), ""), rabbit(&url));
    wait_until(SOON, "the daemon consumes", || vhost.list_queues().iter().any(|q| q.consumers == 1));
    daemon.stop().unwrap();
}

#[test]
fn other_priorities_do_not_reach_the_queue() {
    let vhost = Broker::shared().vhost("priorities");
    let sink = Sink::start();
    let daemon = listening(&conf(&sink.url("/v1/role"), ""), &vhost);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for priority in ["audit", "debug", "warn", "error", "critical", "sample", "info"] {
        let payload = port_deleted(&instance(1), "10.0.0.1");
        publisher.notify(&Notice { priority: priority.to_owned(), payload, ..Notice::default() });
    }
    sink.wait_for(1, SOON);
    settled(&vhost);
    assert_eq!(daemon.counters.received.get(), 1);
    assert_eq!(sink.requests().len(), 1);
    daemon.stop().unwrap();
}
