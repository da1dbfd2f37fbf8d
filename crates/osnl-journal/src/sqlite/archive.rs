//! The JSON-lines file for what the journal has no room for: dead letters and unreadable messages that leave.
//!
//! It stands beside the journal, `journal.db.dead.jsonl`, of a shared journal in the state directory of the daemon that wrote it, with mode 0600; at 64 MiB it becomes
//! `journal.db.dead.jsonl.1`, in place of the one that has that name. Secrets are masked. Of an unreadable body,
//! in which nothing can be masked reliably, digest and size are written.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use osnl_core::received::ReceivedMessage;
use osnl_model::mask_secrets;
use serde_json::{Value, json};

use super::records::Unreadable;
use super::rows::millis;
use crate::files::beside;
use crate::{DeliveryId, state_dir};

/// The largest size of a file before the next one begins.
const LARGEST: u64 = 64 << 20;

/// Returns the line of a dead letter.
#[must_use]
pub fn dead(
    id: DeliveryId,
    rule: &str,
    action: &str,
    key: Option<&str>,
    reason: &str,
    received: &ReceivedMessage,
) -> Value {
    let mut line = origin(received);
    let decoded = received.decode().ok();
    let of =
        |text: fn(&osnl_model::Notification) -> Option<&String>| decoded.as_ref().and_then(text).cloned();
    line["id"] = json!(id.to_string());
    line["rule"] = json!(rule);
    line["action"] = json!(action);
    line["resource"] = json!(key);
    line["reason"] = json!(reason);
    line["message_id"] = json!(of(|n| n.message_id.as_ref()));
    line["event_type"] = json!(of(|n| n.event_type.as_ref()));
    line["publisher_id"] = json!(of(|n| n.publisher_id.as_ref()));
    line["timestamp"] = json!(of(|n| n.timestamp.as_ref()));
    line["payload"] = decoded.map_or(Value::Null, |n| mask_secrets(&n.payload));
    json!({ "dead_letter": line })
}

/// Returns the line of a message in quarantine.
#[must_use]
pub fn unreadable(unreadable: &Unreadable) -> Value {
    let mut line = origin(&unreadable.received);
    line["reason"] = json!(unreadable.reason);
    line["digest"] = json!(unreadable.digest);
    line["bytes"] = json!(unreadable.size);
    line["message_id"] = json!(unreadable.glimpse.message_id);
    line["publisher_id"] = json!(unreadable.glimpse.publisher_id);
    json!({ "unreadable": line })
}

fn origin(received: &ReceivedMessage) -> Value {
    let origin = &received.origin;
    json!({
        "received_ms": millis(origin.received),
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
    })
}

/// Appends the lines; they are on the disk when this returns.
///
/// # Errors
/// The file's.
pub fn write(journal: &Path, lines: &[Value]) -> io::Result<()> {
    let path = beside(journal, ".dead.jsonl");
    let mut file = state_dir::private().append(true).create(true).open(&path)?;
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    if file.metadata()?.len() >= LARGEST {
        fs::rename(&path, beside(journal, ".dead.jsonl.1"))?;
    }
    Ok(())
}
