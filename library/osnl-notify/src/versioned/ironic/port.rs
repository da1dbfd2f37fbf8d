//! Ports and port groups.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, MacAddress, Uuid};

/// A port of ironic: the source of [`PortCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Port {
    /// The MAC address.
    pub address: Option<MacAddress>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The switch and its port.
    pub local_link_connection: Option<FlexibleDict>,
    /// Whether it boots by PXE.
    pub pxe_enabled: Option<bool>,
    /// The physical network it is on.
    pub physical_network: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
    /// Whether it is a smart NIC's.
    pub is_smartnic: Option<bool>,
    /// The name.
    pub name: Option<String>,
    /// Its description by an operator.
    pub description: Option<String>,
    /// Its vendor.
    pub vendor: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Whether a port group may be made of it on the fly. `None` is true.
    pub available_for_dynamic_portgroup: Option<bool>,
}

/// A port as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.8", timestamps, schema(port: Port { .. }))]
pub struct PortCRUDPayload {
    /// The MAC address.
    pub address: Option<MacAddress>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The switch and its port.
    pub local_link_connection: Option<FlexibleDict>,
    /// Whether it boots by PXE.
    pub pxe_enabled: Option<bool>,
    /// The node it belongs to.
    #[versioned(extra)]
    pub node_uuid: Uuid,
    /// The port group it belongs to.
    #[versioned(extra, since = "1.1")]
    pub portgroup_uuid: Option<Uuid>,
    /// The physical network it is on.
    #[versioned(since = "1.2")]
    pub physical_network: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
    /// Whether it is a smart NIC's.
    #[versioned(default = false, since = "1.3")]
    pub is_smartnic: Option<bool>,
    /// The name.
    #[versioned(since = "1.4")]
    pub name: Option<String>,
    /// Its description by an operator.
    #[versioned(since = "1.5")]
    pub description: Option<String>,
    /// Its vendor.
    #[versioned(since = "1.6")]
    pub vendor: Option<String>,
    /// Its category.
    #[versioned(since = "1.7")]
    pub category: Option<String>,
    /// Whether a port group may be made of it on the fly.
    #[versioned(default = true, since = "1.8")]
    pub available_for_dynamic_portgroup: bool,
}

/// A port group of ironic: the source of [`PortgroupCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portgroup {
    /// The MAC address.
    pub address: Option<MacAddress>,
    /// Its category.
    pub category: Option<String>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The bonding mode.
    pub mode: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The physical network it is on.
    pub physical_network: Option<String>,
    /// Options of the bond.
    pub properties: Option<FlexibleDict>,
    /// Whether its ports can be used alone.
    pub standalone_ports_supported: Option<bool>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
    /// Whether it was made on the fly.
    pub dynamic_portgroup: Option<bool>,
}

/// A port group as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.3", timestamps, schema(portgroup: Portgroup { .. }))]
pub struct PortgroupCRUDPayload {
    /// The MAC address.
    pub address: Option<MacAddress>,
    /// Its category.
    #[versioned(since = "1.2")]
    pub category: Option<String>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The bonding mode.
    pub mode: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The node it belongs to.
    #[versioned(extra)]
    pub node_uuid: Uuid,
    /// The physical network it is on.
    #[versioned(since = "1.1")]
    pub physical_network: Option<String>,
    /// Options of the bond.
    pub properties: Option<FlexibleDict>,
    /// Whether its ports can be used alone.
    pub standalone_ports_supported: Option<bool>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
    /// Whether it was made on the fly.
    #[versioned(default = false, since = "1.3")]
    pub dynamic_portgroup: Option<bool>,
}
