//! Counters of the process for the summary and the status, and the series of each listener and action for monitoring.
//! Counting costs an atomic addition and allocates nothing.

mod backlog;
mod canary;
mod event_types;
mod histogram;
mod old_events;
mod rates;
mod series;
mod silence;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::backlog::{Backlog, BacklogRates, CallLimit, CallLoad, FallingBehind, QueuedMessages};
pub use self::canary::{Canary, CanaryRefusal};
pub use self::event_types::EventTypes;
pub use self::histogram::{Exemplar, Histogram, HistogramCounts, LATENCY};
pub use self::old_events::OldEvents;
pub use self::rates::{PresentRates, Rates};
pub use self::series::{ActionSeries, ListenerSeries, RuleSeries, Series};
pub use self::silence::{ExpectedStream, StreamKind, StreamState, Streams};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counts of the daemon since its start, for metrics and `osnl status`.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            pub series: Series,
        }

        impl Counters {
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    received,
    unmatched,
    matched,
    quarantined,
    /// Redelivered messages that were still in work or just finished, so no second event was made.
    deduplicated,
    /// Further copies of a message that is in the journal, so no second event was made.
    duplicates,
    attempts,
    failures,
    delivered,
    no_action_needed,
    dead,
    returned,
    /// Deliveries of shadow rules, which are recorded without a call.
    shadow,
    guarded,
    too_old,
    step_limits,
    reconnects,
    stalls,
    reloads,
    reloads_refused,
}

/// A number that only grows, for metrics and the status.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
