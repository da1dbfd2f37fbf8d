//! Shares one answer among all deliveries that ask: cached for a while, asked for once at a time, and within a rate.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use osnl_config::Rate;
use osnl_core::attempt::ErrorClass;
use osnl_core::epoch;
use osnl_model::memory_of;
use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};

use super::{EnrichError, Kind, Lookup, LookupAnswer};
use crate::CallPace;

pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and so the longest time until a recovered source is noticed.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The most bytes of memory for cached answers with their ids.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The bounds that an operator sets on the questions of one enrichment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The oldest are removed first; 0 disables the cache.
    pub cache_size: usize,
    /// The time for which a found object counts as current.
    pub cache_ttl: Duration,
    /// The time for which an object counts as gone.
    pub negative_ttl: Duration,
    /// The total time for an answer: the wait for its turn, a login, the request.
    pub timeout: Duration,
    /// The most questions within a time; `None` for no limit.
    pub rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_size: 10_000,
            cache_ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            rate: None,
        }
    }
}

/// One source, with the cache and the pauses that all deliveries share, so that a burst asks once.
#[derive(Clone)]
pub struct Enricher {
    source: Arc<dyn Lookup>,
    limits: Limits,
    state: Arc<Mutex<CacheState>>,
}

/// A question under way, whose answer all callers await.
type LookupFlight = Shared<BoxFuture<'static, Result<LookupAnswer, EnrichError>>>;

/// The cached answers, the questions under way, and the failure that holds further questions.
struct CacheState {
    known: HashMap<(Kind, String), CachedAnswer>,
    /// Entries in order of insertion, each with its number. A renewed entry is here twice, and only the later number
    /// counts.
    order: VecDeque<((Kind, String), u64)>,
    /// The number of the latest question.
    last: u64,
    /// The memory of the cached answers, in bytes.
    bytes: usize,
    /// The waiting callers drive a request, so it ends when no caller is left.
    flights: HashMap<(Kind, String), Airborne>,
    pace: CallPace,
    /// The failures in a row of an unreachable source; `None` while it answers.
    down: Option<FailureStreak>,
    /// The latest failure of any kind, for the status.
    failed_at: Option<SystemTime>,
}

/// The failures in a row of a source, and the time of the next try.
struct FailureStreak {
    failures: u32,
    error: EnrichError,
    until: Instant,
}

/// An answer that further deliveries use until it expires.
struct CachedAnswer {
    found: LookupAnswer,
    until: Instant,
    /// The number of its question: a later question replaces the answer, an earlier one does not.
    number: u64,
    bytes: usize,
    /// The time of the question, by which a caller decides whether the answer is recent enough.
    asked: SystemTime,
}

/// A question under way, with its number and time.
#[derive(Clone)]
struct Airborne {
    flight: LookupFlight,
    number: u64,
    asked: SystemTime,
}

impl Enricher {
    #[must_use]
    pub fn new(source: Arc<dyn Lookup>, limits: Limits) -> Self {
        let state = CacheState {
            known: HashMap::new(),
            order: VecDeque::new(),
            last: 0,
            bytes: 0,
            flights: HashMap::new(),
            pace: CallPace::new(limits.rate),
            down: None,
            failed_at: None,
        };
        Self { source, limits, state: Arc::new(Mutex::new(state)) }
    }

    /// Fails if there is no answer in time. Until the next try, after a pause from `FIRST_PAUSE` to
    /// `LONGEST_PAUSE`, the error of an unreachable source is returned at once, so that no delivery waits for
    /// a time-out that another has met.
    pub async fn fetch(&self, kind: Kind, id: &str) -> Result<LookupAnswer, EnrichError> {
        self.look_up(kind, id, SystemTime::UNIX_EPOCH).await.map(|(found, _)| found)
    }

    /// Returns also whether the source was asked. An answer from before `since` is not used: an event may have
    /// changed the object after that answer.
    pub(super) async fn look_up(
        &self,
        kind: Kind,
        id: &str,
        since: SystemTime,
    ) -> Result<(LookupAnswer, bool), EnrichError> {
        let key = (kind, id.to_owned());
        let Airborne { flight, number, asked } = {
            let mut state = self.lock();
            let now = Instant::now();
            if let Some(known) =
                state.known.get(&key).filter(|known| now < known.until && since <= known.asked)
            {
                return Ok((known.found.clone(), false));
            }
            if let Some(down) = &mut state.down {
                if now < down.until {
                    let retry_after = Some(down.until.saturating_duration_since(now));
                    return Err(EnrichError { retry_after, ..down.error.clone() });
                }
                // This caller tries the source again, and others keep getting the error.
                down.until = now + self.limits.timeout;
            }
            let is_useful = |of: &&Airborne| of.flight.peek().is_none() && since <= of.asked;
            match state.flights.get(&key).filter(is_useful) {
                Some(airborne) => airborne.clone(),
                None => {
                    state.last += 1;
                    let flight = self.clone().ask(kind, id.to_owned()).boxed().shared();
                    let airborne = Airborne { flight, number: state.last, asked: epoch::now() };
                    state.flights.insert(key.clone(), airborne.clone());
                    airborne
                }
            }
        };
        let landing = LandingGuard { state: &self.state, key: &key, number };
        let limit = self.limits.timeout;
        let answer = timeout(limit, flight).await.unwrap_or_else(|_| {
            let reason = format!("{}: no answer in {} s", self.source.target(), limit.as_secs_f64());
            Err(EnrichError { class: ErrorClass::Timeout, reason, retry_after: None, remedy: None })
        });
        drop(landing);
        match &answer {
            Ok(found) => self.remember(key, found.clone(), number, asked),
            Err(_) => self.lock().failed_at = Some(epoch::now()),
        }
        match &answer {
            Err(error) if error.is_unreachable() => self.is_down(error),
            Ok(_) | Err(_) => self.lock().down = None,
        }
        answer.map(|found| (found, true))
    }

    fn is_down(&self, error: &EnrichError) {
        let mut state = self.lock();
        let failures = state.down.as_ref().map_or(0, |down| down.failures).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(6)).min(LONGEST_PAUSE);
        let until = Instant::now() + pause.max(error.retry_after.unwrap_or_default());
        state.down = Some(FailureStreak { failures, error: error.clone(), until });
    }

    /// Makes one request when its turn arrives. The request outlives the caller that began it.
    async fn ask(self, kind: Kind, id: String) -> Result<LookupAnswer, EnrichError> {
        loop {
            let wait = {
                let mut state = self.lock();
                let now = Instant::now();
                let next = state.pace.next_at(now);
                if next.is_none() {
                    state.pace.begin(now);
                }
                next
            };
            match wait {
                None => return self.source.fetch(kind, &id).await,
                Some(at) => sleep_until(at).await,
            }
        }
    }

    fn remember(&self, key: (Kind, String), found: LookupAnswer, number: u64, asked: SystemTime) {
        let ttl = match found {
            LookupAnswer::There(_) => self.limits.cache_ttl,
            LookupAnswer::Gone => self.limits.negative_ttl,
        };
        // The id is also in the order.
        let bytes = 2 * key.1.len()
            + match &found {
                LookupAnswer::There(value) => memory_of(value),
                LookupAnswer::Gone => 0,
            };
        let size = self.limits.cache_size;
        if ttl.is_zero() || size == 0 || bytes > MOST_BYTES {
            return;
        }
        let mut state = self.lock();
        if state.known.get(&key).is_some_and(|known| known.number >= number) {
            return;
        }
        let now = Instant::now();
        let kept = CachedAnswer { found, until: now + ttl, number, bytes, asked };
        let former = state.known.insert(key.clone(), kept);
        state.bytes = state.bytes + bytes - former.map_or(0, |former| former.bytes);
        state.order.push_back((key, number));
        while let Some((oldest, number)) = state.order.front() {
            let known = state.known.get(oldest).filter(|known| known.number == *number);
            let is_full =
                state.known.len() > size || state.order.len() > 2 * size || state.bytes > MOST_BYTES;
            if !is_full && known.is_some_and(|known| now < known.until) {
                break;
            }
            let (is_known, bytes) = (known.is_some(), known.map_or(0, |known| known.bytes));
            state.bytes -= bytes;
            if let Some((oldest, _)) = state.order.pop_front().filter(|_| is_known) {
                state.known.remove(&oldest);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.known.len(), state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a flight when its first caller is done or has given up, so that no question runs for ever.
struct LandingGuard<'a> {
    state: &'a Mutex<CacheState>,
    key: &'a (Kind, String),
    number: u64,
}

impl Drop for LandingGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done =
            |flight: &LookupFlight| flight.peek().is_some() || flight.strong_count().is_none_or(|n| n <= 1);
        if state.flights.get(self.key).is_some_and(|of| of.number == self.number && done(&of.flight)) {
            state.flights.remove(self.key);
        }
    }
}

impl Lookup for Enricher {
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>> {
        Box::pin(Self::fetch(self, kind, id))
    }

    fn target(&self) -> String {
        self.source.target()
    }

    fn place(&self) -> String {
        self.source.place()
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.source.expiries()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        self.lock().failed_at
    }
}

impl fmt::Debug for Enricher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.source.target();
        f.debug_struct("Enricher")
            .field("target", &target)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
