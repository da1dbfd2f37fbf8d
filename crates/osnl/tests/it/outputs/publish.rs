use osnl_model::{Emission, Priority, Target};
use osnl_testkit::{Broker, OsloListener, Vhost};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, MemoryBroker, Properties, RabbitTransport,
    Transport as _,
};
use serde_json::{Value, json};

use super::{native, start};
use crate::harness::{SOON, instance, port_deleted, publish, publish_raw};

pub(crate) struct KeyReader {
    runtime: tokio::runtime::Runtime,
    consumer: Box<dyn Consumer>,
}

impl KeyReader {
    fn new(vhost: &Vhost, topic: &str, priority: &str) -> Self {
        Self::at(vhost, "out", topic, priority)
    }

    pub(crate) fn at(vhost: &Vhost, exchange: &str, topic: &str, priority: &str) -> Self {
        let (pool, queue) = (format!("reader-{exchange}"), osnl_transport::QueueKind::OSLO);
        Self::reading(vhost, &pool, queue, (exchange, topic, priority))
    }

    /// Reads the queue of a shard, which it makes like the listener of the shard.
    pub(crate) fn from_queue(vhost: &Vhost, name: &str, bound: (&str, &str, &str)) -> Self {
        Self::reading(vhost, name, osnl_transport::Shards::kind(), bound)
    }

    fn reading(
        vhost: &Vhost,
        pool: &str,
        queue: osnl_transport::QueueKind,
        (exchange, topic, priority): (&str, &str, &str),
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = osnl_model::TransportUrl::parse(&vhost.url()).unwrap();
        let options = ListenOptions::new(Some(pool), 100, Declare::Create, queue);
        let targets = [(Target::new(exchange, topic), Priority::Other(priority.to_owned()))];
        let consumer = runtime.block_on(async {
            let transport = RabbitTransport::new(url, Default::default()).unwrap();
            transport.listen(&targets, &options).await.unwrap()
        });
        Self { runtime, consumer }
    }

    pub(crate) fn next(&mut self) -> IncomingMessage {
        let mut batch = Batch::with_limit(1);
        let poll = self.consumer.poll(&mut batch);
        self.runtime.block_on(async { tokio::time::timeout(SOON, poll).await }).expect("a message").unwrap();
        batch.drain().next().unwrap()
    }
}

fn action(vhost: &Vhost, more: &str) -> String {
    format!("driver = publish\ntransport_url = {}\nexchange = out\n{more}", vhost.url())
}

#[test]
fn a_reader_gets_a_notification_with_what_the_templates_changed() {
    let vhost = Broker::shared().vhost("publish-notification");
    let mut reading = KeyReader::new(&vhost, "gone", "warn");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let more = "topic = gone\npriority = warn\npublisher_id = osnl.{{ publisher_id }}\npayload = {{ payload.port }}\n\
                mandatory = true";
    let daemon = start(&native(folder.path(), &action(&vhost, more)), &broker);
    let port = |n: usize| port_deleted(&instance(n), "10.0.0.1")["port"].clone();
    publish(&broker, &json!({"ports": [port(1), port(2)]}));
    let mut ids = Vec::new();
    for n in 1..3 {
        let message = reading.next();
        assert_eq!(message.properties.content_type.as_deref(), Some("application/json"));
        let read = Emission::read(&message.body).unwrap();
        assert!(message.body.starts_with(b"{\"oslo.version\": \"2.0\""));
        assert_eq!(read.priority, Some(Priority::Warn));
        assert!(read.publisher_id.unwrap().starts_with("osnl."));
        let payload: Value = serde_json::from_str(read.payload.get()).unwrap();
        assert_eq!(payload, port(n));
        ids.push((read.message_id, read.unique_id.unwrap()));
    }
    assert_eq!(ids[0].0, ids[1].0, "the event's");
    assert!(ids[0].1 != ids[1].1 && ids[0].1.len() == 32, "{ids:?}");
    daemon.wait_until("both are confirmed", |c| c.delivered.get() == 2);
    daemon.stop().unwrap();
}

#[test]
fn a_real_listener_is_called_with_it() {
    let vhost = Broker::shared().vhost("publish-oslo");
    let listener = OsloListener::start(&vhost.url(), &[("out", "notifications")], Some("reader"), true);
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    for (n, framing) in ["messagingv2", "messaging"].into_iter().enumerate() {
        let more = format!("framing = {framing}\npriority = error\nevent_type = gone.{{{{ event_type }}}}");
        let daemon = start(&native(folder.path(), &action(&vhost, &more)), &broker);
        let port = port_deleted(&instance(1), "10.0.0.1");
        publish(&broker, &port);
        let call = listener.wait_for(n + 1, SOON).pop().unwrap();
        daemon.stop().unwrap();
        assert_eq!(
            (&call["priority"], &call["event_type"], &call["payload"]),
            (&json!("error"), &json!("gone.port.delete.end"), &port)
        );
    }
}

#[test]
fn bytes_come_as_they_were_and_cloud_events_as_json() {
    let vhost = Broker::shared().vhost("publish-raw");
    let mut reading = KeyReader::new(&vhost, "a.b", "c");
    let payload = port_deleted(&instance(1), "10.0.0.1");
    for format in ["raw", "cloudevents"] {
        let folder = tempfile::tempdir().unwrap();
        let broker = MemoryBroker::new();
        let more = format!("key = {{{{ 'a.b'|dotted }}}}.c\nformat = {format}");
        let daemon = start(&native(folder.path(), &action(&vhost, &more)), &broker);
        publish(&broker, &payload);
        let message = reading.next();
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        if format == "raw" {
            let read = osnl_model::Notification::decode(&message.body).unwrap();
            assert_eq!(read.payload, payload);
        } else {
            assert_eq!(
                message.properties.content_type.as_deref(),
                Some("application/cloudevents+json; charset=utf-8")
            );
            assert_eq!(
                (&body["specversion"], &body["type"]),
                (&json!("1.0"), &json!("org.openstack.port.delete.end"))
            );
            assert_eq!(body["data"], payload);
        }
        daemon.stop().unwrap();
    }
}

/// No queue is bound to the key, and a missing exchange that the event names, concern one event; a missing exchange of
/// the configuration is a fault of the target.
#[test]
fn what_nobody_takes_is_a_dead_letter_if_it_must_be_taken_and_a_missing_exchange_is_waited_for() {
    let vhost = Broker::shared().vhost("publish-mandatory");
    let _reading = KeyReader::new(&vhost, "heard", "info");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let more = "topic = unheard\nmandatory = true\nmax_attempts = 2\nretry_interval = 0s";
    let daemon = start(&native(folder.path(), &action(&vhost, more)), &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    daemon.stop().unwrap();
    let broker = MemoryBroker::new();
    let more = action(&vhost, "max_attempts = 2\nretry_interval = 0s")
        .replace("exchange = out", "exchange = {{ event_type }}");
    let folder_of_named = tempfile::tempdir().unwrap();
    let daemon = start(&native(folder_of_named.path(), &more), &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    daemon.stop().unwrap();
    let broker = MemoryBroker::new();
    let more = action(&vhost, "").replace("exchange = out", "exchange = missing");
    let daemon = start(&native(folder.path(), &more), &broker);
    publish(&broker, &port_deleted(&instance(2), "10.0.0.1"));
    daemon.wait_until("it was tried", |c| c.failures.get() > 0);
    assert_eq!(daemon.counters.dead.get(), 0);
    daemon.wait_for_log("the target is down");
    daemon.stop().unwrap();
}

#[test]
fn a_refused_login_has_the_remedy_of_a_listener() {
    let vhost = Broker::shared().vhost("publish-login");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let wrong = action(&vhost, "").replace(":guest@", ":WR0NG@");
    let daemon = start(&native(folder.path(), &wrong), &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_for_log("rabbitmqctl authenticate_user guest");
    daemon.stop().unwrap();
}

#[test]
fn a_notification_that_comes_back_is_not_published_again() {
    let vhost = Broker::shared().vhost("publish-round");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let mut reading = KeyReader::new(&vhost, "notifications", "info");
    let daemon = start(&native(folder.path(), &action(&vhost, "")), &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    let published = reading.next();
    let target = Target::new("neutron", "notifications");
    broker.publish(&target, &Priority::Info, String::from_utf8(published.body.to_vec()).unwrap());
    daemon.wait_until("it is recognised", |c| c.no_action_needed.get() == 1);
    daemon.stop().unwrap();
}

#[test]
fn the_token_of_the_context_stays_here_unless_it_is_wanted() {
    let vhost = Broker::shared().vhost("publish-token");
    let mut reading = KeyReader::new(&vhost, "notifications", "info");
    let check = |more: &str, token: &str, password: &str, reading: &mut KeyReader| {
        let folder = tempfile::tempdir().unwrap();
        let broker = MemoryBroker::new();
        let daemon = start(&native(folder.path(), &action(&vhost, more)), &broker);
        let mut payload = port_deleted(&instance(1), "10.0.0.1");
        payload["adminPass"] = json!("S3CRETPASS");
        let inner = json!({
            "event_type": "port.delete.end", "publisher_id": "network.node1", "priority": "INFO", "message_id": "m",
            "timestamp": "2026-11-20 06:36:22.662155", "payload": payload, "_context_auth_token": "S3CRETTOKEN",
            "_context_user": "u",
        });
        let target = Target::new("neutron", "notifications");
        assert_eq!(broker.publish(&target, &Priority::Info, inner.to_string()), 1);
        let read = Emission::read(&reading.next().body).unwrap();
        let entry = |name: &str| {
            let found = read.context.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.get().to_owned()).unwrap_or_default()
        };
        assert_eq!((entry("auth_token").as_str(), entry("user").as_str()), (token, "\"u\""), "{more}");
        assert!(read.payload.get().contains(password), "{more}: {}", read.payload);
        daemon.stop().unwrap();
    };
    check("", "null", "S3CRETPASS", &mut reading);
    check("keep_token = true", "\"S3CRETTOKEN\"", "S3CRETPASS", &mut reading);
    check("keep_token = true\nmask_secrets = true", "\"***\"", "\"adminPass\": \"***\"", &mut reading);
}

#[test]
fn a_value_is_one_word_of_a_routing_key() {
    let vhost = Broker::shared().vhost("publish-words");
    let mut reading = KeyReader::new(&vhost, "openstack.a_b__", "port_x.delete.end");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let more = "key = openstack.{{ payload.port.name }}.{{ 'port.x' }}.{{ 'delete.end'|dotted }}";
    let daemon = start(&native(folder.path(), &action(&vhost, more)), &broker);
    let mut payload = port_deleted(&instance(1), "10.0.0.1");
    payload["port"]["name"] = json!("a.b*#");
    publish(&broker, &payload);
    assert_eq!(reading.next().routing_key, "openstack.a_b__.port_x.delete.end");
    daemon.stop().unwrap();
}

#[test]
fn a_key_that_amqp_does_not_allow_is_a_dead_letter_and_the_next_message_is_sent() {
    let vhost = Broker::shared().vhost("publish-long");
    let mut reading = KeyReader::new(&vhost, "gone", "info");
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &action(&vhost, "topic = gone")), &broker);
    let payload = port_deleted(&instance(1), "10.0.0.1");
    let body = json!({
        "event_type": "port.delete.end", "publisher_id": "network.node1", "message_id": "m-1",
        "timestamp": "2026-11-20 06:30:00", "priority": "x".repeat(300), "payload": payload,
    });
    publish_raw(&broker, body.to_string().as_bytes(), Properties::default());
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    daemon.wait_for_log("the routing key has 305 bytes");
    publish(&broker, &port_deleted(&instance(2), "10.0.0.1"));
    assert_eq!(reading.next().routing_key, "gone.info");
    daemon.stop().unwrap();
}
