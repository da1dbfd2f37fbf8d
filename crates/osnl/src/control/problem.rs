//! The problems that need the operator's attention: one list for the screen, JSON, monitoring systems, and HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a problem. Its name in JSON does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// No daemon runs on the journal.
    NoDaemon,
    /// The daemon stops, and finishes its running attempts.
    Stopping,
    /// The journal can't be read.
    JournalUnreadable,
    /// The journal is at its limit: nothing is read from the broker.
    JournalFull,
    /// The journal can't be written.
    JournalFailed,
    /// The database of the journal refuses a record, and takes others.
    RecordRefused,
    /// The journal or one of its bounds will soon be reached.
    NearBound,
    /// The latest reload was refused.
    NotReloaded,
    /// A daemon that shares the journal is configured otherwise.
    MembersDiffer,
    /// A listener is not connected.
    ListenerConnecting,
    /// A listener reads its queue, and an exchange that should fill it is missing.
    ExchangeMissing,
    /// A listener reads nothing, because nothing more can be kept.
    ListenerBlocked,
    /// A listener ends, or has ended.
    ListenerEnded,
    /// Messages wait and there is no progress.
    ListenerStalled,
    /// Another program reads the same queue: each message goes to one of the readers.
    QueueShared,
    /// A queue that another program has made can lose messages that ours would keep.
    QueueLossy,
    /// Nobody reads a queue that the services fill.
    ServicesQueueUnread,
    /// A daemon with other rules reads the same queue.
    OtherRules,
    /// A listener has never received anything.
    NeverReceived,
    /// Messages that were unsettled when a connection ended did not come back.
    MessagesMissing,
    /// The position of a consumer group did not exist any more: messages were deleted before they were read.
    PositionLost,
    /// Messages wait in a queue of ours that has no reader, or whose reader takes none.
    QueueUnread,
    /// The operator has paused an action.
    ActionPaused,
    TargetHeld,
    /// A service that deliveries need before their attempts is down.
    DependencyDown,
    /// A resource's delivery fails again and again while others succeed.
    KeyFailing,
    /// The oldest pending delivery is older than `attention_age`.
    PendingOld,
    /// An action has as many open deliveries as it may.
    PendingFull,
    /// Deliveries are held by a guard or the operator.
    DeliveriesHeld,
    DeadLetters,
    /// Deliveries of an action that is no longer configured.
    Orphaned,
    Quarantined,
    /// Deliveries are held since the process ended unexpectedly while attempting them.
    Suspects,
    /// Actions are called for events older than a day.
    OldEvents,
    /// A stream that usually has messages has none.
    Silent,
    /// The canary did not come back.
    CanaryLate,
    /// A certificate or a credential ends soon, or has ended.
    Certificate,
}

impl ProblemKind {
    /// Returns its name in JSON, as `exchange-missing`.
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

impl ProblemSeverity {
    /// Returns its name in JSON, as `critical`.
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The urgency of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemSeverity {
    /// It can wait for the morning: the daemon works, or retries by itself.
    Warning,
    /// Events are not read, or not delivered.
    Critical,
}

/// A problem that needs the operator's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    pub severity: ProblemSeverity,
    /// The part that has it: `listener nova`, `action roles`, `queue osnl`, `journal`, `configuration`, `daemon`.
    pub subject: String,
    /// The problem as a sentence, with its duration.
    pub message: String,
    /// The cause, in the words of the log; `null` if the sentence has it.
    pub reason: Option<String>,
    /// When it began, RFC 3339; `null` if that is not known.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    /// The command or setting that repairs it.
    pub remedy: Option<String>,
}

impl Problem {
    pub(super) fn new(
        kind: ProblemKind,
        severity: ProblemSeverity,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            subject: subject.into(),
            message: message.into(),
            reason: None,
            since: None,
            since_seconds: None,
            remedy: None,
        }
    }

    pub(super) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    pub(super) fn since(self, since: Option<String>, since_seconds: Option<u64>) -> Self {
        Self { since, since_seconds, ..self }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}
