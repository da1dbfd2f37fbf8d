//! Detects streams with fewer messages within a time than expected.
//!
//! A stream remembers the times of its latest messages, as many as are expected. If the oldest of these times is too
//! long ago, the stream is silent. A message costs a look at the clock, and nothing without an expectation.
//!
//! A daemon judges only queues of which it is the reader. If another consumer gets the messages of a queue, the daemon is a
//! [standby](Streams::set_standby). No stream of that queue is silent then, and the time starts anew when the standby
//! ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use osnl_config::Rate;

use crate::clock::SteppedClock;

/// The part whose messages are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    Listener,
    Rule,
}

impl StreamKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Rule => "rule",
        }
    }
}

/// A stream that the operator expects to have messages (option `expect`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStream {
    pub kind: StreamKind,
    pub name: Arc<str>,
    /// The least number of messages within a time.
    pub expect: Rate,
    /// The listeners whose messages can reach the stream.
    pub listeners: Vec<Arc<str>>,
}

/// The state of an expected stream, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    pub kind: StreamKind,
    pub name: Arc<str>,
    pub expect: Rate,
    pub last: Option<SystemTime>,
    pub is_silent: bool,
}

/// Watches the expected streams, and knows which are silent.
#[derive(Debug, Default)]
pub struct Streams {
    by_name: RwLock<StreamsByName>,
    clock: SteppedClock,
    /// Listeners whose queue another consumer reads.
    standby: RwLock<BTreeSet<Arc<str>>>,
}

/// The watched streams by kind and name.
type StreamsByName = BTreeMap<(StreamKind, Arc<str>), Arc<WatchedStream>>;

/// The times of the latest messages of one stream.
#[derive(Debug)]
struct WatchedStream {
    expect: Rate,
    listeners: Vec<Arc<str>>,
    /// The start of the watch, in milliseconds of the clock.
    since: AtomicI64,
    /// The messages since the start.
    count: AtomicU64,
    /// A ring of the times of the latest messages: message n is at index n modulo the length.
    latest: Box<[AtomicI64]>,
}

impl Streams {
    /// Returns the clock of the streams, which [looks](SteppedClock::look) whenever their states are asked for.
    #[must_use]
    pub fn clock(&self) -> &SteppedClock {
        &self.clock
    }

    pub fn expect(&self, expected: impl IntoIterator<Item = ExpectedStream>, now: SystemTime) {
        let mut streams = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let (before, since) = (std::mem::take(&mut *streams), self.clock.millis_of(now));
        for ExpectedStream { kind, name, expect, listeners } in expected {
            let key = (kind, name);
            let is_same =
                |stream: &&Arc<WatchedStream>| (stream.expect, &stream.listeners) == (expect, &listeners);
            let known = before.get(&key).filter(is_same).cloned();
            let new = || Arc::new(WatchedStream::new(expect, listeners.clone(), since));
            streams.insert(key, known.unwrap_or_else(new));
        }
    }

    /// Notes whether another consumer reads a listener's queue. When that ends, the watch of the listener's streams
    /// starts anew.
    pub fn set_standby(&self, listener: &Arc<str>, is_standby: bool, now: SystemTime) {
        let mut standby = self.standby.write().unwrap_or_else(PoisonError::into_inner);
        if is_standby {
            standby.insert(listener.clone());
        } else if standby.remove(listener) {
            let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            for stream in streams.values().filter(|stream| stream.listeners.contains(listener)) {
                stream.since.store(self.clock.millis_of(now), Ordering::Relaxed);
            }
        }
    }

    pub fn note(&self, kind: StreamKind, name: &Arc<str>, messages: usize, now: SystemTime) {
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if streams.is_empty() || messages == 0 {
            return;
        }
        if let Some(stream) = streams.get(&(kind, name.clone())) {
            stream.note(messages, self.clock.millis_of(now));
        }
    }

    #[must_use]
    pub fn states(&self, now: SystemTime) -> Vec<StreamState> {
        let now = self.clock.millis_of(now);
        let standby = self.standby.read().unwrap_or_else(PoisonError::into_inner);
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let state = |((kind, name), stream): (&(StreamKind, Arc<str>), &Arc<WatchedStream>)| {
            let is_read = stream.listeners.iter().any(|listener| !standby.contains(listener));
            let is_silent = is_read && stream.is_silent(now);
            let last = stream.last().map(|last| self.clock.time_of_day(last));
            StreamState { kind: *kind, name: name.clone(), expect: stream.expect, last, is_silent }
        };
        streams.iter().map(state).collect()
    }
}

impl WatchedStream {
    fn new(expect: Rate, listeners: Vec<Arc<str>>, since: i64) -> Self {
        let latest = (0..expect.keys.max(1)).map(|_| AtomicI64::new(0)).collect();
        Self { expect, listeners, since: AtomicI64::new(since), count: AtomicU64::new(0), latest }
    }

    fn place(&self, number: u64) -> &AtomicI64 {
        &self.latest[usize::try_from(number % self.latest.len() as u64).unwrap_or_default()]
    }

    fn note(&self, messages: usize, now: i64) {
        for _ in 0..messages.min(self.latest.len()) {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            self.place(number).store(now, Ordering::Relaxed);
        }
    }

    fn last(&self) -> Option<i64> {
        let count = self.count.load(Ordering::Relaxed);
        Some(self.place(count.checked_sub(1)?).load(Ordering::Relaxed))
    }

    /// The next index in the ring has the oldest time. A stream that is watched for less than the time is not silent.
    fn is_silent(&self, now: i64) -> bool {
        let within = i64::try_from(self.expect.within.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.place(self.count.load(Ordering::Relaxed)).load(Ordering::Relaxed);
        now.saturating_sub(oldest.max(self.since.load(Ordering::Relaxed))) > within
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    fn stream(kind: StreamKind, name: &Arc<str>, keys: u32, listeners: &[&str]) -> ExpectedStream {
        let listeners = listeners.iter().map(|name| (*name).into()).collect();
        let expect = Rate { keys, within: Duration::from_secs(600) };
        ExpectedStream { kind, name: name.clone(), expect, listeners }
    }

    #[test]
    fn a_stream_is_silent_when_fewer_came_within_the_time() {
        let name: Arc<str> = "l".into();
        let check = |expected: u32, times: &[(u64, usize)], now: u64, is_silent: bool| {
            let streams = Streams::default();
            streams.expect([stream(StreamKind::Listener, &name, expected, &["l"])], at(0));
            for (second, messages) in times {
                streams.note(StreamKind::Listener, &name, *messages, at(*second));
            }
            let states = streams.states(at(now));
            assert_eq!(states[0].is_silent, is_silent, "{expected}: {times:?} at {now}");
        };
        check(1, &[], 600, false);
        check(1, &[], 601, true);
        check(1, &[(100, 1)], 700, false);
        check(1, &[(100, 1)], 701, true);
        check(2, &[(100, 1), (650, 1)], 700, false);
        check(2, &[(100, 1), (650, 1)], 701, true);
        check(2, &[(100, 1), (650, 2)], 1250, false);
        check(2, &[(100, 5_000)], 700, false);
        check(3, &[(650, 2)], 651, true);
    }

    #[test]
    fn a_standby_is_not_silent_and_watches_from_its_turn_on() {
        let (streams, l, m): (Streams, Arc<str>, Arc<str>) = (Streams::default(), "l".into(), "m".into());
        let expected = [
            stream(StreamKind::Listener, &l, 1, &["l"]),
            stream(StreamKind::Listener, &m, 1, &["m"]),
            stream(StreamKind::Rule, &l, 1, &["l", "m"]),
        ];
        streams.expect(expected, at(0));
        let silent =
            |second| streams.states(at(second)).iter().map(|state| state.is_silent).collect::<Vec<_>>();
        streams.set_standby(&l, true, at(1));
        assert_eq!(silent(9_000), [false, true, true], "the rule has a listener that is read here");
        streams.set_standby(&m, true, at(9_000));
        assert_eq!(silent(9_001), [false; 3]);
        streams.set_standby(&l, false, at(10_000));
        assert_eq!(silent(10_600), [false; 3]);
        assert_eq!(silent(10_601), [true, false, true]);
        streams.set_standby(&l, false, at(10_600));
        assert_eq!(silent(10_601), [true, false, true]);
    }

    #[test]
    fn an_expectation_that_stays_goes_on_and_a_new_one_begins() {
        let (streams, name): (Streams, Arc<str>) = (Streams::default(), "r".into());
        let expect =
            |keys, second| streams.expect([stream(StreamKind::Rule, &name, keys, &["l"])], at(second));
        expect(1, 0);
        streams.note(StreamKind::Rule, &name, 1, at(5));
        streams.note(StreamKind::Listener, &name, 1, at(500));
        expect(1, 400);
        assert_eq!(streams.states(at(606))[0].last, Some(at(5)));
        assert!(streams.states(at(606))[0].is_silent);
        expect(2, 606);
        assert!(!streams.states(at(700))[0].is_silent);
        streams.expect([], at(700));
        assert_eq!(streams.states(at(9999)), []);
    }
}
