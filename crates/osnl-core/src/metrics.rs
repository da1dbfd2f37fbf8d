//! Counters of the process, for the summary at the end and the status; and those of each listener and action, for
//! monitoring. Counting costs an atomic addition and allocates nothing.

mod canary;
mod histogram;
mod old_events;
mod series;
mod silence;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::canary::Canary;
pub use self::histogram::{Exemplar, Histogram, HistogramCounts};
pub use self::old_events::OldEvents;
pub use self::series::{ActionSeries, ListenerSeries, RuleSeries, Series};
pub use self::silence::{ExpectedStream, StreamKind, StreamState, Streams};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The process's counters; each only grows.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// The numbers of each listener and each action.
            pub series: Series,
        }

        impl Counters {
            /// Every counter with its name, in reading order.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Messages taken from the broker, redeliveries included.
    received,
    /// Messages that no rule wanted.
    unmatched,
    /// Messages that a rule wanted.
    matched,
    /// Messages whose body could not be read; set aside.
    quarantined,
    /// Redelivered messages that were still in work or just finished: no second event.
    deduplicated,
    /// Further copies of a message that is kept: no second event.
    duplicates,
    /// Attempts begun.
    attempts,
    /// Attempts that failed.
    failures,
    /// Deliveries whose effect is done.
    delivered,
    /// Deliveries for which there was nothing to do.
    no_action_needed,
    /// Deliveries given up: dead letters.
    dead,
    /// Messages given back to the broker.
    returned,
    /// Deliveries of shadow rules: recorded, nothing was called.
    shadow,
    /// Deliveries that a guard held.
    guarded,
    /// Deliveries that were dead letters at once, because their event was too old.
    too_old,
    /// Texts that a pattern could not be tried on within its limit of steps; they count as no match.
    step_limits,
    /// Connections opened after the first.
    reconnects,
    /// Times that nothing moved although messages waited: see `Stall` of the listener.
    stalls,
    /// Reloads of the configuration that were done.
    reloads,
    /// Reloads that were refused: the configuration from before went on.
    reloads_refused,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
