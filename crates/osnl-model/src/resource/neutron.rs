//! Neutron's payloads: `{port: {…}}`, of a bulk request `{ports: […]}`, before a deletion
//! `{port_id: …}`, before a change `{port: {changes}, id: …}`. The word is the first of the event
//! type.

use std::borrow::Cow;

use serde_json::Value;

use super::fields::{address, items, text};
use super::shape::ObjectShape;
use super::{Address, AddressKind, Resource};

const PORT: ObjectShape = object("port").host(&["binding:host_id"]);
const FLOATING_IP: ObjectShape = object("floatingip").name(&["floating_ip_address"]);

const fn object(kind: &'static str) -> ObjectShape {
    ObjectShape::new(kind).id(&["id"])
}

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Vec<Resource<'a>> {
    let kind = event_type.split('.').next().unwrap_or_default();
    if kind == "tag" {
        return tagged(payload).into_iter().collect();
    }
    if let Some(interface) = payload.get("router_interface") {
        return vec![Resource { kind: "router".into(), ..object("router").read(interface) }];
    }
    if let Some((kind, bulk)) = bulk(event_type, payload) {
        return bulk.iter().map(|item| read_bulk_item(kind, item)).collect();
    }
    // `l3_agent.router.add` has `{agent: {id, router_id}}`.
    let kind = if matches!(kind, "l3_agent" | "dhcp_agent") { "agent" } else { kind };
    // The wrapper gives the kind if the event type does not: k2hr3_osnl's manual shows such
    // payloads.
    let kind = if kind.is_empty() || payload.get(kind).is_none() && payload.get("port").is_some() {
        "port"
    } else {
        kind
    };
    if let Some(bulk) = items(payload, &plural(kind)) {
        return bulk.iter().map(|item| read_bulk_item(kind, item)).collect();
    }
    // Before its creation (`port.create.start`) an object has no id, but counts as a resource if it
    // has a wrapper, as in a bulk request.
    let (resource, is_wrapped) = match payload.get(kind) {
        Some(item) => (one(kind, item, payload), item.is_object()),
        None => (one(kind, payload, payload), false),
    };
    if is_wrapped || resource.key().is_some() { vec![resource] } else { Vec::new() }
}

/// Returns a resource of a bulk request. A value beside the list belongs to no item: each would repeat the value, which
/// may be as long as the message.
pub(super) fn read_bulk_item<'a>(kind: &'a str, item: &'a Value) -> Resource<'a> {
    one(kind, item, &Value::Null)
}

fn one<'a>(kind: &'a str, item: &'a Value, payload: &'a Value) -> Resource<'a> {
    let mut resource = match kind {
        "port" => port(item, payload),
        "floatingip" => floating_ip(item),
        _ => Resource { kind: kind.into(), ..object("").read(item) },
    };
    if resource.id.is_none() {
        let id = text(payload, &format!("{kind}_id")).or_else(|| text(payload, "id"));
        resource.id = id.map(Into::into);
    }
    resource
}

fn port<'a>(port: &'a Value, payload: &'a Value) -> Resource<'a> {
    let addresses = items(port, "fixed_ips").map(|list| {
        list.iter().filter_map(|ip| address(ip, "ip_address", AddressKind::Fixed)).collect::<Vec<Address>>()
    });
    // The manual of k2hr3_osnl shows the port without its wrapper.
    let order = text(port, "device_id").or_else(|| text(payload, "device_id"));
    Resource { addresses, order, ..PORT.read(port) }
}

fn floating_ip(ip: &Value) -> Resource<'_> {
    let details = ip.get("port_details").unwrap_or(&Value::Null);
    let floating = address(ip, "floating_ip_address", AddressKind::Floating);
    Resource {
        addresses: floating.map(|address| vec![address]),
        order: text(details, "device_id"),
        ..FLOATING_IP.read(ip)
    }
}

pub(super) fn bulk<'a>(event_type: &'a str, payload: &'a Value) -> Option<(&'a str, &'a [Value])> {
    let kind = event_type.split('.').next().unwrap_or_default();
    let found = Some((kind, items(payload, &plural(kind))?));
    found.filter(|_| kind != "tag" && payload.get("router_interface").is_none())
}

fn tagged(payload: &Value) -> Option<Resource<'_>> {
    let kind = singular(text(payload, "obj_resource")?);
    if kind.is_empty() {
        return None;
    }
    Some(Resource { kind, id: Some(text(payload, "obj_resource_id")?.into()), ..Resource::default() })
}

fn singular(plural: &str) -> Cow<'_, str> {
    match plural.strip_suffix("ies") {
        Some(stem) => format!("{stem}y").into(),
        None => plural.strip_suffix('s').unwrap_or(plural).into(),
    }
}

pub(super) fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}
