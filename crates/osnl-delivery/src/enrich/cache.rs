//! One answer for all deliveries that ask: remembered for a while, asked for once at a time, and not too often.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use osnl_config::Rate;
use osnl_core::attempt::ErrorClass;
use osnl_http::Expiry;
use osnl_transport::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};

use super::{EnrichError, Kind, Lookup, LookupAnswer};
use crate::CallPace;

/// The first pause after a source could not be reached.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest: a source that is back is found within this time.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The bounds of what is remembered and asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Answers remembered; the oldest make place. None are with 0.
    pub cache_size: usize,
    /// The time for which an object is remembered.
    pub cache_ttl: Duration,
    /// The time for which its absence is remembered.
    pub negative_ttl: Duration,
    /// The time that an answer may take in all: waiting for its turn, a login, the request.
    pub timeout: Duration,
    /// The most requests within a time; `None` is as many as there are.
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

/// Asks a [`Lookup`] within [`Limits`]. Clones share what is remembered.
#[derive(Clone)]
pub struct Enricher {
    source: Arc<dyn Lookup>,
    limits: Limits,
    state: Arc<Mutex<CacheState>>,
}

type LookupFlight = Shared<BoxFuture<'static, Result<LookupAnswer, EnrichError>>>;

struct CacheState {
    known: HashMap<(Kind, String), CachedAnswer>,
    /// In the order in which they were remembered, with the number of each: one that was remembered again is
    /// there twice, and only the later place counts.
    order: VecDeque<((Kind, String), u64)>,
    last: u64,
    /// The requests in flight. The waiting callers drive a request; without a caller it ends.
    flights: HashMap<(Kind, String), Airborne>,
    pace: CallPace,
    /// The source cannot be reached.
    down: Option<FailureStreak>,
}

struct FailureStreak {
    /// Failures in a row.
    failures: u32,
    error: EnrichError,
    /// The time from which the next caller asks again.
    until: Instant,
}

struct CachedAnswer {
    found: LookupAnswer,
    until: Instant,
    number: u64,
    /// When it was asked for, by the clock that receives events.
    asked: SystemTime,
}

/// A request that is under way.
#[derive(Clone)]
struct Airborne {
    flight: LookupFlight,
    number: u64,
    /// When it began.
    asked: SystemTime,
}

impl Enricher {
    /// Asks this source.
    #[must_use]
    pub fn new(source: Arc<dyn Lookup>, limits: Limits) -> Self {
        let state = CacheState {
            known: HashMap::new(),
            order: VecDeque::new(),
            last: 0,
            flights: HashMap::new(),
            pace: CallPace::new(limits.rate),
            down: None,
        };
        Self { source, limits, state: Arc::new(Mutex::new(state)) }
    }

    /// Returns one object: remembered, or asked for.
    ///
    /// # Errors
    /// It cannot be asked, or there was no answer in time. Failures are not remembered, but for a source that cannot be
    /// reached: until it is asked again, after a pause that grows from `FIRST_PAUSE` to `LONGEST_PAUSE`, the same is
    /// answered without asking, so that no delivery waits for a time-out that another has met already.
    pub async fn fetch(&self, kind: Kind, id: &str) -> Result<LookupAnswer, EnrichError> {
        self.look_up(kind, id, SystemTime::UNIX_EPOCH).await.map(|(found, _)| found)
    }

    /// Returns the same, and whether the source was asked for it. An answer that was asked for before `since` is not used:
    /// an event that has changed the object may have happened after it.
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
                // This one shows whether it is back; the others go on waiting.
                down.until = now + self.limits.timeout;
            }
            let is_useful = |of: &&Airborne| of.flight.peek().is_none() && since <= of.asked;
            match state.flights.get(&key).filter(is_useful) {
                Some(airborne) => airborne.clone(),
                None => {
                    state.last += 1;
                    let flight = self.clone().ask(kind, id.to_owned()).boxed().shared();
                    let airborne = Airborne { flight, number: state.last, asked: SystemTime::now() };
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
        if let Ok(found) = &answer {
            self.remember(key, found.clone(), (number, asked));
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

    /// Makes one request, when it is its turn. The future is the flight's own, and outlives the caller that began it.
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

    fn remember(&self, key: (Kind, String), found: LookupAnswer, (number, asked): (u64, SystemTime)) {
        let ttl = match found {
            LookupAnswer::There(_) => self.limits.cache_ttl,
            LookupAnswer::Gone => self.limits.negative_ttl,
        };
        if ttl.is_zero() || self.limits.cache_size == 0 {
            return;
        }
        let mut state = self.lock();
        if state.known.get(&key).is_some_and(|known| known.number >= number) {
            return;
        }
        state.known.insert(key.clone(), CachedAnswer { found, until: Instant::now() + ttl, number, asked });
        state.order.push_back((key, number));
        while state.known.len() > self.limits.cache_size || state.order.len() > 2 * self.limits.cache_size {
            let Some((oldest, number)) = state.order.pop_front() else { break };
            if state.known.get(&oldest).is_some_and(|known| known.number == number) {
                state.known.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list when its first passenger is done or has given up: it is not asked for ever.
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
