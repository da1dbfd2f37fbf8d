use super::answer::Delivery;
use super::problem::ProblemKind;
use super::status::{ListenerStatus, Status, TargetReport};
use super::time::span;
use crate::journal::query::Phase;

impl Delivery {
    #[must_use]
    pub fn state_text(&self) -> String {
        let Self { state, waits_for, next_attempt_seconds, target_held, .. } = self;
        match (waits_for, next_attempt_seconds, target_held) {
            (Some(other), _, _) => format!("{state} for {other}"),
            (None, _, true) => format!("{state} (target held)"),
            (None, Some(0), false) => format!("{state}, next attempt now"),
            (None, Some(seconds), false) => format!("{state}, next attempt in {}", span(*seconds)),
            (None, None, false) => state.clone(),
        }
    }

    /// Returns the resource by its name and its id; without both, its key.
    #[must_use]
    pub fn resource_text(&self) -> Option<String> {
        resource(self.resource_name.as_deref(), self.resource_id.as_deref()).or_else(|| self.key.clone())
    }

    /// Returns the attempts made and, while relevant, the numbers of counting and allowed attempts.
    #[must_use]
    pub fn attempts_text(&self) -> String {
        let Self { attempts_made: made, attempts_counted: counted, attempts_allowed: allowed, .. } = self;
        let is_over = self.ended.is_some() && self.state != Phase::Dead.word();
        match allowed {
            _ if *made == 0 || is_over => made.to_string(),
            Some(allowed) if counted == made => format!("{counted} of {allowed}"),
            Some(allowed) if *counted > 0 => format!("{made} ({counted} of {allowed} counted)"),
            None if *counted > 0 && counted < made => format!("{made} ({counted} counted)"),
            _ => made.to_string(),
        }
    }
}

impl Status {
    /// Whether the journal has reported its numbers of deliveries: if not, the numbers are 0 and shown as
    /// `-`.
    #[must_use]
    pub fn counts_are_known(&self) -> bool {
        !self.problems.iter().any(|problem| problem.kind == ProblemKind::JournalUnreadable)
    }
}

impl ListenerStatus {
    /// Returns the state, and the time until the next attempt to connect.
    #[must_use]
    pub fn state_text(&self) -> String {
        match self.next_attempt_seconds {
            Some(seconds) => format!("{}, next attempt in {}", self.state, span(seconds)),
            None => self.state.clone(),
        }
    }
}

impl TargetReport {
    #[must_use]
    pub fn state(&self) -> &str {
        match (&self.state, self.configured) {
            (Some(state), _) => state,
            (None, Some(false)) => "not configured",
            (None, Some(true) | None) => "-",
        }
    }

    /// Returns the state, and the time until the next probe.
    #[must_use]
    pub fn state_text(&self) -> String {
        match (&self.state, self.next_probe_seconds) {
            (Some(state), Some(seconds)) => format!("{state}, probe in {}", span(seconds)),
            (_, None) | (None, _) => self.state().to_owned(),
        }
    }

    /// Returns the number of ended deliveries, and how many of them were only recorded.
    #[must_use]
    pub fn done_text(&self) -> String {
        match self.shadow {
            0 => self.done.to_string(),
            shadow if shadow == self.done => format!("{shadow} (shadow)"),
            shadow => format!("{} ({shadow} shadow)", self.done),
        }
    }
}

pub(super) fn resource(name: Option<&str>, id: Option<&str>) -> Option<String> {
    match (name, id) {
        (Some(name), Some(id)) if name != id => Some(format!("{name} ({id})")),
        (Some(one), _) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

/// Returns a number of bytes in words, at least a KiB.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[must_use]
pub fn millis(millis: u64) -> String {
    if millis < 1000 { format!("{millis} ms") } else { format!("{:.1} s", millis as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(json: serde_json::Value) -> Delivery {
        let mut all = serde_json::json!({
            "id": "17.0", "state": "ready", "received": "", "age_seconds": 1, "ended": null, "action": "a", "rule": "r",
            "event_type": null, "failed_attempts": 0, "reason": null, "queue": "q",
            "message_id": null, "copies": 0,
        });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_state_says_what_it_waits_for() {
        for (json, expected) in [
            (serde_json::json!({}), "ready"),
            (serde_json::json!({"state": "ready", "target_held": true}), "ready (target held)"),
            (
                serde_json::json!({"state": "retrying", "next_attempt_seconds": 12}),
                "retrying, next attempt in 12 s",
            ),
            (serde_json::json!({"state": "waiting", "waits_for": "16.0"}), "waiting for 16.0"),
            (serde_json::json!({"state": "no action needed"}), "no action needed"),
        ] {
            assert_eq!(delivery(json).state_text(), expected);
        }
    }

    #[test]
    fn attempts_made_and_counted_are_told_apart() {
        for (json, expected) in [
            (serde_json::json!({"state": "ready"}), "0"),
            (
                serde_json::json!({"state": "retrying", "attempts_made": 7, "attempts_counted": 3, "attempts_allowed": 5}),
                "7 (3 of 5 counted)",
            ),
            (
                serde_json::json!({"state": "retrying", "attempts_made": 7, "attempts_counted": 0, "attempts_allowed": 5}),
                "7",
            ),
            (
                serde_json::json!({"state": "dead", "ended": "x", "attempts_made": 6, "attempts_counted": 5}),
                "6 (5 counted)",
            ),
            (
                serde_json::json!({"state": "delivered", "ended": "x", "attempts_made": 3, "attempts_counted": 2}),
                "3",
            ),
        ] {
            assert_eq!(delivery(json).attempts_text(), expected);
        }
    }
}
