use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A volume connector of ironic: the source of [`VolumeConnectorCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeConnector {
    pub extra: Option<FlexibleDict>,
    /// Such as `iqn`, `ip`, `mac`, `wwnn`, or `wwpn`.
    pub r#type: Option<String>,
    pub connector_id: Option<String>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about a volume connector.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(connector: VolumeConnector { .. }))]
pub struct VolumeConnectorCRUDPayload {
    pub extra: Option<FlexibleDict>,
    /// Such as `iqn`, `ip`, `mac`, `wwnn`, or `wwpn`.
    pub r#type: Option<String>,
    pub connector_id: Option<String>,
    #[versioned(extra)]
    pub node_uuid: Uuid,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// A volume target of ironic: the source of [`VolumeTargetCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeTarget {
    /// 0 for the volume to boot from.
    pub boot_index: Option<i64>,
    pub extra: Option<FlexibleDict>,
    pub properties: Option<FlexibleDict>,
    pub volume_id: Option<String>,
    /// Such as `iscsi` or `fibre_channel`.
    pub volume_type: Option<String>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about a volume target.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(target: VolumeTarget { .. }))]
pub struct VolumeTargetCRUDPayload {
    /// 0 for the volume to boot from.
    pub boot_index: Option<i64>,
    pub extra: Option<FlexibleDict>,
    #[versioned(extra)]
    pub node_uuid: Uuid,
    pub properties: Option<FlexibleDict>,
    pub volume_id: Option<String>,
    /// Such as `iscsi` or `fibre_channel`.
    pub volume_type: Option<String>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}
