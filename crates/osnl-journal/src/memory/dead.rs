use std::sync::Arc;

use osnl_core::received::{Origin, ReceivedMessage};
use osnl_model::{Notification, mask_secrets};
use serde_json::json;

/// A message that was given up without a dead letter queue, kept for as long as the process.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub received: Arc<ReceivedMessage>,
    pub reason: String,
}

/// Writes one JSON line, secrets masked, so that the letter outlives the process.
pub(super) fn log_dead_letter(
    rule: &str,
    action: &str,
    origin: &Origin,
    notification: &Notification,
    reason: &str,
) {
    let line = json!({
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
            "payload": mask_secrets(&notification.payload),
        }
    });
    tracing::error!("{line}");
}
