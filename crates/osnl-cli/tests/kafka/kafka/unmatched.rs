//! Messages that no rule wants: the client's thread finishes them by their heads. osnl counts,
//! explains, and commits such messages as on any broker.

use osnl_testkit::{KafkaCluster as _, MockKafka, wait_until};
use serde_json::{Value, json};

use super::lag::{conf, metrics};
use crate::running::{Place, SOON, TOPIC};

#[test]
fn what_no_rule_wants_is_counted_explained_and_committed() {
    let kafka = MockKafka::start();
    kafka.create_topic(TOPIC, 1);
    let place = Place::new();
    place.write(
        "a.conf",
        &conf(&place, &kafka, "").replace("connection = memory://", "allow_volatile = true"),
    );
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening at the broker");
    let publish = |event_type: &str, n: u32| {
        let body = json!({"event_type": event_type, "publisher_id": "p", "priority": "INFO",
            "message_id": format!("{n}"), "payload": {}});
        kafka.publish_to(TOPIC, 0, body.to_string().as_bytes(), Default::default());
        kafka.flush();
    };
    let count = |of: &str| {
        let name = format!("osnl_messages_{of}_total{{listener=\"n\"}} ");
        let text = metrics(&place);
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name}in {text}")).parse::<u64>().unwrap()
    };
    (0..3).for_each(|n| publish("image.create", n));
    wait_until(SOON, "three that match no rule", || (count("received"), count("unmatched")) == (3, 3));
    publish("port.delete.end", 3);
    wait_until(SOON, "the one that matches", || (count("received"), count("unmatched")) == (4, 3));
    let lag = || -> Value {
        let status: Value =
            serde_json::from_str(&place.run(&["status", "-c", "a.conf", "--format", "json"]).1)
                .unwrap_or_default();
        status["listeners"][0]["lag"]["messages"].clone()
    };
    wait_until(SOON, "no lag: all are finished or in the journal", || lag() == json!(0));
    // A thread writes the file once a second.
    let look = || place.run(&["explain", "-c", "a.conf", "--unmatched", "--format", "json"]).1;
    wait_until(SOON, "the messages beside the journal", || look().lines().count() == 3);
    let first: Value = serde_json::from_str(look().lines().next().unwrap()).unwrap();
    let text = first.to_string();
    assert!(text.contains("image.create") && text.contains("\"exchange\":\"n\""), "{text}");
}
