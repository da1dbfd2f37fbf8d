use std::fmt;

use super::IncidentKind as Kind;

/// The cause that an incident shows. Kinds that turn into one another while a cause lasts share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentCause {
    /// An action does not deliver.
    NotDelivered,
    /// A listener reads nothing.
    NotRead,
    /// The journal keeps nothing more.
    NotKept,
    /// The cause of this kind alone.
    Alone(Kind),
}

impl Kind {
    #[must_use]
    pub fn cause(self) -> IncidentCause {
        match self {
            Self::TargetDown
            | Self::TargetRefuses
            | Self::DependencyDown
            | Self::ResourceFailing
            | Self::FallsBehind
            | Self::PendingOld
            | Self::PendingFull => IncidentCause::NotDelivered,
            Self::ListenerConnecting
            | Self::ListenerBlocked
            | Self::ListenerStalled
            | Self::ListenerEnded => IncidentCause::NotRead,
            Self::JournalFull | Self::JournalFailed => IncidentCause::NotKept,
            Self::NoDaemon
            | Self::Stopping
            | Self::JournalUnreadable
            | Self::NearBound
            | Self::NotReloaded
            | Self::PublishersBlocked
            | Self::ExchangeMissing
            | Self::ExchangeType
            | Self::QueueShared
            | Self::QueueLossy
            | Self::ServicesQueueUnread
            | Self::OtherRules
            | Self::NeverReceived
            | Self::Gap
            | Self::QueueUnread
            | Self::ActionPaused
            | Self::WaitingForRelease
            | Self::DeadLetters
            | Self::Orphaned
            | Self::Quarantined
            | Self::Suspects
            | Self::OldEvents
            | Self::Silent
            | Self::CanaryLate
            | Self::Certificate => IncidentCause::Alone(self),
        }
    }
}

impl fmt::Display for IncidentCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDelivered => f.write_str("not-delivered"),
            Self::NotRead => f.write_str("not-read"),
            Self::NotKept => f.write_str("not-kept"),
            Self::Alone(kind) => f.write_str(&kind.name()),
        }
    }
}
