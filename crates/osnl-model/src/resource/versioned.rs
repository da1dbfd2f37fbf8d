//! Versioned payloads: `{"nova_object.name": "InstanceActionPayload", "nova_object.data": {…}, …}`.
//!
//! The beginning of the class's name decides. An unknown class is read by the keys that most
//! objects have, and the event type gives its kind. A service may have a class for each action
//! (`ActionPlanCreatePayload`, `ActionPlanDeletePayload`), yet all events of one resource have one
//! kind.

use std::borrow::Cow;

use serde_json::Value;

use super::fields::{address, data, items};
use super::shape::ObjectShape;
use super::{Address, AddressKind, Resource};

const CLASSES: [(&str, &str, ObjectShape); 26] = [
    (
        "nova",
        "Instance",
        ObjectShape::new("instance").id(&["uuid"]).project(&["tenant_id"]).state(&["state"]),
    ),
    // The number, as in the legacy form: not all events of an aggregate have a UUID.
    ("nova", "Aggregate", ObjectShape::new("aggregate").id(&["id"]).state(&[])),
    ("nova", "Flavor", ObjectShape::new("flavor").id(&["flavorid"])),
    ("nova", "Keypair", ObjectShape::new("keypair").id(&["name"])),
    ("nova", "ServerGroup", ObjectShape::new("server_group")),
    ("nova", "Service", ObjectShape::new("service")),
    ("nova", "VolumeUsage", ObjectShape::new("volume").id(&["volume_id"])),
    ("nova", "ComputeTask", ObjectShape::new("instance").id(&["instance_uuid"])),
    ("nova", "RequestSpec", ObjectShape::new("instance").id(&["instance_uuid"])),
    ("nova", "Metrics", ObjectShape::new("host").id(&["host"]).name(&["nodename"])),
    ("nova", "LibvirtError", ObjectShape::new("host").id(&["ip"])),
    ("nova", "Exception", ObjectShape::new("exception").name(&["exception"])),
    ("ironic", "Node", NODE),
    ("ironic", "Portgroup", ObjectShape::new("portgroup").order(&["node_uuid"])),
    ("ironic", "Port", ObjectShape::new("port").order(&["node_uuid"])),
    ("ironic", "Chassis", ObjectShape::new("chassis").name(&["description"])),
    ("ironic", "VolumeConnector", ObjectShape::new("volume_connector").order(&["node_uuid"])),
    ("ironic", "VolumeTarget", ObjectShape::new("volume_target").order(&["node_uuid"])),
    ("ironic", "Allocation", ObjectShape::new("allocation").order(&["node_uuid"]).project(&["owner"])),
    ("ironic", "DeployTemplate", ObjectShape::new("deploy_template")),
    ("ironic", "Runbook", ObjectShape::new("runbook").project(&["owner"])),
    ("ironic", "InspectionRule", ObjectShape::new("inspection_rule")),
    // An object has no UUID during creation; only the name is in all of its events.
    ("masakari", "Segment", ObjectShape::new("segment").order(&["name"])),
    ("masakari", "Host", ObjectShape::new("host").order(&["name"])),
    ("masakari", "Notification", ObjectShape::new("notification").id(&["notification_uuid"]).name(&["type"])),
    ("", "", ObjectShape::new("")),
];

const MOST_KEYS: usize = 64;

const NODE: ObjectShape = ObjectShape::new("node").project(&["owner"]).state(&["provision_state"]);

pub(super) fn read<'a>(event_type: &str, payload: &'a Value) -> Option<Resource<'a>> {
    // A versioned object has five keys. A large object is not searched for each of its resources.
    let keys = payload.as_object().filter(|keys| keys.len() <= MOST_KEYS)?;
    let named =
        keys.iter().find_map(|(key, class)| Some((key.strip_suffix("_object.name")?, class.as_str()?)));
    // Without a name, `nova_object.data` is an instance, as k2hr3_osnl reads it.
    let (namespace, class) = match named {
        Some(named) => named,
        None => ("nova", keys.get("nova_object.data").and_then(Value::as_object).map(|_| "Instance")?),
    };
    let object = data(payload);
    let fits = |(of, begins, _): &&(&str, &str, ObjectShape)| {
        (of.is_empty() || *of == namespace) && class.starts_with(begins)
    };
    let (_, _, shape) = CLASSES.iter().find(fits)?;
    let mut resource = shape.read(object);
    if resource.kind.is_empty() {
        resource.kind = Cow::Owned(kind(event_type, class));
    }
    resource.addresses = addresses(object);
    Some(resource)
}

const PHASES: [&str; 6] = ["start", "end", "error", "success", "fail", "failed"];

/// The last word is the action, before its phase (`action_plan.execution.start`). Of the words
/// before, the first that begins the class's name counts (`baremetal.node.create` with
/// `NodePayload`), else the last. Without such a word, the class gives the kind.
fn kind(event_type: &str, class: &str) -> String {
    let class = snake(class.strip_suffix("Payload").unwrap_or(class));
    let mut words: Vec<&str> = event_type.split('.').filter(|word| !word.is_empty()).collect();
    while words.len() > 2 && words.last().is_some_and(|word| PHASES.contains(word)) {
        words.pop();
    }
    words.pop();
    let begins =
        |word: &str| class.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let word = words.iter().find(|word| begins(word)).or(words.last());
    word.map_or(class.clone(), |word| (*word).to_owned())
}

/// Reads the fixed addresses; versioned payloads have no floating addresses. Instances with
/// addresses also send an empty list, which therefore counts as absent.
fn addresses(object: &Value) -> Option<Vec<Address>> {
    let list = items(object, "ip_addresses")?;
    let found = list.iter().filter_map(|ip| address(data(ip), "address", AddressKind::Fixed));
    Some(found.collect::<Vec<_>>()).filter(|found| !found.is_empty())
}

fn snake(class: &str) -> String {
    let mut out = String::new();
    for (at, letter) in class.chars().enumerate() {
        if at > 0 && letter.is_uppercase() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
