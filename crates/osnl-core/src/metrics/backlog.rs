//! Judges whether the deliveries of an action end as fast as they begin.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Counter;

const INTERVAL: Duration = Duration::from_secs(5);
/// The time for which an action falls behind before it counts.
const WINDOW: Duration = Duration::from_secs(180);
/// The time over which the present rates are measured.
const PRESENT: Duration = Duration::from_secs(30);
/// The least surplus of deliveries over the window: less may be chance.
const SURPLUS: u64 = 5;

/// Counts the deliveries of an action, and keeps samples of the last minutes.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Deliveries that began as live.
    pub begun: Counter,
    /// Deliveries that are done, or given up.
    pub ended: Counter,
    state: Mutex<BacklogState>,
}

/// The latest load, and the samples of the window.
#[derive(Debug, Default)]
struct BacklogState {
    load: CallLoad,
    /// The latest answer of the broker by listener.
    queues: BTreeMap<Arc<str>, QueuedMessages>,
    samples: VecDeque<BacklogSample>,
}

/// The messages of a listener at its broker. With `memory://` a full window leaves them there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuedMessages {
    pub waiting: u64,
    /// The messages that the listener has read since the start.
    pub read: u64,
    /// The most messages that may be open.
    pub window: u64,
}

/// The counts at one moment, from which rates follow.
#[derive(Debug)]
struct BacklogSample {
    at: Instant,
    begun: u64,
    ended: u64,
    /// By listener; without those whose broker has not answered.
    queues: BTreeMap<Arc<str>, QueuedMessages>,
    load: CallLoad,
}

/// The limit that keeps a further call from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallLimit {
    Concurrency,
    Rate,
    /// Each other delivery waits for an earlier one of its resource.
    Order,
}

/// The calls of an action at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLoad {
    pub calls: usize,
    /// The deliveries of these calls.
    pub deliveries: usize,
    /// `None` while the target is held, and while a further call may begin.
    pub limit: Option<CallLimit>,
}

/// The deliveries that began and ended within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogRates {
    pub begun: u64,
    pub ended: u64,
    pub seconds: u64,
}

/// An action whose deliveries begin faster than they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallingBehind {
    pub rates: BacklogRates,
    pub limit: CallLimit,
    pub calls: usize,
    /// The time of a call in seconds; `None` if none has ended.
    pub seconds_each: Option<u64>,
    /// The most open messages of the listeners whose queues grow meanwhile; `None` if these do not grow, or do not count.
    pub window: Option<u64>,
}

impl Backlog {
    pub fn runs(&self, load: CallLoad) {
        self.state().load = load;
    }

    /// Notes the messages at the broker of a listener that has this action.
    pub fn queued(&self, listener: &str, messages: QueuedMessages) {
        self.state().queues.insert(listener.into(), messages);
    }

    /// Whether only `rate` keeps the next call from beginning.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        self.state().load.limit == Some(CallLimit::Rate)
    }

    pub fn note(&self, at: Instant) {
        let (begun, ended) = (self.begun.get(), self.ended.get());
        let mut state = self.state();
        let age = |sample: &BacklogSample| at.saturating_duration_since(sample.at);
        if state.samples.back().is_some_and(|last| age(last) < INTERVAL) {
            return;
        }
        let (load, queues) = (state.load, state.queues.clone());
        state.samples.push_back(BacklogSample { at, begun, ended, queues, load });
        while state.samples.front().is_some_and(|first| age(first) > WINDOW) {
            state.samples.pop_front();
        }
    }

    /// Returns the rates of the last half minute; `None` before it has passed.
    #[must_use]
    pub fn present(&self) -> Option<BacklogRates> {
        let state = self.state();
        let last = state.samples.back()?;
        let is_earlier = |first: &&BacklogSample| last.at.saturating_duration_since(first.at) >= PRESENT;
        state.samples.iter().rev().find(is_earlier).map(|first| rates(first, last, false))
    }

    /// Returns how far the action falls behind: for the whole window a limit was reached, and in all of it, as in its
    /// second half, more deliveries began than ended. `with_queues`: what waits at the broker counts as begun, because a
    /// full window keeps it there.
    #[must_use]
    pub fn falling_behind(&self, with_queues: bool) -> Option<FallingBehind> {
        let state = self.state();
        let (first, last) = (state.samples.front()?, state.samples.back()?);
        let lasts = last.at.saturating_duration_since(first.at);
        let middle = state.samples.get(state.samples.len() / 2)?;
        let grows = |from: &BacklogSample, least: u64| {
            let BacklogRates { begun, ended, .. } = rates(from, last, with_queues);
            let surplus = begun.saturating_sub(ended);
            surplus >= least && surplus.saturating_mul(10) >= begun
        };
        if lasts + 2 * INTERVAL < WINDOW || !grows(first, SURPLUS) || !grows(middle, SURPLUS / 2) {
            return None;
        }
        let at_limit = |limit| state.samples.iter().filter(move |sample| sample.load.limit == Some(limit));
        // Calls may wait for a place at one moment, and for their resources at the next; the most frequent limit counts.
        let mut limits = [CallLimit::Order, CallLimit::Rate, CallLimit::Concurrency]
            .map(|limit| (at_limit(limit).count(), limit));
        limits.sort_by_key(|(count, _)| *count);
        let reached: usize = limits.iter().map(|(count, _)| count).sum();
        let [_, _, (_, limit)] = limits;
        if reached * 5 < state.samples.len() * 4 {
            return None;
        }
        let calls = at_limit(limit).map(|sample| sample.load.calls).max().unwrap_or_default();
        let window = (with_queues && newly_queued(first, last) > 0).then(|| {
            let grows = counted_queues(first, last).filter(|(before, after)| after.waiting > before.waiting);
            grows.map(|(_, after)| after.window).sum::<u64>()
        });
        let rates = rates(first, last, with_queues);
        let running: usize = state.samples.iter().map(|sample| sample.load.deliveries).sum();
        let running = running as f64 / state.samples.len() as f64;
        let seconds_each =
            (rates.ended > 0).then(|| (running * lasts.as_secs_f64() / rates.ended as f64).round() as u64);
        Some(FallingBehind { rates, limit, calls, seconds_each, window })
    }

    fn state(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the queues, before and after. One that was not counted before has not grown by what waits in it.
fn counted_queues<'a>(
    from: &'a BacklogSample,
    to: &'a BacklogSample,
) -> impl Iterator<Item = (&'a QueuedMessages, &'a QueuedMessages)> {
    to.queues.iter().filter_map(move |(listener, after)| Some((from.queues.get(listener)?, after)))
}

/// Returns the deliveries that the growth of the queues stands for: as many for each message as of the messages that
/// were read meanwhile, of which some match no rule of the action.
fn newly_queued(from: &BacklogSample, to: &BacklogSample) -> u64 {
    let (mut waited, mut waiting, mut read) = (0u64, 0u64, 0u64);
    for (before, after) in counted_queues(from, to) {
        waited += before.waiting;
        waiting += after.waiting;
        read += after.read.saturating_sub(before.read);
    }
    let grown = waiting.saturating_sub(waited);
    match read {
        0 => grown,
        read => grown.saturating_mul(to.begun.saturating_sub(from.begun)) / read,
    }
}

fn rates(from: &BacklogSample, to: &BacklogSample, with_queues: bool) -> BacklogRates {
    let queued = if with_queues { newly_queued(from, to) } else { 0 };
    BacklogRates {
        begun: to.begun.saturating_sub(from.begun) + queued,
        ended: to.ended.saturating_sub(from.ended),
        seconds: to.at.saturating_duration_since(from.at).as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays seconds with deliveries that begin and end in each, and the load at that time.
    fn played(seconds: u64, each: impl Fn(u64) -> (u64, u64, CallLoad)) -> Backlog {
        let (backlog, start) = (Backlog::default(), Instant::now());
        for second in 0..seconds {
            let (begun, ended, load) = each(second);
            backlog.begun.add(begun);
            backlog.ended.add(ended);
            backlog.runs(load);
            backlog.note(start + Duration::from_secs(second));
        }
        backlog
    }

    fn load(limit: Option<CallLimit>) -> CallLoad {
        CallLoad { calls: 16, deliveries: 16, limit }
    }

    #[tokio::test]
    async fn a_slow_target_falls_behind_within_five_minutes_and_a_burst_does_not() {
        let full = load(Some(CallLimit::Concurrency));
        let slow = |second: u64| (1, second % 2, full);
        assert_eq!(played(160, slow).falling_behind(false), None);
        let found = played(300, slow).falling_behind(false).unwrap();
        assert_eq!((found.limit, found.calls, found.rates.seconds), (CallLimit::Concurrency, 16, 180));
        assert_eq!((found.rates.begun, found.rates.ended, found.seconds_each), (180, 90, Some(32)));
        // No delivery ends at all.
        assert_eq!(played(300, |_| (1, 0, full)).falling_behind(false).unwrap().seconds_each, None);
        // Some of the time the deliveries are of few resources.
        let mixed = |second: u64| {
            let limit =
                if (second / 5).is_multiple_of(3) { CallLimit::Order } else { CallLimit::Concurrency };
            (1, second % 2, load(Some(limit)))
        };
        assert_eq!(played(300, mixed).falling_behind(false).unwrap().limit, CallLimit::Concurrency);
        let seldom =
            |second: u64| (1, second % 2, if (second / 5).is_multiple_of(2) { full } else { load(None) });
        assert_eq!(played(300, seldom).falling_behind(false), None);
        // A burst is worked off; a fast target has no limit; a target that is held has its own incident.
        assert_eq!(
            played(170, |second| (if second < 5 { 400 } else { 0 }, 10, full)).falling_behind(false),
            None
        );
        assert_eq!(played(300, |_| (1, 1, full)).falling_behind(false), None);
        assert_eq!(played(300, |second| (1, second % 2, load(None))).falling_behind(false), None);
        // The target was held for a while, and then works off the backlog.
        let down = |second| if second < 100 { (1, 0, load(None)) } else { (1, 3, full) };
        assert_eq!(played(300, down).falling_behind(false), None);
    }

    /// Plays seconds with a full window: a message is read for each that ends, half of them are the action's, and one
    /// delivery ends in two seconds. The broker is asked each ten seconds.
    fn kept_at_broker<W: IntoIterator<Item = u64>>(waiting: impl Fn(u64) -> W) -> Backlog {
        let (backlog, start) = (Backlog::default(), Instant::now());
        for second in 0..300 {
            backlog.begun.add(second % 2);
            backlog.ended.add(second % 2);
            backlog.runs(load(Some(CallLimit::Concurrency)));
            let answers = waiting(second).into_iter().enumerate();
            for (n, waiting) in answers.filter(|_| second.is_multiple_of(10)) {
                backlog.queued(&format!("l{n}"), QueuedMessages { waiting, read: second, window: 200 });
            }
            backlog.note(start + Duration::from_secs(second));
        }
        backlog
    }

    #[tokio::test]
    async fn a_slow_target_whose_window_is_full_falls_behind_by_what_its_queue_grows() {
        let slow = kept_at_broker(Some);
        let found = slow.falling_behind(true).unwrap();
        assert_eq!(found.rates, BacklogRates { begun: 180, ended: 90, seconds: 180 });
        assert_eq!((found.limit, found.window), (CallLimit::Concurrency, Some(200)));
        // A journal on disk keeps what waits, or says that it is full.
        assert_eq!(slow.falling_behind(false), None);
        // The queue stays as it is, is worked off after a stop, or was not counted before, as that of another listener.
        assert_eq!(kept_at_broker(|_| Some(5000)).falling_behind(true), None);
        assert_eq!(kept_at_broker(|second| Some(5000 - second)).falling_behind(true), None);
        assert_eq!(
            kept_at_broker(|second| (second >= 200).then_some(5000 + second)).falling_behind(true),
            None
        );
        assert_eq!(kept_at_broker(|_| None::<u64>).falling_behind(true), None);
        let joined = |second: u64| [Some(50), (second >= 250).then_some(5000)].into_iter().flatten();
        assert_eq!(kept_at_broker(joined).falling_behind(true), None);
    }

    #[tokio::test]
    async fn present_rates_are_those_of_half_a_minute() {
        assert_eq!(played(20, |_| (1, 3, load(None))).present(), None);
        let rates = played(100, |second| (1, if second < 50 { 0 } else { 3 }, load(None))).present();
        assert_eq!(rates, Some(BacklogRates { begun: 30, ended: 90, seconds: 30 }));
    }
}
