use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::daemon::RunEnd;
use osnl::metrics::Counters;
use osnl::native::{Native, Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, Sink, wait_until};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use crate::harness::{DaemonRig, SOON, framed, instance, port_deleted};
use crate::rabbit::ports;

pub(crate) fn native(text: &str) -> Native {
    // A test's own journal section overrides this default, because it is read later.
    let memory = "[journal]\nconnection = memory://\n";
    let texts = [("test.conf".to_owned(), format!("{memory}{text}"))];
    load_texts(&texts, &Sources::default()).unwrap_or_else(|errors| panic!("{errors}")).conf
}

fn text(transport_url: &str, api_url: &str, record: &Path, more: &str) -> String {
    format!(
        "[listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\n\
         pool = osnl\n[rule:ports]\nlisteners = neutron\nevent_type = ^port\\.delete\\.end$\nactions = roles, record\n\
         [action:roles]\ndriver = k2hr3\napi_url = {api_url}\n\
         [action:record]\ndriver = dump\npath = {}\n{more}",
        record.display()
    )
}

pub(crate) fn start(conf: &Native, broker: &MemoryBroker) -> DaemonRig {
    DaemonRig::from_conf(conf, broker)
}

pub(crate) fn publish(
    broker: &MemoryBroker,
    exchange: &str,
    priority: &Priority,
    event_type: &str,
    payload: &Value,
) -> usize {
    let body = framed("network.node1", event_type, payload);
    broker.publish(&Target::new(exchange, "notifications"), priority, body)
}

fn lines(file: &Path) -> Vec<Value> {
    fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_listener_has_its_rules_and_one_event_may_fire_several_actions() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, all) = (folder.path().join("ports.jsonl"), folder.path().join("all.jsonl"));
    let sink = Sink::start();
    let more = format!(
        "[listener:nova]\ntransport_url = rabbit://mq/\nexchange = nova\npool = nova\ndeclare = create\n\
         priorities = info, error\n[listener:neutron]\ndeclare = create\n\
         [rule:everything]\nlisteners = nova\nactions = all\n\
         [rule:off]\nenabled = no\nactions = all\n\
         [action:all]\ndriver = dump\npath = {}\n",
        all.display()
    );
    let conf = native(&text("rabbit://mq/", &sink.url("/v1/role"), &ports, &more));
    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    let payload = port_deleted(&instance(1), "10.0.0.1");
    wait_until(SOON, "both are bound", || {
        ["neutron", "nova"].iter().all(|x| publish(&broker, x, &Priority::Info, "x.y", &payload) == 1)
    });
    publish(&broker, "neutron", &Priority::Info, "port.delete.end", &payload);
    // All seven priorities are bound by default, so that the rule decides.
    publish(&broker, "neutron", &Priority::Warn, "port.delete.end", &payload);
    publish(&broker, "nova", &Priority::Error, "port.delete.end", &json!({"admin_password": "hunter2"}));
    assert_eq!(publish(&broker, "nova", &Priority::Warn, "x.y", &payload), 0);
    daemon.wait_until("all are delivered", |c| c.delivered.get() >= 6);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);

    assert_eq!(sink.requests().len(), 2);
    let written = lines(&ports);
    assert_eq!(written.len(), 2);
    assert_eq!(written[0]["rule"], "ports");
    assert_eq!(written[0]["listener"], "neutron");
    assert_eq!(written[0]["routing_key"], "notifications.info");
    assert_eq!(written[0]["payload"], payload);
    let key = |line: &Value| line["idempotency_key"].as_str().unwrap().to_owned();
    // The key uses the unique id, which has the same number here.
    let unique = written[0]["message_id"].as_str().unwrap().replacen('m', "u", 1);
    assert_eq!(key(&written[0]), format!("{unique}/ports/record"));
    assert_ne!(key(&written[0]), key(&written[1]));
    let written = lines(&all);
    assert!(written.iter().all(|line| line["exchange"] == "nova"), "{written:?}");
    assert_eq!(written.last().unwrap()["payload"], json!({"admin_password": "***"}));
}

#[test]
fn a_port_without_addresses_is_a_choice() {
    for (choice, requests) in [("skip", 2), ("all", 3)] {
        let folder = tempfile::tempdir().unwrap();
        let sink = Sink::start();
        let more = format!("no_addresses = {choice}\n[listener:neutron]\ndeclare = create\n");
        let more = format!("[action:roles]\n{more}[rule:ports]\nevent_type = .*\n");
        let conf = native(&text("rabbit://mq/", &sink.url("/v1/role"), &folder.path().join("x"), &more));
        let broker = MemoryBroker::new();
        let daemon = start(&conf, &broker);
        let port =
            json!({"port": {"device_id": instance(1), "device_owner": "compute:nova", "fixed_ips": []}});
        let publish = |event_type: &str, payload: &Value| {
            publish(&broker, "neutron", &Priority::Info, event_type, payload)
        };
        wait_until(SOON, "bound", || publish("port.delete.end", &port) == 1);
        publish("port.delete.end", &port_deleted(&instance(2), "10.0.0.1"));
        // An event of an instance names no addresses, so that the request is about all.
        publish("compute.instance.delete.end", &json!({"instance_id": instance(3)}));
        daemon.wait_until("all are done", |c| c.delivered.get() + c.no_action_needed.get() == 6);
        daemon.stop().unwrap();
        let targets: Vec<String> = sink.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(targets.len(), requests, "{choice}: {targets:?}");
        assert!(targets.iter().any(|t| t.contains(&instance(3)) && !t.contains("host=")), "{targets:?}");
    }
}

#[test]
fn an_event_that_is_no_deletion_deletes_a_host_only_where_all_are_meant() {
    for (choice, expected) in [("deletions", &[2][..]), ("all", &[1, 2, 3])] {
        let folder = tempfile::tempdir().unwrap();
        let sink = Sink::start();
        let more = format!("events = {choice}\n[listener:neutron]\ndeclare = create\n");
        let more = format!("[action:roles]\n{more}[rule:ports]\nevent_type = .*\n");
        let conf = native(&text("rabbit://mq/", &sink.url("/v1/role"), &folder.path().join("x"), &more));
        let broker = MemoryBroker::new();
        let daemon = start(&conf, &broker);
        let publish = |event_type: &str, number: usize| {
            let payload = port_deleted(&instance(number), "10.0.0.1");
            publish(&broker, "neutron", &Priority::Info, event_type, &payload)
        };
        wait_until(SOON, "bound", || publish("port.update.end", 1) == 1);
        publish("port.delete.end", 2);
        publish("port.delete.start", 3);
        daemon.wait_until("all are done", |c| c.delivered.get() + c.no_action_needed.get() == 6);
        daemon.stop().unwrap();
        let targets: Vec<String> = sink.requests().into_iter().map(|request| request.target).collect();
        let of = |number: usize| targets.iter().any(|target| target.contains(&instance(number)));
        assert_eq!(
            (1..=3).filter(|number| of(*number)).collect::<Vec<_>>(),
            expected,
            "{choice}: {targets:?}"
        );
    }
}

#[test]
fn a_native_queue_is_durable_with_one_active_consumer() {
    let vhost = Broker::shared().vhost("native");
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let run = |name: &str| {
        let state = format!("[DEFAULT]\nstate_dir = {}\n", folder.path().join(name).display());
        let conf = native(&text(&vhost.url(), &sink.url("/v1/role"), &folder.path().join("x"), &state));
        let counters = Arc::new(Counters::default());
        DaemonRig::start_daemon(
            conf.daemon(&HttpOptions::default(), &counters).unwrap(),
            counters,
            Duration::from_secs(10),
        )
    };
    let daemon = run("first");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let queue = || vhost.list_queues().into_iter().find(|q| q.name == "osnl");
    wait_until(SOON, "the queue is consumed", || queue().is_some_and(|q| q.consumers == 1));
    let made = queue().unwrap();
    assert!(made.durable && !made.auto_delete);
    assert!(made.arguments.to_string().contains("x-single-active-consumer"), "{}", made.arguments);
    let bindings =
        || vhost.list_bindings().iter().filter(|b| b.queue == "osnl" && b.exchange == "neutron").count();
    assert_eq!(bindings(), 0, "nothing is bound before the service's own exchange is there");
    publisher.notify_all(&ports(0..1));
    wait_until(SOON, "the queue is bound", || bindings() == 7);
    // The second daemon declares the same queue and waits as a standby.
    let second = run("second");
    wait_until(SOON, "both consume", || queue().is_some_and(|q| q.consumers == 2));
    publisher.notify_all(&ports(1..3));
    sink.wait_for(2, SOON);
    daemon.stop().unwrap();
    publisher.notify_all(&ports(3..4));
    sink.wait_for(3, SOON);
    second.stop().unwrap();
}
