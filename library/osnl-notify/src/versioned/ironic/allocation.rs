//! Allocations.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// An allocation of ironic: the source of [`AllocationCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// The UUID.
    pub uuid: Option<Uuid>,
    /// The name.
    pub name: Option<String>,
    /// `allocating`, `active` or `error`.
    pub state: Option<String>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// The project that owns it.
    pub owner: Option<String>,
    /// The class a node has to be of.
    pub resource_class: Option<String>,
    /// The traits a node must have.
    pub traits: Option<Vec<String>>,
    /// The nodes to choose from.
    pub candidate_nodes: Option<Vec<String>>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
}

/// An allocation as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps, schema(allocation: Allocation { .. }))]
pub struct AllocationCRUDPayload {
    /// The UUID.
    pub uuid: Option<Uuid>,
    /// The name.
    pub name: Option<String>,
    /// The node that was found.
    #[versioned(extra)]
    pub node_uuid: Option<String>,
    /// `allocating`, `active` or `error`.
    pub state: Option<String>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// The project that owns it.
    #[versioned(since = "1.1")]
    pub owner: Option<String>,
    /// The class a node has to be of.
    pub resource_class: Option<String>,
    /// The traits a node must have.
    pub traits: Option<Vec<String>>,
    /// The nodes to choose from.
    pub candidate_nodes: Option<Vec<String>>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
}
