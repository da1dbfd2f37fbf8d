use std::time::SystemTime;

use super::answer::ReloadResult;
use crate::native::Document;

/// The configuration in force, for `osnl config` and the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationReport {
    pub loaded: SystemTime,
    pub document: Document,
    pub warnings: Vec<String>,
    pub last_reload: Option<LastReload>,
}

/// The last reload and its result, as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReload {
    pub at: SystemTime,
    pub by: String,
    pub result: ReloadResult,
}
