use std::collections::BTreeSet;

use osnl_model::catalogue::{self, CatalogueEvent, PayloadForm};
use serde_json::Value;

use crate::services::recorded::recorded;

fn form(payload: &Value) -> String {
    let Some(object) = payload.as_object() else { return "Text".to_owned() };
    let class = object.iter().find(|(key, _)| key.ends_with("_object.name"));
    match class.and_then(|(_, class)| class.as_str()) {
        Some(class) => format!("Versioned({class:?})"),
        None if object.contains_key("typeURI") => "Cadf".to_owned(),
        None => "Plain".to_owned(),
    }
}

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(below(key));
                paths(value, &below(key), found);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().take(3) {
                found.insert(below(&at.to_string()));
                paths(item, &below(&at.to_string()), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_recorded_event_and_field_is_known() {
    let probes = ["probe.", "baremetal.example_obj.", "baremetal.probe.", "baremetal.x."];
    let mut missing = BTreeSet::new();
    let mut checked = 0;
    for message in recorded() {
        let event_type = message.n.event_type.as_deref().unwrap();
        if probes.iter().any(|probe| event_type.starts_with(probe)) {
            continue;
        }
        let form = form(&message.n.payload);
        let found = catalogue::find(event_type);
        let event: Option<&&CatalogueEvent> = found
            .iter()
            .find(|event| message.file.starts_with(event.service) && format!("{:?}", event.form) == form);
        let Some(event) = event else {
            missing.insert(format!("{} {event_type} {form}", message.file));
            continue;
        };
        assert!(event.recorded && event.sample().is_some(), "{event_type}");
        let mut all = BTreeSet::new();
        paths(&message.n.payload, "", &mut all);
        checked += all.len();
        missing.extend(
            all.iter().filter(|path| !event.has_field(path)).map(|path| format!("{event_type} {path}")),
        );
    }
    let missing: Vec<String> = missing.into_iter().take(30).collect();
    assert!(missing.is_empty(), "not known:\n{}", missing.join("\n"));
    assert!(checked > 40_000, "{checked} fields");
}

#[test]
fn fields_that_no_payload_has_are_not_known() {
    let check = |event_type: &str, path: &str, expected: bool| {
        assert_eq!(catalogue::field_exists(event_type, path), Some(expected), "{event_type} {path}");
    };
    check("port.delete.end", "port.device_owner", true);
    check("port.delete.end", "port.fixed_ips.0.ip_address", true);
    check("port.delete.end", "port.fixed_ips.*.ip_address", true);
    check("port.delete.end", "port.fixed_ips.ip_address", false);
    check("port.delete.end", "port.fixed_ips.0.address", false);
    check("port.delete.end", "port.binding:profile.anything.at.all", true);
    check("port.delete.end", "port.binding:host_id", true);
    check("port.delete.end", "port.host_id", false);
    check("port.delete.end", "device_owner", false);
    check("port.delete.end", "port.name.first", false);
    check("port.delete.start", "port_id", true);
    check("port.delete.start", "port.id", false);
    check("instance.delete.end", "nova_object.data.uuid", true);
    check("instance.delete.end", "nova_object.name", true);
    check("instance.delete.end", "nova_object.data.flavor.nova_object.data.memory_mb", true);
    check("instance.delete.end", "nova_object.data.flavor.memory_mb", false);
    check("instance.delete.end", "nova_object.data.metadata.role", true);
    check("instance.delete.end", "nova_object.data.ip_addresses.0.nova_object.data.address", true);
    check("instance.delete.end", "nova_object.data.ip_addresses.nova_object.data.address", false);
    check("instance.delete.end", "nova_object.data.instance_id", false);
    check("instance.delete.end", "uuid", false);
    check("instance.delete.end", "ironic_object.data.uuid", false);
    check("compute.instance.delete.end", "instance_id", true);
    check("compute.instance.delete.end", "uuid", false);
    check("baremetal.node.provision_set.end", "ironic_object.data.provision_state", true);
    check("image.upload", "name", true);
    check("aggregate.create.end", "aggregate_id", true);
    check("aggregate.create.end", "nova_object.data.id", true);
    assert_eq!(catalogue::field_exists("port.delete.ended", "port"), None);
}

#[test]
fn an_event_says_where_it_comes_from() {
    let all = catalogue::events();
    assert!(all.len() > 600, "{} events", all.len());
    assert_eq!(catalogue::services().len(), 12);
    assert!(catalogue::services().iter().all(|(_, version)| !version.is_empty()));
    for event in all {
        assert!(!event.exchange().is_empty() && !event.topics.is_empty(), "{event:?}");
        assert!(!event.priorities.is_empty() && !event.publishers.is_empty(), "{event:?}");
        assert_eq!(event.version().is_some(), matches!(event.form, PayloadForm::Versioned(_)), "{event:?}");
        assert_eq!(event.fields().is_empty(), event.form == PayloadForm::Text, "{event:?}");
        assert!(event.fields().iter().all(|field| event.has_field(&field.path.join("."))), "{event:?}");
    }
    let port = catalogue::find("port.delete.end")[0];
    let since = |name: &str| port.fields().into_iter().find(|f| f.short() == name).unwrap().since;
    assert_eq!(since("port.project_id").as_deref(), Some("neutron 9.0.0 (Newton)"));
    assert!(since("port").unwrap().contains("Queens"));
    assert_eq!(since("port.name"), None);
    let instance = catalogue::find("instance.create.end")[0];
    assert_eq!((instance.exchange(), instance.topics[0]), ("nova", "versioned_notifications"));
    assert_eq!(
        (instance.form, instance.version()),
        (PayloadForm::Versioned("InstanceCreatePayload"), Some("1.13"))
    );
    let flavor = instance.fields().into_iter().find(|field| field.short() == "flavor.memory_mb").unwrap();
    assert_eq!((flavor.kind, flavor.since.as_deref()), ("number or null", Some("FlavorPayload 1.0")));
    let later = |name: &str| {
        let field = instance.fields().into_iter().find(|field| field.short() == name).unwrap();
        (field.since.unwrap(), field.later)
    };
    assert_eq!(later("tags"), ("InstanceCreatePayload 1.6".to_owned(), true));
    assert_eq!(later("flavor.projects"), ("FlavorPayload 1.2".to_owned(), true));
    assert_eq!(later("uuid"), ("InstanceCreatePayload 1.2".to_owned(), false));
    let volume = catalogue::find("volume.create.end")[0];
    assert_eq!((volume.service, volume.exchange()), ("cinder", "openstack"));
    assert_eq!(catalogue::find("octavia.loadbalancer.create.end")[0].publishers, ["null"]);
    let listed = catalogue::find("baremetal.node.power_set.error")[0];
    assert!(!listed.recorded && listed.priorities == ["ERROR"]);
}

#[test]
fn no_sample_has_a_secret() {
    for event in catalogue::events() {
        let Some(sample) = event.sample() else { continue };
        assert!(osnl_model::mask_secrets(sample.payload) == *sample.payload, "{}", event.event_type);
    }
}

#[test]
fn names_alike_are_found() {
    let check = |name: &str, expected: &str| {
        let found = catalogue::alike(name, 3);
        assert!(found.contains(&expected), "{name}: {found:?}");
    };
    check("port.deleted", "port.delete.end");
    check("port.delete.ended", "port.delete.end");
    check("instance.delete", "instance.delete.end");
    check("identity.user.delete", "identity.user.deleted");
    assert!(catalogue::alike("zz", 3).is_empty());
}
