//! Deploy templates and runbooks.

use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A deploy template of ironic: the source of [`DeployTemplateCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeployTemplate {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The name.
    pub name: String,
    /// The steps, in order.
    pub steps: Vec<FlexibleDict>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A deploy template as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(deploy_template: DeployTemplate { .. }))]
pub struct DeployTemplateCRUDPayload {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The name.
    pub name: String,
    /// The steps, in order.
    pub steps: Vec<FlexibleDict>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A runbook of ironic: the source of [`RunbookCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runbook {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Its description by an operator.
    pub description: Option<String>,
    /// Whether it runs without the ramdisk. `None` is false.
    pub disable_ramdisk: Option<bool>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The name.
    pub name: String,
    /// The project that owns it.
    pub owner: Option<String>,
    /// Whether every project may use it. `None` is false.
    pub public: Option<bool>,
    /// The steps, in order.
    pub steps: Vec<FlexibleDict>,
    /// The traits a node must have. `None` is an empty list.
    pub traits: Option<Vec<String>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// A runbook as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps, schema(runbook: Runbook { .. }))]
pub struct RunbookCRUDPayload {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Its description by an operator.
    #[versioned(since = "1.1")]
    pub description: Option<String>,
    /// Whether it runs without the ramdisk.
    #[versioned(default = false)]
    pub disable_ramdisk: bool,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// The name.
    pub name: String,
    /// The project that owns it.
    pub owner: Option<String>,
    /// Whether every project may use it.
    #[versioned(default = false)]
    pub public: bool,
    /// The steps, in order.
    pub steps: Vec<FlexibleDict>,
    /// The traits a node must have.
    #[versioned(default = [], since = "1.1")]
    pub traits: Vec<String>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}
