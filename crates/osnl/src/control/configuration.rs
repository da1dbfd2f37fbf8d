//! The configuration in force, and the reload that led to it.

use std::time::SystemTime;

use super::answer::ReloadResult;
use crate::native::Document;

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationReport {
    /// When it was loaded.
    pub loaded: SystemTime,
    /// Every value that counts, with its origin; secrets are masked.
    pub document: Document,
    /// The warnings about it.
    pub warnings: Vec<String>,
    /// The latest reload that has ended since the start.
    pub last_reload: Option<LastReload>,
}

/// A reload that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// When it ended.
    pub at: SystemTime,
    /// The requester.
    pub by: String,
    /// Its result.
    pub result: ReloadResult,
}
