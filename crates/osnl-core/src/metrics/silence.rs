//! Streams that fall silent: fewer messages within a time than are expected.
//!
//! A stream remembers when its latest messages came, as many as are expected. If the oldest of them is older than the
//! time, the stream is silent. A message costs one store; without an expectation it costs nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use osnl_config::Rate;

use crate::moment::{millis, moment};

/// The source of a stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// The messages that a listener receives.
    Listener,
    /// The messages on which a rule fires.
    Rule,
}

impl StreamKind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Rule => "rule",
        }
    }
}

/// A stream with an expectation, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its source.
    pub kind: StreamKind,
    /// The name of the listener or the rule.
    pub name: Arc<str>,
    /// The expectation.
    pub expect: Rate,
    /// When the latest message came, since the start.
    pub last: Option<SystemTime>,
    /// Whether fewer came than are expected.
    pub is_silent: bool,
}

/// The streams with an expectation.
#[derive(Debug, Default)]
pub struct Streams(RwLock<ByName>);

type ByName = BTreeMap<(StreamKind, Arc<str>), Arc<Stream>>;

#[derive(Debug)]
struct Stream {
    expect: Rate,
    /// Since when it is watched, in milliseconds since 1970.
    since: i64,
    count: AtomicU64,
    /// The moments of the latest messages; the place of the n-th is n modulo their number.
    latest: Box<[AtomicI64]>,
}

impl Streams {
    /// Sets the expectations; a stream with an unchanged expectation keeps its counts.
    pub fn expect(&self, expected: impl IntoIterator<Item = (StreamKind, Arc<str>, Rate)>, now: SystemTime) {
        let mut streams = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *streams);
        for (kind, name, expect) in expected {
            let key = (kind, name);
            let known = before.get(&key).filter(|stream| stream.expect == expect).cloned();
            streams.insert(key, known.unwrap_or_else(|| Arc::new(Stream::new(expect, millis(now)))));
        }
    }

    /// Notes messages of a stream that came at this moment.
    pub fn note(&self, kind: StreamKind, name: &Arc<str>, messages: usize, now: SystemTime) {
        let streams = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if streams.is_empty() || messages == 0 {
            return;
        }
        if let Some(stream) = streams.get(&(kind, name.clone())) {
            stream.note(messages, millis(now));
        }
    }

    /// Returns the streams with an expectation, by kind and name.
    #[must_use]
    pub fn states(&self, now: SystemTime) -> Vec<StreamState> {
        let streams = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let state = |((kind, name), stream): (&(StreamKind, Arc<str>), &Arc<Stream>)| StreamState {
            kind: *kind,
            name: name.clone(),
            expect: stream.expect,
            last: stream.last().map(moment),
            is_silent: stream.is_silent(millis(now)),
        };
        streams.iter().map(state).collect()
    }
}

impl Stream {
    fn new(expect: Rate, since: i64) -> Self {
        let latest = (0..expect.keys.max(1)).map(|_| AtomicI64::new(0)).collect();
        Self { expect, since, count: AtomicU64::new(0), latest }
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

    /// The next place is that of the oldest one; a stream that is watched for less than the time is not silent.
    fn is_silent(&self, now: i64) -> bool {
        let within = i64::try_from(self.expect.within.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.place(self.count.load(Ordering::Relaxed)).load(Ordering::Relaxed);
        now.saturating_sub(oldest.max(self.since)) > within
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    fn rate(keys: u32) -> Rate {
        Rate { keys, within: Duration::from_secs(600) }
    }

    #[test]
    fn a_stream_is_silent_when_fewer_came_within_the_time() {
        let name: Arc<str> = "l".into();
        let check = |expected: u32, moments: &[(u64, usize)], now: u64, is_silent: bool| {
            let streams = Streams::default();
            streams.expect([(StreamKind::Listener, name.clone(), rate(expected))], at(0));
            for (second, messages) in moments {
                streams.note(StreamKind::Listener, &name, *messages, at(*second));
            }
            let states = streams.states(at(now));
            assert_eq!(states[0].is_silent, is_silent, "{expected}: {moments:?} at {now}");
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
    fn an_expectation_that_stays_goes_on_and_a_new_one_begins() {
        let (streams, name): (Streams, Arc<str>) = (Streams::default(), "r".into());
        let expect =
            |keys, second| streams.expect([(StreamKind::Rule, name.clone(), rate(keys))], at(second));
        expect(1, 0);
        streams.note(StreamKind::Rule, &name, 1, at(5));
        // A listener of the same name is another stream.
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
