use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use osnl_core::epoch::{from_millis, millis};
use osnl_journal::shared::{HeldTarget, HeldTargets};
use serde_json::{Value, json};

const REASON: usize = 400;

pub(crate) type Columns = (Option<String>, Option<String>);

#[derive(Default)]
pub(crate) struct MemberReport(Mutex<ReportContents>);

#[derive(Default)]
struct ReportContents {
    sections: Option<String>,
    held: Option<HeldTargets>,
    written: Option<Columns>,
}

impl fmt::Debug for MemberReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberReport")
    }
}

impl MemberReport {
    fn contents(&self) -> MutexGuard<'_, ReportContents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_sections(&self, sections: &BTreeMap<String, String>) {
        self.contents().sections = serde_json::to_string(sections).ok();
    }

    pub(crate) fn set_held(&self, held: HeldTargets) {
        self.contents().held = Some(held);
    }

    /// Returns the columns if the row has other contents, and notes them as written.
    pub(crate) fn take(&self) -> Option<Columns> {
        let mut contents = self.contents();
        let held = contents.held.as_ref().map(|held| held()).filter(|held| !held.is_empty());
        let columns = (contents.sections.clone(), held.as_deref().map(text));
        if contents.written.as_ref() == Some(&columns) {
            return None;
        }
        contents.written = Some(columns.clone());
        Some(columns)
    }

    pub(crate) fn forget(&self) {
        self.contents().written = None;
    }
}

fn text(held: &[HeldTarget]) -> String {
    let object = |HeldTarget { action, since, reason }: &HeldTarget| {
        let reason = &reason[..reason.floor_char_boundary(REASON)];
        json!({"action": action, "since": millis(*since), "reason": reason.replace('\0', "")})
    };
    Value::Array(held.iter().map(object).collect()).to_string()
}

pub(crate) fn held(text: Option<&str>) -> Vec<HeldTarget> {
    let found: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let target = |of: &Value| {
        Some(HeldTarget {
            action: of["action"].as_str()?.to_owned(),
            since: from_millis(of["since"].as_i64()?),
            reason: of["reason"].as_str()?.to_owned(),
        })
    };
    found.as_array().map_or_else(Vec::new, |all| all.iter().filter_map(target).collect())
}
