use super::event::{Lists, Occurrence};
use super::memory::Memory;
use osnl_actions::Event;

use osnl_core::event::HAPPENED;

#[derive(Clone, Debug, PartialEq)]
pub enum EventReport {
    /// The calls in order: a floating IP that moves is a release and an allocation.
    Calls(Vec<PluginInvocation>),
    Nothing(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct PluginInvocation {
    pub happened: Occurrence,
    pub created: bool,
}

impl EventReport {
    /// Returns the delivery's answers, else the notes with the message, else the meaning of the
    /// message alone.
    #[must_use]
    pub fn of(event: &Event, lists: &Lists) -> Self {
        let asked = event.enriched.as_ref().and_then(|kept| kept.get(HAPPENED)?.as_str());
        let noted = asked.or(event.received.noted.happened.as_deref());
        let happened = noted.and_then(|noted| serde_json::from_str(noted).ok()).unwrap_or_else(|| {
            let payload = event.received.payload_text();
            Memory::default().interpret(&event.notification, payload.as_deref(), lists).happened
        });
        let event_type = event.notification.event_type.as_deref().unwrap_or_default();
        Self::from(happened, event_type, event.resource, lists)
    }

    #[must_use]
    pub fn from(happened: Vec<Occurrence>, event_type: &str, resource: Option<u32>, lists: &Lists) -> Self {
        let mut why = match lists.has(event_type) {
            true => "nothing has come or gone with it".to_owned(),
            false => format!("{event_type} is only remembered, for events that say less"),
        };
        let mut calls = Vec::new();
        for happened in happened {
            let mine = resource.is_none() || happened.part == resource;
            let Some(created) = lists.created(event_type, happened.what).filter(|_| mine) else { continue };
            match &happened.not {
                Some(not) => why.clone_from(not),
                None => calls.push(PluginInvocation { happened, created }),
            }
        }
        if calls.is_empty() { Self::Nothing(why) } else { Self::Calls(calls) }
    }
}
