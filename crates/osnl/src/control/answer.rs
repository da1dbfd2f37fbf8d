//! The answers to requests. Times are RFC 3339 in UTC; secrets in payloads and contexts are masked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refusal::RequestRefusal;
use super::status::LeftQueue;
use crate::daemon::{ReloadRefusalReason, SectionChange};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestProgress {
    pub done: u64,
    /// All deliveries or events; zero while their number is not known.
    pub of: u64,
}

/// Receives the progress of a request, and must not wait.
pub type OnProgress<'a> = &'a (dyn Fn(RequestProgress) + Sync);

/// A line of an answer in lines, of which the last is `Ok` or `Error`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerLine {
    Progress(RequestProgress),
    Ok(Value),
    /// Nothing was done, or a part.
    Error(RequestRefusal),
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadResult {
    /// Whether the files are in force now; if not, nothing was changed.
    pub reloaded: bool,
    /// The changed sections; empty if the configuration is unchanged.
    pub changes: Vec<SectionChange>,
    /// The warnings for the operator.
    pub warnings: Vec<String>,
    /// The reason of a refusal.
    pub reason: Option<ReloadRefusalReason>,
    /// Every error, one line each.
    pub errors: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// In the order that was asked for.
    pub deliveries: Vec<Delivery>,
    /// The number of deliveries that the filter matches, on this page or not.
    pub totals: StateTotals,
    /// The start of the next page, as `after`; `None` on the last page.
    pub next: Option<String>,
}

/// The numbers of deliveries, in all and by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTotals {
    pub all: u64,
    /// By state, in the words of the glossary.
    pub by_state: BTreeMap<String, u64>,
    /// Whether there are more than were counted; only where a request bounds the count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: String,
    /// Its state, in the words of the glossary.
    pub state: String,
    /// Whether its target is held or paused, and it waits for that.
    #[serde(default)]
    pub target_held: bool,
    /// The delivery that it waits for.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// When its next attempt is due, after one that failed.
    #[serde(default)]
    pub next_attempt: Option<String>,
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    /// When its message reached us.
    pub received: String,
    pub age_seconds: u64,
    pub ended: Option<String>,
    /// The action that makes it.
    pub action: String,
    pub rule: String,
    pub event_type: Option<String>,
    /// Its order key: deliveries of one action and key are made one after the other.
    #[serde(default)]
    pub key: Option<String>,
    /// The id of the resource that it is about.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// The name of that resource.
    #[serde(default)]
    pub resource_name: Option<String>,
    /// Failed attempts of any kind.
    pub failed_attempts: u32,
    /// Attempts made, those under way apart.
    #[serde(default)]
    pub attempts_made: u32,
    /// Attempts that count: those during an outage do not.
    #[serde(default)]
    pub attempts_counted: u32,
    /// The number of attempts that count before it is given up, where a daemon knows it.
    #[serde(default)]
    pub attempts_allowed: Option<u32>,
    /// The reason if it is dead, held, or discarded; the effect once it is delivered.
    pub reason: Option<String>,
    /// The last answer to one that is open.
    #[serde(default)]
    pub last_answer: Option<String>,
    /// The queue it was taken from.
    pub queue: String,
    pub message_id: Option<String>,
    /// The further copies of the message that arrived.
    pub copies: u64,
}

/// A delivery with its attempts and its message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    pub delivery: Delivery,
    /// Open deliveries of the same action and resource before it.
    pub ahead: u64,
    /// The first open deliveries of the same action and resource behind it.
    #[serde(default)]
    pub behind: Vec<String>,
    /// The number of others behind it.
    #[serde(default)]
    pub more_behind: u64,
    /// The other deliveries of its event; at most 20.
    #[serde(default)]
    pub others: Vec<Delivery>,
    /// The time that the successful attempt took.
    #[serde(default)]
    pub took_millis: Option<u64>,
    /// The target that its action calls; unknown for a stopped daemon.
    pub target: Option<String>,
    /// The latest failed attempts, oldest first; at most 20.
    pub attempts: Vec<AttemptAnswer>,
    pub message: MaskedMessage,
}

/// A failed attempt and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptAnswer {
    pub at: String,
    pub answer: String,
    /// The request as it was sent, secrets masked and cut to a bounded size; kept of the latest few attempts.
    #[serde(default)]
    pub request: Option<String>,
    /// The time that it took.
    #[serde(default)]
    pub took_millis: Option<u64>,
}

/// A message as it came, secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskedMessage {
    /// The listener that took it.
    pub listener: String,
    /// The queue it was taken from.
    pub queue: String,
    /// The exchange it was published to.
    pub exchange: String,
    pub routing_key: String,
    /// Whether the broker had delivered it before.
    pub redelivered: bool,
    /// The length of its body.
    pub bytes: u64,
    /// The digest of its body.
    pub digest: String,
    /// The publisher of the notification.
    pub publisher_id: Option<String>,
    /// The priority in the body.
    pub priority: Option<String>,
    /// When it was sent, in the sender's words.
    pub timestamp: Option<String>,
    pub context: Map<String, Value>,
    pub payload: Value,
    /// The reason if it cannot be read.
    pub unreadable: Option<String>,
    /// The body as it came, in base64, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The effect of a change, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeResult {
    pub dry_run: bool,
    /// The number of deliveries that were, or would be, changed.
    pub changed: u64,
    /// The first thousand of them.
    pub ids: Vec<String>,
    /// The number of requested deliveries that were not changed.
    pub refused: u64,
    /// The first thousand of them.
    pub refusals: Vec<RefusedDelivery>,
    /// The number under way: each is changed when its attempt has ended, unless that succeeds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    /// The first thousand of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way_ids: Vec<String>,
}

/// A delivery that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDelivery {
    pub id: String,
    pub why: String,
}

/// An action that was paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseResult {
    pub action: String,
    /// When the pause began, RFC 3339; `None` when the action is not paused.
    pub paused_since: Option<String>,
    pub changed: bool,
}

/// The result of a probe on request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    pub action: String,
    /// The target that it calls.
    pub target: String,
    /// Whether there was a delivery to probe it with.
    pub probed: bool,
    /// The target's state afterwards: `ok`, `held`, `probing` or `paused`.
    pub state: String,
    /// The latest failure, unless it is ok.
    pub answer: Option<String>,
    /// Seconds until the next probe.
    pub next_probe_seconds: Option<u64>,
}

/// The queues that are shown no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenQueues {
    pub forgotten: Vec<LeftQueue>,
}

/// The entries that a replay appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayResult {
    pub appended: u64,
    /// Events that were there already under the ids they kept.
    pub kept_already: u64,
}
