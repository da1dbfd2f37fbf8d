//! The kinds of incidents, which the configuration may name, and their urgency. `control/incident.rs` has the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The names in JSON do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    NoDaemon,
    Stopping,
    JournalUnreadable,
    /// The journal is at its limit: nothing is read from the broker.
    JournalFull,
    JournalFailed,
    NearBound,
    NotReloaded,
    ListenerConnecting,
    /// The broker takes no messages of any publisher, by an alarm of memory or disk.
    PublishersBlocked,
    /// A listener reads its queue, and an exchange that should fill it is missing.
    ExchangeMissing,
    /// An exchange that should fill the queue is not a topic exchange: nothing comes by it, or everything.
    ExchangeType,
    /// A listener reads nothing, because nothing more can be kept.
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
    /// A listener could not have received what was published in an interval.
    Gap,
    /// Messages wait in a queue of ours that has no reader, or whose reader takes none.
    QueueUnread,
    ActionPaused,
    TargetRefuses,
    /// The target does not work; osnl tries again until the target works.
    TargetDown,
    DependencyDown,
    /// The deliveries of a resource fail again and again while others succeed.
    ResourceFailing,
    /// More deliveries begin than end, since no more calls may run at the same time.
    FallsBehind,
    PendingOld,
    PendingFull,
    WaitingForRelease,
    DeadLetters,
    Orphaned,
    Quarantined,
    /// Deliveries wait for an operator since the process ended unexpectedly while attempting them.
    Suspects,
    OldEvents,
    Silent,
    CanaryLate,
    Certificate,
}

impl IncidentKind {
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

/// The urgency of an incident for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentSeverity {
    /// It can wait for the morning.
    Warning,
    /// Events are not read, or not delivered.
    Critical,
}

impl IncidentSeverity {
    #[must_use]
    pub fn name(self) -> String {
        word(&self)
    }
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
