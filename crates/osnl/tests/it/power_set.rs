//! The example service: what it emits reaches the real libraries as objects, and our own listener typed.

use osnl::notification_listener::{Handler, NotificationListener, Target, TransportUrl};
use osnl_model::versioned::ironic::NodeSetPowerStatePayload;
use osnl_model::versioned::{VersionedObject as _, WireObject};
use osnl_testkit::{Broker, VersionedPeer};
use serde_json::{Value, json};

use crate::examples::example;
use crate::harness::SOON;

/// Event, priority, node, its power state, the state it goes to, its last error.
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

#[test]
fn a_service_tells_the_whole_story_of_a_power_state() {
    let vhost = Broker::shared().vhost("power-set");
    let topic = "ironic_versioned_notifications";
    let mut peer = VersionedPeer::start(&vhost.url());
    peer.listen("ironic", topic);

    let (send, mut typed) = tokio::sync::mpsc::unbounded_channel();
    let listener = NotificationListener::builder(&TransportUrl::parse(&vhost.url()).unwrap())
        .target(Target::new("ironic", topic))
        .pool("own")
        .endpoint(Handler::new(move |received| {
            let WireObject::Known(read) = received.versioned::<NodeSetPowerStatePayload>() else {
                panic!("{:?}", received.notification())
            };
            let notification = received.notification();
            let (event, priority) =
                (notification.event_type.clone().unwrap(), notification.priority.as_ref().unwrap());
            assert_eq!(received.origin().routing_key, format!("{topic}.{priority}"));
            let node = read.object;
            let told: PowerEvent = (
                event,
                priority.to_string(),
                node.name.unwrap(),
                node.power_state,
                node.to_power,
                node.last_error,
            );
            let _ = send.send(told);
            async {}
        }))
        .build()
        .unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let running = listener.start();
        running.listening().await;
        let mut service = example("power_set");
        service.env("OSNL_TRANSPORT_URL", vhost.url());
        assert!(tokio::task::spawn_blocking(move || service.status()).await.unwrap().unwrap().success());
        let mut story = story();
        // One listener keeps the order of a queue; info and error are two.
        for _ in 0..story.len() {
            let told = tokio::time::timeout(SOON, typed.recv()).await.expect("all arrive").unwrap();
            let at = story.iter().position(|expected| *expected == told);
            story.remove(at.unwrap_or_else(|| panic!("{told:?}")));
        }
        running.stop();
        running.wait().await.unwrap();
    });

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
