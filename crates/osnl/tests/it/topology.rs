use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::daemon::RunEnd;
use osnl::metrics::Counters;
use osnl::native::{Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::wait_until;
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use crate::harness::{DaemonRig, SOON, framed};

fn start(listeners: &str, record: &Path, broker: &MemoryBroker) -> DaemonRig {
    let text = format!(
        "[journal]\nconnection = memory://\n{listeners}[rule:r]\nevent_type = ^counted$\nactions = record\n[action:record]\ndriver = dump\npath = {}\n",
        record.display()
    );
    let texts = [("test.conf".to_owned(), text)];
    let conf = load_texts(&texts, &Sources::default()).unwrap_or_else(|errors| panic!("{errors}")).conf;
    let counters = Arc::new(Counters::default());
    let daemon =
        conf.daemon_with(&|_| Ok(Arc::new(broker.transport())), &HttpOptions::default(), &counters).unwrap();
    DaemonRig::start_daemon(daemon, counters, Duration::from_secs(10))
}

fn publish(
    broker: &MemoryBroker,
    exchange: &str,
    topic: &str,
    priority: &Priority,
    event_type: &str,
) -> usize {
    broker.publish(&Target::new(exchange, topic), priority, framed("p.x", event_type, &json!({})))
}

#[test]
fn exchanges_topics_and_priorities_are_bound_each_with_each() {
    for (pool, queues) in [("osnl", 1), ("", 4)] {
        let folder = tempfile::tempdir().unwrap();
        let (record, broker) = (folder.path().join("record"), MemoryBroker::new());
        let listener = format!(
            "[listener:all]\ntransport_url = rabbit://mq/\nexchange = neutron, nova, cinder\ntopics = a, b\n\
             priorities = info, error\ndeclare = create\npool = {pool}\n"
        );
        let daemon = start(&listener, &record, &broker);
        wait_until(SOON, "it is bound", || publish(&broker, "cinder", "b", &Priority::Error, "x") == 1);
        let mut sent = Vec::new();
        for (exchange, topic) in
            ["neutron", "nova", "cinder"].iter().flat_map(|x| ["a", "b"].map(|t| (*x, t)))
        {
            for priority in [Priority::Info, Priority::Error] {
                assert_eq!(publish(&broker, exchange, topic, &priority, "counted"), 1);
                sent.push(format!("{exchange} {topic}.{priority}"));
            }
            assert_eq!(publish(&broker, exchange, topic, &Priority::Warn, "counted"), 0);
        }
        daemon.wait_until("all are written", |c| c.delivered.get() == 12);
        assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
        let text = std::fs::read_to_string(&record).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let mut seen: Vec<_> = lines
            .iter()
            .map(|line| format!("{} {}", word(line, "exchange"), word(line, "routing_key")))
            .collect();
        seen.sort();
        sent.sort();
        assert_eq!(seen, sent);
        let names: &[&str] =
            if queues == 1 { &["osnl"] } else { &["a.info", "a.error", "b.info", "b.error"] };
        assert!(names.iter().all(|queue| broker.ready(queue) == 0), "everything is settled");
    }
}

#[test]
fn a_prepared_queue_is_read_beside_a_pool() {
    let folder = tempfile::tempdir().unwrap();
    let (record, broker) = (folder.path().join("record"), MemoryBroker::new());
    let pool =
        "[listener:pool]\ntransport_url = rabbit://mq/\nexchange = nova\ndeclare = create\npool = theirs\n";
    let prepares = start(pool, &record, &broker);
    let says = |event_type| publish(&broker, "nova", "notifications", &Priority::Info, event_type);
    wait_until(SOON, "it is bound", || says("x") == 1);
    prepares.stop().unwrap();
    assert_eq!(says("counted"), 1);
    let daemon = start("[listener:l]\ntransport_url = rabbit://mq/\nqueue = theirs\n", &record, &broker);
    daemon.wait_until("what waited is written", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(broker.ready("theirs"), 0);
}

#[test]
fn an_exchange_that_is_deleted_and_made_again_is_bound_again() {
    let folder = tempfile::tempdir().unwrap();
    let (record, broker) = (folder.path().join("record"), MemoryBroker::new());
    let listener = "[listener:l]\ntransport_url = rabbit://mq/\nexchange = nova\npool = osnl\n";
    let daemon = start(listener, &record, &broker);
    let says = |event_type| publish(&broker, "nova", "notifications", &Priority::Info, event_type);
    wait_until(SOON, "it is bound", || says("x") == 1);
    broker.delete_exchange("nova");
    assert_eq!(says("x"), 0, "its service makes it anew, and nothing is bound");
    wait_until(SOON, "it is bound again", || says("counted") == 1);
    daemon.wait_until("what came then is written", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
}
