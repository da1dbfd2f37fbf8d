//! A preview of one action's effect.

use super::ActionConf;
use crate::action::driver::{CallRequest, Preview};
use crate::enrich::AnswerForecast;

impl ActionConf {
    /// Returns the effect that this action would have. An unknown answer is shown at its place, as `<server.name>`;
    /// where more depends on the answers than a text, the preview names the driver's effect only.
    #[must_use]
    pub fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let unknown = wanted.asks.iter().filter(|ask| ask.value == AnswerForecast::Unknown);
        let unknown: Vec<&str> = unknown.map(|ask| &*ask.name).collect();
        match self.driver.conf().preview(wanted) {
            Preview::Unusable { .. } if !unknown.is_empty() => {
                let does = format!("{}, when it knows {}", self.driver.conf().does(), unknown.join(", "));
                Preview::Effect { does, with: Vec::new() }
            }
            preview => preview,
        }
    }
}
