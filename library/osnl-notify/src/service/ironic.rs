//! Ironic: `baremetal.*`, all of them versioned objects.
//!
//! No payload has a user; of projects there are only `owner` and `lessee`. Some operations send an `.end`
//! without a `.start`, some a `.start` and nothing else though the operation succeeds: later messages have
//! the new state. A missing member was not set by the service.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read as _};
use osnl_model::Timestamp;

/// A payload of an ironic event.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// The classes whose names match `Node*Payload`.
    Node(Box<Node<'a>>),
    /// A part of a node: port, portgroup, volume connector or target, by the class.
    Part(&'a str, Box<NodePart<'a>>),
    Allocation(Allocation<'a>),
    /// Chassis, deploy templates, runbooks, inspection rules, and classes of later releases: class name and
    /// contents.
    Object(&'a str, FreeValue<'a>),
}

view! {
    /// A node in `baremetal.node.*` events.
    pub struct Node<'a> {
        uuid: &'a str = "uuid",
        name: &'a str = "name",
        /// The id of nova's server on the node.
        instance_uuid: &'a str = "instance_uuid",
        owner: &'a str = "owner",
        /// The project that may use the node.
        lessee: &'a str = "lessee",
        /// Such as `ipmi` or `redfish`.
        driver: &'a str = "driver",
        /// The class by which placement counts the node.
        resource_class: &'a str = "resource_class",
        /// The group of conductors that may manage the node.
        conductor_group: &'a str = "conductor_group",
        /// Such as `power on` or `power off`.
        power_state: &'a str = "power_state",
        target_power_state: &'a str = "target_power_state",
        /// Such as `available`, `active`, or `cleaning`.
        provision_state: &'a str = "provision_state",
        target_provision_state: &'a str = "target_provision_state",
        /// Whether ironic leaves the node alone. `maintenance_set.start` has the new value already.
        maintenance: bool = "maintenance",
        maintenance_reason: &'a str = "maintenance_reason",
        /// The fault that ironic itself found.
        fault: &'a str = "fault",
        last_error: &'a str = "last_error",
        properties: Free<'a> = "properties",
        extra: Free<'a> = "extra",
        traits: Vec<&'a str> = "traits",
        /// In `create`, `update`, `delete`, `provision_set`: the requested instance, including an unmasked
        /// config drive.
        instance_info: Free<'a> = "instance_info",
        /// In `create`, `update`, `delete`: the access to the controller, with masked passwords.
        driver_info: Free<'a> = "driver_info",
        /// Only in `create`, `update`, and `delete`.
        chassis_uuid: &'a str = "chassis_uuid",
        /// In `power_set`: also `rebooting` and `soft power off`.
        to_power: &'a str = "to_power",
        /// In `power_state_corrected`: the state that ironic had recorded.
        from_power: &'a str = "from_power",
        /// In `provision_set`: the verb at the start, `done` at the end, `fail`.
        event: &'a str = "event",
        /// In `provision_set`: the state before the change.
        previous_provision_state: &'a str = "previous_provision_state",
        /// In `provision_set`: the target before the change.
        previous_target_provision_state: &'a str = "previous_target_provision_state",
        provision_updated_at: Timestamp = "provision_updated_at",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }

    /// A part of a node.
    pub struct NodePart<'a> {
        uuid: &'a str = "uuid",
        node_uuid: &'a str = "node_uuid",
        name: &'a str = "name",
        /// The MAC address of a port or portgroup.
        address: &'a str = "address",
        portgroup_uuid: &'a str = "portgroup_uuid",
        physical_network: &'a str = "physical_network",
        /// The switch at the other end of a port.
        local_link_connection: Free<'a> = "local_link_connection",
        connector_id: &'a str = "connector_id",
        volume_id: &'a str = "volume_id",
        extra: Free<'a> = "extra",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }

    /// An allocation. `create.end` has the state `allocating` and no node yet; the result is not sent.
    pub struct Allocation<'a> {
        uuid: &'a str = "uuid",
        name: &'a str = "name",
        node_uuid: &'a str = "node_uuid",
        candidate_nodes: Vec<&'a str> = "candidate_nodes",
        /// `allocating`, `active`, or `error` after failures.
        state: &'a str = "state",
        owner: &'a str = "owner",
        resource_class: &'a str = "resource_class",
        traits: Vec<&'a str> = "traits",
        last_error: &'a str = "last_error",
    }
}

const PARTS: [&str; 4] = ["Port", "Portgroup", "VolumeConnector", "VolumeTarget"];

pub(super) fn read<'a>(class: &'a str, payload: &'a Value) -> Payload<'a> {
    let stem = class.strip_suffix("CRUDPayload").unwrap_or(class);
    let other = || Payload::Object(class, FreeValue(super::data(payload)));
    if class.starts_with("Node") {
        return Node::read(payload).map_or_else(other, |node| Payload::Node(Box::new(node)));
    }
    if PARTS.contains(&stem) {
        return NodePart::read(payload).map_or_else(other, |part| Payload::Part(class, Box::new(part)));
    }
    match stem {
        "Allocation" => Allocation::read(payload).map_or_else(other, Payload::Allocation),
        _ => other(),
    }
}
