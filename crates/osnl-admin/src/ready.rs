//! Whether the daemon is ready: each listener listens or stands by on a queue that an exchange fills, and the
//! journal accepts messages.
//!
//! A target that is down does not make it unready: nothing is lost, and another instance would meet the same target. It
//! is in the answer all the same, with all other incidents.

use osnl::control::{ListenerStatus, Status};
use serde_json::{Value, json};

pub(crate) fn ready(status: &Status) -> (bool, Value) {
    // A queue that no exchange fills receives nothing.
    let listens =
        |listener: &ListenerStatus| ["listening", "standby"].contains(&&*listener.state) && !listener.unbound;
    let listeners: Vec<Value> = status
        .listeners
        .iter()
        .map(|listener| {
            json!({
                "name": listener.name,
                "state": listener.state,
                "ready": listens(listener),
                "reason": listener.reason,
                "seconds": listener.since_seconds,
            })
        })
        .collect();
    let all_listen = !status.listeners.is_empty() && status.listeners.iter().all(listens);
    // A listener notices a failed journal only with its next message.
    let journal = &status.journal;
    let takes = !matches!(journal.state.as_deref(), Some("full" | "failed"));
    let is_ready = all_listen && takes;
    let journal = json!({
        "state": journal.state,
        "ready": takes,
        "reason": journal.reason,
        "seconds": journal.since_seconds,
    });
    let body = json!({
        "ready": is_ready,
        "listeners": listeners,
        "journal": journal,
        "verdict": status.verdict,
        "incidents": status.incidents.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    (is_ready, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(listeners: &[&str], journal: Value) -> Status {
        let listeners =
            listeners.iter().map(|state| json!({"name": "l", "state": state, "broker": "", "queues": [], "messages": 0, "reconnects": 0}));
        let mut whole = json!({
            "verdict": "", "numbers": {}, "running": true, "healthy": true, "incidents": [], "version": "0.1.0", "pid": 1, "started": null,
            "uptime_seconds": 1, "listeners": listeners.collect::<Vec<_>>(), "targets": [], "counters": {},
            "journal": {"store": "sqlite", "deliveries": 0},
        });
        for (name, value) in journal.as_object().unwrap() {
            whole["journal"][name] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_queue_that_no_exchange_fills_is_not_ready() {
        let reason = "bound to 0 of 1 exchanges: exchange \"nova\" does not exist yet";
        for (unbound, expected) in [(true, false), (false, true)] {
            let mut status = status(&["listening"], json!({"state": "ok"}));
            status.listeners[0].unbound = unbound;
            status.listeners[0].reason = Some(reason.to_owned());
            let (is_ready, why) = ready(&status);
            let listener = &why["listeners"][0];
            assert_eq!((is_ready, &listener["ready"]), (expected, &json!(expected)), "{why}");
            assert_eq!(listener["reason"], reason);
        }
    }

    #[test]
    fn listeners_and_the_journal_decide() {
        for (listeners, journal, expected) in [
            (&["listening", "standby"][..], json!({"state": "ok"}), true),
            (&["listening", "connecting"], json!({"state": "ok"}), false),
            (&["listening"], json!({"state": "full", "reason": "no space left on device"}), false),
            (&["listening"], json!({"state": "failed", "reason": "the disk does not answer"}), false),
            (&[], json!({"state": "ok"}), false),
        ] {
            let (is_ready, why) = ready(&status(listeners, journal.clone()));
            assert_eq!((is_ready, &why["ready"]), (expected, &json!(expected)), "{why}");
            assert_eq!(why["journal"]["reason"], journal["reason"], "{why}");
        }
    }
}
