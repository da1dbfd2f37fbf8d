use std::sync::Arc;

use osnl_config::template::Names;
use osnl_model::Notification;

use super::kept::KeptEntry;
use crate::command::tap::condition::TapCondition;
use crate::command::tap::event::EventFilter;

#[derive(Clone, Debug)]
pub(super) enum EventSearch {
    Text(String),
    Condition(TapCondition),
}

impl EventSearch {
    pub(super) fn parse(typed: &str) -> Result<Option<Self>, String> {
        let typed = typed.trim();
        if typed.is_empty() {
            return Ok(None);
        }
        if let Some(when) = typed.strip_prefix("when ") {
            return TapCondition::when(when).map(|condition| Some(Self::Condition(condition)));
        }
        // No column contains `=`, so this is meant as a condition.
        if typed.contains('=') {
            return TapCondition::parse(typed).map(|condition| Some(Self::Condition(condition)));
        }
        Ok(Some(Self::Text(typed.to_lowercase())))
    }

    pub(super) fn finds(&self, kept: &KeptEntry) -> bool {
        match self {
            Self::Text(text) => kept.has(text),
            Self::Condition(condition) => notification(kept)
                .is_some_and(|notification| condition.holds(&Names::new(notification)).unwrap_or(false)),
        }
    }
}

/// Decodes the event again, since the view keeps only the message as received.
fn notification(kept: &KeptEntry) -> Option<Arc<Notification>> {
    match EventFilter::default().read(&kept.message)? {
        Ok(event) => Some(event.notification),
        Err(_) => None,
    }
}
