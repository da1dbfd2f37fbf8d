use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::Head;
use crate::budget::{members_memory, memory_of};
use crate::redact::{MaskedJson, mask_members, mask_secrets};

/// A notification. Other programs omit fields, so no field is required: a text field is None when
/// it is missing, null or no text. Debug output masks the secrets of payload and context.
#[derive(Clone, Default, PartialEq)]
pub struct Notification {
    pub event_type: Option<String>,
    pub publisher_id: Option<String>,
    pub priority: Option<crate::Priority>,
    pub message_id: Option<String>,
    /// UTC without a zone, and without the fraction when that is zero: `2026-11-20 06:36:22.662155`.
    pub timestamp: Option<String>,
    pub unique_id: Option<String>,
    /// The request context: each `_context_<key>` under `<key>`. The object `_context` of Kafka's
    /// messages is read as well.
    pub context: Map<String, Value>,
    pub payload: Value,
}

impl Notification {
    /// Returns `_unique_id`, else the message id, because nova has sent two different bodies under
    /// one message id. An empty id counts as missing.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        let ids = [&self.unique_id, &self.message_id];
        ids.into_iter().flatten().map(String::as_str).find(|id| !id.is_empty())
    }

    #[must_use]
    pub fn memory(&self) -> usize {
        let texts =
            [&self.event_type, &self.publisher_id, &self.message_id, &self.timestamp, &self.unique_id];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + texts + members_memory(&self.context) + memory_of(&self.payload)
    }

    pub fn head(&self) -> Head<'_> {
        Head {
            event_type: self.event_type.as_deref().map(Cow::Borrowed),
            publisher_id: self.publisher_id.as_deref().map(Cow::Borrowed),
            priority: self.priority.clone(),
        }
    }

    #[must_use]
    pub fn masked(&self) -> Self {
        self.with(mask_secrets(&self.payload), mask_members(&self.context))
    }

    #[must_use]
    pub fn with_payload(&self, payload: Value) -> Self {
        self.with(payload, self.context.clone())
    }

    fn with(&self, payload: Value, context: Map<String, Value>) -> Self {
        Self {
            event_type: self.event_type.clone(),
            publisher_id: self.publisher_id.clone(),
            priority: self.priority.clone(),
            message_id: self.message_id.clone(),
            timestamp: self.timestamp.clone(),
            unique_id: self.unique_id.clone(),
            context,
            payload,
        }
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("event_type", &self.event_type)
            .field("publisher_id", &self.publisher_id)
            .field("priority", &self.priority)
            .field("message_id", &self.message_id)
            .field("timestamp", &self.timestamp)
            .field("unique_id", &self.unique_id)
            .field("context", &MaskedJson::object(&self.context))
            .field("payload", &MaskedJson::value(&self.payload))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secrets() {
        let body = br#"{"_context_auth_token": "S3CRET", "payload": {"x": [{"adminPass": "S3CRET"}]}}"#;
        let shown = format!("{:?}", Notification::decode(body).unwrap());
        assert!(!shown.contains("S3CRET") && shown.contains("***"), "{shown}");
    }
}
