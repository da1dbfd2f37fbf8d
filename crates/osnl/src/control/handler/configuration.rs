//! The configuration in force, without secrets.

use osnl_model::is_secret_path;
use tokio::task::spawn_blocking;

use super::super::configuration::{ConfigurationReport, LastReload};
use super::super::refusal::{Code, RequestRefusal};
use super::ControlHandler;
use super::reload::reload_result;
use crate::daemon::EndedReload;
use crate::explain::words::masked;
use crate::native::{Document, LoadedConf, Native};

const RULE_SECTION: &str = "rule:";

impl ControlHandler {
    pub async fn configuration(&self) -> Result<ConfigurationReport, RequestRefusal> {
        let (Some(live), Some(loaded)) = (&self.live, self.loaded()) else {
            return Err(RequestRefusal::new(Code::Unsupported, "no daemon with a configuration runs here"));
        };
        let reloads = live.daemon.reloads().borrow().clone();
        let last_reload = reloads.last.map(|EndedReload { at, by, outcome }| LastReload {
            at,
            by,
            result: reload_result(outcome),
        });
        let warnings = loaded.warnings.iter().map(|warning| masked(&warning.to_string())).collect();
        // Thousands of values take a moment, for which no message waits.
        let made = spawn_blocking(move || without_secrets(&loaded)).await;
        let document = made.map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))?;
        Ok(ConfigurationReport { loaded: reloads.loaded, document, warnings, last_reload })
    }
}

fn without_secrets(loaded: &LoadedConf) -> Document {
    let mut document = loaded.document().hidden();
    for section in &mut document.sections {
        let looks_at_secrets = has_secret_when(&loaded.conf, &section.heading);
        let is_rule = section.heading.starts_with(RULE_SECTION);
        for entry in &mut section.entries {
            let is_condition = entry.option == "when" && looks_at_secrets;
            if is_condition || is_rule && is_secret_path(&entry.option) {
                entry.text = "***".to_owned();
            }
            // An option that is not meant for secrets may contain a password too.
            entry.text = osnl_model::mask_url_passwords(&entry.text).into_owned();
        }
    }
    document
}

/// Whether the condition of a section reads a secret, which it may be compared with.
fn has_secret_when(conf: &Native, heading: &str) -> bool {
    let Some((kind, name)) = heading.split_once(':') else { return false };
    let when = match kind {
        "rule" => {
            conf.rules.iter().find(|rule| *rule.rule.name == *name).and_then(|rule| rule.rule.when.as_ref())
        }
        "action" => {
            conf.actions.iter().find(|action| *action.name == *name).and_then(|action| action.when.as_ref())
        }
        _ => None,
    };
    when.is_some_and(|when| when.paths().any(is_secret_path))
}
