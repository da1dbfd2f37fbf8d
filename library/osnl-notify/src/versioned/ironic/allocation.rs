use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// An allocation of ironic: the source of [`AllocationCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    pub uuid: Option<Uuid>,
    pub name: Option<String>,
    /// Such as `allocating`, `active` or `error`.
    pub state: Option<String>,
    pub last_error: Option<String>,
    pub owner: Option<String>,
    /// The resource class that the node must have.
    pub resource_class: Option<String>,
    pub traits: Option<Vec<String>>,
    pub candidate_nodes: Option<Vec<String>>,
    pub extra: Option<FlexibleDict>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
}

/// The payload about an allocation.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps, schema(allocation: Allocation { .. }))]
pub struct AllocationCRUDPayload {
    pub uuid: Option<Uuid>,
    pub name: Option<String>,
    #[versioned(extra)]
    pub node_uuid: Option<String>,
    /// Such as `allocating`, `active` or `error`.
    pub state: Option<String>,
    pub last_error: Option<String>,
    #[versioned(since = "1.1")]
    pub owner: Option<String>,
    /// The resource class that the node must have.
    pub resource_class: Option<String>,
    pub traits: Option<Vec<String>>,
    pub candidate_nodes: Option<Vec<String>>,
    pub extra: Option<FlexibleDict>,
    pub created_at: Option<DateTime>,
    pub updated_at: Option<DateTime>,
}
