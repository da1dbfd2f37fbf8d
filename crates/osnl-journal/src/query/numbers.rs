use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::{FailingKey, HeldCause, LatestDead, Overview, Tally};
use crate::{JournalState, PausedActions};

/// The kind, place, and bounds of a store, for a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    /// The scheme of `connection`, such as `sqlite`.
    pub kind: &'static str,
    /// The file; `None` in memory.
    pub place: Option<String>,
    /// `None` for the journal of a stopped daemon.
    pub state: Option<JournalState>,
    /// Whether messages are acknowledged at the commit.
    pub is_durable: bool,
    /// The most pending deliveries of each action; `None` in memory, and for a stopped daemon.
    pub max_pending: Option<u64>,
    /// The most dead letters; `None` in memory, and for a stopped daemon.
    pub max_dead: Option<u64>,
    /// The most bytes of the file; `None` in memory, and for a stopped daemon.
    pub max_bytes: Option<u64>,
    /// How long a reader has kept the WAL from being copied to the file; `None` if none does.
    pub wal_held: Option<Duration>,
}

impl StoreFacts {
    #[must_use]
    pub fn name(&self) -> String {
        self.place.clone().filter(|_| self.is_durable).unwrap_or_else(|| format!("{}://", self.kind))
    }
}

/// The space of a journal on its disk; `None` without a file, or if the disk does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The file and its WAL.
    pub bytes: Option<u64>,
    pub wal_bytes: Option<u64>,
    /// Another process that reads a state of the file; looked for if the WAL is larger than usual.
    pub wal_reader: Option<u32>,
    pub free_bytes: Option<u64>,
}

/// The journal as a whole, for a status. A field that the store does not keep is empty.
#[derive(Clone, Debug, Default)]
pub struct JournalNumbers {
    /// The events and the quarantine; `None` in memory.
    pub overview: Option<Overview>,
    /// Deliveries of each action and state.
    pub tally: Vec<Tally>,
    /// The first arrival of the oldest open delivery, by action.
    pub oldest: BTreeMap<String, SystemTime>,
    /// The most times that the message of a waiting delivery has returned to the broker, by action.
    pub returns: BTreeMap<String, u32>,
    /// The resources that have failed for longest, by action.
    pub failing: BTreeMap<String, Vec<FailingKey>>,
    /// The newest dead letter, by action.
    pub latest_dead: BTreeMap<String, LatestDead>,
    /// Actions none of whose dead letters can be retried in order.
    pub overtaken: BTreeSet<String>,
    /// The deliveries that wait for an operator, by cause.
    pub held: Vec<HeldCause>,
    /// The bytes of the file that rows take; `None` in memory.
    pub used: Option<u64>,
    /// The paused actions.
    pub paused: PausedActions,
    /// The dead letters that went to dead letter queues.
    pub dead_in_queues: u64,
    /// Whether some of these were not read, and may wait for release.
    pub has_unread_letters: bool,
}
