//! The words for states, verdicts, answers, and sizes, which every screen uses.

use std::fmt;

use super::answer::{Delivery, DeliveryObstacle, StateTotals};
use super::incident::{IncidentKind, verb};
use super::incident_report::IncidentActor;
use super::status::{ListenerStatus, Status, StatusNumbers, TargetReport};
use super::time::span;
use super::{counted, grouped};
use crate::journal::query::Phase;

/// The role of a state's colour, on the page and on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateTone {
    Good,
    Quiet,
    Warn,
    Bad,
}

impl StateTone {
    #[must_use]
    pub fn from_phase(phase: Phase) -> Self {
        match phase {
            Phase::Dead => Self::Bad,
            Phase::ForRelease | Phase::Orphaned | Phase::Retrying => Self::Warn,
            Phase::Delivered | Phase::NoActionNeeded => Self::Good,
            Phase::Ready | Phase::Running | Phase::Waiting | Phase::Shadow | Phase::Discarded => Self::Quiet,
        }
    }

    /// Returns the role of a state of a listener, an action, or a delivery; `Quiet` for the sum `pending` and for other
    /// names.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "down" | "probing" | "blocked" | "stopped" => Self::Bad,
            "paused" | "connecting" | "draining" => Self::Warn,
            "ok" | "listening" | "standby" => Self::Good,
            _ => {
                let phase = Phase::ALL.into_iter().find(|phase| phase.word() == name);
                phase.map_or(Self::Quiet, Self::from_phase)
            }
        }
    }

    /// Returns the role's name, a class of the page's style sheet.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Quiet => "quiet",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl DeliveryObstacle {
    /// Whether the obstacle holds all pending deliveries of the action.
    fn is_of_action(&self) -> bool {
        matches!(self, Self::TargetDown | Self::ActionPaused { .. })
    }

    /// Returns the obstacle in the words of a narrow column.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::ActionPaused { by: Some(by) } => format!("paused by {by}"),
            Self::ActionPaused { by: None } => "paused".to_owned(),
            Self::TargetDown | Self::Release | Self::Delivery { .. } => self.to_string(),
        }
    }

    /// Returns the role of an obstacle that holds the whole action; another has that of the delivery's state.
    pub(super) fn tone(&self) -> Option<StateTone> {
        match self {
            Self::TargetDown => Some(StateTone::Bad),
            Self::ActionPaused { .. } => Some(StateTone::Warn),
            Self::Release | Self::Delivery { .. } => None,
        }
    }
}

impl fmt::Display for DeliveryObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetDown => f.write_str("target down"),
            Self::ActionPaused { by: Some(by) } => write!(f, "action paused by {by}"),
            Self::ActionPaused { by: None } => f.write_str("action paused"),
            Self::Release => f.write_str("release"),
            Self::Delivery { id } => f.write_str(id),
        }
    }
}

impl StateTotals {
    /// Returns the numbers in the order of who must act. The deliveries with which osnl goes on are one number, because a
    /// row names an obstacle, such as `target down`, instead of the state.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        let mut named: Vec<(&'static str, u64)> = Vec::new();
        for phase in Phase::BY_URGENCY {
            let Some(count) = self.by_state.get(phase.word()).copied() else { continue };
            let name = match phase {
                Phase::Retrying | Phase::Ready | Phase::Waiting | Phase::Running => "pending",
                _ => phase.word(),
            };
            match named.last_mut() {
                Some((last, sum)) if *last == name => *sum += count,
                _ => named.push((name, count)),
            }
        }
        named
    }
}

impl Delivery {
    #[must_use]
    pub fn state_text(&self) -> String {
        let state = self.state.word();
        match (&self.waits_for, self.next_attempt_seconds) {
            (Some(cause), _) if cause.is_of_action() => format!("waiting: {cause}"),
            (Some(cause), _) => format!("waiting for {cause}"),
            (None, Some(0)) => format!("{state}, next attempt now"),
            (None, Some(seconds)) => format!("{state}, next attempt in {}", span(seconds)),
            (None, None) => state.to_owned(),
        }
    }

    /// Returns the role of the obstacle, else of the state.
    #[must_use]
    pub fn tone(&self) -> StateTone {
        let obstacle = self.waits_for.as_ref().and_then(DeliveryObstacle::tone);
        obstacle.unwrap_or_else(|| StateTone::from_phase(self.state))
    }

    #[must_use]
    pub fn resource_text(&self) -> Option<String> {
        resource(self.resource_name.as_deref(), self.resource_id.as_deref()).or_else(|| self.key.clone())
    }

    #[must_use]
    pub fn short_state(&self) -> String {
        match (&self.waits_for, self.next_attempt_seconds) {
            (Some(cause), _) if cause.is_of_action() => cause.short(),
            (None, Some(seconds)) => format!("{}, in {}", self.state.word(), span(seconds)),
            (_, _) => self.state_text(),
        }
    }

    #[must_use]
    pub fn short_resource(&self) -> Option<String> {
        let id = self.resource_id.as_ref().or(self.key.as_ref());
        let first = |id: &String| if id.len() == 36 { id.chars().take(8).collect() } else { id.clone() };
        self.resource_name.clone().or_else(|| id.map(first))
    }

    #[must_use]
    pub fn short_result(&self) -> Option<String> {
        self.reason.as_deref().or(self.last_answer.as_deref()).map(short_answer)
    }

    #[must_use]
    pub fn attempts_text(&self) -> String {
        let Self { attempts_made: made, attempts_counted: counted, attempts_allowed: allowed, .. } = self;
        let is_over = self.ended.is_some() && self.state != Phase::Dead;
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
        !self.incidents.iter().any(|incident| incident.kind == IncidentKind::JournalUnreadable)
    }

    pub(super) fn judged(&self) -> String {
        let waiting = self.waiting_text().map_or(String::new(), |waiting| format!("; {waiting}"));
        if !self.running {
            return format!("the daemon is stopped; this is what its journal holds{waiting}");
        }
        match (self.healthy, self.idle) {
            (true, true) => return format!("all is well{}", self.standing_by()),
            (true, false) if waiting.is_empty() => {
                return format!("nothing needs attention{}; messages are under way", self.standing_by());
            }
            (true, false) => return format!("nothing needs attention{}{waiting}", self.standing_by()),
            (false, _) => {}
        }
        let reads =
            |one: &&ListenerStatus| matches!(&*one.state, "listening" | "standby") && one.stalled.is_none();
        let (reading, listeners) =
            (self.listeners.iter().filter(reads).count() as u64, self.listeners.len() as u64);
        let configured = || self.targets.iter().filter(|one| one.configured != Some(false));
        let (working, actions) = (
            configured().filter(|one| one.state.as_deref() == Some("ok")).count() as u64,
            configured().count() as u64,
        );
        let mut parts = Vec::new();
        if reading < listeners {
            parts.push(share(reading, listeners, ("listener", "listeners"), ("reads", "read")));
        }
        if actions > 0 {
            parts.push(share(working, actions, ("action", "actions"), ("delivers", "deliver")));
        }
        if reading == listeners && working == actions {
            let ours =
                self.incidents.iter().filter(|one| one.must_act == IncidentActor::Operator).count() as u64;
            parts.insert(
                0,
                match ours {
                    0 => counted(self.incidents.len() as u64, "incident", "incidents"),
                    ours => format!("{} for an operator", counted(ours, "incident", "incidents")),
                },
            );
        }
        format!("{}{waiting}", parts.join(", "))
    }

    fn waiting_text(&self) -> Option<String> {
        let waiting = self.numbers.waiting.filter(|waiting| *waiting > 0)?;
        let oldest = self.numbers.oldest_seconds;
        let oldest = oldest.map_or(String::new(), |seconds| format!(", the oldest {}", span(seconds)));
        Some(format!("{} {}{oldest}", grouped(waiting), verb(waiting)))
    }

    fn standing_by(&self) -> String {
        if self.listeners.is_empty() || self.listeners.iter().any(|one| one.state != "standby") {
            return String::new();
        }
        match self.listeners.iter().find_map(|one| one.standing_by_for.as_deref()) {
            Some(host) => format!("; standing by for host {host}"),
            None => "; standing by for another daemon, whose rules are not known: management_url is not set, or has no answer"
                .to_owned(),
        }
    }
}

/// `2 of 6 actions deliver`.
fn share(some: u64, all: u64, (one, many): (&str, &str), (singular, plural): (&str, &str)) -> String {
    let verb = if some == 1 || all == 1 { singular } else { plural };
    format!("{some} of {} {verb}", counted(all, one, many))
}

impl StatusNumbers {
    #[must_use]
    pub fn rates_are_over(&self) -> Option<String> {
        Some(match self.rates_over_seconds? {
            60.. => "last minute".to_owned(),
            seconds => format!("{} since the start", span(seconds)),
        })
    }

    #[must_use]
    pub fn named(&self) -> [(&'static str, String); 4] {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1}/s"));
        [
            ("in", rate(self.received_per_second)),
            ("out", rate(self.delivered_per_second)),
            ("waiting", self.waiting.map_or("-".to_owned(), grouped)),
            ("oldest", self.oldest_seconds.map_or("-".to_owned(), span)),
        ]
    }
}

impl ListenerStatus {
    #[must_use]
    pub fn state_text(&self) -> String {
        match self.next_attempt_seconds {
            Some(seconds) if self.state == "listening" => {
                format!("listening, looks for the exchange in {}", span(seconds))
            }
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

    #[must_use]
    pub fn state_text(&self) -> String {
        match (&self.state, self.next_probe_seconds) {
            (Some(state), Some(seconds)) => format!("{state}, tried in {}", span(seconds)),
            (_, None) | (None, _) => self.state().to_owned(),
        }
    }

    #[must_use]
    pub fn done_text(&self) -> String {
        match self.shadow {
            0 => grouped(self.done),
            shadow if shadow == self.done => format!("{} (shadow)", grouped(shadow)),
            shadow => format!("{} ({} shadow)", grouped(self.done), grouped(shadow)),
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

#[must_use]
pub fn counter_words(name: &str) -> String {
    match name {
        "failures" => "failed attempts".to_owned(),
        "guarded" => "kept back by a guard".to_owned(),
        "shadowed" => "shadow".to_owned(),
        name => name.replace('_', " "),
    }
}

/// Returns an answer in few words, its status first: `400 no such field` of `status 400: Bad Request, reply: {"error": "no
/// such field"}`, and `204` of `DELETE http://x: 204`.
#[must_use]
pub fn short_answer(answer: &str) -> String {
    let is_status = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((_, status)) = answer.rsplit_once(": ").filter(|(_, status)| is_status(status)) {
        return status.to_owned();
    }
    let Some((status, rest)) = answer.strip_prefix("status ").and_then(|rest| rest.split_once(": ")) else {
        return answer.to_owned();
    };
    let (phrase, reply) =
        rest.split_once(", reply: ").map_or((rest, None), |(phrase, reply)| (phrase, Some(reply)));
    let said = reply.map(|reply| said(reply).unwrap_or_else(|| reply.to_owned()));
    format!("{status} {}", said.as_deref().unwrap_or(phrase))
}

fn said(reply: &str) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_str(reply).ok()?;
    while let serde_json::Value::Object(mut members) = value {
        let name = ["error", "message", "detail", "title", "reason"]
            .into_iter()
            .find(|name| members.contains_key(*name));
        // An error of OpenStack has one member, the name of its kind.
        let name = name
            .map(str::to_owned)
            .or_else(|| members.keys().next().filter(|_| members.len() == 1).cloned())?;
        value = members.remove(&name)?;
    }
    value.as_str().map(str::to_owned)
}

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
    fn the_verdict_counts_what_works_and_what_waits() {
        let judged = |listener: &str, actions: &[&str], waiting: u64| {
            let target =
                |state: &&str| TargetReport { state: Some((*state).to_owned()), ..TargetReport::default() };
            let listener = ListenerStatus { state: listener.to_owned(), ..ListenerStatus::default() };
            let status: Status = serde_json::from_value(serde_json::json!({
                "verdict": "", "numbers": {"waiting": waiting, "oldest_seconds": 1200}, "running": true, "healthy": false,
                "incidents": [], "version": "0", "pid": 1, "started": null, "uptime_seconds": 1, "listeners": [listener],
                "targets": actions.iter().map(target).collect::<Vec<_>>(), "journal": {"store": "sqlite", "deliveries": 0},
                "counters": {},
            }))
            .unwrap();
            status.judged()
        };
        let actions = ["ok", "down", "ok", "paused", "down", "probing"];
        let expected = "2 of 6 actions deliver; 2,996 wait, the oldest 20 min";
        assert_eq!(judged("listening", &actions, 2996), expected);
        assert_eq!(judged("connecting", &["ok"], 0), "0 of 1 listener reads, 1 of 1 action delivers");
    }

    #[test]
    fn a_state_says_what_it_waits_for() {
        for (json, expected) in [
            (serde_json::json!({}), "ready"),
            (
                serde_json::json!({"state": "ready", "waits_for": {"kind": "target-down"}}),
                "waiting: target down",
            ),
            (
                serde_json::json!({"state": "ready", "waits_for": {"kind": "action-paused", "by": "eve"}}),
                "waiting: action paused by eve",
            ),
            (
                serde_json::json!({"state": "waiting for release", "waits_for": {"kind": "release"}}),
                "waiting for release",
            ),
            (
                serde_json::json!({"state": "retrying", "next_attempt_seconds": 12}),
                "retrying, next attempt in 12 s",
            ),
            (
                serde_json::json!({"state": "waiting", "waits_for": {"kind": "delivery", "id": "16.0"}}),
                "waiting for 16.0",
            ),
            (serde_json::json!({"state": "no action needed"}), "no action needed"),
        ] {
            assert_eq!(delivery(json).state_text(), expected);
        }
    }

    #[test]
    fn an_obstacle_of_the_action_has_its_own_colour() {
        for (json, expected) in [
            (serde_json::json!({"waits_for": {"kind": "target-down"}}), StateTone::Bad),
            (serde_json::json!({"waits_for": {"kind": "action-paused", "by": "down"}}), StateTone::Warn),
            (
                serde_json::json!({"state": "waiting", "waits_for": {"kind": "delivery", "id": "16.0"}}),
                StateTone::Quiet,
            ),
            (
                serde_json::json!({"state": "waiting for release", "waits_for": {"kind": "release"}}),
                StateTone::Warn,
            ),
            (serde_json::json!({"state": "dead"}), StateTone::Bad),
        ] {
            assert_eq!(delivery(json.clone()).tone(), expected, "{json}");
        }
    }

    #[test]
    fn a_name_has_the_colour_of_its_state() {
        for phase in Phase::ALL {
            assert_eq!(StateTone::from_name(phase.word()), StateTone::from_phase(phase), "{phase:?}");
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.word());
        }
        for (name, expected) in
            [("down", StateTone::Bad), ("ok", StateTone::Good), ("downtown", StateTone::Quiet)]
        {
            assert_eq!(StateTone::from_name(name), expected, "{name}");
        }
    }

    #[test]
    fn totals_are_named_as_rows_are() {
        let counts =
            [("dead", 4), ("delivered", 9), ("ready", 2), ("retrying", 3), ("waiting for release", 1)];
        let by_state = counts.into_iter().map(|(state, count)| (state.to_owned(), count)).collect();
        let totals = StateTotals { all: 19, by_state, more: false };
        let expected = [("dead", 4), ("waiting for release", 1), ("pending", 5), ("delivered", 9)];
        assert_eq!(totals.named(), expected);
    }

    #[test]
    fn an_answer_is_short_with_its_status_first() {
        for (answer, expected) in [
            ("DELETE http://x/7: 204", "204"),
            (
                "status 400: Bad Request, reply: {\"error\": \"no such field: tags\"}",
                "400 no such field: tags",
            ),
            (
                "status 404: Not Found, reply: {\"itemNotFound\": {\"code\": 404, \"message\": \"gone\"}}",
                "404 gone",
            ),
            ("status 502: Bad Gateway, reply: <html>", "502 <html>"),
            ("status 503: Service Unavailable", "503 Service Unavailable"),
            ("cannot connect: 127.0.0.1:9: refused", "cannot connect: 127.0.0.1:9: refused"),
        ] {
            assert_eq!(short_answer(answer), expected);
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
