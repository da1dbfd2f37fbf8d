use osnl_derive::VersionedObject;

use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A deploy template of ironic: the source of [`DeployTemplateCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeployTemplate {
    pub created_at: Option<DateTime>,
    pub extra: Option<FlexibleDict>,
    pub name: String,
    pub steps: Vec<FlexibleDict>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about a deploy template.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, schema(deploy_template: DeployTemplate { .. }))]
pub struct DeployTemplateCRUDPayload {
    pub created_at: Option<DateTime>,
    pub extra: Option<FlexibleDict>,
    pub name: String,
    pub steps: Vec<FlexibleDict>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// A runbook of ironic: the source of [`RunbookCRUDPayload`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runbook {
    pub created_at: Option<DateTime>,
    pub description: Option<String>,
    /// Whether the runbook runs without the ramdisk. `None` is false.
    pub disable_ramdisk: Option<bool>,
    pub extra: Option<FlexibleDict>,
    pub name: String,
    pub owner: Option<String>,
    /// Whether every project may use the runbook. `None` is false.
    pub public: Option<bool>,
    pub steps: Vec<FlexibleDict>,
    /// The traits a node must have. `None` is an empty list.
    pub traits: Option<Vec<String>>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about a runbook.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps, schema(runbook: Runbook { .. }))]
pub struct RunbookCRUDPayload {
    pub created_at: Option<DateTime>,
    #[versioned(since = "1.1")]
    pub description: Option<String>,
    /// Whether the runbook runs without the ramdisk.
    #[versioned(default = false)]
    pub disable_ramdisk: bool,
    pub extra: Option<FlexibleDict>,
    pub name: String,
    pub owner: Option<String>,
    /// Whether every project may use the runbook.
    #[versioned(default = false)]
    pub public: bool,
    pub steps: Vec<FlexibleDict>,
    #[versioned(default = [], since = "1.1")]
    pub traits: Vec<String>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}
