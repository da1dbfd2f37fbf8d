//! The canary: osnl's own notifications that are published to the broker and return as deliveries.
//!
//! A canary that does not return within three intervals is lost. The canary is late as long as none has returned for
//! three intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl_transport::Remedy;
use tokio::time::Instant;

use super::Counter;
use super::histogram::{Histogram, LATENCY};

/// Proves that messages pass through the broker: counts those that osnl publishes, and those that return.
pub struct Canary {
    pub sent: Counter,
    pub refused: Counter,
    pub returned: Counter,
    pub lost: Counter,
    pub delay: Histogram,
    flight: Mutex<CanaryFlight>,
}

/// The canaries that have not returned.
#[derive(Default)]
struct CanaryFlight {
    every: Option<Duration>,
    open: BTreeMap<String, Instant>,
    since: Option<Instant>,
    refusal: Option<CanaryRefusal>,
}

/// Why the latest canary could not be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryRefusal {
    pub reason: String,
    /// `None` if the reason names it or none is known.
    pub remedy: Option<Remedy>,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            sent: Counter::default(),
            refused: Counter::default(),
            returned: Counter::default(),
            lost: Counter::default(),
            delay: Histogram::new(&LATENCY),
            flight: Mutex::default(),
        }
    }
}

impl Canary {
    /// The name of the canary's rule and action. No section can have a name with a colon.
    pub const ACTION: &str = "osnl:canary";
    pub const EVENT_TYPE: &str = "osnl.canary";

    pub fn begin(&self, every: Duration, now: Instant) {
        let mut flight = self.flight();
        *flight = CanaryFlight { every: Some(every), since: Some(now), ..CanaryFlight::default() };
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.flight().every.is_some()
    }

    pub fn sends(&self, id: &str, now: Instant) {
        let mut flight = self.flight();
        let patience = flight.patience();
        let before = flight.open.len();
        flight.open.retain(|_, sent| now.saturating_duration_since(*sent) <= patience);
        self.lost.add((before - flight.open.len()) as u64);
        flight.open.insert(id.to_owned(), now);
    }

    /// Notes that the broker has confirmed a canary.
    pub fn is_sent(&self) {
        self.flight().refusal = None;
        self.sent.increment();
    }

    pub fn is_refused(&self, id: &str, refusal: CanaryRefusal) {
        let mut flight = self.flight();
        flight.open.remove(id);
        flight.refusal = Some(refusal);
        drop(flight);
        self.refused.increment();
    }

    /// Returns why the latest canary could not be published; `None` if the broker has it.
    #[must_use]
    pub fn refusal(&self) -> Option<CanaryRefusal> {
        self.flight().refusal.clone()
    }

    /// Notes that a canary has returned, and returns its delay. `None` for a canary of another daemon, or for a lost
    /// one.
    pub fn comes_back(&self, id: &str, now: Instant) -> Option<Duration> {
        let mut flight = self.flight();
        let sent = flight.open.remove(id)?;
        flight.since = Some(now);
        drop(flight);
        let took = now.saturating_duration_since(sent);
        self.returned.increment();
        self.delay.observe(took);
        Some(took)
    }

    #[must_use]
    pub fn late(&self, now: Instant) -> Option<Duration> {
        let flight = self.flight();
        let silent = now.saturating_duration_since(flight.since?);
        (silent > flight.patience()).then_some(silent)
    }

    fn flight(&self) -> MutexGuard<'_, CanaryFlight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CanaryFlight {
    fn patience(&self) -> Duration {
        self.every.unwrap_or_default().saturating_mul(3)
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canary").field("sent", &self.sent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_come_back_is_lost_and_as_long_as_none_does_it_is_late() {
        let (canary, begin) = (Canary::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        assert!(!canary.is_on() && canary.late(at(9999)).is_none());
        canary.begin(Duration::from_secs(60), at(0));
        canary.sends("a", at(0));
        assert_eq!(canary.comes_back("a", at(2)), Some(Duration::from_secs(2)));
        assert_eq!((canary.comes_back("a", at(3)), canary.comes_back("x", at(3))), (None, None));
        canary.sends("b", at(60));
        canary.sends("c", at(120));
        let refusal = CanaryRefusal { reason: "no".to_owned(), remedy: None };
        canary.is_refused("c", refusal.clone());
        assert_eq!(canary.refusal(), Some(refusal));
        canary.is_sent();
        assert_eq!(canary.refusal(), None);
        assert_eq!(canary.late(at(182)), None);
        assert_eq!(canary.late(at(183)), Some(Duration::from_secs(181)));
        canary.sends("d", at(241));
        let counts = [&canary.returned, &canary.lost, &canary.refused].map(Counter::get);
        assert_eq!(counts, [1, 1, 1]);
        assert!(canary.comes_back("d", at(242)).is_some() && canary.late(at(243)).is_none());
        canary.begin(Duration::from_secs(60), at(5000));
        assert_eq!(canary.late(at(5100)), None);
    }
}
