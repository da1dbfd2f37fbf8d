//! The problems that need the operator's attention: one list for the screen, JSON, monitoring systems, and
//! HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a problem. Its name in JSON does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    NoDaemon,
    Stopping,
    JournalUnreadable,
    /// The journal is at its limit: no message is read from the broker.
    JournalFull,
    JournalFailed,
    /// The database refuses a record of the journal, and accepts others.
    RecordRefused,
    NearBound,
    NotReloaded,
    /// A daemon that shares the journal has another configuration.
    MembersDiffer,
    ListenerConnecting,
    /// A listener reads its queue, and an exchange that should fill it is missing.
    ExchangeMissing,
    /// A listener reads nothing, because the journal cannot store more.
    ListenerBlocked,
    ListenerEnded,
    ListenerStalled,
    /// Another program reads the same queue: each message goes to one of the readers.
    QueueShared,
    /// A queue that another program has made can lose messages that ours would keep.
    QueueLossy,
    ServicesQueueUnread,
    OtherRules,
    NeverReceived,
    /// Messages that were unsettled at the end of a connection were not redelivered.
    MessagesMissing,
    /// The position of a consumer group no longer exists: messages were deleted before they were read.
    PositionLost,
    /// Messages wait in a queue of osnl without a reader, or whose reader takes none.
    QueueUnread,
    ActionPaused,
    TargetHeld,
    /// A service that deliveries need before their attempts is down.
    DependencyDown,
    /// A resource's delivery fails repeatedly while others succeed.
    KeyFailing,
    PendingOld,
    /// An action has reached its bound of open deliveries.
    PendingFull,
    DeliveriesHeld,
    DeadLetters,
    Orphaned,
    Quarantined,
    /// Deliveries are held since the process ended unexpectedly while attempting them.
    Suspects,
    OldEvents,
    Silent,
    CanaryLate,
    Certificate,
}

impl ProblemKind {
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

impl ProblemSeverity {
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemSeverity {
    /// The problem can wait until morning: the daemon works, or retries by itself.
    Warning,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    pub severity: ProblemSeverity,
    /// The affected part: `listener nova`, `action roles`, `queue osnl`, `journal`, `configuration`,
    /// `daemon`.
    pub subject: String,
    pub message: String,
    /// The cause as in the log; `null` if the sentence has it.
    pub reason: Option<String>,
    /// The beginning, RFC 3339; `null` if unknown.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
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
