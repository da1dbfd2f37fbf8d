//! Whether the daemon is ready: each listener listens or stands by.
//!
//! A target that is held does not make it unready: nothing is lost, and another instance would meet the same target. It
//! is in the answer all the same, with everything else that needs attention.

use osnl::control::Status;
use serde_json::{Value, json};

/// Answers whether the daemon is ready, and the reasons.
pub(crate) fn ready(status: &Status) -> (bool, Value) {
    let listens = |state: &str| ["listening", "standby"].contains(&state);
    let listeners: Vec<Value> = status
        .listeners
        .iter()
        .map(|listener| {
            json!({
                "name": listener.name,
                "state": listener.state,
                "ready": listens(&listener.state),
                "reason": listener.reason,
                "seconds": listener.since_seconds,
            })
        })
        .collect();
    let is_ready = !status.listeners.is_empty() && status.listeners.iter().all(|l| listens(&l.state));
    let body = json!({"ready": is_ready, "listeners": listeners, "attention": status.attention});
    (is_ready, body)
}
