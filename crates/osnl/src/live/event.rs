use std::sync::Arc;
use std::time::SystemTime;

use osnl_model::{Budget, Head, MaskedJson, Notification, Resource, cut_marked, resource_at};
use osnl_transport::IncomingMessage;

use crate::journal::NewDelivery;
use crate::received::ReceivedMessage;

pub(super) const LONGEST: usize = 256;
const PAYLOAD: usize = 2048;
pub(super) const LARGE: usize = 64 * 1024;
const NAMED: usize = 8;
const SCAN_LIMIT: usize = 256;

/// Texts are the publisher's, so a reader must make them safe for its screen.
#[derive(Clone, Debug)]
pub struct LiveEvent {
    pub id: u64,
    pub received: SystemTime,
    pub listener: Arc<str>,
    pub event_type: Option<String>,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    pub message_id: Option<String>,
    pub resource: Option<String>,
    pub fired: Vec<(Arc<str>, Arc<str>)>,
    /// The beginning as JSON, secrets masked; `None` if large.
    pub payload: Option<String>,
    pub bytes: u64,
}

impl LiveEvent {
    #[must_use]
    pub fn is_matched(&self) -> bool {
        !self.fired.is_empty()
    }

    pub(super) fn from_head(
        message: &IncomingMessage,
        listener: &Arc<str>,
        head: &Head<'_>,
        budget: &Budget,
    ) -> Self {
        let budget = Budget { body: budget.body.min(LARGE), ..*budget };
        let decode = || {
            let plain = budget.plain_body(&message.body, &message.properties.content_info()).ok()?;
            budget.decode(&plain).ok()
        };
        let notification = (message.cut.is_none() && message.body.len() <= LARGE).then(decode).flatten();
        let event = Self {
            id: 0,
            received: SystemTime::now(),
            listener: listener.clone(),
            event_type: head.event_type.as_deref().map(cut),
            publisher_id: head.publisher_id.as_deref().map(cut),
            priority: head.priority.as_ref().map(|priority| cut(priority.as_str())),
            message_id: None,
            resource: None,
            fired: Vec::new(),
            payload: None,
            bytes: message.cut.as_ref().map_or(message.body.len() as u64, |cut| cut.bytes),
        };
        match notification {
            Some(notification) => event.with_rest(&notification, true),
            None => event,
        }
    }

    pub(super) fn from_event(
        received: &ReceivedMessage,
        notification: &Notification,
        deliveries: &[NewDelivery],
    ) -> Self {
        let mut fired: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for delivery in deliveries.iter().take(SCAN_LIMIT) {
            let is_new =
                |(rule, action): &(Arc<str>, Arc<str>)| *rule == delivery.rule && *action == delivery.action;
            if fired.len() < NAMED && !fired.iter().any(is_new) {
                fired.push((delivery.rule.clone(), delivery.action.clone()));
            }
        }
        let event = Self {
            id: 0,
            received: received.origin.received,
            listener: received.origin.listener.clone(),
            event_type: notification.event_type.as_deref().map(cut),
            publisher_id: notification.publisher_id.as_deref().map(cut),
            priority: notification.priority.as_ref().map(|priority| cut(priority.as_str())),
            message_id: None,
            resource: None,
            fired,
            payload: None,
            bytes: received.bytes(),
        };
        event.with_rest(notification, received.body.len() <= LARGE)
    }

    fn with_rest(self, notification: &Notification, with_payload: bool) -> Self {
        let payload = || {
            let masked = serde_json::to_string(&MaskedJson::value(&notification.payload)).ok()?;
            Some(cut_marked(&masked, PAYLOAD))
        };
        Self {
            message_id: notification.message_id.as_deref().map(cut),
            resource: resource_at(notification, 0).as_ref().and_then(resource),
            payload: with_payload.then(payload).flatten(),
            ..self
        }
    }
}

fn resource(resource: &Resource<'_>) -> Option<String> {
    let (id, name) = (resource.id.as_deref(), resource.name);
    let text = match (name.filter(|name| !name.is_empty() && Some(*name) != id), id) {
        (Some(name), Some(id)) => format!("{} {} ({})", resource.kind, cut(name), cut(id)),
        (Some(one), None) | (None, Some(one)) => format!("{} {}", resource.kind, cut(one)),
        (None, None) => return None,
    };
    Some(cut_marked(&text, 2 * LONGEST))
}

fn cut(text: &str) -> String {
    cut_marked(text, LONGEST)
}
