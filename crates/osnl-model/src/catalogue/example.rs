use serde_json::{Map, Value, json};

use super::CatalogueEvent;
use crate::{Notification, Priority};

const MESSAGE_ID: &str = "00000000-0000-4000-8000-000000000001";
const TIMESTAMP: &str = "2026-01-01 00:00:00.000000";
const PROJECT: &str = "11111111111111111111111111111111";
const USER: &str = "22222222222222222222222222222222";

impl CatalogueEvent {
    /// Returns a notification with the event's [`sample`](CatalogueEvent::sample) and the usual publisher,
    /// priority, and context keys; without a sample the payload is null.
    #[must_use]
    pub fn example(&self) -> Notification {
        let publisher = self.publishers.first().filter(|publisher| **publisher != "null");
        let publisher = publisher
            .map(|publisher| publisher.replace("<host>", "node1.example.com").replace(['<', '>'], ""));
        Notification {
            event_type: Some(self.event_type.to_owned()),
            publisher_id: publisher,
            priority: Some(Priority::parse(self.priorities.first().copied().unwrap_or("INFO"))),
            message_id: Some(MESSAGE_ID.to_owned()),
            timestamp: Some(TIMESTAMP.to_owned()),
            unique_id: None,
            context: context(),
            payload: self.sample().map_or(Value::Null, |sample| sample.payload.clone()),
        }
    }

    #[must_use]
    pub fn routing_key(&self) -> String {
        let topic = self.topics.first().copied().unwrap_or("notifications");
        let priority = self.priorities.first().copied().unwrap_or("INFO");
        format!("{topic}.{}", priority.to_lowercase())
    }
}

fn context() -> Map<String, Value> {
    let context = json!({
        "request_id": "req-00000000-0000-4000-8000-000000000002",
        "global_request_id": null,
        "user": USER,
        "user_id": USER,
        "user_name": "example-user",
        "user_domain": "default",
        "user_domain_id": "default",
        "tenant": PROJECT,
        "project": PROJECT,
        "project_id": PROJECT,
        "project_name": "example-project",
        "project_domain": "default",
        "project_domain_id": "default",
        "is_admin": false,
        "roles": ["member"],
        "timestamp": TIMESTAMP,
    });
    match context {
        Value::Object(context) => context,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
