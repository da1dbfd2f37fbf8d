//! Inspection rules.

use std::fmt;

use osnl_derive::VersionedObject;

use super::mask;
use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// An inspection rule of ironic: the source of [`InspectionRuleCRUDPayload`].
#[derive(Clone, Default, PartialEq)]
pub struct InspectionRule {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Its description by an operator.
    pub description: Option<String>,
    /// `early`, `preprocess` or `main`.
    pub phase: Option<String>,
    /// Rules of higher priority come first. `None` is 0.
    pub priority: Option<i64>,
    /// Its scope.
    pub scope: Option<String>,
    /// Whether actions and conditions hold secrets. `None` is false.
    pub sensitive: Option<bool>,
    /// Its actions.
    pub actions: Vec<FlexibleDict>,
    /// When it does it.
    pub conditions: Option<Vec<FlexibleDict>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// An inspection rule as its notifications have it.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps, mask = mask::inspection_rule, schema(inspection_rule: InspectionRule { .. }))]
pub struct InspectionRuleCRUDPayload {
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// Its description by an operator.
    pub description: Option<String>,
    /// `early`, `preprocess` or `main`.
    #[versioned(default = "main")]
    pub phase: Option<String>,
    /// Rules of higher priority come first.
    #[versioned(default = 0)]
    pub priority: i64,
    /// Its scope.
    pub scope: Option<String>,
    /// Whether actions and conditions hold secrets.
    #[versioned(default = false)]
    pub sensitive: bool,
    /// Its actions.
    pub actions: Vec<FlexibleDict>,
    /// When it does it.
    pub conditions: Option<Vec<FlexibleDict>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// As its notifications have it: what is sensitive is masked.
impl fmt::Debug for InspectionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InspectionRuleCRUDPayload::populate(self).fmt(f)
    }
}
