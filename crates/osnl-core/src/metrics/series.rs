//! The numbers of each listener and each action, by its name. A part that counts holds its own series; unused names are
//! forgotten when a new name appears.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use osnl_model::Notification;
use tokio::time::Instant;

use super::Counter;
use super::backlog::Backlog;
use super::canary::Canary;
use super::event_types::EventTypes;
use super::histogram::{DISK, Histogram, LATENCY};
use super::old_events::OldEvents;
use super::rates::Rates;
use super::silence::Streams;
use crate::age::EventAge;
use crate::attempt::{CLASSES, Completion, ErrorClass};
use crate::epoch::{self, from_millis, millis};

/// The numbers of each listener, action, and rule, for metrics.
#[derive(Debug)]
pub struct Series {
    listeners: SeriesByName<ListenerSeries>,
    actions: SeriesByName<ActionSeries>,
    rules: SeriesByName<RuleSeries>,
    pub canary: Canary,
    pub streams: Streams,
    pub rates: Rates,
    /// The time of each commit of the journal.
    pub commits: Histogram,
    /// The time of each move from the WAL to the journal's file.
    pub checkpoints: Histogram,
}

/// The numbers of one listener.
#[derive(Debug)]
pub struct ListenerSeries {
    /// Messages that the broker has delivered, redelivered ones included.
    pub received: Counter,
    /// Messages for which a delivery was made.
    pub matched: Counter,
    /// Messages that were acknowledged without a delivery.
    pub unmatched: Counter,
    /// Messages that could not be read.
    pub quarantined: Counter,
    /// Messages that were a copy of a kept one.
    pub duplicates: Counter,
    /// Connections after the first.
    pub reconnects: Counter,
    /// The time from publication to the first reading.
    pub receipt: Histogram,
    /// The time from publication to the append.
    pub append: Histogram,
    /// The ages of the events.
    pub ages: OldEvents,
    /// Messages by event type.
    pub types: EventTypes,
}

/// The numbers of one action.
#[derive(Debug)]
pub struct ActionSeries {
    pub succeeded: Counter,
    failed: [Counter; CLASSES.len()],
    pub delivered: Counter,
    pub no_action_needed: Counter,
    pub dead: Counter,
    pub backlog: Backlog,
    pub effect: Histogram,
}

/// The matches of one rule over all reloads.
#[derive(Debug, Default)]
pub struct RuleSeries {
    fired: Counter,
    /// The moment of the last match in milliseconds since 1970, or 0.
    last: AtomicI64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            listeners: SeriesByName::default(),
            actions: SeriesByName::default(),
            rules: SeriesByName::default(),
            canary: Canary::default(),
            streams: Streams::default(),
            rates: Rates::default(),
            commits: Histogram::new(&DISK),
            checkpoints: Histogram::new(&DISK),
        }
    }
}

impl Series {
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerSeries> {
        self.listeners.named(name)
    }

    #[must_use]
    pub fn action(&self, name: &str) -> Arc<ActionSeries> {
        self.actions.named(name)
    }

    pub fn note_backlogs(&self, at: Instant) {
        self.actions.each(|series| series.backlog.note(at));
    }

    #[must_use]
    pub fn rule(&self, name: &str) -> Arc<RuleSeries> {
        self.rules.named(name)
    }
}

impl Default for ListenerSeries {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            matched: Counter::default(),
            unmatched: Counter::default(),
            quarantined: Counter::default(),
            duplicates: Counter::default(),
            reconnects: Counter::default(),
            receipt: Histogram::new(&LATENCY),
            append: Histogram::new(&LATENCY),
            ages: OldEvents::default(),
            types: EventTypes::default(),
        }
    }
}

impl Default for ActionSeries {
    fn default() -> Self {
        Self {
            succeeded: Counter::default(),
            failed: Default::default(),
            delivered: Counter::default(),
            no_action_needed: Counter::default(),
            dead: Counter::default(),
            backlog: Backlog::default(),
            effect: Histogram::new(&LATENCY),
        }
    }
}

impl ListenerSeries {
    pub fn arrived(&self, notification: &Notification, at: SystemTime) -> Option<EventAge> {
        let found = EventAge::from_notification(notification, at);
        self.ages.read(found.map(|of| of.age));
        found.iter().for_each(|of| self.receipt.observe(of.age));
        found
    }

    pub fn appended(&self, notification: &Notification) {
        if let Some(time) = delay(notification, epoch::now()) {
            self.append.observe(time);
        }
    }
}

impl RuleSeries {
    pub fn fires(&self, now: SystemTime) {
        self.fired.increment();
        self.last.store(millis(now), Ordering::Relaxed);
    }

    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired.get()
    }

    #[must_use]
    pub fn last_fired(&self) -> Option<SystemTime> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            at => Some(from_millis(at)),
        }
    }
}

impl ActionSeries {
    pub fn attempted(&self, failure: Option<ErrorClass>) {
        match failure {
            None => self.succeeded.increment(),
            Some(class) => self.failed[class.place()].increment(),
        }
    }

    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.failed.iter().map(Counter::get))
    }

    pub fn done(&self, done: &Completion, notification: &Notification, delivery: u64) {
        match done {
            Completion::Delivered(_) => {
                self.delivered.increment();
                let now = epoch::now();
                if let Some(time) = delay(notification, now) {
                    self.effect.observe_delivery(time, delivery, now);
                }
            }
            Completion::NothingToDo(_) => self.no_action_needed.increment(),
        }
    }
}

/// Returns the time since publication by the publisher's clock; zero for a time in the future.
fn delay(notification: &Notification, at: SystemTime) -> Option<Duration> {
    EventAge::from_notification(notification, at).map(|of| of.age)
}

/// The series of one kind, each made at the first use of its name.
struct SeriesByName<T>(RwLock<NamedSeries<T>>);

/// The series by name, and the number at which unused ones are forgotten.
struct NamedSeries<T> {
    all: BTreeMap<Arc<str>, Arc<T>>,
    full: usize,
}

impl<T> Default for SeriesByName<T> {
    fn default() -> Self {
        Self(RwLock::new(NamedSeries { all: BTreeMap::new(), full: 1 }))
    }
}

impl<T: Default> SeriesByName<T> {
    fn each(&self, act: impl Fn(&T)) {
        let named = self.0.read().unwrap_or_else(PoisonError::into_inner);
        named.all.values().for_each(|series| act(series));
    }

    fn named(&self, name: &str) -> Arc<T> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).all.get(name) {
            return known.clone();
        }
        let mut named = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if named.all.len() >= named.full {
            named.all.retain(|own, series| **own == *name || Arc::strong_count(series) > 1);
            // Doubling keeps thousands of names from being searched for each new name.
            named.full = 2 * named.all.len().max(1);
        }
        named.all.entry(name.into()).or_default().clone()
    }
}

impl<T: fmt::Debug> fmt::Debug for SeriesByName<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.read().unwrap_or_else(PoisonError::into_inner).all.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_on_while_a_part_has_it_and_is_forgotten_afterwards() {
        let series = Series::default();
        let first = series.listener("a");
        first.received.add(3);
        assert_eq!(series.listener("a").received.get(), 3);
        drop(first);
        let _other = series.listener("b");
        assert_eq!(series.listener("a").received.get(), 0);
    }

    #[test]
    fn times_count_since_the_timestamp_of_the_notification() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let check = |timestamp: Option<&str>, micros: u64, count: u64| {
            let series = ListenerSeries::default();
            let notification =
                Notification { timestamp: timestamp.map(str::to_owned), ..Notification::default() };
            series.arrived(&notification, at);
            let observed = series.receipt.observed();
            assert_eq!((observed.micros, observed.buckets.iter().sum::<u64>()), (micros, count));
        };
        check(Some("2023-11-14 22:13:20.250000"), 250_000, 1);
        check(Some("2023-11-14T22:13:20Z"), 500_000, 1);
        check(Some("2023-11-14 22:13:21"), 0, 1);
        check(Some("soon"), 0, 0);
        check(None, 0, 0);
    }

    #[test]
    fn attempts_count_by_class() {
        let series = ActionSeries::default();
        for class in [ErrorClass::Status(503), ErrorClass::Status(404), ErrorClass::Status(500)] {
            series.attempted(Some(class));
        }
        series.attempted(None);
        let failures: Vec<_> = series.failures().filter(|(_, count)| *count > 0).collect();
        assert_eq!(failures, [("status_4xx", 1), ("status_5xx", 2)]);
        assert_eq!(series.succeeded.get(), 1);
    }
}
