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
//! A missing field of a `.start` says that it is not changed. A member of a project sees fewer `binding:` fields
//! in `create.end` and `update.end` than `delete.end` has. Deleting a port that has a floating IP sends no event
//! of the floating IP.

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::{Field, Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of neutron's.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload<'a> {
    /// `port`, `floatingip`, `network`, `security_group_rule`, `tag`, …
    pub kind: &'a str,
    /// The id beside the object: `port_id` of a deletion, `id` of an update that begins.
    pub id: Option<&'a str>,
    /// The objects: one, of a bulk request several, none in `delete.start`.
    pub objects: Vec<NeutronObject<'a>>,
    /// Whether the request was one for several.
    pub bulk: bool,
}

/// An object of neutron's.
#[derive(Clone, Debug, PartialEq)]
pub enum NeutronObject<'a> {
    /// A port.
    Port(Box<Port<'a>>),
    /// A floating IP.
    FloatingIp(Box<FloatingIp<'a>>),
    /// A router's new or gone interface.
    RouterInterface(RouterInterface<'a>),
    /// A tagged object.
    Tagged(TaggedObject<'a>),
    /// Any other: network, subnet, subnetpool, router, security_group, policy, trunk, …
    Other(Box<Common<'a>>),
}

view! {
    /// A port.
    pub struct Port<'a> {
        /// Its id; absent in `create.start`.
        id: &'a str = "id",
        /// Its name.
        name: &'a str = "name",
        /// The project it belongs to; before neutron 9.0.0 only `tenant_id`.
        project_id: &'a str = "project_id",
        /// The same.
        tenant_id: &'a str = "tenant_id",
        /// Its network.
        network_id: &'a str = "network_id",
        /// Its MAC address.
        mac_address: &'a str = "mac_address",
        /// Whether it is switched on.
        admin_state_up: bool = "admin_state_up",
        /// `ACTIVE`, `DOWN`, …
        status: &'a str = "status",
        /// The instance, router or agent that has it; `""` if none has.
        device_id: &'a str = "device_id",
        /// `compute:<zone>`, `network:dhcp`, …
        device_owner: &'a str = "device_owner",
        /// Its addresses.
        fixed_ips: Vec<FixedIp<'a>> = "fixed_ips",
        /// Ids.
        security_groups: Vec<&'a str> = "security_groups",
        /// The host it is bound to; `""` if to none. Only administrators see it.
        host_id: &'a str = "binding:host_id",
        /// `normal`, `direct`, …
        vnic_type: &'a str = "binding:vnic_type",
        /// `ovs`, `unbound`, …
        vif_type: &'a str = "binding:vif_type",
        /// The data for its driver.
        profile: Free<'a> = "binding:profile",
        /// Its description.
        description: &'a str = "description",
        /// Its tags.
        tags: Vec<&'a str> = "tags",
        /// The number that orders the events of one port.
        revision_number: i64 = "revision_number",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// One of `fixed_ips`.
    pub struct FixedIp<'a> {
        /// Its subnet.
        subnet_id: &'a str = "subnet_id",
        /// The address.
        ip_address: IpAddr = "ip_address",
    }

    /// A floating IP. Its `status` is `DOWN` whatever it does: see [`FloatingIp::is_associated`].
    pub struct FloatingIp<'a> {
        /// Its id.
        id: &'a str = "id",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// The same.
        tenant_id: &'a str = "tenant_id",
        /// The address.
        floating_ip_address: IpAddr = "floating_ip_address",
        /// The network it is from.
        floating_network_id: &'a str = "floating_network_id",
        /// The router that maps it.
        router_id: &'a str = "router_id",
        /// The port it is mapped to.
        port_id: &'a str = "port_id",
        /// The address it is mapped to.
        fixed_ip_address: IpAddr = "fixed_ip_address",
        /// That port, where neutron (from 13.0.0 on) has the extension loaded.
        port_details: PortDetails<'a> = "port_details",
        /// Its description.
        description: &'a str = "description",
        /// Its tags.
        tags: Vec<&'a str> = "tags",
        /// The number that orders its events.
        revision_number: i64 = "revision_number",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// `port_details`
    pub struct PortDetails<'a> {
        /// The port's name.
        name: &'a str = "name",
        /// Its network.
        network_id: &'a str = "network_id",
        /// The instance.
        device_id: &'a str = "device_id",
        /// `compute:<zone>`
        device_owner: &'a str = "device_owner",
        /// The port's status.
        status: &'a str = "status",
    }

    /// `router.interface.create` and `delete`, which have no start and end.
    pub struct RouterInterface<'a> {
        /// The router.
        id: &'a str = "id",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// The port.
        port_id: &'a str = "port_id",
        /// The port's network.
        network_id: &'a str = "network_id",
        /// The subnet.
        subnet_id: &'a str = "subnet_id",
    }

    /// `tag.*`
    pub struct TaggedObject<'a> {
        /// A plural: `ports`, `floatingips`.
        obj_resource: &'a str = "obj_resource",
        /// Its id.
        obj_resource_id: &'a str = "obj_resource_id",
        /// All of its tags; absent in `delete_all`.
        tags: Vec<&'a str> = "tags",
    }

    /// The fields of most objects.
    pub struct Common<'a> {
        /// Its id.
        id: &'a str = "id",
        /// Its name.
        name: &'a str = "name",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// The network of a subnet.
        network_id: &'a str = "network_id",
        /// The security group of a rule.
        security_group_id: &'a str = "security_group_id",
        /// The range of a subnet.
        cidr: &'a str = "cidr",
        /// `ACTIVE`, `DOWN`, …
        status: &'a str = "status",
        /// Its description.
        description: &'a str = "description",
        /// Its tags.
        tags: Vec<&'a str> = "tags",
        /// The number that orders its events.
        revision_number: i64 = "revision_number",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }
}

impl<'a> Port<'a> {
    /// The instance that has it: the device, if its owner is compute.
    #[must_use]
    pub fn instance(&self) -> Option<&'a str> {
        self.device_owner.text().filter(|owner| owner.starts_with("compute:"))?;
        self.device_id.text()
    }

    /// The host it is bound to.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.host_id.text()
    }
}

impl<'a> FloatingIp<'a> {
    /// Whether it is mapped to a port; `None` if the message does not say. Compare with what was known: any edit
    /// sends an `update.end`, and one that takes it from its port has null where the port was.
    #[must_use]
    pub fn is_associated(&self) -> Option<bool> {
        match self.port_id {
            Field::Is(_) => Some(true),
            Field::Null => Some(false),
            Field::Absent | Field::Odd(_) => None,
        }
    }

    /// The instance it leads to, if the message has the details of the port.
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
        // `{port_id}`
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
    /// The only object, or nothing.
    #[must_use]
    pub fn one(&self) -> Option<&NeutronObject<'a>> {
        self.objects.first().filter(|_| self.objects.len() == 1)
    }

    /// The members of an object as they came.
    #[must_use]
    pub fn inner(payload: &'a Value, kind: &str) -> Option<FreeValue<'a>> {
        payload.get(kind).map(FreeValue)
    }
}
