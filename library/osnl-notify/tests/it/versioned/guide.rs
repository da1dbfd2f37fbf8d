//! The example payloads that ironic's guide to its notifications prints, with JSON's words for Python's `None` and
//! `False` (`library/fixtures/guide.json`).

use osnl_notify::Notification;
use osnl_notify::versioned::ironic::{
    NodeCorrectedPowerStatePayload, NodeSetPowerStatePayload, NodeSetProvisionStatePayload,
};
use osnl_notify::versioned::{
    Json, MaybeSet, ObjectVersion, ReadVersioned as _, VersionedObject, WireObject, read, to_version,
};
use serde_json::{Value, json};

use crate::versioned::recordings;

/// Reads the message with all its fields, and writes the payload again, in its version and in the first one.
#[track_caller]
fn check<T: VersionedObject + PartialEq>(name: &str) -> T {
    let message = &recordings::json("guide.json")[name];
    let notification = Notification::decode(message.to_string().as_bytes()).unwrap();
    assert_eq!(
        notification.priority.as_ref().map(ToString::to_string).as_deref(),
        message["priority"].as_str()
    );
    assert_eq!(notification.event_type.as_deref(), message["event_type"].as_str());
    assert_eq!(notification.publisher_id.as_deref(), message["publisher_id"].as_str());
    let found = match notification.versioned::<T>() {
        WireObject::Known(found) => found,
        WireObject::Unknown(unknown) => panic!("{name}: {}", unknown.reason),
    };
    let mut printed = message["payload"].clone();
    assert_eq!(printed["ironic_object.version"], json!(found.version.to_string()));
    assert_eq!(found.unknown_fields().count(), 0, "{name}");

    // Ironic writes the null of such a field as an empty object.
    if let Some(step @ Value::Null) = printed["ironic_object.data"].get_mut("clean_step") {
        *step = json!({});
    }
    let written = |object: &T, version| -> Value {
        to_version(object, &[(T::INFO.name, version)]).unwrap().into_value()
    };
    assert_eq!(written(&found.object, found.version), printed, "{name}");
    // The first version lacks the fields of later ones, so an object of the first version has fewer.
    let first = ObjectVersion::new(1, 0);
    let in_first = written(&found.object, first);
    match read::<T>(Json::from(in_first.clone())) {
        WireObject::Known(again) => {
            assert_eq!(again.version, first, "{name}");
            assert_eq!(written(&again.object, first), in_first, "{name}");
        }
        WireObject::Unknown(unknown) => panic!("{name} as {first}: {}", unknown.reason),
    }
    found.object
}

#[test]
fn the_guides_own_notification_is_read_as_printed() {
    #[derive(Clone, PartialEq, VersionedObject)]
    #[versioned(namespace = "ironic", version = "1.0", timestamps)]
    struct ExampleNotifyPayload {
        a_useful_field: String,
        an_extra_field: MaybeSet<Option<String>>,
    }

    let example: ExampleNotifyPayload = check("example");
    assert_eq!(example.a_useful_field, "important");
    assert!(example.an_extra_field == MaybeSet::Set(Some("hello".to_owned())));
}

#[test]
fn a_power_state_that_is_set_is_read_as_printed() {
    let node: NodeSetPowerStatePayload = check("power_set");
    assert_eq!(node.uuid.as_str(), "1be26c0b-03f2-4d2e-ae87-c02d7f33c123");
    assert_eq!(
        (node.power_state.as_deref(), node.to_power.as_deref()),
        (Some("power off"), Some("power on"))
    );
    assert_eq!((node.maintenance, node.name, node.traits), (Some(false), None, None));
}

#[test]
fn a_power_state_that_is_corrected_is_read_as_printed() {
    let node: NodeCorrectedPowerStatePayload = check("power_state_corrected");
    assert_eq!(node.from_power.as_deref(), Some("power on"));
    assert_eq!(node.properties.unwrap().0.get("memory_mb").cloned().map(Json::into_value), Some(json!(4096)));
}

#[test]
fn a_provision_state_that_is_set_is_read_as_printed() {
    let node: NodeSetProvisionStatePayload = check("provision_set");
    let states = (node.previous_provision_state.as_deref(), node.provision_state.as_deref());
    assert_eq!((states, node.event.as_deref()), ((Some("available"), Some("deploying")), Some("deploy")));
    assert_eq!(node.previous_target_provision_state, None);
}
