use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// Samples of the last minute, from which the status shows messages per second.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<RateSample>>);

/// The messages and deliveries per second, for the status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PresentRates {
    pub received: f64,
    pub delivered: f64,
    pub over_seconds: u64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug)]
struct RateSample {
    at: Instant,
    received: u64,
    delivered: u64,
}

impl Rates {
    pub fn note(&self, at: Instant, received: u64, delivered: u64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(RateSample { at, received, delivered });
        while samples.front().is_some_and(|first| at.saturating_duration_since(first.at) > WINDOW) {
            samples.pop_front();
        }
    }

    /// Returns messages received and deliveries done per second; `None` before the second sample.
    pub fn present(&self) -> Option<PresentRates> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (samples.front()?, samples.back()?);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        (seconds > 0.0).then(|| PresentRates {
            received: rate(first.received, last.received),
            delivered: rate(first.delivered, last.delivered),
            over_seconds: seconds.ceil() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rates_are_those_of_the_last_minute() {
        let rates = Rates::default();
        let start = Instant::now();
        let present =
            |received, delivered, over_seconds| Some(PresentRates { received, delivered, over_seconds });
        assert_eq!(rates.present(), None);
        rates.note(start, 1000, 0);
        assert_eq!(rates.present(), None);
        rates.note(start + Duration::from_secs(10), 1050, 20);
        assert_eq!(rates.present(), present(5.0, 2.0, 10));
        rates.note(start + Duration::from_secs(70), 1050, 80);
        assert_eq!(rates.present(), present(0.0, 1.0, 60), "the first ten seconds count no more");
    }
}
