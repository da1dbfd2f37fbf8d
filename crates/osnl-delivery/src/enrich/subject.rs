use osnl_model::{Notification, resources};
use serde_json::{Map, Value, json};

use super::Kind;

fn pointers(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Server => &[
            "/port/device_id",
            "/floatingip/port_details/device_id",
            "/nova_object.data/uuid",
            "/instance_uuid",
            "/instance_id",
            "/server_id",
        ],
        Kind::Port => &["/port_id", "/floatingip/port_id"],
        Kind::FloatingIp => &["/floatingip_id"],
        Kind::Flavor => &["/instance_flavor_id", "/nova_object.data/flavor/nova_object.data/flavorid"],
        Kind::Image => &["/image_meta/base_image_ref", "/nova_object.data/image_uuid", "/image_id"],
        Kind::Project => &["/tenant_id", "/project_id"],
        Kind::User => &["/user_id"],
        Kind::Node => &["/node", "/ironic_object.data/node_uuid", "/node_uuid"],
        Kind::Network => &[
            "/port/network_id",
            "/subnet/network_id",
            "/floatingip/floating_network_id",
            "/router/external_gateway_info/network_id",
            "/router_interface/network_id",
            "/network_id",
        ],
        Kind::Subnet => &["/port/fixed_ips/0/subnet_id", "/router_interface/subnet_id", "/subnet_id"],
        Kind::Router => &["/floatingip/router_id", "/router_interface/id", "/router_id"],
        Kind::Volume => &["/volume_id"],
        Kind::Domain => &["/domain_id", "/domain"],
    }
}

fn resource_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Server => "instance",
        _ => kind.name(),
    }
}

/// Returns the default of an enrichment's `id`: the object of the event if it is of this kind, else what an earlier
/// enrichment has brought, else an object that the event names. `None` if there is no such object; an empty id, such as
/// `device_id` of an unused port, counts as none.
pub fn default_id(
    kind: Kind,
    event: &Notification,
    brought: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let resource = resources(event).into_iter().next();
    let own = resource.as_ref().filter(|of| of.kind == resource_kind(kind)).and_then(|of| of.id.as_deref());
    let named = || match (kind, &resource) {
        (Kind::Project, Some(resource)) => resource.project,
        (Kind::User, Some(resource)) => resource.user,
        _ => None,
    };
    let elsewhere = || pointers(kind).iter().find_map(|at| event.payload.pointer(at)?.as_str());
    let some = |id: &&str| !id.is_empty();
    let own = own.filter(some).map(str::to_owned);
    own.or_else(brought)
        .or_else(|| named().filter(some).or_else(|| elsewhere().filter(some)).map(str::to_owned))
}

/// Returns an object of the kind that the event is about or names.
pub(super) fn subject(kind: Kind, event: &Notification) -> Option<String> {
    default_id(kind, event, || None)
}

/// Returns the event's description of the object in the form of the service's API. `None` if the event is about another
/// object.
pub(super) fn described(kind: Kind, id: &str, event: &Notification) -> Option<Value> {
    let resource = resources(event).into_iter().next()?;
    if resource.kind != resource_kind(kind) || resource.id.as_deref() != Some(id) {
        return None;
    }
    // Events of neutron have the API's own bodies. Deletions have them only in newer releases, and then complete.
    let body = match kind {
        Kind::Port | Kind::FloatingIp | Kind::Network | Kind::Subnet | Kind::Router => {
            event.payload.get(kind.name())
        }
        Kind::Image => Some(&event.payload).filter(|payload| payload.get("disk_format").is_some()),
        _ => None,
    };
    if let Some(body @ Value::Object(_)) = body {
        return Some(body.clone());
    }
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            object.insert(key.to_owned(), value);
        }
    };
    put(if kind == Kind::Node { "uuid" } else { "id" }, id.into());
    put("name", json!(resource.name));
    match kind {
        Kind::Server => {
            let payload = &event.payload;
            let data = payload.get("nova_object.data").unwrap_or(payload);
            put("tenant_id", json!(resource.project));
            put("user_id", json!(resource.user));
            put("status", json!(resource.state.map(str::to_uppercase)));
            put("created", json!(resource.created_at));
            put("metadata", data.get("metadata").cloned().filter(Value::is_object).unwrap_or_default());
            let of = |kind| subject(kind, event).map_or(Value::Null, |id| json!({"id": id}));
            put("flavor", of(Kind::Flavor));
            put("image", of(Kind::Image));
            put("addresses", json!(resource.addresses));
        }
        Kind::Node => {
            put("owner", json!(resource.project));
            put("provision_state", json!(resource.state));
        }
        _ => {
            put("project_id", json!(resource.project));
            put("status", json!(resource.state));
            put("created_at", json!(resource.created_at));
        }
    }
    Some(Value::Object(object))
}
