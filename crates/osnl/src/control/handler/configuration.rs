//! The configuration in force, without secrets.

use tokio::task::spawn_blocking;

use super::super::configuration::{ConfigurationReport, LastReload};
use super::super::refusal::{Code, RequestRefusal};
use super::ControlHandler;
use super::reload::reload_result;
use crate::daemon::EndedReload;
use crate::explain::words::masked;
use crate::native::{Document, LoadedConf};

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
    for entry in document.sections.iter_mut().flat_map(|section| &mut section.entries) {
        // An option that is not meant for secrets may contain a password too.
        entry.text = osnl_model::mask_url_passwords(&entry.text).into_owned();
    }
    document
}
