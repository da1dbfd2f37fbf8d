//! The status: one value for the screen, JSON, monitoring systems, and HTTP. Times are RFC 3339 in UTC.
//!
//! The words of states are those of the glossary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::daemon::ReloadRefusalReason;
use crate::queues::FindingKind;

/// The status of a daemon, or of the journal file of one that is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub running: bool,
    pub healthy: bool,
    /// Whether no delivery is pending or running, and no message is on its way from the broker.
    #[serde(default)]
    pub idle: bool,
    /// The problems that need the operator's attention, a sentence each: those of `problems`.
    pub attention: Vec<String>,
    /// The problems that need the operator's attention, with kind, urgency, cause, duration, and remedy.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Seconds after which a pending delivery needs attention: `attention_age`.
    #[serde(default)]
    pub attention_age_seconds: u64,
    pub version: String,
    pub pid: Option<u32>,
    pub started: Option<String>,
    pub uptime_seconds: Option<u64>,
    /// The time of the daemon's configuration, and the latest reload if it was refused.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// In the order of the configuration; none of a stopped daemon.
    pub listeners: Vec<ListenerStatus>,
    /// Queues that osnl has read, and that no listener reads any more.
    #[serde(default)]
    pub left_queues: Vec<LeftQueue>,
    /// Actions in the order of the configuration, then those that only the journal knows.
    pub targets: Vec<TargetReport>,
    /// The ends of certificates and credentials, as far as they are known: those that end first.
    #[serde(default)]
    pub expiries: Vec<ExpiryStatus>,
    pub journal: JournalStatus,
    /// The counters since the start of the daemon.
    pub counters: BTreeMap<String, u64>,
}

/// The time of a daemon's configuration, and the latest reload if it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// When it was read: at the start, or by the latest reload.
    pub loaded: String,
    pub loaded_seconds: u64,
    /// The latest reload was refused, and nothing has changed.
    pub not_reloaded: Option<NotReloaded>,
}

/// A reload that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReloaded {
    /// When the first one since the latest success was.
    pub since: String,
    pub since_seconds: u64,
    pub reason: ReloadRefusalReason,
    /// Every error, one line each.
    pub errors: Vec<String>,
}

/// The end of a certificate or credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryStatus {
    /// The part that uses it: `listener nova`, `action roles`, `admin endpoint`.
    pub subject: String,
    /// Its name: `the certificate of mq1:5671`, `the password of user osnl`.
    pub what: String,
    pub ends: String,
    /// Seconds until then; negative once it has ended.
    pub ends_seconds: i64,
}

/// A queue that osnl has read and that no listener reads any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    /// The hosts of the broker.
    #[serde(default)]
    pub broker: String,
    pub vhost: String,
    pub queue: String,
    /// Messages that waited in it when it was looked last; `null` if that is not known.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Consumers that it had then.
    #[serde(default)]
    pub consumers: Option<u64>,
    #[serde(default)]
    pub seen_seconds: Option<u64>,
    /// The command that removes the bindings of osnl that still fill it; `None` if there is none.
    #[serde(default)]
    pub unbind: Option<String>,
    /// The command that deletes it, if it was empty and had no consumer; else `None`.
    #[serde(default)]
    pub delete: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub name: String,
    /// `connecting`, `listening`, `standby`, `blocked`, `draining` or `stopped`.
    pub state: String,
    /// The reason if it is connecting or blocked.
    #[serde(default)]
    pub reason: Option<String>,
    /// The commands and settings that mend that, if any are known.
    #[serde(default)]
    pub remedy: Option<String>,
    /// When the state began, RFC 3339.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// Failed attempts to connect, since it is connecting.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// When the next attempt to connect begins.
    #[serde(default)]
    pub next_attempt: Option<String>,
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
    /// The messages that wait in its queues without a consumer; the broker is asked every ten seconds, and until the
    /// first answer it is the number at the last connection.
    #[serde(default)]
    pub queue_messages: Option<u64>,
    /// Consumers of its queue, this one included; of several queues, those of the one with most.
    #[serde(default)]
    pub consumers: Option<u64>,
    /// Listeners of this daemon that read the same queue.
    #[serde(default)]
    pub own_consumers: u64,
    /// Whether one of several consumers gets all messages, or each gets all of a stream: nothing is shared out.
    #[serde(default)]
    pub exclusive: bool,
    /// The way in which its queue, as another program or the broker has made it, can lose messages.
    #[serde(default)]
    pub queue_lossy: Option<String>,
    #[serde(default)]
    pub queue_remedy: Option<String>,
    /// The answers of the broker's management API; `None` where the broker has no such API.
    #[serde(default)]
    pub management: Option<ManagementStatus>,
    /// Messages that were unsettled when a connection ended and that did not come back, since the start.
    #[serde(default)]
    pub missing_messages: u64,
    /// When its queue, which was read before, was found missing and was created, since the start.
    #[serde(default)]
    pub queue_created: Option<String>,
    #[serde(default)]
    pub queue_created_seconds: Option<u64>,
    /// Whether no exchange that should fill its queue is there yet, so that nothing comes into it.
    #[serde(default)]
    pub unbound: bool,
    /// The seconds since the broker was asked.
    #[serde(default)]
    pub queue_seen_seconds: Option<u64>,
    /// When messages began to wait there without becoming fewer, RFC 3339.
    #[serde(default)]
    pub queue_waiting_since: Option<String>,
    #[serde(default)]
    pub queue_waiting_seconds: Option<u64>,
    /// The lag of its group in the partitions that it reads; `None` where the broker has no partitions, and before the
    /// first connection.
    #[serde(default)]
    pub lag: Option<LagStatus>,
    /// Seconds for which the listener has listened, if no message has ever come, in earlier runs either, for longer
    /// than `silent_after`.
    #[serde(default)]
    pub never_received_seconds: Option<u64>,
    /// The most likely reason for which nothing arrives.
    #[serde(default)]
    pub silence: Option<QueueRiskStatus>,
    /// The host of the daemon that reads its queue while it stands by; `None` if that is not known.
    #[serde(default)]
    pub standing_by_for: Option<String>,
    /// The tag of its consumers, `osnl@HOST#DIGEST` of the rules at the start; empty where it has none of its own.
    #[serde(default)]
    pub consumer_tag: String,
    /// Messages taken since the start.
    pub messages: u64,
    /// Connections opened after the first.
    pub reconnects: u64,
    /// When the latest message came, since the start.
    pub last_message: Option<String>,
    pub last_message_seconds: Option<u64>,
    /// The age, when it was read, of the event that was read last; `None` before the first, and without a timestamp. The
    /// payload of a message that no rule can match is not read.
    #[serde(default)]
    pub last_event_age_seconds: Option<u64>,
    /// The age of the oldest event for which actions were called lately without a `max_event_age`, if it is above a day.
    #[serde(default)]
    pub old_events_seconds: Option<u64>,
}

/// The answers of the management API about the queues of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementStatus {
    /// `known`, or `unknown` if an answer is missing.
    pub status: String,
    /// The reason if one is missing.
    #[serde(default)]
    pub reason: Option<String>,
    /// The line or the command that gets it.
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
    /// The queues that the API knows.
    #[serde(default)]
    pub queues: Vec<QueueStatus>,
    /// The troubles of its queues and of the services', each with its remedy.
    #[serde(default)]
    pub risks: Vec<QueueRiskStatus>,
}

/// A queue, as the management API shows it. A `null` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub queue: String,
    #[serde(rename = "type")]
    pub queue_type: Option<String>,
    /// Whether it outlives a restart of the broker.
    pub durable: Option<bool>,
    /// Whether its policies are known.
    pub policies_known: bool,
    /// The name of its policy.
    pub policy: Option<String>,
    /// The name of its operator policy.
    pub operator_policy: Option<String>,
    /// The settings of both together, as `message-ttl = 60000`.
    pub effective_policy: Vec<String>,
    /// Its consumers, ours among them: tag, user, and connection.
    pub consumers: Vec<String>,
}

/// A finding of `osnl queues`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRiskStatus {
    pub kind: FindingKind,
    /// The evidence, and what happens if nothing is done.
    pub message: String,
    /// The command that mends it.
    pub remedy: String,
}

/// The lag of a consumer group in the partitions that a listener reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagStatus {
    pub group: String,
    /// The sum; `None` if the lag of a partition is not known, and without a partition.
    pub messages: Option<u64>,
    /// The partitions, by topic and number; none while other members of the group have them all.
    pub partitions: Vec<PartitionLag>,
}

/// The lag of a consumer group in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// Messages from the next commit to the end; `None` if the end is not known, or was told too long ago.
    pub lag: Option<u64>,
    /// The reason if it is not known.
    pub reason: Option<String>,
    /// The offset that is committed next.
    pub current_offset: i64,
    /// The offset after the last message, as its broker said last.
    pub end_offset: Option<i64>,
    /// Seconds since it said so; it is asked every ten seconds.
    pub seen_seconds: Option<u64>,
    /// The position of the group that did not exist any more, and the offset that was read instead, since this daemon's start.
    #[serde(default)]
    pub lost: Option<String>,
}

/// An action and its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    pub action: String,
    /// The target that it calls; unknown for a stopped daemon.
    pub target: Option<String>,
    /// Whether the configuration has it; not known of a journal alone.
    pub configured: Option<bool>,
    /// `ok`, `held`, `probing` or `paused`; of a stopped daemon `paused` or nothing.
    pub state: Option<String>,
    /// When the state began, RFC 3339.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    /// Seconds until the next probe.
    pub next_probe_seconds: Option<u64>,
    /// When the pause began, RFC 3339.
    pub paused_since: Option<String>,
    /// The operator that paused it.
    #[serde(default)]
    pub paused_by: Option<String>,
    /// Resources whose deliveries fail again and again while the target is reachable, longest first; at most ten.
    #[serde(default)]
    pub failing: Vec<FailingResource>,
    #[serde(default)]
    pub more_failing: u64,
    pub pending: u64,
    /// When the message of the oldest that is not held reached us.
    pub oldest_pending: Option<String>,
    pub oldest_pending_seconds: Option<u64>,
    pub in_flight: u64,
    /// Deliveries that a guard holds, or that are held after unexpected ends of the process.
    pub held: u64,
    pub dead: u64,
    /// The reason of the latest dead letter that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<String>,
    /// Deliveries done that are still in the journal: delivered, no action needed, and shadow.
    pub done: u64,
    /// Those of them that a rule with `mode = shadow` only recorded.
    #[serde(default)]
    pub shadow: u64,
    /// The latest failed attempt since the start.
    pub last_failure: Option<AttemptFailure>,
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
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A host or a service that some deliveries of an action wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Its name. Host names come out of events, and are escaped.
    pub name: String,
    /// When that began, RFC 3339.
    pub since: String,
    pub since_seconds: u64,
    pub reason: String,
    /// Seconds until it is asked again; nothing while it is.
    pub next_probe_seconds: Option<u64>,
}

/// A resource whose oldest open delivery fails again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingResource {
    pub id: String,
    /// The resource; none of an event without one.
    pub resource: Option<String>,
    /// Failed attempts of any kind.
    pub failed_attempts: u32,
    /// When that began, RFC 3339.
    pub since: String,
    pub since_seconds: u64,
    /// When the latest attempt failed.
    pub at: String,
    /// The target's answer to it.
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    pub at: String,
    pub answer: String,
    /// The first thing to look at, where the answer does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    pub store: String,
    /// Its file, or its database without the password.
    pub path: Option<String>,
    /// `ok`, `full` or `failed`; not known of a file alone.
    pub state: Option<String>,
    /// The reason if it is full or failed.
    pub reason: Option<String>,
    /// When that began, RFC 3339.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// The size on its disk.
    pub bytes: Option<u64>,
    /// The part of it that pending and dead deliveries take, about; the rest leaves when its space is needed.
    #[serde(default)]
    pub open_bytes: Option<u64>,
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// Free bytes on its disk.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    #[serde(default)]
    pub dead: u64,
    #[serde(default)]
    pub max_dead: Option<u64>,
    /// Its `max_pending`, for each action.
    #[serde(default)]
    pub max_pending: Option<u64>,
    pub events: Option<u64>,
    pub deliveries: u64,
    /// When the oldest message kept reached us.
    pub oldest: Option<String>,
    pub oldest_seconds: Option<u64>,
    pub quarantined: Option<u64>,
    /// The daemons that share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<JournalMember>,
    /// The partitions of a shared journal that no daemon owns: their deliveries wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unowned_partitions: Option<u64>,
    /// The records of this daemon that the database of a shared journal refuses while it takes others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RecordRefused>,
}

/// A record that the database refuses while it takes others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRefused {
    /// The part that it is about: `action hook`, `listener nova`, `journal`.
    pub subject: String,
    /// The record: `the end of delivery 4711`.
    pub record: String,
    /// When it was refused first.
    pub since: String,
    pub since_seconds: u64,
    pub reason: String,
    /// Whether it is tried no more, and nothing waits for it.
    pub is_given_up: bool,
}

/// A daemon that shares the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalMember {
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Partitions of the journal, of 64, whose deliveries it makes.
    pub partitions: u64,
    /// Whether it is the daemon that answers.
    pub is_own: bool,
    /// Seconds for which it has been silent, if that is longer than the lease: its work is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// The sections of its configuration that are not those of the daemon that answers, each with the difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// The targets that it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldThere>,
}

/// A target that another daemon on the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldThere {
    pub action: String,
    pub since: String,
    pub since_seconds: u64,
    /// The answer that the latest attempt had.
    pub reason: String,
}
