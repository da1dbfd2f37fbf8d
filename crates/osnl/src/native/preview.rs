use super::ActionConf;
use crate::action::driver::{CallRequest, Preview};
use crate::enrich::AnswerForecast;

impl ActionConf {
    /// Returns the action's effect. An unknown answer is shown as `<server.name>`; where more than a text depends on
    /// answers, only the driver's effect is named.
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
