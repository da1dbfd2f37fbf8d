//! A classic histogram in atomic counters: one search in a short table and two additions per observation.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Upper bounds, in microseconds, of the time from publication until something is done. A second is the promise of a
/// healthy day; the long ones are for a target that was down for a night.
pub(super) static LATENCY: [u64; 12] = [
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

/// Upper bounds, in microseconds, of a write to the disk.
pub(super) static DISK: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// An observation that represents those of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The delivery's number.
    pub delivery: u64,
    /// The observed time.
    pub micros: u64,
    /// When it was observed.
    pub at: SystemTime,
}

/// Counts of observed times by their upper bounds.
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last one has none.
    buckets: Box<[AtomicU64]>,
    micros: AtomicU64,
    /// The latest of each bucket.
    exemplars: Mutex<Box<[Option<Exemplar>]>>,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCounts {
    /// The upper bounds in microseconds.
    pub bounds: &'static [u64],
    /// The count of each bucket alone; the last one has no bound.
    pub buckets: Vec<u64>,
    /// The sum of all observations in microseconds.
    pub micros: u64,
    /// The latest observation of each bucket that names a delivery.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// Creates one with these upper bounds, in microseconds and in their order.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        let exemplars = Mutex::new(vec![None; bounds.len() + 1].into());
        Self { bounds, buckets, micros: AtomicU64::default(), exemplars }
    }

    /// Counts a time.
    pub fn observe(&self, time: Duration) {
        self.add(micros(time));
    }

    /// Counts the time that a delivery took, which becomes the exemplar of its bucket.
    pub fn observe_delivery(&self, time: Duration, delivery: u64, at: SystemTime) {
        let micros = micros(time);
        let bucket = self.add(micros);
        // A scrape that reads them at this moment has the one before.
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

    /// Returns the counts so far.
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
