//! Whether a journal can be written, and the reasons why it takes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Whether a journal can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It can.
    Working,
    /// It has reached its size and nothing in it may leave: intake stops, deliveries go on.
    Full {
        /// The bound that is reached, and the remedy.
        reason: String,
        /// When that began.
        since: SystemTime,
    },
    /// It cannot: intake stops, no attempt begins, outcomes wait in memory. It is tried each second.
    Failed {
        /// The problem, and the remedy.
        reason: String,
        /// When that began.
        since: SystemTime,
    },
}

impl JournalState {
    /// The word for it on every screen.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Working => "ok",
            Self::Full { .. } => "full",
            Self::Failed { .. } => "failed",
        }
    }

    /// Returns the reason that no entry can be kept; none while it works.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Working => None,
            Self::Full { reason, .. } => Some(Obstacle::Full { reason: reason.clone() }),
            Self::Failed { reason, .. } => Some(Obstacle::Failed { reason: reason.clone() }),
        }
    }

    /// Whether outcomes can be kept.
    #[must_use]
    pub fn takes_outcomes(&self) -> bool {
        match self {
            Self::Working | Self::Full { .. } => true,
            Self::Failed { .. } => false,
        }
    }

    /// Whether entries can be kept.
    #[must_use]
    pub fn takes_entries(&self) -> bool {
        match self {
            Self::Working => true,
            Self::Full { .. } | Self::Failed { .. } => false,
        }
    }
}

/// The reason that the journal can't keep an entry, or that its message can't end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The journal has reached its size.
    Full {
        /// As [`JournalState::Full`] has it.
        reason: String,
    },
    /// The journal cannot be written.
    Failed {
        /// As [`JournalState::Failed`] has it.
        reason: String,
    },
    /// An action has as many deliveries as it may.
    ActionFull {
        /// Its name.
        action: Arc<str>,
        /// Deliveries that are pending; further places may be promised.
        pending: u64,
        /// `max_pending`.
        most: u64,
    },
    /// Entries are in memory only, and their messages wait with the broker for their end.
    NoPlace {
        /// The number of open messages.
        open: usize,
        /// The number of deliveries that have ended so far: as long as it stays the same, there is no progress.
        ended: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { reason } => write!(f, "the journal is full: {reason}"),
            Self::Failed { reason } => write!(f, "the journal cannot be written: {reason}"),
            Self::ActionFull { action, pending, most } => {
                let deliveries = if *pending == 1 { "delivery" } else { "deliveries" };
                write!(
                    f,
                    "action {action} has {pending} {deliveries} pending and no place for another (max_pending is {most})"
                )
            }
            Self::NoPlace { open, .. } => {
                let messages = if *open == 1 { "message waits" } else { "messages wait" };
                write!(f, "{open} {messages} for the end of their deliveries, and none of them ends")
            }
        }
    }
}
