//! The lag of a group in the status (text and JSON) and in the metrics. An unknown lag is never a
//! number.

use osnl_testkit::{KafkaClient, KafkaCluster, MockKafka, closed_port, wait_until};
use serde_json::{Value, json};

use crate::running::{Place, SOON, TOPIC};

/// Returns a listener with a dead target and a memory journal, so that no message is finished.
pub(crate) fn conf(place: &Place, kafka: &KafkaClient, more: &str) -> String {
    format!(
        "[DEFAULT]\nstate_dir = {state}\n[journal]\nconnection = memory://\n[admin]\nlisten = unix:{socket}\n[listener:n]\n\
         transport_url = {url}\npriorities = info\npool = osnl\n[rule:r]\nevent_type = ^port\\.\nactions = a\n\
         [action:a]\ndriver = http\nurl = http://127.0.0.1:{port}/\n{more}",
        state = place.path("state").display(),
        socket = place.path("admin.sock").display(),
        url = kafka.url(),
        port = closed_port(),
    )
}

fn publish(kafka: &KafkaClient, partition: i32) {
    let body = json!({"event_type": "port.delete.end", "publisher_id": "n", "priority": "INFO",
        "message_id": format!("{:x}", next_id()), "payload": {}});
    kafka.publish_to(TOPIC, partition, body.to_string().as_bytes(), Default::default());
    kafka.flush();
}

fn next_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn the_lag_is_in_the_status_and_the_metrics_and_unknown_without_brokers() {
    lag_is_told(&MockKafka::start());
}

pub(crate) fn lag_is_told(kafka: &impl KafkaCluster) {
    let place = Place::new();
    kafka.create_topic(TOPIC, 2);
    place.write("a.conf", &conf(&place, kafka, ""));
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening at the broker");
    for partition in [0, 1, 1] {
        publish(kafka, partition);
    }
    let status = |format: &str| place.run(&["status", "-c", "a.conf", "--format", format]).1;
    let lag = || -> Value {
        let status: Value = serde_json::from_str(&status("json")).unwrap_or_default();
        status["listeners"][0]["lag"].clone()
    };
    wait_until(SOON, "the lag of three messages", || lag()["messages"] == json!(3));
    let known = lag();
    assert_eq!(known["group"], json!("osnl"));
    assert_eq!(known["partitions"][1]["topic"], json!(TOPIC));
    assert_eq!(known["partitions"][1]["lag"], json!(2));
    assert_eq!(known["partitions"][1]["end_offset"], json!(2));
    let text = status("text");
    assert!(
        text.contains("  n: lag 3 of group osnl in 2 partitions, most in notifications.info/1: 2"),
        "{text}"
    );
    let of = |partition: u8| {
        format!(
            "osnl_kafka_consumergroup_lag{{listener=\"n\",consumergroup=\"osnl\",topic=\"{TOPIC}\",partition=\"{partition}\"}}"
        )
    };
    let scraped = place.metrics();
    assert!(
        scraped.contains(&format!("{} 1\n", of(0))) && scraped.contains(&format!("{} 2\n", of(1))),
        "{scraped}"
    );
    let unknown = "osnl_kafka_consumergroup_lag_unknown{listener=\"n\",consumergroup=\"osnl\"}";
    assert!(scraped.contains(&format!("{unknown} 0\n")), "{scraped}");
    kafka.stop();
    wait_until(SOON, "the lag is not known", || lag()["messages"] == Value::Null);
    // Metrics are computed five times a second at most.
    let are_unknown = || place.metrics().contains(&format!("{unknown} 2\n"));
    wait_until(SOON, "the metrics say so too", are_unknown);
    let scraped = place.metrics();
    assert!(!scraped.contains("osnl_kafka_consumergroup_lag{"), "{scraped}");
    let text = status("text");
    assert!(
        text.contains("n: lag of group osnl unknown in 2 partitions (notifications.info/0 and 1 more: "),
        "{text}"
    );
    osnl.stop();
}
