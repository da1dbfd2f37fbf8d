//! Payloads that are the object itself: nova's legacy form, glance, cinder, manila, designate,
//! heat, octavia and keystone's basic form. The event type gives the kind.

use serde_json::Value;

use super::fields::{address, data, first_id, items, text};
use super::shape::ObjectShape;
use super::{Address, AddressKind, Resource};

const EVENTS: [(&str, ObjectShape); 49] = [
    ("compute.instance", INSTANCE),
    ("compute_task", ObjectShape::new("instance").id(&["instance_id"])),
    ("compute.metrics", ObjectShape::new("host").id(&["host"]).name(&["nodename"])),
    ("compute.libvirt", ObjectShape::new("host").id(&["ip"])),
    ("scheduler.select_destinations", ObjectShape::new("instance").id(&["instance_id"])),
    ("scheduler.run_instance", ObjectShape::new("instance").id(&["instance_id"])),
    ("scheduler.create_snapshot", SNAPSHOT),
    ("scheduler.create_volume", VOLUME),
    ("scheduler.extend_volume", VOLUME),
    ("scheduler.manage_existing", VOLUME),
    ("scheduler.migrate_volume_to_host", VOLUME),
    ("scheduler.retype", VOLUME),
    ("scheduler.create_share", SHARE),
    ("scheduler.extend_share", SHARE),
    ("scheduler.manage_share", SHARE),
    ("scheduler.migrate_share_to_host", SHARE),
    ("aggregate", ObjectShape::new("aggregate").id(&["aggregate_id"]).host(&["host_name"])),
    ("servergroup", ObjectShape::new("server_group").id(&["server_group_id"])),
    ("keypair", ObjectShape::new("keypair").id(&["key_name", "name"]).name(&["key_name", "name"])),
    ("image.member", ObjectShape::new("image").id(&["image_id"])),
    ("image.send", ObjectShape::new("image").id(&["image_id"]).project(&["owner_id"])),
    ("image", ObjectShape::new("image").project(&["owner"])),
    ("task", ObjectShape::new("task").project(&["owner"])),
    ("metadef_namespace", ObjectShape::new("metadef_namespace").id(&["namespace"]).project(&["owner"])),
    ("metadef_object", METADEF),
    ("metadef_property", METADEF),
    ("metadef_tag", METADEF),
    ("metadef_resource_type", METADEF),
    ("volume.usage", VOLUME),
    ("volume", VOLUME),
    ("snapshot", SNAPSHOT),
    ("backup", ObjectShape::new("backup").id(&["backup_id"])),
    ("group_snapshot", ObjectShape::new("group_snapshot").id(&["group_snapshot_id"])),
    // Here `id` is the key of a spec.
    ("group_type_specs", ObjectShape::new("group_type").id(&["type_id"])),
    ("group_type", ObjectShape::new("group_type")),
    ("group", ObjectShape::new("group").id(&["group_id"])),
    ("volume_type_extra_specs", ObjectShape::new("volume_type").id(&["type_id"])),
    ("volume_type_project", ObjectShape::new("volume_type").id(&["volume_type_id"])),
    ("volume_type", ObjectShape::new("volume_type")),
    ("qos_specs", ObjectShape::new("qos_specs").id(&["id", "name"])),
    ("share_type_extra_specs", ObjectShape::new("share_type").id(&["type_id"])),
    ("share_type", ObjectShape::new("share_type")),
    ("share", SHARE),
    ("dns.domain", ObjectShape::new("zone").id(&["id"])),
    ("dns", ObjectShape::new("").id(&["id"])),
    ("orchestration.autoscaling", STACK),
    ("orchestration.stack", STACK),
    ("octavia.loadbalancer", ObjectShape::new("loadbalancer").id(&["loadbalancer_id"])),
    ("identity", ObjectShape::new("").id(&["resource_info"])),
];

const INSTANCE: ObjectShape =
    ObjectShape::new("instance").id(&["instance_id"]).project(&["tenant_id"]).state(&["state"]);
const METADEF: ObjectShape = ObjectShape::new("").id(&["namespace"]);
const SNAPSHOT: ObjectShape = ObjectShape::new("snapshot").id(&["snapshot_id"]);
const VOLUME: ObjectShape = ObjectShape::new("volume").id(&["volume_id"]);
const SHARE: ObjectShape = ObjectShape::new("share").id(&["share_id"]);
/// Here `user_id` is the user's name.
const STACK: ObjectShape =
    ObjectShape::new("stack").id(&["stack_identity"]).user(&["user_identity"]).name(&["stack_name"]);

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Option<Resource<'a>> {
    if let Some(resource) = raised(payload) {
        return Some(resource);
    }
    // A legacy instance is also recognised by its id, under any event type.
    let known = EVENTS.iter().find(|(begins, _)| {
        event_type.strip_prefix(begins).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    let shape = match known {
        Some((_, shape)) => *shape,
        None if text(payload, "instance_id").is_some() => INSTANCE,
        None => return None,
    };
    let object = wrapped(shape.kind, payload);
    let mut resource = shape.read(object);
    if resource.kind.is_empty() {
        let mut words = event_type.split('.');
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let word = if first.starts_with("metadef") { first } else { second };
        resource.kind = word.rsplit(':').next().unwrap_or(word).into();
    }
    if resource.id.is_none() {
        resource.id = request_spec(payload);
    }
    resource.addresses = addresses(payload);
    Some(resource)
}

fn wrapped<'a>(kind: &str, payload: &'a Value) -> &'a Value {
    payload.get(format!("{kind}s")).filter(|inner| inner.is_object()).unwrap_or(payload)
}

/// Reads the payload of a method of nova that raised: `{exception: "…", args: {instance: {…}}}`.
/// The event type is the method's name.
fn raised(payload: &Value) -> Option<Resource<'_>> {
    text(payload, "exception").filter(|_| payload.get("instance_id").is_none())?;
    let instance = payload.get("args")?.get("instance")?;
    Some(ObjectShape::new("instance").id(&["uuid"]).state(&["vm_state"]).read(instance))
}

fn request_spec(payload: &Value) -> Option<std::borrow::Cow<'_, str>> {
    let spec = data(payload.get("request_spec")?);
    first_id(spec, &["instance_uuid", "volume_id"])
        .or_else(|| first_id(spec.get("instance_properties")?, &["uuid"]))
}

fn addresses(payload: &Value) -> Option<Vec<Address>> {
    if text(payload, "vip_address").is_some() {
        let further = items(payload, "additional_vips").unwrap_or_default();
        let first = address(payload, "vip_address", AddressKind::Fixed);
        let further = further.iter().filter_map(|vip| address(vip, "ip_address", AddressKind::Fixed));
        return Some(first.into_iter().chain(further).collect());
    }
    let list = items(payload, "fixed_ips")?;
    let mut found = Vec::new();
    for fixed in list {
        found.extend(address(fixed, "address", AddressKind::Fixed));
        let floating = items(fixed, "floating_ips").unwrap_or_default();
        found.extend(floating.iter().filter_map(|ip| address(ip, "address", AddressKind::Floating)));
    }
    Some(found)
}
