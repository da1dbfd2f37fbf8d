//! A connection, and the bounds of a journal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::{BootClock, LeaseClock};
use crate::url::ConnectionUrl;

/// The database of a journal, and the bounds of both.
#[derive(Clone, Debug)]
pub struct Options {
    pub url: ConnectionUrl,
    /// The name of this daemon among the members, for operators.
    pub name: String,
    /// Whether it may make the tables, or bring them to its version.
    pub migrate: bool,
    /// Whether a database will do that may lose what it has committed.
    pub allow_volatile: bool,
    /// A silent member's work waits for so long, the same for all members.
    pub lease: Duration,
    /// The interval at which leases are renewed, well below `lease`.
    pub renewal: Duration,
    /// Bounds waiting for a lock, and for a session whose client is silent within a transaction.
    pub patience: Duration,
    /// The longest time that owners have to answer an operator's change. An owner looks each tenth of a second.
    pub answers: Duration,
    /// Deliveries of one action that may be pending; several members may exceed it by what they have in hand.
    pub max_pending: u64,
    /// Dead letters that are kept, and messages in quarantine.
    pub max_dead: u64,
    /// The file beside which those are written that leave; without it they stay.
    pub archive: Option<PathBuf>,
    /// Actions whose deliveries beyond `max_pending` are dead letters at once.
    pub overflowing: BTreeSet<Arc<str>>,
    pub digests: BTreeSet<Arc<str>>,
    /// The time for which delivered deliveries are kept.
    pub retention: Duration,
    pub clock: Arc<dyn LeaseClock>,
    /// The time of the machine at the start, which due times count from: it may be wrong, and set right later.
    pub started: SystemTime,
}

impl Options {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: ConnectionUrl, name: impl Into<String>) -> Self {
        Self {
            url,
            name: name.into(),
            migrate: false,
            allow_volatile: false,
            lease: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            patience: Duration::from_secs(5),
            answers: Duration::from_secs(8),
            max_pending: 1_000_000,
            max_dead: 10_000,
            archive: None,
            overflowing: BTreeSet::new(),
            digests: BTreeSet::new(),
            retention: Duration::from_secs(7 * 24 * 3600),
            clock: Arc::new(BootClock),
            started: SystemTime::now(),
        }
    }
}
