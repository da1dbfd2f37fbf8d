use std::fmt;

use osnl_derive::VersionedObject;

use super::mask;
use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// An inspection rule of ironic: the source of [`InspectionRuleCRUDPayload`].
#[derive(Clone, Default, PartialEq)]
pub struct InspectionRule {
    pub created_at: Option<DateTime>,
    pub description: Option<String>,
    /// The phase: `early`, `preprocess` or `main`.
    pub phase: Option<String>,
    /// Rules of higher priority come first. `None` is 0.
    pub priority: Option<i64>,
    pub scope: Option<String>,
    /// Whether actions and conditions hold secrets. `None` is false.
    pub sensitive: Option<bool>,
    pub actions: Vec<FlexibleDict>,
    pub conditions: Option<Vec<FlexibleDict>>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// The payload about an inspection rule.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, mask = mask::inspection_rule, schema(inspection_rule: InspectionRule { .. }))]
pub struct InspectionRuleCRUDPayload {
    pub created_at: Option<DateTime>,
    pub description: Option<String>,
    /// The phase: `early`, `preprocess` or `main`.
    #[versioned(default = "main")]
    pub phase: Option<String>,
    /// Rules of higher priority come first.
    #[versioned(default = 0)]
    pub priority: i64,
    pub scope: Option<String>,
    /// Whether actions and conditions hold secrets.
    #[versioned(default = false)]
    pub sensitive: bool,
    pub actions: Vec<FlexibleDict>,
    pub conditions: Option<Vec<FlexibleDict>>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// Shows the rule as its payload does, with secrets masked.
impl fmt::Debug for InspectionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InspectionRuleCRUDPayload::populate(self).fmt(f)
    }
}
