use super::event::{Lists, Occurrence};
use super::memory::Memory;
use osnl_action::Event;
use osnl_model::Notification;

/// The name under which a delivery keeps its answers. With a colon, the value serves the action alone.
pub(super) const HAPPENED: &str = "oss:happened";

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
    pub fn from_event(event: &Event, lists: &Lists) -> Self {
        let asked = event.enriched.as_ref().and_then(|kept| kept.get(HAPPENED)?.as_str());
        let happened = match asked {
            Some(asked) => serde_json::from_str(asked).ok(),
            None => noted(event),
        };
        let happened = happened.unwrap_or_else(|| alone(event, lists));
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

fn noted(event: &Event) -> Option<Vec<Occurrence>> {
    let noted = &event.received.noted;
    let read = || serde_json::from_str::<Vec<Occurrence>>(noted.happened.as_deref()?).ok();
    let all = noted.reading.get(read)?;
    let all = all.as_ref().as_ref()?;
    let Some(part) = event.resource else { return Some(all.clone()) };
    // The parts are in the order of the message.
    let from = all.partition_point(|one| one.part < Some(part));
    Some(all[from..].iter().take_while(|one| one.part == Some(part)).cloned().collect())
}

fn alone(event: &Event, lists: &Lists) -> Vec<Occurrence> {
    let mut memory = Memory::default();
    if event.resource.is_none() {
        let payload = event.received.payload_text();
        return memory.meaning(&event.notification, payload.as_deref(), lists);
    }
    let of_part = Notification {
        event_type: event.notification.event_type.clone(),
        payload: event.payload().into_owned(),
        ..Notification::default()
    };
    let told = memory.meaning(&of_part, None, lists);
    told.into_iter().map(|one| Occurrence { part: event.resource, ..one }).collect()
}
