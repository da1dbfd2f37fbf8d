//! Volume connectors and volume targets.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A volume connector of ironic: the source of [`VolumeConnectorCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeConnector {
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// `iqn`, `ip`, `mac`, `wwnn`, `wwpn`, ...
    pub r#type: Option<String>,
    /// The identifier of that type.
    pub connector_id: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A volume connector as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(connector: VolumeConnector { .. }))]
pub struct VolumeConnectorCRUDPayload {
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// `iqn`, `ip`, `mac`, `wwnn`, `wwpn`, ...
    pub r#type: Option<String>,
    /// The identifier of that type.
    pub connector_id: Option<String>,
    /// The node it belongs to.
    #[versioned(extra)]
    pub node_uuid: Uuid,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A volume target of ironic: the source of [`VolumeTargetCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeTarget {
    /// 0 for the volume to boot from.
    pub boot_index: Option<i64>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The access to the volume.
    pub properties: Option<FlexibleDict>,
    /// The volume.
    pub volume_id: Option<String>,
    /// `iscsi`, `fibre_channel`, ...
    pub volume_type: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A volume target as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(target: VolumeTarget { .. }))]
pub struct VolumeTargetCRUDPayload {
    /// 0 for the volume to boot from.
    pub boot_index: Option<i64>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The node it belongs to.
    #[versioned(extra)]
    pub node_uuid: Uuid,
    /// The access to the volume.
    pub properties: Option<FlexibleDict>,
    /// The volume.
    pub volume_id: Option<String>,
    /// `iscsi`, `fibre_channel`, ...
    pub volume_type: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}
