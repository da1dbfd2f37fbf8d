//! The answers to requests. Times are RFC 3339 in UTC; secrets in payloads and contexts are masked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grouped;
use super::refusal::RequestRefusal;
use super::status::LeftQueue;
use crate::daemon::{ReloadRefusalReason, SectionChange};
use crate::journal::query::Phase;
use crate::listener::GapCause;

/// The part of a long request that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestProgress {
    pub done: u64,
    pub of: u64,
}

/// Receives the progress of a request, and must not block.
pub type OnProgress<'a> = &'a (dyn Fn(RequestProgress) + Sync);

/// A line of an answer on the control socket: progress, then one result.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerLine {
    Progress(RequestProgress),
    Ok(Value),
    Error(RequestRefusal),
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadResult {
    /// Whether the files are in force now; if not, the configuration is unchanged.
    pub reloaded: bool,
    /// The changed sections; empty if the configuration is unchanged.
    pub changes: Vec<SectionChange>,
    pub warnings: Vec<String>,
    pub reason: Option<ReloadRefusalReason>,
    /// All problems of the configuration, a line each.
    pub errors: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A page of deliveries, in the requested order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryPage")]
pub struct List {
    pub deliveries: Vec<Delivery>,
    /// The number of deliveries that the filter matches, on this page or not.
    pub totals: StateTotals,
    /// The start of the next page, as `after`; `null` on the last page.
    pub next: Option<String>,
}

/// Deliveries that are not done, folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryGroups {
    /// In the order of who must act: dead, waiting for release, orphaned, failing, then those that osnl goes on with.
    pub groups: Vec<DeliveryGroup>,
    pub totals: StateTotals,
}

/// The deliveries of one action with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryGroup {
    pub count: u64,
    /// Whether the count is a lower bound: the state and the action have further deliveries, of any cause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
    pub newest: Delivery,
    /// What all of the group wait for: a target that is down, or the end of a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<DeliveryObstacle>,
    /// Their states, as the list names these.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub states: Vec<Phase>,
    #[serde(skip)]
    pub some: Vec<Delivery>,
}

/// The numbers of deliveries, in all and by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryTotals")]
pub struct StateTotals {
    pub all: u64,
    pub by_state: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// The obstacle that a delivery waits for before its next attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DeliveryObstacle {
    /// The target of the action is down.
    TargetDown,
    /// An operator has paused the action.
    ActionPaused {
        /// The operator, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The release by an operator.
    Release,
    /// An earlier delivery of the resource.
    Delivery {
        /// The number of that delivery.
        id: String,
    },
}

/// A delivery, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// The delivery's number, written as `EVENT.N`.
    pub id: String,
    /// The state, named as in the glossary.
    #[schemars(with = "String")]
    pub state: Phase,
    #[serde(default)]
    pub waits_for: Option<DeliveryObstacle>,
    /// The time of the next attempt, after a failed one.
    #[serde(default)]
    pub next_attempt: Option<String>,
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    /// The time at which the message was received.
    pub received: String,
    pub age_seconds: u64,
    pub ended: Option<String>,
    pub action: String,
    pub rule: String,
    pub event_type: Option<String>,
    /// The order key: deliveries of one action and key are made one after the other.
    #[serde(default)]
    pub key: Option<String>,
    /// The id of the resource that the event is about.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// The name of the resource that the event is about.
    #[serde(default)]
    pub resource_name: Option<String>,
    /// Failed attempts of any kind.
    pub failed_attempts: u32,
    /// Attempts that have ended; one under way is not counted.
    #[serde(default)]
    pub attempts_made: u32,
    /// Attempts that count towards `max_attempts`: those during an outage do not.
    #[serde(default)]
    pub attempts_counted: u32,
    /// The number of counting attempts before the delivery is given up, if a daemon knows that number.
    #[serde(default)]
    pub attempts_allowed: Option<u32>,
    /// The reason if the delivery is dead, held, or discarded; the effect once it is delivered.
    pub reason: Option<String>,
    /// The target's latest answer; only of an open delivery.
    #[serde(default)]
    pub last_answer: Option<String>,
    /// The duration of the successful attempt, in milliseconds.
    #[serde(default)]
    pub took_millis: Option<u64>,
    /// The queue that the message was read from.
    pub queue: String,
    pub message_id: Option<String>,
    /// Further copies of the message that were received.
    pub copies: u64,
}

/// A delivery with its attempts and its message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryDetails")]
pub struct Show {
    pub delivery: Delivery,
    /// Why the delivery waits for no other: a delivery without an order key of a rule that the daemon has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_order: Option<String>,
    /// Open deliveries of the same action and resource before this delivery.
    pub ahead: u64,
    /// The first open deliveries of the same action and resource behind this delivery.
    #[serde(default)]
    pub behind: Vec<String>,
    /// The number of further deliveries behind this delivery.
    #[serde(default)]
    pub more_behind: u64,
    /// The other deliveries of the event; at most 20.
    #[serde(default)]
    pub others: Vec<Delivery>,
    /// The target that the action calls; `null` for a stopped daemon.
    pub target: Option<String>,
    /// The latest failed attempts, oldest first; at most 20.
    pub attempts: Vec<AttemptAnswer>,
    pub message: MaskedMessage,
}

/// A failed attempt and the target's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailedAttempt")]
pub struct AttemptAnswer {
    pub at: String,
    pub answer: String,
    /// The request as sent, with secrets masked, cut to a bounded size; kept for the latest few attempts.
    #[serde(default)]
    pub request: Option<String>,
    /// The duration of the attempt, in milliseconds.
    #[serde(default)]
    pub took_millis: Option<u64>,
}

/// A message as received, with secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct MaskedMessage {
    /// The listener that received the message.
    pub listener: String,
    pub queue: String,
    /// The exchange that the message was published to.
    pub exchange: String,
    /// The topic and the priority, such as `notifications.info`.
    pub routing_key: String,
    /// Whether the broker had delivered the message before.
    pub redelivered: bool,
    /// The length of the body, in bytes.
    pub bytes: u64,
    pub digest: String,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    /// The time of sending, as the publisher wrote it.
    pub timestamp: Option<String>,
    pub context: Map<String, Value>,
    pub payload: Value,
    /// The reason why the message cannot be read, if it cannot.
    pub unreadable: Option<String>,
    /// The body's bytes, not masked: on the control socket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The history of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceHistory {
    pub resource: String,
    /// Oldest first; deliveries that have not ended are last.
    pub entries: Vec<HistoryEntry>,
    /// The number of older deliveries that are not among the entries.
    pub more: u64,
    /// The number of kept messages that matched no rule and whose resource is not known, because their bodies are not
    /// kept.
    pub unmatched_without_body: u64,
    /// Whether a queue of dead letters has more than osnl reads at once, so that the entries lack some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unread: bool,
}

/// A happening of a resource's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// The time of the happening; of a pending delivery the time of the answer; of a dead letter in a queue the time of
    /// receipt, since the time of its end is not kept.
    pub at: String,
    pub kind: HistoryKind,
    /// The number of the event; `null` for a message that matched no rule, and with a journal in memory.
    pub event: Option<u64>,
    /// The delivery's number, written as `EVENT.N`.
    pub delivery: Option<String>,
    pub action: Option<String>,
    pub rule: Option<String>,
    pub event_type: Option<String>,
    pub message_id: Option<String>,
    /// The queue that the message was read from.
    pub queue: Option<String>,
    /// The state of an ended or pending delivery.
    #[schemars(with = "Option<String>")]
    pub state: Option<Phase>,
    /// The attempts of an ended or pending delivery that have ended.
    pub attempts: Option<u32>,
    /// The obstacle of a pending delivery.
    pub waits_for: Option<DeliveryObstacle>,
    pub next_attempt: Option<String>,
    /// The answer of a failed attempt; the reason or the latest answer of an ended or pending delivery.
    pub detail: Option<String>,
}

/// The kind of a happening, in the order of happenings of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryKind {
    /// A message was received.
    #[default]
    Received,
    /// A message was received that matched no rule.
    NotMatched,
    /// The delivery was made by its rule, or by `on_failure` of another one; at the time of receipt.
    Matched,
    AttemptFailed,
    Ended,
    /// The delivery has not ended.
    Pending,
}

/// The effect of a change, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryChanges")]
pub struct ChangeResult {
    pub dry_run: bool,
    /// The number of deliveries that were, or would be, changed.
    pub changed: u64,
    /// Whether more wait than were read: with `memory://`, osnl reads the first 10,000 letters of each queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_least: bool,
    /// The first thousand changed deliveries, in order.
    pub ids: Vec<String>,
    /// The number of requested deliveries that were not changed.
    pub refused: u64,
    /// The first thousand refused deliveries, with reasons.
    pub refusals: Vec<RefusedDelivery>,
    /// Deliveries under way: each is changed when its attempt has ended, unless the attempt succeeds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    /// The first thousand deliveries under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way_ids: Vec<String>,
    /// In the dry run of a retry or release, the calls that it would start, by action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<StartedCalls>,
}

/// The calls of an action that a retry or release would start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartedCalls {
    pub action: String,
    /// The number of its deliveries, each of which is a call.
    pub deliveries: u64,
    /// The target that the action calls, with the method if it has one; `null` if no configuration that has it is known.
    pub target: Option<String>,
}

impl StartedCalls {
    /// Whether the calls delete, as far as their method tells.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.target.as_deref().is_some_and(is_deletion)
    }
}

impl std::fmt::Display for StartedCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { action, deliveries, target } = self;
        let count = grouped(*deliveries);
        match target {
            Some(target) => write!(f, "{count} × {target} (action {action})"),
            None => write!(f, "{count} × action {action}"),
        }
    }
}

/// Whether the method of a target is `DELETE`, or a template that may give it.
pub(crate) fn is_deletion(target: &str) -> bool {
    let method = target.split_once("://").map_or(target, |(before, _)| before);
    method.split(|other: char| !other.is_ascii_alphabetic()).any(|word| word.eq_ignore_ascii_case("delete"))
}

impl ChangeResult {
    /// Returns each reason of the listed refusals with its deliveries, in the order of the first of each.
    #[must_use]
    pub fn refused_for(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for RefusedDelivery { id, why, .. } in &self.refusals {
            match groups.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, ids)) => ids.push(id),
                None => groups.push((why, vec![id])),
            }
        }
        groups
    }
}

/// A delivery that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NotChangedDelivery")]
pub struct RefusedDelivery {
    pub id: String,
    pub why: String,
    /// Whether a retry was refused for the order alone, so that a retry out of order is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_for_order: bool,
}

/// An action that was paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseResult {
    pub action: String,
    /// The start of the pause; `null` if the action is not paused.
    pub paused_since: Option<String>,
    /// Whether the request has changed that, or the reason.
    pub changed: bool,
    /// The operator's reason for the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a restart of the daemon ends the pause, which `memory://` forgets.
    #[serde(default)]
    pub until_restart: bool,
}

/// The result of a probe on request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeResult {
    pub action: String,
    /// The target that the action calls.
    pub target: String,
    /// Whether there was a delivery to probe the target with.
    pub probed: bool,
    /// The target's state afterwards: `ok`, `down`, `probing` or `paused`.
    pub state: String,
    /// The latest failure, unless the state is `ok`.
    pub answer: Option<String>,
    /// Seconds until the next probe.
    pub next_probe_seconds: Option<u64>,
}

/// Queues that the status shows no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenQueues {
    pub forgotten: Vec<LeftQueue>,
}

/// The open gaps of the listeners, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapList {
    pub gaps: Vec<GapRow>,
}

/// An interval in which a listener could not have received what was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapRow {
    /// The number by which the gap is dismissed.
    pub id: u64,
    pub listener: String,
    pub exchanges: Vec<String>,
    pub topics: Vec<String>,
    pub from: String,
    pub until: String,
    /// The length of the interval.
    pub seconds: u64,
    pub since_seconds: u64,
    pub cause: GapCause,
    /// Whether what was published meanwhile is lost for certain; else it may be.
    pub is_certain: bool,
    /// The cause in words.
    pub why: String,
    /// The actions that delete and have not been verified since.
    pub to_verify: Vec<String>,
    /// The command that closes the gap, or is the first of several.
    pub command: String,
}

/// Gaps that a request has closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedGaps {
    pub closed: Vec<GapRow>,
}

/// The numbers of events that a replay appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayResult {
    pub appended: u64,
    /// Events that the journal already had under the ids that were kept.
    pub kept_already: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_action_does_tells_whether_it_deletes() {
        for (effect, expected) in [
            ("DELETE http://h/delete", true),
            ("POST http://h/delete", false),
            ("{{ 'DELETE' if gone else 'PUT' }} http://h/", true),
            ("DELETE http://h/v1/role, on the deletion of a port or an instance", true),
            ("K2HR3 at http://h/", false),
        ] {
            assert_eq!(is_deletion(effect), expected, "{effect}");
        }
    }
}
