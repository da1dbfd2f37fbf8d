use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_journal::JournalBounds;

use crate::clock::{BootClock, LeaseClock};
use crate::url::ConnectionUrl;

#[derive(Clone, Debug)]
pub struct Options {
    pub url: ConnectionUrl,
    pub name: String,
    pub migrate: bool,
    /// The silence after which a member's work is taken over, the same for all members.
    pub lease: Duration,
    /// The interval at which leases are renewed, well below `lease`.
    pub renewal: Duration,
    /// Bounds waiting for a lock, and for a session whose client is silent within a transaction.
    pub patience: Duration,
    /// The longest time that owners have to answer an operator's change; an owner reads changes every 100 ms.
    pub answers: Duration,
    /// Several members may exceed `max_pending` by the deliveries that they have in hand.
    pub bounds: JournalBounds,
    /// The file beside which removed records are written; without a file no record is removed.
    pub archive: Option<PathBuf>,
    pub overflowing: BTreeSet<Arc<str>>,
    pub digests: BTreeSet<Arc<str>>,
    pub clock: Arc<dyn LeaseClock>,
    /// The wall-clock time at the start, from which due times count, because the clock may be corrected
    /// later.
    pub started: SystemTime,
}

impl Options {
    #[must_use]
    pub fn new(url: ConnectionUrl, name: impl Into<String>) -> Self {
        Self {
            url,
            name: name.into(),
            migrate: false,
            lease: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            patience: Duration::from_secs(5),
            answers: Duration::from_secs(8),
            bounds: JournalBounds::default(),
            archive: None,
            overflowing: BTreeSet::new(),
            digests: BTreeSet::new(),
            clock: Arc::new(BootClock),
            started: SystemTime::now(),
        }
    }

    #[must_use]
    pub fn bounded(mut self, change: impl FnOnce(&mut JournalBounds)) -> Self {
        change(&mut self.bounds);
        self
    }
}
