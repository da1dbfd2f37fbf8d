//! Streams that fall silent: fewer messages within a time than are expected.
//!
//! A stream remembers when its latest messages came, as many as are expected. If the oldest of them is older than the
//! time, the stream is silent. A message costs one store; without an expectation it costs nothing.
//!
//! Daemons that share a journal [share](Streams::share) their streams too: each tells what it has received
//! ([`Streams::untold`]), and the verdict is on what all of them have ([`Streams::judge`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
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
    /// When the latest message came, since the start; to any of the daemons that share their streams.
    pub last: Option<SystemTime>,
    /// Whether fewer came than are expected.
    pub is_silent: bool,
}

/// The messages of a stream that the other daemons do not know of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntoldMessages {
    /// The source of the stream.
    pub kind: StreamKind,
    /// The name of the listener or the rule.
    pub name: Arc<str>,
    /// The expectation.
    pub expect: Rate,
    /// Their number; of those that came at once no more than are expected.
    pub messages: u64,
    /// When the latest came.
    pub last: Option<SystemTime>,
    /// The number of all messages so far.
    count: u64,
}

/// The streams with an expectation.
#[derive(Debug, Default)]
pub struct Streams {
    by_name: RwLock<StreamsByName>,
    is_shared: AtomicBool,
}

type StreamsByName = BTreeMap<(StreamKind, Arc<str>), Arc<WatchedStream>>;

#[derive(Debug)]
struct WatchedStream {
    expect: Rate,
    /// Since when it is watched, in milliseconds since 1970.
    since: i64,
    count: AtomicU64,
    /// The moments of the latest messages; the place of the n-th is n modulo their number.
    latest: Box<[AtomicI64]>,
    /// The number of messages that the other daemons know of.
    told: AtomicU64,
    /// The verdict on what all daemons have received: when the latest came, and whether the stream is silent.
    shared: RwLock<(Option<SystemTime>, bool)>,
}

impl Streams {
    /// Sets the expectations; a stream with an unchanged expectation keeps its counts.
    pub fn expect(&self, expected: impl IntoIterator<Item = (StreamKind, Arc<str>, Rate)>, now: SystemTime) {
        let mut streams = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *streams);
        for (kind, name, expect) in expected {
            let key = (kind, name);
            let known = before.get(&key).filter(|stream| stream.expect == expect).cloned();
            streams.insert(key, known.unwrap_or_else(|| Arc::new(WatchedStream::new(expect, millis(now)))));
        }
    }

    /// Notes messages of a stream that came at this moment.
    pub fn note(&self, kind: StreamKind, name: &Arc<str>, messages: usize, now: SystemTime) {
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
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
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        let state = |((kind, name), stream): (&(StreamKind, Arc<str>), &Arc<WatchedStream>)| {
            let (last, is_silent) = match is_shared {
                true => *stream.shared.read().unwrap_or_else(PoisonError::into_inner),
                false => (stream.last().map(moment), stream.is_silent(millis(now))),
            };
            StreamState { kind: *kind, name: name.clone(), expect: stream.expect, last, is_silent }
        };
        streams.iter().map(state).collect()
    }

    /// Other daemons receive messages of the same streams: only [`judge`](Self::judge) decides what is silent, from now on.
    pub fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Returns all streams, each with the messages that the other daemons do not know of.
    #[must_use]
    pub fn untold(&self) -> Vec<UntoldMessages> {
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let untold = |((kind, name), stream): (&(StreamKind, Arc<str>), &Arc<WatchedStream>)| {
            let count = stream.count.load(Ordering::Relaxed);
            let messages = count.saturating_sub(stream.told.load(Ordering::Relaxed));
            let last = stream.last().filter(|_| messages > 0).map(moment);
            UntoldMessages { kind: *kind, name: name.clone(), expect: stream.expect, messages, last, count }
        };
        streams.iter().map(untold).collect()
    }

    /// The other daemons know of these messages.
    pub fn told(&self, told: &[UntoldMessages]) {
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        for told in told {
            if let Some(stream) = streams.get(&(told.kind, told.name.clone()))
                && stream.expect == told.expect
            {
                stream.told.store(told.count, Ordering::Relaxed);
            }
        }
    }

    /// Takes the verdict on what all daemons have received of a stream: when the latest message came, and whether it is
    /// silent.
    pub fn judge(&self, of: &UntoldMessages, last: Option<SystemTime>, is_silent: bool) {
        let streams = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(&(of.kind, of.name.clone()))
            && stream.expect == of.expect
        {
            *stream.shared.write().unwrap_or_else(PoisonError::into_inner) = (last, is_silent);
        }
    }
}

impl WatchedStream {
    fn new(expect: Rate, since: i64) -> Self {
        let latest = (0..expect.keys.max(1)).map(|_| AtomicI64::new(0)).collect();
        let (count, told, shared) = (AtomicU64::new(0), AtomicU64::new(0), RwLock::default());
        Self { expect, since, count, latest, told, shared }
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
    fn a_shared_stream_is_judged_by_what_all_daemons_have_received() {
        let (streams, name): (Streams, Arc<str>) = (Streams::default(), "l".into());
        streams.share();
        streams.expect([(StreamKind::Listener, name.clone(), rate(2))], at(0));
        let silent = |second| streams.states(at(second))[0].is_silent;
        assert!(!silent(9999), "none has judged yet");
        let told = |streams: &Streams| {
            let untold = streams.untold();
            streams.told(&untold);
            (untold[0].messages, untold[0].last)
        };
        assert_eq!(told(&streams), (0, None));
        streams.note(StreamKind::Listener, &name, 1, at(5));
        streams.note(StreamKind::Listener, &name, 5_000, at(7));
        let before = streams.untold();
        streams.note(StreamKind::Listener, &name, 1, at(9));
        streams.told(&before);
        assert_eq!((before[0].messages, before[0].last), (3, Some(at(7))));
        assert_eq!([told(&streams), told(&streams)], [(1, Some(at(9))), (0, None)]);
        streams.judge(&before[0], Some(at(8)), true);
        assert_eq!((silent(10), streams.states(at(10))[0].last), (true, Some(at(8))));
        // Another expectation begins anew.
        streams.expect([(StreamKind::Listener, name.clone(), rate(3))], at(20));
        streams.judge(&before[0], Some(at(8)), true);
        streams.told(&before);
        assert!(!silent(30));
        streams.note(StreamKind::Listener, &name, 1, at(31));
        assert_eq!(told(&streams), (1, Some(at(31))));
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
