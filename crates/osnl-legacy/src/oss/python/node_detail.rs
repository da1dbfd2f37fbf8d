//! The form of a notification for a plug-in of the OSS Framework: a map, and a flag for allocations.

use std::borrow::Cow;
use std::fmt;

use osnl_core::event::EnrichedValues;
use osnl_model::{Notification, Resource, resources};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::oss::{EventReport, Lists, Memory, NodeForm, PluginInvocation};
use osnl_action::{ActionError, ErrorClass, Event};

#[derive(Debug)]
pub enum PluginCall {
    Notify { node_detail: Box<RawValue>, created: bool },
    NothingToDo(String),
}

/// The calls of a plug-in for one delivery, in order, of which all must succeed.
pub type PluginCalls = Vec<PluginCall>;

pub trait NodeDetails: Send + Sync + fmt::Debug {
    /// Makes a plug-in's arguments of a notification. Pure: the same in each attempt. For a bulk
    /// request the notification has the payload of the one resource.
    fn call_for(&self, notification: &Notification) -> Result<PluginCall, ActionError>;

    fn calls_for(&self, event: &Event) -> Result<PluginCalls, ActionError> {
        self.call_for(&narrowed(event)).map(|told| vec![told])
    }

    fn hands_enrichments_over(&self) -> bool {
        false
    }

    /// Returns the events whose meaning depends on earlier events; `None` if each event is
    /// independent.
    fn watches(&self) -> Option<Lists> {
        None
    }
}

fn narrowed(event: &Event) -> Cow<'_, Notification> {
    match event.resource {
        None => Cow::Borrowed(&*event.notification),
        Some(_) => Cow::Owned(event.notification.with_payload(event.payload().into_owned())),
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OssDetails {
    pub lists: Lists,
    pub form: NodeForm,
}

impl OssDetails {
    fn told(&self, report: EventReport) -> Result<PluginCalls, ActionError> {
        let calls = match report {
            EventReport::Calls(calls) => calls,
            EventReport::Nothing(why) => return Ok(vec![PluginCall::NothingToDo(why)]),
        };
        let notify = |call: PluginInvocation| {
            let node_detail = to_raw_value(&self.form.node_detail(&call.happened))
                .map_err(|error| ActionError::new(ErrorClass::Content, format!("no node detail: {error}")))?;
            Ok(PluginCall::Notify { node_detail, created: call.created })
        };
        calls.into_iter().map(notify).collect()
    }
}

impl NodeDetails for OssDetails {
    /// Assumes that no earlier event was seen; of several calls, returns the first.
    fn call_for(&self, n: &Notification) -> Result<PluginCall, ActionError> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let happened = Memory::default().interpret(n, None, &self.lists).happened;
        let asked = self.told(EventReport::from(happened, event_type, None, &self.lists))?;
        let none = || PluginCall::NothingToDo("nothing has come or gone with it".to_owned());
        Ok(asked.into_iter().next().unwrap_or_else(none))
    }

    fn calls_for(&self, event: &Event) -> Result<PluginCalls, ActionError> {
        self.told(EventReport::from_event(event, &self.lists))
    }

    fn watches(&self) -> Option<Lists> {
        Some(self.lists.clone())
    }
}

/// The form without OSS Framework: the values of the resource view, and the unchanged payload.
///
/// | key | value |
/// | --- | --- |
/// | `event_type`, `publisher_id`, `timestamp`, `message_id` | as the service wrote them, or null |
/// | `kind`, `id`, `name`, `project`, `user`, `host`, `state`, `addresses`, `created_at`, … | the resource, as in `docs/exec.md`; absent if unknown |
/// | `payload` | as the service wrote it; of a bulk request the one resource |
/// | `enrichments` | the answers of the action's enrichments by name; absent without enrichments |
///
/// `created` follows from the lists, as in oss_watcher. An event type in both (its
/// `floatingip.update.end`) is an allocation if `floatingip.router_id` is not null. Without lists
/// the event type decides: `create` is an allocation, `delete` a release; starts (`.start`), errors
/// and all other events make no call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadDetails {
    /// Event types that are allocations; with both lists empty the words of the type decide.
    pub events_creation: Vec<String>,
    pub events_deletion: Vec<String>,
}

#[derive(Serialize)]
struct Detail<'a> {
    event_type: Option<&'a str>,
    publisher_id: Option<&'a str>,
    timestamp: Option<&'a str>,
    message_id: Option<&'a str>,
    #[serde(flatten)]
    resource: Option<Resource<'a>>,
    payload: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrichments: Option<&'a EnrichedValues>,
}

impl PayloadDetails {
    fn created(&self, event_type: &str, payload: &Value) -> Option<bool> {
        if self.events_creation.is_empty() && self.events_deletion.is_empty() {
            return by_words(event_type);
        }
        let of = |list: &[String]| list.iter().any(|name| name == event_type);
        match (of(&self.events_creation), of(&self.events_deletion)) {
            (true, true) => Some(payload.pointer("/floatingip/router_id").is_some_and(|id| !id.is_null())),
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
}

fn by_words(event_type: &str) -> Option<bool> {
    let words: Vec<&str> = event_type.split('.').collect();
    if matches!(words.last(), Some(&("start" | "error"))) {
        return None;
    }
    words.iter().rev().find_map(|word| match *word {
        "create" | "created" => Some(true),
        "delete" | "deleted" => Some(false),
        _ => None,
    })
}

impl NodeDetails for PayloadDetails {
    fn call_for(&self, n: &Notification) -> Result<PluginCall, ActionError> {
        self.told(n, None)
    }

    fn calls_for(&self, event: &Event) -> Result<PluginCalls, ActionError> {
        self.told(&narrowed(event), event.enriched.as_deref()).map(|told| vec![told])
    }

    fn hands_enrichments_over(&self) -> bool {
        true
    }
}

impl PayloadDetails {
    fn told(
        &self,
        n: &Notification,
        enrichments: Option<&EnrichedValues>,
    ) -> Result<PluginCall, ActionError> {
        let event_type = n.event_type.as_deref();
        let payload = &n.payload;
        let Some(created) = self.created(event_type.unwrap_or_default(), payload) else {
            let event_type = event_type.unwrap_or("no event type");
            let why = format!("{event_type} is neither a creation nor a deletion");
            return Ok(PluginCall::NothingToDo(why));
        };
        let detail = Detail {
            event_type,
            publisher_id: n.publisher_id.as_deref(),
            timestamp: n.timestamp.as_deref(),
            message_id: n.message_id.as_deref(),
            resource: resources(n).into_iter().next(),
            payload,
            enrichments,
        };
        let node_detail = to_raw_value(&detail)
            .map_err(|error| ActionError::new(ErrorClass::Content, format!("no node detail: {error}")))?;
        Ok(PluginCall::Notify { node_detail, created })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_and_what_went_is_told_apart() {
        for (event_type, expected) in [
            ("compute.instance.create.end", Some(true)),
            ("compute.instance.delete.end", Some(false)),
            ("port.create.end", Some(true)),
            ("instance.create.end", Some(true)),
            ("image.delete", Some(false)),
            ("identity.project.created", Some(true)),
            ("identity.project.deleted", Some(false)),
            ("compute.instance.create.start", None),
            ("compute.instance.create.error", None),
            ("port.update.end", None),
            ("", None),
        ] {
            assert_eq!(PayloadDetails::default().created(event_type, &json!({})), expected, "{event_type}");
        }
        let lists = PayloadDetails {
            events_creation: vec!["a".into(), "floatingip.update.end".into()],
            events_deletion: vec!["b".into(), "floatingip.update.end".into()],
        };
        for (event_type, payload, expected) in [
            ("a", json!({}), Some(true)),
            ("b", json!({}), Some(false)),
            ("port.create.end", json!({}), None),
            ("floatingip.update.end", json!({"floatingip": {"router_id": "r"}}), Some(true)),
            ("floatingip.update.end", json!({"floatingip": {"router_id": null}}), Some(false)),
        ] {
            assert_eq!(lists.created(event_type, &payload), expected, "{event_type} {payload}");
        }
    }
}
