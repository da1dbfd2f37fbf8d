use std::sync::Arc;

use osnl_core::received::{Origin, ReceivedMessage};
use osnl_model::{Notification, bulk_part, mask_secrets};
use serde_json::{Value, json};

/// A message that was given up without a dead letter queue, kept for as long as the process.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub received: Arc<ReceivedMessage>,
    pub reason: String,
}

/// Writes one JSON line, secrets masked, so that the letter outlives the process.
pub(super) fn log_dead_letter(
    delivery: (&str, &str, Option<u32>),
    origin: &Origin,
    notification: &Notification,
    reason: &str,
) {
    let line = dead_letter(delivery, origin, notification, reason);
    tracing::error!("{line}");
}

/// The payload is that of the event: a line for each of 500 ports would repeat all of them.
fn dead_letter(
    (rule, action, resource): (&str, &str, Option<u32>),
    origin: &Origin,
    notification: &Notification,
    reason: &str,
) -> Value {
    let part = resource.and_then(|at| bulk_part(notification, usize::try_from(at).ok()?));
    json!({
        "dead_letter": {
            "rule": rule,
            "action": action,
            "reason": reason,
            "queue": &*origin.queue,
            "exchange": origin.exchange,
            "routing_key": origin.routing_key,
            "message_id": notification.message_id,
            "event_type": notification.event_type,
            "publisher_id": notification.publisher_id,
            "timestamp": notification.timestamp,
            "payload": mask_secrets(part.as_ref().unwrap_or(&notification.payload)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_one_resource_has_the_payload_of_its_event() {
        let received = ReceivedMessage::sample("", false);
        let check = |payload: Value, resource: Option<u32>, expected: Value| {
            let event_type = Some("port.create.end".to_owned());
            let notification = Notification { event_type, payload, ..Notification::default() };
            let line = dead_letter(("r", "a", resource), &received.origin, &notification, "refused");
            assert_eq!(line["dead_letter"]["payload"], expected);
        };
        let bulk = || json!({"ports": [{"id": 0}, {"id": 1, "admin_password": "hunter2"}]});
        check(bulk(), Some(1), json!({"port": {"id": 1, "admin_password": "***"}}));
        check(bulk(), None, json!({"ports": [{"id": 0}, {"id": 1, "admin_password": "***"}]}));
        check(json!({"port": {"id": 2}}), None, json!({"port": {"id": 2}}));
    }
}
