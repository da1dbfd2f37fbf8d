//! `osnl tap` on Kafka: shows new messages, takes none from a group, and commits no offsets.

use osnl_testkit::{KafkaCluster, MockKafka, wait_until};
use serde_json::{Value, json};

use super::lag;
use crate::running::{Place, SOON, TOPIC};

fn body(name: &str) -> String {
    json!({"event_type": name, "publisher_id": "network.n1", "priority": "INFO", "payload": {"port": {"id": "1"}}}).to_string()
}

#[test]
fn a_tap_shows_what_comes_next_and_leaves_no_trace() {
    tap_leaves_no_trace(&MockKafka::start());
}

pub(crate) fn tap_leaves_no_trace(kafka: &impl KafkaCluster) {
    let place = Place::new();
    kafka.create_topic(TOPIC, 1);
    kafka.publish(TOPIC, &body("port.before"));
    let url = kafka.url();
    let tap = place.start(&["tap", &url, "--format", "json", "-n", "2"]);
    tap.wait_for("listening at ");
    tap.wait_for("tap is in no consumer group");
    tap.wait_for("Kafka has no exchanges");
    tap.wait_for(&format!("topics: {TOPIC}"));
    tap.wait_for("no topic yet for versioned_notifications.*");
    kafka.publish(TOPIC, &body("port.first"));
    tap.wait_for("port.first");
    // A topic that is created later is read from its beginning.
    kafka.create_topic("versioned_notifications.info", 1);
    kafka.publish("versioned_notifications.info", &body("port.late"));
    tap.wait_for("port.late");
    tap.wait_for("2 events shown");
    let log = tap.stop();
    assert!(!log.contains("port.before"), "{log}");
    let event = log.lines().find(|line| line.contains("port.first")).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["routing_key"], json!(TOPIC), "{event}");
    for group in ["osnl-tap", "oslo_messaging_consumer"] {
        assert_eq!(kafka.committed(group, TOPIC)[0].1, None, "{group}");
    }
}

#[test]
fn a_tap_takes_nothing_from_a_group_and_its_check_has_the_groups_lag() {
    let unlisted = [
        format!("group osnl: state not known; lag 1 in {TOPIC}"),
        "group other groups are not known: the brokers do not list them".to_owned(),
    ];
    tap_takes_nothing(&MockKafka::start(), &unlisted);
}

pub(crate) fn tap_takes_nothing(kafka: &impl KafkaCluster, groups: &[String]) {
    let place = Place::new();
    kafka.create_topic(TOPIC, 2);
    place.write("a.conf", &lag::conf(&place, kafka, ""));
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening at the broker");
    let tap = Place::new();
    let tapping = tap.start(&["tap", &kafka.url(), "--lines", "-n", "1"]);
    tapping.wait_for("listening at ");
    kafka.publish(TOPIC, &body("port.delete.end"));
    tapping.wait_for("port.delete.end");
    // The target is down, so the message is unfinished.
    wait_until(SOON, "osnl has it", || {
        place.metrics().contains("osnl_messages_matched_total{listener=\"n\"} 1")
    });
    let (_, stdout, stderr) = place.run(&["queues", "-c", "a.conf"]);
    let said = stdout + &stderr;
    for line in [format!("topic {TOPIC}: 2 partitions")].iter().chain(groups) {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    assert_eq!(kafka.unfinished("osnl", TOPIC), 1);
    assert!(!said.contains("rabbitmqctl"), "{said}");
    osnl.stop();
}
