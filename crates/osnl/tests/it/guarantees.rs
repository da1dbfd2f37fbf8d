use std::path::Path;

use osnl::native::{Native, Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;

use crate::harness::{DaemonRig, framed, instance, port_deleted};

fn conf(folder: &Path, text: &str) -> Native {
    let text =
        format!("[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n{text}", folder.display());
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf
}

fn publish(broker: &MemoryBroker, exchange: &str, event_type: &str, payload: &serde_json::Value) -> usize {
    let body = framed("network.node1", event_type, payload);
    broker.publish(&Target::new(exchange, "notifications"), &Priority::Info, body)
}

/// A request without an answer in time may have arrived, so that it is repeated unchanged.
#[test]
fn what_was_not_answered_in_time_is_sent_again_as_it_was() {
    for (driver, option, key) in [("http", "url", true), ("k2hr3", "api_url", false)] {
        for restart in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let sink = Sink::start();
            sink.reply_with(Reply::Hang);
            let conf = conf(
                folder.path(),
                &format!(
                    "[listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
                     pool = osnl\n[rule:r]\nevent_type = ^port\\.delete\nactions = a\n\
                     [action:a]\ndriver = {driver}\n{option} = {}\ntimeout = 300ms\nretry_interval = 0s\n",
                    sink.url("/v1/role")
                ),
            );
            let broker = MemoryBroker::new();
            let mut daemon = DaemonRig::bound(&conf, &broker, &["neutron"]);
            publish(&broker, "neutron", "port.delete.end", &port_deleted(&instance(1), "10.0.0.1"));
            daemon.wait_until("it was not answered", |c| c.failures.get() > 0);
            if restart {
                daemon.abort().unwrap();
                daemon = DaemonRig::bound(&conf, &broker, &["neutron"]);
            }
            sink.reply_with(Reply::Status(204));
            daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
            daemon.stop().unwrap();
            let requests = sink.requests();
            assert!(requests.len() >= 2, "{driver}");
            for again in &requests[1..] {
                let first = &requests[0];
                assert_eq!(
                    (&again.method, &again.target, &again.body),
                    (&first.method, &first.target, &first.body)
                );
                assert_eq!(again.header("idempotency-key"), first.header("idempotency-key"));
            }
            let sent = requests[0].header("idempotency-key");
            assert_eq!(sent.is_some_and(|sent| sent.ends_with("/a")), key, "{driver}: {sent:?}");
        }
    }
}

/// The action's listener leaves messages at the broker; the other listener continues, and nothing is lost when there
/// is room.
#[test]
fn a_full_action_stops_only_the_listeners_whose_rules_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    sink.stop();
    let conf = conf(
        folder.path(),
        &format!(
            "max_pending = 3\n\
             [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npool = n\nprefetch = 2\n\
             [listener:nova]\ntransport_url = rabbit://mq/\nexchange = nova\ndeclare = create\npool = c\nprefetch = 2\n\
             [rule:full]\nlisteners = neutron\nevent_type = ^port\\.delete\nactions = roles\n\
             [rule:other]\nlisteners = nova\nevent_type = ^port\\.delete\nactions = note\n\
             [action:roles]\ndriver = k2hr3\napi_url = {}\nretry_interval = 0s\n\
             [action:note]\ndriver = dump\npath = {}/note.jsonl\n",
            sink.url("/v1/role"),
            folder.path().display()
        ),
    );
    let broker = MemoryBroker::new();
    let daemon = DaemonRig::bound(&conf, &broker, &["neutron", "nova"]);
    for n in 0..20 {
        publish(&broker, "neutron", "port.delete.end", &port_deleted(&instance(n), "10.0.0.1"));
    }
    daemon.wait_for_log("max_pending");
    for n in 0..30 {
        publish(&broker, "nova", "port.delete.end", &port_deleted(&instance(n), "10.0.0.2"));
    }
    daemon.wait_until("the other one's are done", |c| c.delivered.get() == 30);
    assert!(broker.ready("n") >= 10, "{} are with the broker", broker.ready("n"));
    assert_eq!(daemon.counters.dead.get(), 0);
    sink.restart();
    daemon.wait_until("all are done", |c| c.delivered.get() == 50);
    assert_eq!(broker.ready("n"), 0);
    daemon.stop().unwrap();
    let notes = std::fs::read_to_string(folder.path().join("note.jsonl")).unwrap();
    assert_eq!((notes.lines().count(), sink.requests().len()), (30, 20));
}
