use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, MacAddress, Uuid};

/// A port of ironic: the source of [`PortCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Port {
    pub address: Option<MacAddress>,
    pub extra: Option<FlexibleDict>,
    pub local_link_connection: Option<FlexibleDict>,
    pub pxe_enabled: Option<bool>,
    pub physical_network: Option<String>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
    pub is_smartnic: Option<bool>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub vendor: Option<String>,
    pub category: Option<String>,
    /// Whether ironic may form a dynamic port group with the port. `None` is true.
    pub available_for_dynamic_portgroup: Option<bool>,
}

/// The payload about a port.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.8", timestamps, schema(port: Port { .. }))]
pub struct PortCRUDPayload {
    pub address: Option<MacAddress>,
    pub extra: Option<FlexibleDict>,
    pub local_link_connection: Option<FlexibleDict>,
    pub pxe_enabled: Option<bool>,
    #[versioned(extra)]
    pub node_uuid: Uuid,
    #[versioned(extra, since = "1.1")]
    pub portgroup_uuid: Option<Uuid>,
    #[versioned(since = "1.2")]
    pub physical_network: Option<String>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
    #[versioned(default = false, since = "1.3")]
    pub is_smartnic: Option<bool>,
    #[versioned(since = "1.4")]
    pub name: Option<String>,
    #[versioned(since = "1.5")]
    pub description: Option<String>,
    #[versioned(since = "1.6")]
    pub vendor: Option<String>,
    #[versioned(since = "1.7")]
    pub category: Option<String>,
    /// Whether ironic may form a dynamic port group with the port.
    #[versioned(default = true, since = "1.8")]
    pub available_for_dynamic_portgroup: bool,
}

/// A port group of ironic: the source of [`PortgroupCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portgroup {
    pub address: Option<MacAddress>,
    pub category: Option<String>,
    pub extra: Option<FlexibleDict>,
    pub mode: Option<String>,
    pub name: Option<String>,
    pub physical_network: Option<String>,
    pub properties: Option<FlexibleDict>,
    /// Whether the group's ports can be used alone.
    pub standalone_ports_supported: Option<bool>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
    pub dynamic_portgroup: Option<bool>,
}

/// The payload about a port group.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.3", timestamps, schema(portgroup: Portgroup { .. }))]
pub struct PortgroupCRUDPayload {
    pub address: Option<MacAddress>,
    #[versioned(since = "1.2")]
    pub category: Option<String>,
    pub extra: Option<FlexibleDict>,
    pub mode: Option<String>,
    pub name: Option<String>,
    #[versioned(extra)]
    pub node_uuid: Uuid,
    #[versioned(since = "1.1")]
    pub physical_network: Option<String>,
    pub properties: Option<FlexibleDict>,
    /// Whether the group's ports can be used alone.
    pub standalone_ports_supported: Option<bool>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
    #[versioned(default = false, since = "1.3")]
    pub dynamic_portgroup: Option<bool>,
}
