//! The example service: real libraries read its notifications as objects, and a program of this library reads
//! them typed.

use std::process::Command;

use osnl_model::Notification;
use osnl_notify::versioned::ironic::NodeSetPowerStatePayload;
use osnl_notify::versioned::{ReadVersioned as _, VersionedObject as _, WireObject};
use osnl_testkit::{Broker, BrokerObjects, OsloPublisher, PublisherOptions};
use serde_json::{Value, json};

use crate::peer::VersionedPeer;

type PowerEvent = (String, String, String, Option<String>, Option<String>, Option<String>);

fn story() -> Vec<PowerEvent> {
    let own = |text: &str| Some(text.to_owned());
    let told = |status: &str, priority: &str, node: &str, state: &str, error: Option<String>| {
        let event = format!("baremetal.node.power_set.{status}");
        (event, priority.to_owned(), node.to_owned(), own(state), own("power on"), error)
    };
    vec![
        told("start", "info", "node-1", "power off", None),
        told("end", "info", "node-1", "power on", None),
        told("start", "info", "node-2", "power off", None),
        told("error", "error", "node-2", "power off", own("the controller does not answer")),
    ]
}

/// `cargo test` builds the example, unless this test is built alone.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "no example {name}: run the tests without --test, or build the examples first");
    Command::new(path)
}

#[test]
fn a_service_tells_the_whole_story_of_a_power_state() {
    let vhost = Broker::shared().vhost("power-set");
    let topic = "ironic_versioned_notifications";
    let mut peer = VersionedPeer::start(&vhost.url());
    peer.listen("ironic", topic);
    let mut reader = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    reader.prepare(&BrokerObjects {
        exchange: "ironic".to_owned(),
        queue: "own".to_owned(),
        routing_keys: vec![format!("{topic}.info"), format!("{topic}.error")],
        durable: false,
        ..BrokerObjects::default()
    });
    assert!(example("power_set").env("OSNL_TRANSPORT_URL", vhost.url()).status().unwrap().success());

    let typed: Vec<PowerEvent> = story()
        .iter()
        .map(|_| {
            let delivered = reader.take("own").unwrap();
            let notification = Notification::decode(&delivered.body).unwrap();
            let WireObject::Known(read) = notification.versioned::<NodeSetPowerStatePayload>() else {
                panic!("{notification:?}")
            };
            let priority = notification.priority.unwrap().to_string();
            assert_eq!(delivered.routing_key, format!("{topic}.{priority}"));
            let (event, node) = (notification.event_type.unwrap(), read.object);
            (event, priority, node.name.unwrap(), node.power_state, node.to_power, node.last_error)
        })
        .collect();
    assert_eq!(typed, story());

    let mut told: Vec<PowerEvent> = Vec::new();
    for _ in story() {
        let received = peer.take();
        let class = NodeSetPowerStatePayload::INFO;
        assert_eq!((&*received.class, &*received.version), (class.name, class.version_text));
        assert_eq!(received.publisher_id, "ironic-conductor.hostname01");
        assert_eq!(received.context["request_id"], json!("req-1"));
        assert!(!received.payload.contains("s3cret"), "{}", received.payload);
        let payload: Value = serde_json::from_str(&received.payload).unwrap();
        let text = |key: &str| payload["ironic_object.data"][key].as_str().map(str::to_owned);
        let (name, state, to) = (text("name").unwrap(), text("power_state"), text("to_power"));
        told.push((received.event_type, received.priority, name, state, to, text("last_error")));
    }
    let sorted = |mut story: Vec<PowerEvent>| {
        story.sort();
        story
    };
    assert_eq!(sorted(told), sorted(story()));
}

#[test]
fn without_a_broker_the_example_has_one_in_itself() {
    assert!(example("power_set").env_remove("OSNL_TRANSPORT_URL").status().unwrap().success());
}
