//! The limits that all daemons of a shared journal keep together.

use std::collections::BTreeMap;
use std::sync::Arc;

use osnl_config::Rate;

/// The rates of the guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardRates {
    /// By the names of rules.
    pub rules: BTreeMap<Arc<str>, Rate>,
    /// By the names of actions.
    pub actions: BTreeMap<Arc<str>, Rate>,
}

/// A guard, `rule` or `action` with the name, and whether it would hold a further resource.
pub type GuardState = (&'static str, Arc<str>, bool);
