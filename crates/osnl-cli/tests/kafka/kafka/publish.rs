use osnl_model::Emission;
use osnl_testkit::{KafkaClient, KafkaCluster, MockKafka, Sink, StoredMessage, fixture, wait_until};
use serde_json::{Value, json};

use crate::running::{Place, SOON, TOPIC};

const INSTANCE: &str = "12345678-1234-5678-1234-000000000001";

fn port_deleted() -> Value {
    json!({"port": {"id": "7b2f", "device_id": INSTANCE, "fixed_ips": [{"ip_address": "10.0.0.1"}]}})
}

/// Returns the inner notification, whose form is the only one that readers on Kafka accept.
#[track_caller]
fn inner(stored: &StoredMessage) -> Value {
    let outer: Value = serde_json::from_str(&stored.body).unwrap();
    assert_eq!((&outer["oslo.version"], stored.headers), (&json!("2.0"), 0), "{stored:?}");
    let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
    assert!(inner["_context"].is_object(), "{inner}");
    assert!(inner.as_object().unwrap().keys().all(|key| !key.starts_with("_context_")), "{inner}");
    inner
}

pub(crate) fn send(place: &Place, kafka: &KafkaClient, more: &[&str]) -> (Option<i32>, String, String) {
    let (url, payload) = (kafka.url(), port_deleted().to_string());
    let args = ["send", "--transport-url", &url, "--publisher-id", "network.n1", "--payload", &payload];
    place.run(&[&args, more].concat())
}

pub(crate) const EVENT: [&str; 2] = ["--event-type", "port.delete.end"];

#[test]
fn send_writes_what_readers_on_kafka_know() {
    let (place, kafka) = (Place::new(), MockKafka::start());
    let (code, stdout, stderr) = send(&place, &kafka, &EVENT);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let refusal = format!("publish to topic \"{TOPIC}\" of kafka at {}: it does not exist", kafka.address());
    assert!(stderr.contains(&refusal) && stderr.contains("--declare creates a missing topic"), "{stderr}");
    for driver in ["messaging", "messagingv2"] {
        let context = r#"{"user_id": "u", "auth_token": "S3CRET"}"#;
        let more = ["--declare", "--driver", driver, "--context", context];
        let (code, stdout, stderr) = send(&place, &kafka, &[&EVENT[..], &more[..]].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(
            stdout.contains(&format!("1 of 1 message confirmed by kafka at {}", kafka.address())),
            "{stdout}"
        );
    }
    let stored = kafka.all(TOPIC);
    assert_eq!(stored.len(), 2);
    for message in &stored {
        let inner = inner(message);
        assert_eq!(inner["_context"], json!({"user_id": "u", "auth_token": null}));
        assert_eq!((&inner["event_type"], &inner["payload"]), (&json!("port.delete.end"), &port_deleted()));
        assert_eq!(message.key, Emission::read(message.body.as_bytes()).unwrap().resource_key());
        assert!(message.key.is_some());
    }
    kafka.stop();
    let (code, _, stderr) = send(&place, &kafka, &EVENT);
    assert_eq!(code, Some(69), "{stderr}");
    assert!(stderr.contains(&format!("kafka at {} cannot be reached: ", kafka.address())), "{stderr}");
}

/// osnl must not publish its own messages again, which would loop.
#[test]
fn a_listener_reads_and_publishes_on() {
    is_published_on(&MockKafka::start());
}

pub(crate) fn is_published_on(kafka: &impl KafkaCluster) {
    let place = Place::new();
    for topic in [TOPIC, "deletions.info"] {
        kafka.create_topic(topic, 4);
    }
    let conf = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {url}\nexchange = neutron\n\
         topics = notifications, deletions\npriorities = info\npool = osnl\n[rule:r]\nevent_type = ^port\\.\nactions = on\n\
         [action:on]\ndriver = publish\ntransport_url = {url}\ntopic = deletions\n",
        place.path("state").display(),
        url = kafka.url()
    );
    place.write("a.conf", &conf);
    let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains(&format!("Kafka on {}", kafka.address())), "{stdout}");
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening");
    let (code, _, stderr) = send(&place, kafka, &EVENT);
    assert_eq!(code, Some(0), "{stderr}");
    wait_until(SOON, "it is published on, read again, and finished", || {
        kafka.all("deletions.info").len() == 1 && kafka.unfinished("osnl", "deletions.info") == 0
    });
    let log = osnl.stop();
    let published = kafka.all("deletions.info");
    assert_eq!(published.len(), 1, "{log}");
    assert_eq!(inner(&published[0])["payload"], port_deleted());
    assert_eq!(published[0].key, kafka.all(TOPIC)[0].key);
    assert_eq!(kafka.unfinished("osnl", TOPIC), 0);
}

#[test]
fn an_event_whose_topic_is_missing_is_given_up_and_the_next_is_published() {
    for address in ["topic = deletions", "key = deletions.{{ priority }}"] {
        let (place, kafka) = (Place::new(), MockKafka::start());
        for topic in [TOPIC, "notifications.error", "deletions.info"] {
            kafka.create_topic(topic, 1);
        }
        let conf = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {url}\n\
             exchange = neutron\npriorities = info, error\npool = osnl\n[rule:r]\nactions = on\n[action:on]\n\
             driver = publish\ntransport_url = {url}\n{address}\nmax_attempts = 2\nretry_interval = 0s\n",
            place.path("state").display(),
            url = kafka.url()
        );
        place.write("a.conf", &conf);
        let osnl = place.start(&["run", "-c", "a.conf"]);
        osnl.wait_for("listening");
        let (code, _, stderr) = send(&place, &kafka, &[&EVENT[..], &["--priority", "error"]].concat());
        assert_eq!(code, Some(0), "{stderr}");
        osnl.wait_for("given up: dead letter");
        let (code, _, stderr) = send(&place, &kafka, &EVENT);
        assert_eq!(code, Some(0), "{stderr}");
        wait_until(SOON, "it is published", || kafka.all("deletions.info").len() == 1);
        let log = osnl.stop();
        assert!(log.contains("deletions.error") && !log.contains("the target is down;"), "{log}");
    }
}

#[test]
fn the_recipe_publishes_events_with_their_resource_as_key() {
    let (place, kafka) = (Place::new(), MockKafka::start());
    for topic in [TOPIC, "openstack.info"] {
        kafka.create_topic(topic, 4);
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/recipes/kafka.conf");
    let file = std::fs::read_to_string(file).unwrap();
    let (_, options) = file.split_once("[action:kafka]\n").unwrap();
    let recipe = options.replace("kafka://kafka1:9092,kafka2:9092/", &kafka.url());
    let conf = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {}\n\
         exchange = neutron\npriorities = info\npool = osnl\n[rule:r]\nactions = kafka\n[action:kafka]\n{recipe}",
        place.path("state").display(),
        kafka.url()
    );
    place.write("a.conf", &conf);
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening");
    let (code, _, stderr) = send(&place, &kafka, &EVENT);
    assert_eq!(code, Some(0), "{stderr}");
    wait_until(SOON, "it is published", || kafka.all("openstack.info").len() == 1);
    osnl.stop();
    let published = kafka.all("openstack.info").remove(0);
    let event: Value = serde_json::from_str(&published.body).unwrap();
    assert_eq!([&event["specversion"], &event["type"]], ["1.0", "org.openstack.port.delete.end"]);
    assert_eq!(event["data"], port_deleted());
    assert_eq!(published.key, kafka.all(TOPIC)[0].key);
    assert!(published.key.is_some());
}

#[test]
fn the_recorded_file_of_k2hr3_osnl_runs() {
    let (place, kafka, sink) = (Place::new(), MockKafka::start(), Sink::start());
    kafka.create_topic(TOPIC, 1);
    let text = fixture::text("k2hr3/conf/04-kafka-requeue-default.conf");
    let text = text.replace("kafka://127.0.0.1:9092/", &kafka.url());
    let text = text.replace("http://127.0.0.1:18080/v1/role", &sink.url("/v1/role"));
    assert!(text.contains(&kafka.url()) && text.contains(&sink.url("/v1/role")), "{text}");
    place.write("04.conf", &text);
    let osnl = place.start(&["k2hr3-osnl", "-c", "04.conf"]);
    osnl.wait_for("listening");
    let (code, _, stderr) = send(&place, &kafka, &EVENT);
    assert_eq!(code, Some(0), "{stderr}");
    let request = sink.wait_for(1, SOON).remove(0);
    assert!(format!("{request:?}").contains(INSTANCE), "{request:?}");
    wait_until(SOON, "the message is finished", || kafka.unfinished("k2hr3_osnl", TOPIC) == 0);
    osnl.stop();
}
