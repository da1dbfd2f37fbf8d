use osnl_action::Event;
use osnl_model::{mask_secrets, one_line_json};
use serde_json::{Value, json};

/// Returns an event as one line of JSON, with secrets in context, payload and `enrichments` masked.
pub(crate) fn json_line(event: &Event) -> String {
    let (notification, origin) = (&event.notification, &event.received.origin);
    let mut line = json!({
        "rule": &*event.rule,
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
        "redelivered": origin.redelivered,
        "message_id": notification.message_id,
        "timestamp": notification.timestamp,
        "priority": notification.priority.as_ref().map(|priority| priority.as_str()),
        "event_type": notification.event_type,
        "publisher_id": notification.publisher_id,
        "context": mask_secrets(&Value::Object(notification.context.clone())),
        "payload": mask_secrets(&event.payload()),
        "idempotency_key": event.idempotency_key(),
    });
    if let Some(enriched) = event.asked() {
        line["enrichments"] =
            enriched.into_iter().map(|(name, value)| (name, mask_secrets(&value))).collect();
    }
    if let Some(failure) = event.failure() {
        line["failure"] = failure.clone();
    }
    one_line_json(line.to_string())
}

#[cfg(test)]
mod tests {
    use osnl_core::received::ReceivedMessage;
    use osnl_model::{Notification, is_dangerous};

    use super::*;

    #[test]
    fn no_secret_is_written_down() {
        let n = Notification {
            context: [
                ("password".to_owned(), json!("S3CRET")),
                ("aws_creds".to_owned(), json!({"a": "S3CRET"})),
            ]
            .into_iter()
            .collect(),
            payload: json!({
                "zone_id": "z", "name": "\u{85}\u{7f}\u{202e}", "key": "S3CRET", "configdrive": "S3CRET", "user_data": "S3CRET",
                "args": {"instance": {"pci_requests": {"_context": {"auth_token": "S3CRET"}}, "key_data": "S3CRET"}},
                "connection_info": "{\"data\": {\"auth_password\": \"S3CRET\"}}",
                "metadata": [{"key": "admin_pass", "value": "S3CRET"}],
                "exception": "{'kwargs': {'password': 'S3CRET'}}",
                "url": "mysql://nova:S3CRET@db/nova",
            }),
            ..Notification::default()
        };
        let line = json_line(&Event::new(ReceivedMessage::sample(Vec::new(), false), n, "r", "a"));
        assert!(!line.contains(is_dangerous), "{line:?}");
        assert!(!line.contains("S3CRET") && line.contains("\"zone_id\":\"z\""), "{line}");
    }
}
