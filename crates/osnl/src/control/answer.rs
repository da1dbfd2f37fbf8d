//! The answers to requests. Times are RFC 3339 in UTC; secrets in payloads and contexts are masked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refusal::RequestRefusal;
use super::status::LeftQueue;
use crate::daemon::{ReloadRefusalReason, SectionChange};
use crate::journal::query::Phase;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestProgress {
    pub done: u64,
    pub of: u64,
}

/// Receives the progress of a request, and must not block.
pub type OnProgress<'a> = &'a (dyn Fn(RequestProgress) + Sync);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerLine {
    Progress(RequestProgress),
    Ok(Value),
    Error(RequestRefusal),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadResult {
    /// Whether the files are in force now; if not, the configuration is unchanged.
    pub reloaded: bool,
    pub changes: Vec<SectionChange>,
    pub warnings: Vec<String>,
    pub reason: Option<ReloadRefusalReason>,
    pub errors: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub deliveries: Vec<Delivery>,
    pub totals: StateTotals,
    /// The start of the next page, as `after`; `None` on the last page.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryGroups {
    /// In the order of who must act: dead, waiting for release, orphaned, failing, then those that osnl goes on with.
    pub groups: Vec<DeliveryGroup>,
    pub totals: StateTotals,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub states: Vec<Phase>,
    #[serde(skip)]
    pub some: Vec<Delivery>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTotals {
    pub all: u64,
    pub by_state: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What a delivery waits for before its next attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DeliveryObstacle {
    TargetDown,
    /// `by` is the operator, if the pause has a name.
    ActionPaused {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The release by an operator.
    Release,
    /// An earlier delivery of the resource.
    Delivery {
        id: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: String,
    pub state: Phase,
    #[serde(default)]
    pub waits_for: Option<DeliveryObstacle>,
    #[serde(default)]
    pub next_attempt: Option<String>,
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    pub received: String,
    pub age_seconds: u64,
    pub ended: Option<String>,
    pub action: String,
    pub rule: String,
    pub event_type: Option<String>,
    /// The order key: deliveries of one action and key are made one after the other.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub resource_id: Option<String>,
    #[serde(default)]
    pub resource_name: Option<String>,
    pub failed_attempts: u32,
    #[serde(default)]
    pub attempts_made: u32,
    #[serde(default)]
    pub attempts_counted: u32,
    /// The number of counting attempts before the delivery is given up, if a daemon knows that number.
    #[serde(default)]
    pub attempts_allowed: Option<u32>,
    /// The reason if the delivery is dead, held, or discarded; the effect once it is delivered.
    pub reason: Option<String>,
    #[serde(default)]
    pub last_answer: Option<String>,
    #[serde(default)]
    pub took_millis: Option<u64>,
    pub queue: String,
    pub message_id: Option<String>,
    pub copies: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    pub delivery: Delivery,
    /// Why the delivery waits for no other: a delivery without an order key of a rule that the daemon has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_order: Option<String>,
    pub ahead: u64,
    #[serde(default)]
    pub behind: Vec<String>,
    #[serde(default)]
    pub more_behind: u64,
    #[serde(default)]
    pub others: Vec<Delivery>,
    pub target: Option<String>,
    pub attempts: Vec<AttemptAnswer>,
    pub message: MaskedMessage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptAnswer {
    pub at: String,
    pub answer: String,
    /// The request as sent, with secrets masked, cut to a bounded size; kept for the latest few attempts.
    #[serde(default)]
    pub request: Option<String>,
    #[serde(default)]
    pub took_millis: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskedMessage {
    pub listener: String,
    pub queue: String,
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub bytes: u64,
    pub digest: String,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    pub timestamp: Option<String>,
    pub context: Map<String, Value>,
    pub payload: Value,
    pub unreadable: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeResult {
    pub dry_run: bool,
    pub changed: u64,
    pub ids: Vec<String>,
    pub refused: u64,
    pub refusals: Vec<RefusedDelivery>,
    /// Deliveries under way: each is changed when its attempt has ended, unless the attempt succeeds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way_ids: Vec<String>,
}

impl ChangeResult {
    /// Returns each reason of the listed refusals with its deliveries, in the order of the first of each.
    #[must_use]
    pub fn refused_for(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for RefusedDelivery { id, why } in &self.refusals {
            match groups.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, ids)) => ids.push(id),
                None => groups.push((why, vec![id])),
            }
        }
        groups
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDelivery {
    pub id: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseResult {
    pub action: String,
    pub paused_since: Option<String>,
    pub changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    pub action: String,
    pub target: String,
    pub probed: bool,
    pub state: String,
    pub answer: Option<String>,
    pub next_probe_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenQueues {
    pub forgotten: Vec<LeftQueue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayResult {
    pub appended: u64,
    pub kept_already: u64,
}
