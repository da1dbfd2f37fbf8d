//! Chassis.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// What ironic knows about a chassis: the source of [`ChassisCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chassis {
    /// What people wrote about it.
    pub description: Option<String>,
    /// Whatever people keep with it.
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
    /// What people wrote about it.
    pub description: Option<String>,
    /// Whatever people keep with it.
    pub extra: Option<FlexibleDict>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}
