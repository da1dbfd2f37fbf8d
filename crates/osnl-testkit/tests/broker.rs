#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use osnl_testkit::{
    Broker, BrokerObjects, DeclaredBinding, Notice, OsloPublisher, PublisherOptions, RawMessage, wait_until,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

fn inner(body: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(envelope["oslo.version"], "2.0");
    serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap()
}

#[test]
fn the_notifier_declares_and_publishes_as_services_do() {
    let vhost = Broker::shared().vhost("notifier");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify(&Notice {
        payload: json!({"port": {"device_id": "仮名"}}),
        context: Some(json!({"request_id": "req-1", "auth_token": "secret"})),
        ..Notice::default()
    });
    publisher.notify(&Notice {
        driver: "messaging".to_owned(),
        priority: "error".to_owned(),
        ..Notice::default()
    });

    let exchanges = vhost.list_exchanges();
    let names: Vec<_> = exchanges.iter().map(|e| (e.name.as_str(), e.kind.as_str(), e.durable)).collect();
    assert_eq!(names, [("neutron", "topic", false)]);
    let queues = vhost.list_queues();
    let names: Vec<_> = queues.iter().map(|q| (q.name.as_str(), q.durable, q.ready, q.unacked)).collect();
    assert_eq!(names, [("notifications.error", false, 1, 0), ("notifications.info", false, 1, 0)]);
    assert!(vhost.list_bindings().contains(&DeclaredBinding {
        exchange: "neutron".to_owned(),
        queue: "notifications.info".to_owned(),
        routing_key: "notifications.info".to_owned(),
    }));

    let message = publisher.take("notifications.info").unwrap();
    assert_eq!(message.exchange, "neutron");
    assert_eq!(message.routing_key, "notifications.info");
    assert_eq!(message.properties["content_type"], "application/json");
    let notification = inner(&message.body);
    assert_eq!(notification["payload"]["port"]["device_id"], "仮名");
    assert_eq!(notification["publisher_id"], "network.node1.example.com");
    assert_eq!(notification["priority"], "INFO");
    assert_eq!(notification["_context_request_id"], "req-1");
    assert_eq!(notification["_context_auth_token"], Value::Null);
    assert_eq!(publisher.take("notifications.info"), None);
    assert_eq!(vhost.queue_depth("notifications.info"), Some((0, 0)));
    assert_eq!(vhost.queue_depth("no such queue"), None);

    let bare: Value = serde_json::from_slice(&publisher.take("notifications.error").unwrap().body).unwrap();
    assert_eq!(bare["priority"], "ERROR");
}

#[test]
fn raw_bytes_arrive_with_the_properties_given_and_no_others() {
    let vhost = Broker::shared().vhost("raw");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.prepare(&BrokerObjects {
        queue: "prepared".to_owned(),
        routing_keys: vec!["a.b".to_owned(), "c".to_owned()],
        arguments: json!({"x-max-length": 10}),
        ..BrokerObjects::default()
    });
    let raw = RawMessage {
        routing_key: "a.b".to_owned(),
        body: vec![0, 255, 10, 34],
        properties: json!({"content_type": "text/plain", "message_id": "m-1"}),
        headers: json!({"compression": "application/x-gzip"}),
        ..RawMessage::default()
    };
    publisher.raw(&raw);

    let queues = vhost.list_queues();
    assert!(queues[0].durable);
    assert_eq!(queues[0].arguments, json!({"x-max-length": 10}));
    assert!(vhost.list_exchanges()[0].durable);
    assert_eq!(vhost.list_bindings().len(), 2);
    let message = publisher.take("prepared").unwrap();
    assert_eq!(message.body, raw.body);
    assert_eq!(message.properties, raw.properties);
    assert_eq!(message.headers, raw.headers);
}

#[test]
fn virtual_hosts_are_apart_and_go_when_dropped() {
    let shared = Broker::shared();
    let (one, two) = (shared.vhost("same name"), shared.vhost("same name"));
    assert_ne!(one.name(), two.name());
    // Plain AMQP, because oslo.messaging would connect again at once.
    let mut publisher = OsloPublisher::start(&one.url(), PublisherOptions::default());
    publisher.prepare(&BrokerObjects { queue: "notifications.info".to_owned(), ..BrokerObjects::default() });
    assert_eq!(one.list_queues().len(), 1);
    assert_eq!(two.list_queues(), []);
    wait_until(SOON, "the broker to count it", || (one.connections(), two.connections()) == (1, 0));

    one.close_all_connections("the operator says so");
    let closed = catch_unwind(AssertUnwindSafe(|| publisher.take("notifications.info"))).unwrap_err();
    let message = closed.downcast_ref::<String>().unwrap();
    assert!(message.contains("CONNECTION_FORCED - the operator says so"), "{message}");
    wait_until(SOON, "the connections to close", || one.connections() == 0);
    one.delete_queue("notifications.info");
    assert_eq!(one.list_queues(), []);
    assert!(one.ctl(&["list_exchanges", "name"]).contains("neutron"));

    let name = one.name().to_owned();
    drop(one);
    assert!(!two.ctl(&["list_vhosts"]).contains(&name));
}

#[test]
fn a_durable_queue_survives_kill_stop_and_shutdown() {
    let broker = Broker::start();
    let vhost = broker.root();
    let mut publisher = OsloPublisher::start(&broker.url(), PublisherOptions { durable: true });
    publisher.notify(&Notice { payload: json!({"n": 1}), ..Notice::default() });
    let port = broker.port();

    // The Erlang machine of RabbitMQ 4.0 can end when RabbitMQ is stopped right after its start.
    broker.stop_app();
    assert!(broker.is_running());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    broker.start_again();

    broker.kill9();
    assert!(!broker.is_running());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    broker.start_again();
    assert_eq!(broker.port(), port);
    assert_eq!(vhost.queue_depth("notifications.info"), Some((1, 0)));
    broker.shutdown();
    assert!(!broker.is_running());
    broker.start_again();

    let message = publisher.take("notifications.info").unwrap();
    assert_eq!(inner(&message.body)["payload"]["n"], 1);
}
