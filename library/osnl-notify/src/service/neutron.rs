//! Neutron: one wrapper for all of its objects.
//!
//! | event | payload | read as |
//! |---|---|---|
//! | `port.create.start` | `{port: what was asked for}`, no id | [`Payload::objects`] with the fields asked for |
//! | `port.create.end`, in bulk | `{ports: […]}`, also for a bulk of one | several objects |
//! | `port.update.start` | `{port: what changes, id}` | [`Payload::id`] |
//! | `port.delete.start`, old releases' `port.delete.end` | `{port_id}` | [`Payload::id`], no object |
//! | `port.delete.end` | `{port: …, port_id}` | both |
//!
//! A missing field of a `.start` is not changed. A member of a project sees fewer `binding:` fields in
//! `create.end` and `update.end` than `delete.end` has. Deleting a port that has a floating IP sends no event
//! of the floating IP.

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::{Field, Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of a neutron event.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload<'a> {
    /// Such as `port`, `floatingip`, `network`, or `tag`.
    pub kind: &'a str,
    /// The id beside the object: `port_id` of a deletion, `id` of an update's start.
    pub id: Option<&'a str>,
    /// The objects: one, several in a bulk request, none in `delete.start`.
    pub objects: Vec<NeutronObject<'a>>,
    /// Whether the request was a bulk request.
    pub bulk: bool,
}

/// An object in a payload of neutron.
#[derive(Clone, Debug, PartialEq)]
pub enum NeutronObject<'a> {
    Port(Box<Port<'a>>),
    FloatingIp(Box<FloatingIp<'a>>),
    /// A new or removed interface of a router.
    RouterInterface(RouterInterface<'a>),
    Tagged(TaggedObject<'a>),
    /// Any other: network, subnet, subnetpool, router, security_group, policy, trunk, …
    Other(Box<Common<'a>>),
}

view! {
    /// A port in `port.*` events.
    pub struct Port<'a> {
        /// The port's id; absent in `create.start`.
        id: &'a str = "id",
        name: &'a str = "name",
        /// The port's project; before neutron 9.0.0 only `tenant_id`.
        project_id: &'a str = "project_id",
        tenant_id: &'a str = "tenant_id",
        network_id: &'a str = "network_id",
        mac_address: &'a str = "mac_address",
        admin_state_up: bool = "admin_state_up",
        /// Such as `ACTIVE` or `DOWN`.
        status: &'a str = "status",
        /// The instance, router, or agent of the port; `""` if there is none.
        device_id: &'a str = "device_id",
        /// Such as `compute:<zone>` or `network:dhcp`.
        device_owner: &'a str = "device_owner",
        fixed_ips: Vec<FixedIp<'a>> = "fixed_ips",
        security_groups: Vec<&'a str> = "security_groups",
        /// The host that the port is bound to; `""` if unbound. Only administrators see it.
        host_id: &'a str = "binding:host_id",
        /// Such as `normal` or `direct`.
        vnic_type: &'a str = "binding:vnic_type",
        /// Such as `ovs` or `unbound`.
        vif_type: &'a str = "binding:vif_type",
        profile: Free<'a> = "binding:profile",
        description: &'a str = "description",
        tags: Vec<&'a str> = "tags",
        /// The number that orders the events of one port.
        revision_number: i64 = "revision_number",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }

    /// An element of a port's `fixed_ips`.
    pub struct FixedIp<'a> {
        subnet_id: &'a str = "subnet_id",
        ip_address: IpAddr = "ip_address",
    }

    /// A floating IP. Its `status` is always `DOWN`: see [`FloatingIp::is_associated`].
    pub struct FloatingIp<'a> {
        id: &'a str = "id",
        project_id: &'a str = "project_id",
        tenant_id: &'a str = "tenant_id",
        floating_ip_address: IpAddr = "floating_ip_address",
        /// The network of the floating address.
        floating_network_id: &'a str = "floating_network_id",
        /// The router that translates the address.
        router_id: &'a str = "router_id",
        /// The port that the address is mapped to.
        port_id: &'a str = "port_id",
        /// The fixed address that the floating address is mapped to.
        fixed_ip_address: IpAddr = "fixed_ip_address",
        /// The port's details, where neutron (from 13.0.0 on) has the extension loaded.
        port_details: PortDetails<'a> = "port_details",
        description: &'a str = "description",
        tags: Vec<&'a str> = "tags",
        /// The number that orders the events of one floating IP.
        revision_number: i64 = "revision_number",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }

    /// The `port_details` of a floating IP.
    pub struct PortDetails<'a> {
        name: &'a str = "name",
        network_id: &'a str = "network_id",
        device_id: &'a str = "device_id",
        device_owner: &'a str = "device_owner",
        status: &'a str = "status",
    }

    /// `router.interface.create` and `delete`, which have no start and end.
    pub struct RouterInterface<'a> {
        id: &'a str = "id",
        project_id: &'a str = "project_id",
        port_id: &'a str = "port_id",
        network_id: &'a str = "network_id",
        subnet_id: &'a str = "subnet_id",
    }

    /// A tagged object in `tag.*` events.
    pub struct TaggedObject<'a> {
        /// A plural: `ports` or `floatingips`.
        obj_resource: &'a str = "obj_resource",
        obj_resource_id: &'a str = "obj_resource_id",
        /// All tags of the object; absent in `delete_all`.
        tags: Vec<&'a str> = "tags",
    }

    /// The fields of most objects.
    pub struct Common<'a> {
        id: &'a str = "id",
        name: &'a str = "name",
        project_id: &'a str = "project_id",
        network_id: &'a str = "network_id",
        security_group_id: &'a str = "security_group_id",
        cidr: &'a str = "cidr",
        /// Such as `ACTIVE` or `DOWN`.
        status: &'a str = "status",
        description: &'a str = "description",
        tags: Vec<&'a str> = "tags",
        /// The number that orders the events of one object.
        revision_number: i64 = "revision_number",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }
}

impl<'a> Port<'a> {
    /// Returns the instance of the port: the device, if its owner is compute.
    #[must_use]
    pub fn instance(&self) -> Option<&'a str> {
        self.device_owner.text().filter(|owner| owner.starts_with("compute:"))?;
        self.device_id.text()
    }

    /// Returns the host that the port is bound to.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.host_id.text()
    }
}

impl<'a> FloatingIp<'a> {
    /// Whether the address is mapped to a port; `None` if the message does not say. Compare with the state
    /// before: any edit sends an `update.end`, and one that unmaps the address has a null port.
    #[must_use]
    pub fn is_associated(&self) -> Option<bool> {
        match self.port_id {
            Field::Is(_) => Some(true),
            Field::Null => Some(false),
            Field::Absent | Field::Odd(_) => None,
        }
    }

    /// Returns the instance behind the address, if the message has the details of the port.
    #[must_use]
    pub fn instance(&self) -> Option<&'a str> {
        let details = self.port_details.get()?;
        details.device_owner.text().filter(|owner| owner.starts_with("compute:"))?;
        details.device_id.text()
    }
}

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Option<Payload<'a>> {
    let object = payload.as_object()?;
    let kind = event_type.split('.').next().unwrap_or_default();
    if kind == "tag" {
        let tagged = TaggedObject::read(payload)?;
        let id = tagged.obj_resource_id.text();
        return Some(Payload { kind, id, objects: vec![NeutronObject::Tagged(tagged)], bulk: false });
    }
    if let Some(interface) = object.get("router_interface") {
        let objects =
            RouterInterface::read(interface).map(NeutronObject::RouterInterface).into_iter().collect();
        return Some(Payload { kind: "router", id: None, objects, bulk: false });
    }
    let own_id = object.get(&format!("{kind}_id")).and_then(Value::as_str);
    let (objects, bulk) = match (object.get(kind), object.get(&plural(kind)).and_then(Value::as_array)) {
        (Some(one), _) if one.is_object() => (vec![one_of(kind, one)?], false),
        (_, Some(several)) => (several.iter().filter_map(|one| one_of(kind, one)).collect(), true),
        _ => (own_id.map(|_| Vec::new())?, false),
    };
    let id = own_id.or_else(|| object.get("id").and_then(Value::as_str));
    Some(Payload { kind, id, objects, bulk })
}

fn one_of<'a>(kind: &str, value: &'a Value) -> Option<NeutronObject<'a>> {
    match kind {
        "port" => Port::read(value).map(Box::new).map(NeutronObject::Port),
        "floatingip" => FloatingIp::read(value).map(Box::new).map(NeutronObject::FloatingIp),
        _ => Common::read(value).map(Box::new).map(NeutronObject::Other),
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

impl<'a> Payload<'a> {
    /// Returns the only object, or nothing.
    #[must_use]
    pub fn one(&self) -> Option<&NeutronObject<'a>> {
        self.objects.first().filter(|_| self.objects.len() == 1)
    }

    /// Returns the members of an object without a reader.
    #[must_use]
    pub fn inner(payload: &'a Value, kind: &str) -> Option<FreeValue<'a>> {
        payload.get(kind).map(FreeValue)
    }
}
