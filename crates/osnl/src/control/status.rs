//! The status: one value for the screen, JSON, monitoring systems, and HTTP. Times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use osnl_core::attempt::{ErrorClass, Uncorrected};
use osnl_core::metrics::{BacklogRates, FallingBehind};
use osnl_net::http::ExpiryKind;
use osnl_transport::Remedy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::incident_report::Incident;
use crate::daemon::ReloadRefusalReason;
use crate::queues::{BrokerPlace, Finding};

/// The status of a daemon, or of the journal file of a stopped one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// How osnl is, in one line: `2 of 6 actions deliver; 2,996 wait, the oldest 20 min`.
    pub verdict: String,
    pub numbers: StatusNumbers,
    /// Whether a daemon answers; `false` for a journal file.
    pub running: bool,
    /// Whether there is no incident.
    pub healthy: bool,
    /// Whether no delivery is pending or running, and no message is on its way from the broker.
    #[serde(default)]
    pub idle: bool,
    /// The incidents, in the order in which an operator looks at them.
    pub incidents: Vec<Incident>,
    /// Seconds after which a pending delivery is an incident: `attention_age`.
    #[serde(default)]
    pub attention_age_seconds: u64,
    pub version: String,
    pub pid: Option<u32>,
    pub started: Option<String>,
    pub uptime_seconds: Option<u64>,
    /// The time of the daemon's configuration, and the latest reload if it was refused.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// Listeners in the order of the configuration; none of a stopped daemon.
    pub listeners: Vec<ListenerStatus>,
    /// Queues that osnl has read, and that no listener reads any more.
    #[serde(default)]
    pub left_queues: Vec<LeftQueue>,
    /// Actions in the order of the configuration, then those that only the journal knows.
    pub targets: Vec<TargetReport>,
    /// The known ends of certificates and credentials, the earliest first.
    #[serde(default)]
    pub expiries: Vec<ExpiryStatus>,
    pub journal: JournalStatus,
    /// The counters since the start of the daemon.
    pub counters: BTreeMap<String, u64>,
}

/// The rates of messages and deliveries, and the backlog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusNumbers {
    /// Messages taken from the broker per second; `null` in the first seconds.
    pub received_per_second: Option<f64>,
    /// Successful deliveries per second; `null` in the first seconds.
    pub delivered_per_second: Option<f64>,
    /// The time over which both rates are measured: the last minute, or the time since the start if that is shorter.
    #[serde(default)]
    pub rates_over_seconds: Option<u64>,
    /// Deliveries that wait for an attempt; `null` while the journal can't be read.
    pub waiting: Option<u64>,
    /// The age of the oldest waiting delivery.
    pub oldest_seconds: Option<u64>,
}

/// The time of a daemon's configuration, and the latest reload if it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationStatus {
    /// The time of reading: at the start, or by the latest reload.
    pub loaded: String,
    pub loaded_seconds: u64,
    /// The latest reload, if it was refused and has changed nothing.
    pub not_reloaded: Option<NotReloaded>,
}

/// A reload that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotReloaded {
    /// The first refused reload after the latest success.
    pub since: String,
    pub since_seconds: u64,
    pub reason: ReloadRefusalReason,
    /// All problems of the configuration, a line each.
    pub errors: Vec<String>,
}

/// The end of a certificate or credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpiryStatus {
    /// The part that uses the certificate or credential: `listener nova`, `action roles`, `admin endpoint`.
    pub subject: String,
    /// The kind, which is a part of the incident.
    #[serde(skip)]
    pub kind: ExpiryKind,
    /// The certificate or credential: `the certificate of mq1:5671`, `the password of user osnl`.
    pub what: String,
    pub ends: String,
    /// Seconds until the end; negative after the end.
    pub ends_seconds: i64,
}

/// A queue that osnl has read and that no listener reads any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftQueue {
    /// The hosts of the queue's broker.
    #[serde(default)]
    pub broker: String,
    pub vhost: String,
    pub queue: String,
    /// Messages that waited at the latest look; `null` if that is not known.
    #[serde(default)]
    pub messages: Option<u64>,
    /// The number of consumers at the latest look.
    #[serde(default)]
    pub consumers: Option<u64>,
    /// Seconds since the latest look.
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    /// The command that removes the bindings of osnl that still fill the queue; `null` if there is none.
    #[serde(default)]
    pub unbind: Option<String>,
    /// The command that deletes the queue, if it was empty and had no consumer; else `null`.
    #[serde(default)]
    pub delete: Option<String>,
}

/// The state of a listener, its queue, and its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    pub name: String,
    /// `connecting`, `listening`, `standby`, `blocked`, `draining` or `stopped`.
    pub state: String,
    /// The reason why the listener is connecting or blocked.
    #[serde(default)]
    pub reason: Option<String>,
    /// The commands and settings that mend the reason, if any are known.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub remedy: Option<Remedy>,
    /// Whether the listener connects only after an operator has corrected something, which is a part of the incident.
    #[serde(skip)]
    pub needs_operator: bool,
    /// The action that has no place, if that blocks the listener, which is a part of the incident.
    #[serde(skip)]
    pub full_action: Option<String>,
    /// The start of the current state.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// Failed attempts to connect, while the listener is connecting.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// The time of the next attempt to connect.
    #[serde(default)]
    pub next_attempt: Option<String>,
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    /// The stall, while messages wait and there is no progress.
    #[serde(default)]
    pub stalled: Option<String>,
    pub broker: String,
    /// The place of the queues; `None` on Kafka and AMQP 1.0, which have none.
    #[serde(skip)]
    pub place: Option<BrokerPlace>,
    /// The queues that the listener reads; none before the first connection.
    pub queues: Vec<String>,
    /// The broker is asked every ten seconds; before its first answer, the number at the connection. `null` while not
    /// connected, if the broker has not answered for a minute, and if it does not count.
    #[serde(default)]
    pub queue_messages: Option<u64>,
    /// Consumers of the listener's queue, itself included; of several queues, the largest number.
    #[serde(default)]
    pub consumers: Option<u64>,
    /// Listeners of this daemon that read the same queue.
    #[serde(default)]
    pub own_consumers: u64,
    /// Whether one of several consumers gets all messages, or each has partitions: messages are not shared out.
    #[serde(default)]
    pub exclusive: bool,
    /// The way in which the queue can lose messages, as another program or the broker has made it.
    #[serde(default)]
    pub queue_lossy: Option<String>,
    /// The queue that `queue_lossy` is about.
    #[serde(skip)]
    pub lossy_queue: Option<String>,
    /// The remedy for a queue that can lose messages.
    #[serde(default)]
    pub queue_remedy: Option<String>,
    /// The answers of the broker's management API; `null` if the broker has no such API.
    #[serde(default)]
    pub management: Option<ManagementStatus>,
    /// When a queue that was read before was missing and was created, since the start.
    #[serde(default)]
    pub queue_created: Option<String>,
    #[serde(default)]
    pub queue_created_seconds: Option<u64>,
    /// Whether all exchanges that should fill the queue are missing, so that the queue receives nothing.
    #[serde(default)]
    pub unbound: bool,
    /// The exchanges that should fill the queue and do not exist.
    #[serde(skip)]
    pub missing_exchanges: Vec<String>,
    /// The remedy for them, also while the listener is blocked for another reason.
    #[serde(skip)]
    pub exchange_remedy: Option<Remedy>,
    /// Seconds since the broker's latest answer about the queue.
    #[serde(default)]
    pub queue_seen_seconds: Option<u64>,
    /// The time since when waiting messages have not become fewer.
    #[serde(default)]
    pub queue_waiting_since: Option<String>,
    #[serde(default)]
    pub queue_waiting_seconds: Option<u64>,
    /// The lag of the group in its partitions; `null` if the broker has no partitions, and before the first
    /// connection.
    #[serde(default)]
    pub lag: Option<LagStatus>,
    /// Seconds for which the listener has listened, if no message has arrived for longer than `silent_after`,
    /// in earlier runs either.
    #[serde(default)]
    pub never_received_seconds: Option<u64>,
    /// The most likely reason for the silence of a listener; a part of the incident, once there is one.
    #[serde(default)]
    pub silence: Option<Finding>,
    /// The host of the daemon that reads its queue while it stands by; `null` if that is not known.
    #[serde(default)]
    pub standing_by_for: Option<String>,
    /// The tag of its consumers, `osnl@HOST#DIGEST` of the rules at the start; empty where it has none of its own.
    #[serde(default)]
    pub consumer_tag: String,
    /// Messages received since the start.
    pub messages: u64,
    /// Connections opened after the first.
    pub reconnects: u64,
    /// The time of the latest message since the start.
    pub last_message: Option<String>,
    pub last_message_seconds: Option<u64>,
    /// The age of the latest event when it was read; `null` before the first, and without a timestamp. The
    /// payload of a message that no rule can match is not read.
    #[serde(default)]
    pub last_event_age_seconds: Option<u64>,
    /// The age of the oldest recent event with called actions and without a `max_event_age`, if it is above a
    /// day.
    #[serde(default)]
    pub old_events_seconds: Option<u64>,
}

/// The answers of the management API about the queues of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManagementStatus {
    /// `known`, or `unknown` if an answer is missing.
    pub status: String,
    /// The reason for a missing answer.
    #[serde(default)]
    pub reason: Option<String>,
    /// The line or the command that gets the missing answer.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Seconds since the latest answers.
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    #[serde(default)]
    pub version: Option<String>,
    /// The default queue type of the virtual host, if one is set.
    #[serde(default)]
    pub default_queue_type: Option<String>,
    #[serde(default)]
    pub queues: Vec<QueueStatus>,
    /// Seconds since the look that the findings are of.
    #[serde(skip)]
    pub looked_seconds: Option<u64>,
    /// The findings of `osnl queues` about its queues and the services', each of which is an incident.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// A queue, as the management API shows it. A `null` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    pub queue: String,
    /// The type: `classic`, `quorum` or `stream`.
    #[serde(rename = "type")]
    pub queue_type: Option<String>,
    /// Whether the queue outlives a restart of the broker.
    pub durable: Option<bool>,
    /// Whether the queue's policies are known.
    pub policies_known: bool,
    pub policy: Option<String>,
    pub operator_policy: Option<String>,
    /// The settings of both policies together, as `message-ttl = 60000`.
    pub effective_policy: Vec<String>,
    /// All consumers, osnl's among them: tag, user, and connection.
    pub consumers: Vec<String>,
}

/// The lag of a consumer group in the partitions that a listener reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LagStatus {
    pub group: String,
    /// The sum; `null` if the lag of a partition is unknown, and without a partition.
    pub messages: Option<u64>,
    /// The partitions, by topic and number; none while other members of the group have them all.
    pub partitions: Vec<PartitionLag>,
}

/// The lag of a consumer group in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    /// Messages from the next commit to the end; `null` if the end is unknown or out of date.
    pub lag: Option<u64>,
    /// The reason for an unknown lag.
    pub reason: Option<String>,
    /// The offset that is committed next.
    pub current_offset: i64,
    /// The offset after the last message, as of the broker's latest answer.
    pub end_offset: Option<i64>,
    /// Seconds since the latest answer of the broker, which is asked every ten seconds.
    pub seen_seconds: Option<u64>,
    /// The position of the group that no longer existed, and the offset that was read instead, since this
    /// daemon's start.
    #[serde(default)]
    pub lost: Option<String>,
}

/// The state of an action and its target, and its backlog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TargetStatus")]
pub struct TargetReport {
    pub action: String,
    /// The target that the action calls; `null` for a stopped daemon.
    pub target: Option<String>,
    /// Whether it deletes, as far as its method tells; `null` if no configuration that has the action is known.
    #[serde(default)]
    pub deletes: Option<bool>,
    /// Whether the configuration has the action; `null` for a journal alone.
    pub configured: Option<bool>,
    /// `ok`, `down`, `probing` or `paused`; of a stopped daemon `paused` or nothing.
    pub state: Option<String>,
    /// The start of the current state.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    /// Seconds until the next probe.
    pub next_probe_seconds: Option<u64>,
    pub paused_since: Option<String>,
    /// The operator that paused the action.
    #[serde(default)]
    pub paused_by: Option<String>,
    /// The operator's reason for the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_reason: Option<String>,
    /// Resources whose deliveries fail repeatedly while the target is reachable, longest first; at most ten.
    #[serde(default)]
    pub failing: Vec<FailingResource>,
    #[serde(default)]
    pub more_failing: u64,
    pub pending: u64,
    /// When the message of the oldest of them reached us.
    pub oldest_pending: Option<String>,
    pub oldest_pending_seconds: Option<u64>,
    /// How often, at most, the message of one of them has returned to the broker, with `memory://`.
    #[serde(default, skip_serializing_if = "is_never")]
    pub returns: u32,
    pub in_flight: u64,
    /// Deliveries that wait until an operator releases them: after a guard, or after unexpected ends of the process.
    pub for_release: u64,
    #[serde(skip)]
    pub held_reason: Option<HeldReason>,
    /// How far the action falls behind, which is a part of the incident; `None` if it keeps up.
    #[serde(skip)]
    pub falling_behind: Option<FallingBehind>,
    /// The rates of the last half minute; `None` before, and of a stopped daemon.
    #[serde(skip)]
    pub rates: Option<BacklogRates>,
    /// Whether deliveries beyond `max_pending` become dead letters, which is a part of the incident.
    #[serde(skip)]
    pub overflows: bool,
    pub dead: u64,
    /// The reason of the latest dead letter that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<String>,
    /// The correction without which each retry of that dead letter fails; the incident names it.
    #[serde(skip)]
    pub uncorrected: Option<Uncorrected>,
    /// The answer to the last attempt of that dead letter, which is a part of the incident.
    #[serde(skip)]
    pub dead_answer: Option<String>,
    /// The host of that attempt that the event names, which is a part of the incident.
    #[serde(skip)]
    pub dead_host: Option<String>,
    /// The cause of that dead letter for the label of a metric; `None` if that is the reason.
    #[serde(skip)]
    pub dead_label: Option<String>,
    /// Whether none of the dead letters can be retried in order, which is a part of the incident.
    #[serde(skip)]
    pub is_overtaken: bool,
    /// Ended deliveries that are still in the journal: delivered, no action needed, and shadow.
    pub done: u64,
    /// Deliveries that a rule with `mode = shadow` only recorded; a part of `done`.
    #[serde(default)]
    pub shadow: u64,
    /// The latest failed attempt since the start.
    pub last_failure: Option<AttemptFailure>,
    /// Hosts that events name and that are down, those that are down longest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down_hosts: Vec<Unavailable>,
    /// The number of further hosts that are down.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_down_hosts: usize,
    /// Services that deliveries need before their attempts, and that are down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies_down: Vec<Unavailable>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_never(times: &u32) -> bool {
    *times == 0
}

/// The common reason for which deliveries of an action are held, for an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReason {
    pub reasons: Vec<String>,
    pub count: u64,
    pub since: String,
    pub since_seconds: u64,
    pub is_crash: bool,
}

/// A host or a service that some deliveries of an action wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unavailable {
    /// The host's or service's name. Host names come from events, and are escaped.
    pub name: String,
    pub since: String,
    pub since_seconds: u64,
    pub reason: String,
    /// Seconds until the next question; `null` during a question.
    pub next_probe_seconds: Option<u64>,
    /// The class of a host's latest failure, by which the incident chooses its advice.
    #[serde(skip)]
    pub class: Option<ErrorClass>,
    /// Whether an operator must act before it answers, which is a part of the incident.
    #[serde(skip)]
    pub needs_operator: bool,
    /// The remedy for the operator, which is a part of the incident.
    #[serde(skip)]
    pub remedy: Option<Remedy>,
}

/// A resource whose oldest open delivery fails again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailingResource {
    /// The oldest open delivery, written as `EVENT.N`.
    pub id: String,
    pub resource: Option<String>,
    /// Failed attempts of any kind.
    pub failed_attempts: u32,
    pub since: String,
    pub since_seconds: u64,
    /// The time of the latest failed attempt.
    pub at: String,
    /// The target's answer to the latest attempt.
    pub answer: String,
}

/// A failed attempt, with a remedy if one is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LatestFailure")]
pub struct AttemptFailure {
    pub at: String,
    pub answer: String,
    /// The first thing to check, where the answer does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub remedy: Option<Remedy>,
    /// Whether the target answered and refused, which only a change of the action or of the target ends.
    #[serde(default)]
    pub is_refusal: bool,
    #[serde(skip)]
    pub class: Option<ErrorClass>,
}

/// The state of the journal, its bounds, and its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalStatus {
    pub store: String,
    /// The journal's file, or the queues of the dead letters.
    pub path: Option<String>,
    /// The place of the listeners, whose queues have the dead letters of `memory://`; `None` if they differ.
    #[serde(skip)]
    pub place: Option<BrokerPlace>,
    /// `ok`, `full` or `failed`; unknown for a file alone.
    pub state: Option<String>,
    /// The reason why the journal is full or failed.
    pub reason: Option<String>,
    /// The time since when the journal is full or failed.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// The size of the journal on its disk.
    pub bytes: Option<u64>,
    /// The approximate part that pending and dead deliveries take; the rest is removed when its space is
    /// needed.
    #[serde(default)]
    pub open_bytes: Option<u64>,
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// The bytes of the WAL, which `bytes` has too.
    #[serde(default)]
    pub wal_bytes: Option<u64>,
    /// For how long a reader has kept the WAL from being copied to the file.
    #[serde(default)]
    pub wal_held_seconds: Option<u64>,
    /// Another process that reads a state of the file, if the WAL is larger than usual.
    #[serde(default)]
    pub wal_reader: Option<u32>,
    /// Free bytes on the journal's disk.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    #[serde(default)]
    pub dead: u64,
    /// Whether some of these are letters in queues that were not read, and may wait for release.
    #[serde(skip)]
    pub has_unread_letters: bool,
    #[serde(default)]
    pub max_dead: Option<u64>,
    /// The option `max_pending`, for each action.
    #[serde(default)]
    pub max_pending: Option<u64>,
    pub events: Option<u64>,
    pub deliveries: u64,
    /// The time of receipt of the oldest message in the journal.
    pub oldest: Option<String>,
    pub oldest_seconds: Option<u64>,
    /// Messages in the journal that cannot be read.
    pub quarantined: Option<u64>,
}
