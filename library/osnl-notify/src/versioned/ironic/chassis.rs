//! Chassis.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A chassis of ironic: the source of [`ChassisCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chassis {
    /// Its description by an operator.
    pub description: Option<String>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A chassis as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(chassis: Chassis { .. }))]
pub struct ChassisCRUDPayload {
    /// Its description by an operator.
    pub description: Option<String>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}
