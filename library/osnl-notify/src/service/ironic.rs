//! Ironic: `baremetal.*`, versioned objects all of them.
//!
//! No payload has a user; of projects there are only `owner` and `lessee`. Some operations send an `.end` without
//! a `.start`, some a `.start` and nothing else though they succeed: the state of later messages tells. A missing
//! member is one that the service did not set.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read as _};
use osnl_model::Timestamp;

/// A payload of ironic's.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// The classes `Node*Payload`.
    Node(Box<Node<'a>>),
    /// A part of a node: port, portgroup, volume connector or target, by the class.
    Part(&'a str, Box<NodePart<'a>>),
    /// `AllocationCRUDPayload`
    Allocation(Allocation<'a>),
    /// Chassis, deploy templates, runbooks, inspection rules, and classes of later releases: name, and what is
    /// inside.
    Object(&'a str, FreeValue<'a>),
}

view! {
    /// A node.
    pub struct Node<'a> {
        /// Its id.
        uuid: &'a str = "uuid",
        /// Its name.
        name: &'a str = "name",
        /// The server of nova that it is.
        instance_uuid: &'a str = "instance_uuid",
        /// The project it belongs to.
        owner: &'a str = "owner",
        /// The project that may use it.
        lessee: &'a str = "lessee",
        /// `ipmi`, `redfish`, …
        driver: &'a str = "driver",
        /// The class that placement counts it as.
        resource_class: &'a str = "resource_class",
        /// Conductors that may manage it.
        conductor_group: &'a str = "conductor_group",
        /// `power on`, `power off`.
        power_state: &'a str = "power_state",
        /// The power state it is changing to.
        target_power_state: &'a str = "target_power_state",
        /// `available`, `active`, `cleaning`, …
        provision_state: &'a str = "provision_state",
        /// The provision state it is changing to.
        target_provision_state: &'a str = "target_provision_state",
        /// Whether it is left alone. `maintenance_set.start` shows the new value already.
        maintenance: bool = "maintenance",
        /// Why.
        maintenance_reason: &'a str = "maintenance_reason",
        /// The fault that ironic itself found.
        fault: &'a str = "fault",
        /// The last failure.
        last_error: &'a str = "last_error",
        /// Sizes, capabilities.
        properties: Free<'a> = "properties",
        /// The operator's own.
        extra: Free<'a> = "extra",
        /// Its traits.
        traits: Vec<&'a str> = "traits",
        /// In `create`, `update`, `delete`, `provision_set`: the user's wishes, a config drive in clear among
        /// them.
        instance_info: Free<'a> = "instance_info",
        /// In `create`, `update`, `delete`: how it is reached; passwords are masked.
        driver_info: Free<'a> = "driver_info",
        /// In `create`, `update`, `delete`.
        chassis_uuid: &'a str = "chassis_uuid",
        /// In `power_set`: also `rebooting`, `soft power off`.
        to_power: &'a str = "to_power",
        /// In `power_state_corrected`: what ironic had believed.
        from_power: &'a str = "from_power",
        /// In `provision_set`: the verb at the start, `done` at the end, `fail`.
        event: &'a str = "event",
        /// In `provision_set`: the state before.
        previous_provision_state: &'a str = "previous_provision_state",
        /// In `provision_set`.
        previous_target_provision_state: &'a str = "previous_target_provision_state",
        /// When its provision state changed.
        provision_updated_at: Timestamp = "provision_updated_at",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// A part of a node.
    pub struct NodePart<'a> {
        /// Its id.
        uuid: &'a str = "uuid",
        /// The node.
        node_uuid: &'a str = "node_uuid",
        /// Its name.
        name: &'a str = "name",
        /// The MAC address of a port or portgroup.
        address: &'a str = "address",
        /// The port group of a port.
        portgroup_uuid: &'a str = "portgroup_uuid",
        /// The physical network of a port.
        physical_network: &'a str = "physical_network",
        /// The switch at the other end of a port.
        local_link_connection: Free<'a> = "local_link_connection",
        /// The id of a volume connector.
        connector_id: &'a str = "connector_id",
        /// The id of a volume target's volume.
        volume_id: &'a str = "volume_id",
        /// The operator's own.
        extra: Free<'a> = "extra",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// An allocation. `create.end` has the state `allocating` and no node yet; what becomes of it is not sent.
    pub struct Allocation<'a> {
        /// Its id.
        uuid: &'a str = "uuid",
        /// Its name.
        name: &'a str = "name",
        /// The node it got.
        node_uuid: &'a str = "node_uuid",
        /// Nodes it may get.
        candidate_nodes: Vec<&'a str> = "candidate_nodes",
        /// `allocating`, `active`, `error`.
        state: &'a str = "state",
        /// The project it belongs to.
        owner: &'a str = "owner",
        /// The class that is wanted.
        resource_class: &'a str = "resource_class",
        /// Traits that are wanted.
        traits: Vec<&'a str> = "traits",
        /// The last failure.
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
