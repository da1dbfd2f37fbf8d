use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A chassis of ironic: the source of [`ChassisCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chassis {
    pub description: Option<String>,
    pub extra: Option<FlexibleDict>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about a chassis.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(chassis: Chassis { .. }))]
pub struct ChassisCRUDPayload {
    pub description: Option<String>,
    pub extra: Option<FlexibleDict>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}
