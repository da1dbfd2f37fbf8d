//! A topic deleted and created anew while osnl was stopped: no message is skipped, and the status
//! reports it.

use std::fs;

use osnl_testkit::{KafkaCluster as _, MockKafka, Sink, wait_until};
use serde_json::Value;

use crate::running::{Place, SOON, TOPIC};

/// A second cluster acts as the new topic: its brokers have no offset of the group, as after a
/// deletion.
#[test]
fn a_topic_of_kafka_that_was_created_anew_is_read_from_its_beginning() {
    let (place, sink) = (Place::new(), Sink::start());
    let run_on = |kafka: &MockKafka| {
        let conf = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {}\nexchange = n\n\
             priorities = info\npool = osnl\n[rule:r]\nactions = a\n[action:a]\ndriver = http\nurl = {}\n",
            place.path("state").display(),
            kafka.url(),
            sink.url("/")
        );
        place.write("a.conf", &conf);
        let osnl = place.start(&["run", "-c", "a.conf"]);
        osnl.wait_for("listening at the broker");
        osnl
    };
    let body = r#"{"event_type": "port.delete.end", "publisher_id": "n", "priority": "INFO", "payload": {}}"#;
    let incidents = || {
        let (_, status, _) = place.run(&["status", "-c", "a.conf", "--format", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        status["incidents"].to_string()
    };
    let first = MockKafka::start();
    first.create_topic(TOPIC, 1);
    // A new group begins with the next message.
    first.publish(TOPIC, body);
    let osnl = run_on(&first);
    let memory = place.path("state/groups/n.json");
    wait_until(SOON, "the memory of the group", || {
        fs::read_to_string(&memory).unwrap_or_default().contains("[\"osnl\"]")
    });
    assert!(!incidents().contains("\"gap\""), "{}", incidents());
    osnl.stop();
    let second = MockKafka::start();
    second.create_topic(TOPIC, 1);
    second.publish(TOPIC, body);
    let osnl = run_on(&second);
    sink.wait_for(1, SOON);
    let found = incidents();
    assert!(found.contains("\"gap\""), "{found}");
    assert!(
        found.contains("the group has read before and has no committed offset of the topic; messages are read from offset 0 on"),
        "{found}"
    );
    osnl.stop();
}
