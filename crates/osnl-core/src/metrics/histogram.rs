//! A classic histogram in atomic counters: one search in a short table and two additions per observation.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Upper bounds in microseconds of the time since publication. A healthy day stays below a second; the long bounds are
/// for a target that was down for a night.
pub const LATENCY: [u64; 12] = [
    5_000,
    25_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    120_000_000,
    600_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

pub(super) static DISK: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// A delivery that shows what a bucket of a histogram stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub delivery: u64,
    /// Its observation in microseconds.
    pub micros: u64,
    pub at: SystemTime,
}

/// Counts durations in buckets, for metrics.
pub struct Histogram {
    /// The upper bounds of the buckets in microseconds, inclusive.
    bounds: &'static [u64],
    /// The counts of the buckets: one more than bounds, since the last bucket is unbounded.
    buckets: Box<[AtomicU64]>,
    /// The sum of all observations in microseconds.
    micros: AtomicU64,
    exemplars: Mutex<Box<[Option<Exemplar>]>>,
}

/// The counts of a histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCounts {
    pub bounds: &'static [u64],
    /// The count of each bucket alone, not cumulative; the last bucket is unbounded.
    pub buckets: Vec<u64>,
    pub micros: u64,
    pub exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        let exemplars = Mutex::new(vec![None; bounds.len() + 1].into());
        Self { bounds, buckets, micros: AtomicU64::default(), exemplars }
    }

    pub fn observe(&self, time: Duration) {
        self.add(micros(time));
    }

    pub(crate) fn observe_delivery(&self, time: Duration, delivery: u64, at: SystemTime) {
        let micros = micros(time);
        let bucket = self.add(micros);
        // A scrape may hold the lock: it then reads the exemplar before, and no delivery waits.
        if let Ok(mut exemplars) = self.exemplars.try_lock()
            && let Some(exemplar) = exemplars.get_mut(bucket)
        {
            *exemplar = Some(Exemplar { delivery, micros, at });
        }
    }

    fn add(&self, micros: u64) -> usize {
        let bucket = self.bounds.iter().position(|bound| micros <= *bound).unwrap_or(self.bounds.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        bucket
    }

    #[must_use]
    pub fn observed(&self) -> HistogramCounts {
        HistogramCounts {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            micros: self.micros.load(Ordering::Relaxed),
            exemplars: self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).to_vec(),
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_the_first_bucket_that_holds_it() {
        static BOUNDS: [u64; 2] = [10, 1_000];
        let histogram = Histogram::new(&BOUNDS);
        let at = SystemTime::UNIX_EPOCH;
        histogram.observe(Duration::ZERO);
        histogram.observe_delivery(Duration::from_micros(10), 1, at);
        histogram.observe_delivery(Duration::from_micros(11), 2, at);
        histogram.observe_delivery(Duration::from_micros(12), 3, at);
        histogram.observe(Duration::from_secs(1));
        let observed = histogram.observed();
        assert_eq!((observed.buckets, observed.micros), (vec![2, 2, 1], 1_000_033));
        let exemplar = |delivery, micros| Some(Exemplar { delivery, micros, at });
        assert_eq!(observed.exemplars, [exemplar(1, 10), exemplar(3, 12), None]);
    }
}
