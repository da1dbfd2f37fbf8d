//! The answers to requests. Times are RFC 3339 in UTC; secrets in payloads and contexts are masked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::daemon::{Reason, SectionChange};

/// The status of a daemon, or of the journal file of one that is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether a daemon answers.
    pub running: bool,
    /// Whether `attention` is empty.
    pub healthy: bool,
    /// The problems that need the operator's attention, a sentence each.
    pub attention: Vec<String>,
    /// The program's version.
    pub version: String,
    /// The daemon's process.
    pub pid: Option<u32>,
    /// When the daemon began.
    pub started: Option<String>,
    /// Seconds since then.
    pub uptime_seconds: Option<u64>,
    /// The time of the daemon's configuration, and the latest reload if it was refused.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// In the order of the configuration; none of a stopped daemon.
    pub listeners: Vec<ListenerStatus>,
    /// Queues that osnl has made and bound, and that no listener reads any more: they fill up.
    #[serde(default)]
    pub left_queues: Vec<LeftQueue>,
    /// Actions in the order of the configuration, then those that only the journal knows.
    pub targets: Vec<TargetReport>,
    /// The journal.
    pub journal: JournalStatus,
    /// The counters since the start of the daemon.
    pub counters: BTreeMap<String, u64>,
}

/// The time of a daemon's configuration, and the latest reload if it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// When it was read: at the start, or by the latest reload.
    pub loaded: String,
    /// Seconds since then.
    pub loaded_seconds: u64,
    /// The latest reload was refused, and nothing has changed.
    pub not_reloaded: Option<NotReloaded>,
}

/// A reload that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReloaded {
    /// When the first one since the latest success was.
    pub since: String,
    /// Seconds since then.
    pub since_seconds: u64,
    /// The kind of reason.
    pub reason: Reason,
    /// All that is wrong, a line each.
    pub errors: Vec<String>,
}

/// A queue that osnl has made and that no listener reads any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    /// The virtual host.
    pub vhost: String,
    /// Its name.
    pub queue: String,
    /// Messages that waited in it when it was looked last; `null` if that is not known.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Consumers that it had then.
    #[serde(default)]
    pub consumers: Option<u64>,
    /// Seconds since then.
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    /// The listener that reads what is left in it.
    #[serde(default)]
    pub emptied_by: Option<String>,
    /// The command that deletes it, if it was empty and had no consumer; else `None`.
    #[serde(default)]
    pub delete: Option<String>,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether the configuration as it is now counts; if not, nothing was changed.
    pub reloaded: bool,
    /// The changed sections; empty if the configuration is unchanged.
    pub changes: Vec<SectionChange>,
    /// The warnings for the operator.
    pub warnings: Vec<String>,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// All that is wrong, a line each.
    pub errors: Vec<String>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// `connecting`, `listening`, `standby`, `blocked`, `draining` or `stopped`.
    pub state: String,
    /// Why it is connecting or blocked.
    #[serde(default)]
    pub reason: Option<String>,
    /// Since when it is in this state.
    #[serde(default)]
    pub since: Option<String>,
    /// Seconds since then.
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// When the next attempt to connect begins, in seconds.
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    /// The stall, while messages wait and there is no progress.
    #[serde(default)]
    pub stalled: Option<String>,
    /// The address of its broker.
    pub broker: String,
    /// The queues that it reads; none before the first connection.
    pub queues: Vec<String>,
    /// Messages that waited in them when it connected last.
    pub waiting_at_connect: Option<u32>,
    /// Messages taken since the start.
    pub messages: u64,
    /// Connections opened after the first.
    pub reconnects: u64,
    /// When the latest message came, since the start.
    pub last_message: Option<String>,
    /// Seconds since then.
    pub last_message_seconds: Option<u64>,
}

/// An action and its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The action's name.
    pub action: String,
    /// The target that it calls; unknown for a stopped daemon.
    pub target: Option<String>,
    /// Whether the configuration has it; not known of a journal alone.
    pub configured: Option<bool>,
    /// `closed` (attempts are made), `open` (held), `probing`, `paused`; of a stopped daemon `paused` or nothing.
    pub state: Option<String>,
    /// Since when it is so.
    pub since: Option<String>,
    /// Seconds since then.
    pub since_seconds: Option<u64>,
    /// Seconds until the next probe.
    pub next_probe_seconds: Option<u64>,
    /// Since when it is paused.
    pub paused_since: Option<String>,
    /// Deliveries waiting or ready.
    pub pending: u64,
    /// When the message of the oldest that is not held reached us.
    pub oldest_pending: Option<String>,
    /// Seconds since then.
    pub oldest_pending_seconds: Option<u64>,
    /// Attempts under way.
    pub in_flight: u64,
    /// Deliveries held by the operator or a guard.
    pub held: u64,
    /// Dead letters.
    pub dead: u64,
    /// Deliveries done that are still in the journal, with those for which there was nothing to do.
    pub done: u64,
    /// The latest failed attempt since the start.
    pub last_failure: Option<Failure>,
    /// Hosts that events name and that are held, those that are held longest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_hosts: Vec<Unavailable>,
    /// The number of other hosts that are held.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_held_hosts: usize,
    /// Services that deliveries need before their attempts, and that are down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies_down: Vec<Unavailable>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A host or a service that some deliveries of an action wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Its name. Host names come out of events, and are escaped.
    pub name: String,
    /// Since when.
    pub since: String,
    /// Seconds since then.
    pub since_seconds: u64,
    /// The latest failure.
    pub reason: String,
    /// Seconds until it is asked again; nothing while it is.
    pub next_probe_seconds: Option<u64>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it ended.
    pub at: String,
    /// The target's answer.
    pub answer: String,
}

/// The journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// `sqlite` or `memory`.
    pub store: String,
    /// Its file.
    pub path: Option<String>,
    /// `working`, `full` or `failed`; not known of a file alone.
    pub state: Option<String>,
    /// Why it is full or failed.
    pub reason: Option<String>,
    /// The size on its disk.
    pub bytes: Option<u64>,
    /// Messages kept.
    pub events: Option<u64>,
    /// Deliveries kept.
    pub deliveries: u64,
    /// When the oldest message kept reached us.
    pub oldest: Option<String>,
    /// Seconds since then.
    pub oldest_seconds: Option<u64>,
    /// Messages kept that cannot be read.
    pub unreadable: Option<u64>,
}

/// Deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// In the order that was asked for.
    pub deliveries: Vec<Delivery>,
    /// The number of deliveries that the filter matches, on this page or not.
    pub totals: Totals,
    /// Whether there are more: the next page is that `after` this.
    pub next: Option<String>,
}

/// The numbers of deliveries, in all and by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// In all.
    pub all: u64,
    /// By the old names of states. Deprecated until 1.0.
    pub by_state: BTreeMap<String, u64>,
    /// By the words of the screens.
    #[serde(default)]
    pub by_phase: BTreeMap<String, u64>,
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, `EVENT.N`.
    pub id: String,
    /// The old name of its state: `waiting`, `ready`, `held`, `dead`, `delivered`, `nothing-to-do`, `discarded` or
    /// `shadow`. Deprecated until 1.0.
    pub state: String,
    /// Its state in the words of the screens, as the glossary has them.
    #[serde(default)]
    pub phase: String,
    /// Whether its target is held or paused, and it waits for that.
    #[serde(default)]
    pub target_held: bool,
    /// The delivery that it waits for.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// When its next attempt is due, after one that failed.
    #[serde(default)]
    pub next_attempt: Option<String>,
    /// Seconds until then.
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    /// When its message reached us.
    pub received: String,
    /// Seconds since then.
    pub age_seconds: u64,
    /// When it ended.
    pub ended: Option<String>,
    /// The action that makes it.
    pub action: String,
    /// The rule that fired.
    pub rule: String,
    /// The event type.
    pub event_type: Option<String>,
    /// Its order key. Deprecated until 1.0: it is `key`.
    pub resource: Option<String>,
    /// Its order key: deliveries of one action and key are made one after the other.
    #[serde(default)]
    pub key: Option<String>,
    /// The id of the resource that it is about.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// The name of that resource.
    #[serde(default)]
    pub resource_name: Option<String>,
    /// Attempts on answers used up. Deprecated until 1.0: it is `attempts_counted`.
    pub attempts: u32,
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
    /// Why it is dead, held or discarded; what was done, once it is delivered.
    pub reason: Option<String>,
    /// The last answer to one that is open.
    #[serde(default)]
    pub last_answer: Option<String>,
    /// The queue it was taken from.
    pub queue: String,
    /// The message's id.
    pub message_id: Option<String>,
    /// Further copies of the message that came.
    pub copies: u64,
}

/// All about a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    /// As in a list.
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
    pub attempts: Vec<Answered>,
    /// The message.
    pub message: Message,
}

/// A failed attempt and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// When it ended.
    pub at: String,
    /// The target's answer.
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
pub struct Message {
    /// The listener that took it.
    pub listener: String,
    /// The queue it was taken from.
    pub queue: String,
    /// The exchange it was published to.
    pub exchange: String,
    /// `<topic>.<priority>`.
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
    /// The request context, masked.
    pub context: Map<String, Value>,
    /// The payload, masked.
    pub payload: Value,
    /// Why it cannot be read, if it cannot.
    pub unreadable: Option<String>,
    /// The body as it came, in base64, if that was asked for.
    pub body_base64: Option<String>,
}

/// The effect of a change, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The number of deliveries that were, or would be, changed.
    pub changed: u64,
    /// The first thousand of them.
    pub ids: Vec<String>,
    /// The number of requested deliveries that were not changed.
    pub refused: u64,
    /// The first thousand of them.
    pub refusals: Vec<Refused>,
    /// The number under way: each is changed when its attempt has ended, unless that succeeds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    /// The first thousand of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way_ids: Vec<String>,
}

/// A delivery that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its number.
    pub id: String,
    /// Why.
    pub why: String,
}

/// An action that was paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The action.
    pub action: String,
    /// Since when it is paused; `None` when it is not.
    pub paused_since: Option<String>,
    /// Whether that is new.
    pub changed: bool,
}

/// The entries that a replay appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// New events.
    pub appended: u64,
    /// Events that were there already under the ids they kept.
    pub kept_already: u64,
}
