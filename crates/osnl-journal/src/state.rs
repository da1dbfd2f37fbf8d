//! Whether a journal can be written, and the reasons why it accepts nothing.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Whether the journal can take entries and outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    Working,
    /// The journal has reached its size and nothing can be pruned: intake stops, deliveries continue.
    Full {
        reason: String,
        since: SystemTime,
    },
    /// Intake stops, no attempt begins, and outcomes wait in memory. The journal retries each second.
    Failed {
        reason: String,
        since: SystemTime,
    },
}

impl JournalState {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Working => "ok",
            Self::Full { .. } => "full",
            Self::Failed { .. } => "failed",
        }
    }

    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Working => None,
            Self::Full { reason, .. } => Some(Obstacle::Full { reason: reason.clone() }),
            Self::Failed { reason, .. } => Some(Obstacle::Failed { reason: reason.clone() }),
        }
    }

    #[must_use]
    pub fn takes_outcomes(&self) -> bool {
        match self {
            Self::Working | Self::Full { .. } => true,
            Self::Failed { .. } => false,
        }
    }

    #[must_use]
    pub fn takes_entries(&self) -> bool {
        match self {
            Self::Working => true,
            Self::Full { .. } | Self::Failed { .. } => false,
        }
    }
}

/// The reason why the journal cannot keep an entry, or why its message cannot end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    Full {
        reason: String,
    },
    Failed {
        reason: String,
    },
    ActionFull {
        action: Arc<str>,
        pending: u64,
        most: u64,
    },
    /// Entries are in memory only, and their messages wait at the broker for their end.
    NoPlace {
        open: usize,
        /// The number of deliveries ended so far; an unchanged number means no progress.
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
