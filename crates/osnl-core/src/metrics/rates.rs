use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time over which rates are measured.
const WINDOW: Duration = Duration::from_secs(60);

/// Messages received and deliveries done in each second of the last minute.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<RateSample>>);

#[derive(Clone, Copy, Debug)]
struct RateSample {
    at: Instant,
    received: u64,
    delivered: u64,
}

impl Rates {
    /// Adds the totals at a moment.
    pub fn note(&self, at: Instant, received: u64, delivered: u64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(RateSample { at, received, delivered });
        while samples.front().is_some_and(|first| at.saturating_duration_since(first.at) > WINDOW) {
            samples.pop_front();
        }
    }

    /// Returns messages received and deliveries done per second; `None` before the second sample.
    pub fn per_second(&self) -> Option<(f64, f64)> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (samples.front()?, samples.back()?);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        (seconds > 0.0).then(|| (rate(first.received, last.received), rate(first.delivered, last.delivered)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rates_are_those_of_the_last_minute() {
        let rates = Rates::default();
        let start = Instant::now();
        assert_eq!(rates.per_second(), None);
        rates.note(start, 1000, 0);
        assert_eq!(rates.per_second(), None);
        rates.note(start + Duration::from_secs(10), 1050, 20);
        assert_eq!(rates.per_second(), Some((5.0, 2.0)));
        rates.note(start + Duration::from_secs(70), 1050, 80);
        assert_eq!(rates.per_second(), Some((0.0, 1.0)), "the first ten seconds count no more");
    }
}
