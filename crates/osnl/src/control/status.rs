//! The status: one value for the screen, JSON, monitoring systems, and HTTP. Times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use osnl_core::attempt::ErrorClass;
use osnl_core::metrics::{BacklogRates, FallingBehind};
use serde::{Deserialize, Serialize};

use super::incident::Incident;
use crate::daemon::ReloadRefusalReason;
use crate::queues::{BrokerPlace, Finding};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How osnl is, in one line: `2 of 6 actions deliver; 2,996 wait, the oldest 20 min`.
    pub verdict: String,
    pub numbers: StatusNumbers,
    pub running: bool,
    pub healthy: bool,
    /// Whether no delivery is pending or running, and no message is on its way from the broker.
    #[serde(default)]
    pub idle: bool,
    pub incidents: Vec<Incident>,
    #[serde(default)]
    pub attention_age_seconds: u64,
    pub version: String,
    pub pid: Option<u32>,
    pub started: Option<String>,
    pub uptime_seconds: Option<u64>,
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// Listeners in the order of the configuration; none of a stopped daemon.
    pub listeners: Vec<ListenerStatus>,
    #[serde(default)]
    pub left_queues: Vec<LeftQueue>,
    /// Actions in the order of the configuration, then those that only the journal knows.
    pub targets: Vec<TargetReport>,
    #[serde(default)]
    pub expiries: Vec<ExpiryStatus>,
    pub journal: JournalStatus,
    pub counters: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusNumbers {
    /// Messages taken from the broker per second; `null` in the first seconds.
    pub received_per_second: Option<f64>,
    pub delivered_per_second: Option<f64>,
    /// The time over which both rates are measured: the last minute, or the time since the start if that is shorter.
    #[serde(default)]
    pub rates_over_seconds: Option<u64>,
    /// Deliveries that wait for an attempt; `null` while the journal can't be read.
    pub waiting: Option<u64>,
    pub oldest_seconds: Option<u64>,
}

/// The time of a daemon's configuration, and the latest reload if it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    pub loaded: String,
    pub loaded_seconds: u64,
    pub not_reloaded: Option<NotReloaded>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReloaded {
    /// The first refused reload after the latest success.
    pub since: String,
    pub since_seconds: u64,
    pub reason: ReloadRefusalReason,
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryStatus {
    pub subject: String,
    pub what: String,
    pub ends: String,
    pub ends_seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    #[serde(default)]
    pub broker: String,
    pub vhost: String,
    pub queue: String,
    #[serde(default)]
    pub messages: Option<u64>,
    #[serde(default)]
    pub consumers: Option<u64>,
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    #[serde(default)]
    pub unbind: Option<String>,
    /// The command that deletes the queue, if it was empty and had no consumer; else `None`.
    #[serde(default)]
    pub delete: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub name: String,
    pub state: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub remedy: Option<String>,
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
    #[serde(default)]
    pub attempts: Option<u32>,
    #[serde(default)]
    pub next_attempt: Option<String>,
    #[serde(default)]
    pub next_attempt_seconds: Option<u64>,
    #[serde(default)]
    pub stalled: Option<String>,
    pub broker: String,
    /// The place of the queues; `None` on Kafka and AMQP 1.0, which have none.
    #[serde(skip)]
    pub place: Option<BrokerPlace>,
    pub queues: Vec<String>,
    /// The broker is asked every ten seconds; before its first answer, the number at the last connection.
    #[serde(default)]
    pub queue_messages: Option<u64>,
    /// Consumers of the listener's queue, itself included; of several queues, the largest number.
    #[serde(default)]
    pub consumers: Option<u64>,
    #[serde(default)]
    pub own_consumers: u64,
    /// Whether one of several consumers gets all messages, or each has partitions: messages are not shared out.
    #[serde(default)]
    pub exclusive: bool,
    /// The way in which the queue can lose messages, as another program or the broker has made it.
    #[serde(default)]
    pub queue_lossy: Option<String>,
    #[serde(default)]
    pub queue_remedy: Option<String>,
    /// The answers of the broker's management API; `None` if the broker has no such API.
    #[serde(default)]
    pub management: Option<ManagementStatus>,
    /// Messages since the start that were unsettled at the end of a connection and were not redelivered.
    #[serde(default)]
    pub missing_messages: u64,
    /// When a queue that was read before was missing and was created, since the start.
    #[serde(default)]
    pub queue_created: Option<String>,
    #[serde(default)]
    pub queue_created_seconds: Option<u64>,
    /// Whether all exchanges that should fill the queue are missing, so that the queue receives nothing.
    #[serde(default)]
    pub unbound: bool,
    #[serde(default)]
    pub queue_seen_seconds: Option<u64>,
    /// The time since when waiting messages have not become fewer.
    #[serde(default)]
    pub queue_waiting_since: Option<String>,
    #[serde(default)]
    pub queue_waiting_seconds: Option<u64>,
    /// The lag of the group in its partitions; `None` if the broker has no partitions, and before the first
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
    /// The host of the daemon that reads its queue while it stands by; `None` if that is not known.
    #[serde(default)]
    pub standing_by_for: Option<String>,
    /// The tag of its consumers, `osnl@HOST#DIGEST` of the rules at the start; empty where it has none of its own.
    #[serde(default)]
    pub consumer_tag: String,
    pub messages: u64,
    pub reconnects: u64,
    pub last_message: Option<String>,
    pub last_message_seconds: Option<u64>,
    /// The age of the latest event when it was read; `None` before the first, and without a timestamp. The
    /// payload of a message that no rule can match is not read.
    #[serde(default)]
    pub last_event_age_seconds: Option<u64>,
    /// The age of the oldest recent event with called actions and without a `max_event_age`, if it is above a
    /// day.
    #[serde(default)]
    pub old_events_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementStatus {
    pub status: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub remedy: Option<String>,
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    #[serde(default)]
    pub version: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub queue: String,
    #[serde(rename = "type")]
    pub queue_type: Option<String>,
    pub durable: Option<bool>,
    pub policies_known: bool,
    pub policy: Option<String>,
    pub operator_policy: Option<String>,
    pub effective_policy: Vec<String>,
    pub consumers: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagStatus {
    pub group: String,
    /// The sum; `None` if the lag of a partition is unknown, and without a partition.
    pub messages: Option<u64>,
    /// The partitions, by topic and number; none while other members of the group have them all.
    pub partitions: Vec<PartitionLag>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    /// Messages from the next commit to the end; `None` if the end is unknown or out of date.
    pub lag: Option<u64>,
    pub reason: Option<String>,
    pub current_offset: i64,
    pub end_offset: Option<i64>,
    pub seen_seconds: Option<u64>,
    /// The position of the group that no longer existed, and the offset that was read instead, since this
    /// daemon's start.
    #[serde(default)]
    pub lost: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    pub action: String,
    pub target: Option<String>,
    pub configured: Option<bool>,
    /// `ok`, `down`, `probing` or `paused`; of a stopped daemon `paused` or nothing.
    pub state: Option<String>,
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    pub next_probe_seconds: Option<u64>,
    pub paused_since: Option<String>,
    #[serde(default)]
    pub paused_by: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<String>,
    /// Whether none of the dead letters can be retried in order, which is a part of the incident.
    #[serde(skip)]
    pub is_overtaken: bool,
    /// Ended deliveries that are still in the journal: delivered, no action needed, and shadow.
    pub done: u64,
    #[serde(default)]
    pub shadow: u64,
    pub last_failure: Option<AttemptFailure>,
    /// Hosts that events name and that are down, those that are down longest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down_hosts: Vec<Unavailable>,
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_down_hosts: usize,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReason {
    pub reasons: Vec<String>,
    pub count: u64,
    pub since: String,
    pub since_seconds: u64,
    pub is_crash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The host's or service's name. Host names come from events, and are escaped.
    pub name: String,
    pub since: String,
    pub since_seconds: u64,
    pub reason: String,
    pub next_probe_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingResource {
    pub id: String,
    pub resource: Option<String>,
    pub failed_attempts: u32,
    pub since: String,
    pub since_seconds: u64,
    pub at: String,
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    pub at: String,
    pub answer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Whether the target answered and refused, which only a change of the action or of the target ends.
    #[serde(default)]
    pub is_refusal: bool,
    #[serde(skip)]
    pub class: Option<ErrorClass>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    pub store: String,
    pub path: Option<String>,
    /// The place of the listeners, whose queues have the dead letters of `memory://`; `None` if they differ.
    #[serde(skip)]
    pub place: Option<BrokerPlace>,
    /// `ok`, `full` or `failed`; unknown for a file alone.
    pub state: Option<String>,
    pub reason: Option<String>,
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
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
    #[serde(default)]
    pub free_bytes: Option<u64>,
    #[serde(default)]
    pub dead: u64,
    #[serde(default)]
    pub max_dead: Option<u64>,
    #[serde(default)]
    pub max_pending: Option<u64>,
    pub events: Option<u64>,
    pub deliveries: u64,
    pub oldest: Option<String>,
    pub oldest_seconds: Option<u64>,
    pub quarantined: Option<u64>,
}
