//! The delivery loop of an action, the only owner of attempts, pauses, and deadlines.
//!
//! A [`RetryPolicy`] decides the consequence of a failed attempt:
//!
//! ```
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//!
//! use osnl_core::attempt::{ActionError, ErrorClass};
//! use osnl_delivery::{Decision, RetryPolicy};
//!
//! let policy = RetryPolicy {
//!     max_attempts: NonZeroU32::new(3).unwrap(),
//!     initial: Duration::from_secs(1),
//!     max: Duration::from_secs(60),
//!     jitter: 0.0,
//! };
//! let decide = |attempt, class| policy.decide(NonZeroU32::new(attempt).unwrap(), &ActionError::new(class, "x"));
//!
//! // A refusal is retried after 1 s, 2 s, 4 s and so on, then given up.
//! assert_eq!(decide(2, ErrorClass::Status(403)), Decision::RetryAfter(Duration::from_secs(2)));
//! assert_eq!(decide(3, ErrorClass::Status(403)), Decision::GiveUp);
//! // A target that does not answer is held: no attempt is used up.
//! assert_eq!(decide(99, ErrorClass::Connect), Decision::Hold);
//! ```
//!
//! A [`DeliveryLoop`] makes the attempts of one action until it drains:
//!
//! ```
//! use std::sync::Arc;
//!
//! use osnl_core::attempt::Action;
//! use osnl_core::metrics::Counters;
//! use osnl_core::shutdown::Shutdown;
//! use osnl_delivery::{DeliveryLoop, DeliverySettings};
//! use osnl_journal::Journal;
//!
//! async fn deliver(action: Arc<dyn Action>, journal: Arc<dyn Journal>, settings: DeliverySettings, stop: Shutdown) {
//!     DeliveryLoop::new("cmdb", action, journal, settings, Arc::<Counters>::default()).run(stop).await;
//! }
//! ```
//!
//! The journal hands out only the first delivery of each resource, and so decides the order. A failing resource waits
//! alone. A target that is down is *held*: the breaker stops all attempts, probes, and resumes at a growing pace,
//! first with deliveries that have never failed.
//!
//! The decisions are pure: [`RetryPolicy`] about a failure, [`BreakerState`] about a target, `schedule` about the next
//! call, `course` about the order of consequences. This file makes the calls and waits.

mod breaker;
mod course;
pub mod enrich;
mod fallback;
mod gather;
mod hosts;
mod limits;
mod observer;
mod outages;
mod outcomes;
mod policy;
mod prepare;
mod published;
mod replaced;
mod schedule;
mod settings;
mod setup;
mod suspects;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use osnl_core::attempt::{Action, ActionError, ErrorClass};
use osnl_core::epoch;
use osnl_core::event::Event;
pub use osnl_core::fallback::Fallback;
use osnl_core::metrics::{ActionSeries, Counters};
use osnl_core::shutdown::Shutdown;
use osnl_journal::in_hand::InHand;
use osnl_journal::{DeliveryId, Journal, JournalState, LearntFacts, Outcome, PausedActions, SentRequest};
use osnl_transport::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub use self::breaker::BreakerState;
use self::course::{AttemptResult, Course, Wake};
pub use self::fallback::AbandonedDelivery;
pub use self::gather::BatchLimits;
pub(crate) use self::gather::CallPace;
pub use self::hosts::{HeldHost, HeldHosts};
pub use self::limits::{DeliveryLimits, HostLimits, OnDead};
pub use self::observer::DeliveryObserver;
pub use self::outages::Outage;
pub use self::policy::{Decision, RetryPolicy};
use self::prepare::PreparedBatch;
pub use self::prepare::{Answers, Preparation, Prepare};
use self::published::TargetGauges;
pub use self::published::{LastFailure, TargetMonitor, TargetState, TargetStatus};
use self::replaced::ReplacedActions;
pub use self::schedule::WhenExhausted;
use self::schedule::{Consequence, Schedule};
pub use self::settings::DeliverySettings;
pub use self::setup::{Remote, Setup};

/// Delivers all events of one action: claims from the journal, calls the action, and records each result.
pub struct DeliveryLoop {
    /// The name of the action's section.
    name: Arc<str>,
    /// The action in force; a reload replaces it while former calls finish with the former one.
    action: Arc<dyn Action>,
    /// The store that hands out deliveries and keeps their ends.
    journal: Arc<dyn Journal>,
    /// The settings in force.
    settings: DeliverySettings,
    /// The steps before an attempt.
    preparation: Preparation,
    /// The action of `on_failure`, which gets deliveries that are given up.
    fallback: Option<Fallback>,
    /// A part that must know the outcome of each delivery; `None` for most actions.
    observer: Option<Arc<dyn DeliveryObserver>>,
    /// The metrics of the process.
    counters: Arc<Counters>,
    /// The metrics of this action.
    series: Arc<ActionSeries>,
    /// All decisions.
    course: Course,
    /// Publishes the state of the breaker.
    state: watch::Sender<BreakerState>,
    /// Publishes the state for `osnl status`.
    status: watch::Sender<TargetStatus>,
    /// The numbers for `osnl status`, and the operator's request for a probe.
    gauges: Arc<TargetGauges>,
    /// The handle by which a reload changes or retires the loop.
    remote: Remote,
    /// The setups that a reload sends.
    setups: watch::Receiver<Setup>,
    /// Marks attempts under way, so that an event that ends the process is known afterwards.
    in_hand: Arc<InHand>,
    /// The start of the hold and its latest log line; `None` while the target answers.
    held: Option<(Instant, Instant)>,
    /// The requests of the results of this step, for the record of failed attempts; empty between steps.
    sent: BTreeMap<DeliveryId, SentRequest>,
}

/// The results of one call, one for each of its deliveries.
type Attempt = Vec<AttemptResult>;
/// The calls under way.
type Attempts = FuturesUnordered<BoxFuture<'static, Attempt>>;

impl DeliveryLoop {
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        action: Arc<dyn Action>,
        journal: Arc<dyn Journal>,
        settings: DeliverySettings,
        counters: Arc<Counters>,
    ) -> Self {
        let max_attempts = settings.policy.max_attempts.get().into();
        let gauges = TargetGauges { target: action.target().into(), max_attempts, ..TargetGauges::default() };
        let setup =
            Setup { action: action.clone(), settings, preparation: Preparation::default(), fallback: None };
        let remote = Remote::new(setup);
        let name = name.into();
        let schedule = Schedule::new(settings.policy, settings.when_exhausted, settings.concurrency)
            .with_limits(settings.limits)
            .with_batch(settings.batch, settings.rate)
            .with_hosts(settings.hosts);
        Self {
            series: counters.series.action(&name),
            name,
            action,
            journal,
            settings,
            preparation: Preparation::default(),
            fallback: None,
            observer: None,
            counters,
            course: Course::new(schedule, Instant::now()),
            state: watch::Sender::new(BreakerState::Closed),
            status: watch::Sender::new(TargetStatus::begin()),
            gauges: Arc::new(gauges),
            setups: remote.setups(),
            remote,
            in_hand: Arc::default(),
            held: None,
            sent: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn with_in_hand(mut self, in_hand: Arc<InHand>) -> Self {
        self.in_hand = in_hand;
        self
    }

    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    #[must_use]
    pub fn with_fallback(mut self, fallback: Option<Fallback>) -> Self {
        self.fallback = fallback;
        self
    }

    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn DeliveryObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    #[must_use]
    pub fn state(&self) -> watch::Receiver<BreakerState> {
        self.state.subscribe()
    }

    #[must_use]
    pub fn published(&self) -> TargetMonitor {
        TargetMonitor {
            name: self.name.clone(),
            status: self.status.subscribe(),
            gauges: self.gauges.clone(),
            setups: self.setups.clone(),
        }
    }

    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Delivers until it drains, or until the action is [retired](Remote::retire). Attempts under way are finished, and
    /// no other begins.
    pub async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => {}
            () = shutdown.abort.cancelled() => {}
            () = replaced::open(self.action.clone(), self.name.clone(), self.settings.timeout) => {}
        }
        let mut replaced = ReplacedActions::new(shutdown.abort.clone());
        let mut attempts = Attempts::new();
        let (gone, gauges) = (self.remote.gone().clone(), self.gauges.clone());
        let (mut journal, mut paused) = (self.journal.state(), self.journal.paused());
        let allowed = |journal: &mut watch::Receiver<JournalState>,
                       paused: &mut watch::Receiver<PausedActions>,
                       name: &str| {
            let writable = journal.borrow_and_update().takes_outcomes();
            Wake::Allowed { writable, paused: paused.borrow_and_update().contains_key(name) }
        };
        let mut wake = allowed(&mut journal, &mut paused, &self.name);
        loop {
            self.step(wake, &mut attempts);
            replaced.end_unused();
            if self.course.has_ended() {
                break;
            }
            let draining = self.course.is_draining();
            let wanted = self.course.schedule.claim_limits(Instant::now());
            let wake_at = self.course.wake_at(self.journal.next_due(&self.name), Instant::now());
            wake = tokio::select! {
                biased;
                () = shutdown.abort.cancelled() => break,
                () = shutdown.drain.cancelled(), if !draining => Wake::Draining,
                () = gone.cancelled(), if !draining => Wake::Draining,
                Ok(()) = self.setups.changed(), if !draining => {
                    let before = self.change_setup();
                    replaced.by(&self.action, before, &self.name, self.settings.timeout);
                    Wake::Changed(self.settings)
                }
                // The same settings again have the wanted effect: held targets are probed, and waiting deliveries are
                // due.
                () = gauges.probe.notified(), if !draining => Wake::Changed(self.settings),
                () = replaced.work() => Wake::Due,
                Some(verdicts) = attempts.next() => self.heard(verdicts),
                claimed = self.journal.claim(&self.name, wanted), if !draining && wanted.is_any() => {
                    let host = |event: &Event| self.action.host(event);
                    if let Some(observer) = &self.observer {
                        claimed.iter().for_each(|claimed| observer.claimed(claimed));
                    }
                    let claimed = self.without_suspects(claimed).into_iter().map(|mut one| {
                        one.event.order_key = one.key.as_deref().map(Arc::from);
                        let host = host(&one.event);
                        (one, host)
                    });
                    Wake::Claimed(claimed.collect())
                }
                Ok(()) = journal.changed(), if !draining => allowed(&mut journal, &mut paused, &self.name),
                Ok(()) = paused.changed(), if !draining => allowed(&mut journal, &mut paused, &self.name),
                () = sleep_until(wake_at), if !draining => Wake::Due,
            };
        }
        drop(attempts);
        replaced.end().await;
        self.action.close(&shutdown.abort).await;
        if gone.is_cancelled() && !shutdown.drain.is_cancelled() {
            self.leave();
        }
        let unfinished = self.course.schedule.claimed();
        if unfinished > 0 {
            tracing::info!(action.name = &*self.name, deliveries = unfinished, "unfinished at the end");
        }
    }

    fn step(&mut self, wake: Wake, attempts: &mut Attempts) {
        let now = Instant::now();
        let mut consequences = Vec::new();
        let withdrawn = self.journal.withdrawn(&self.name);
        if !withdrawn.is_empty() {
            self.course.step(Wake::Withdrawn(withdrawn), now, &mut consequences);
        }
        // What is claimed now may be all that the journal can take.
        let gathers = match &wake {
            Wake::Claimed(_) => self.course.schedule.waits_for_others(),
            _ => self.course.schedule.gathers(),
        };
        let is_crowded = gathers && self.journal.is_crowded(&self.name);
        self.course.schedule.crowd(is_crowded);
        self.course.step(wake, now, &mut consequences);
        if self.course.sweeps(now, &mut consequences) {
            let overdue = self.journal.overdue(&self.name);
            self.course.step(Wake::Withdrawn(overdue), now, &mut consequences);
            self.remind();
        }
        for consequence in consequences {
            match consequence {
                Consequence::Begin(call) => attempts.push(self.begin(call)),
                Consequence::Return(id) => self.end_claim(id, Outcome::Returned.into()),
                Consequence::Aged { id, used } => self.journal.aged(id, used),
                Consequence::DueNow => self.journal.due_now(&self.name),
                Consequence::End(ended) => self.record_end(*ended),
                Consequence::Retry(retried) => self.record_retry(*retried),
                Consequence::Apart { id, error } => self.record_apart(id, &error),
                Consequence::Opened { host, error, remedy, pause } => {
                    self.log_opened(host, &error, remedy.as_deref(), pause)
                }
                Consequence::Closed { host } => self.log_closed(host),
                Consequence::Left => self.log_left(),
                Consequence::Down { dependency, error } => self.log_dependency_down(&dependency, &error),
                Consequence::Answers { dependency } => self.log_dependency_answers(&dependency),
            }
        }
        self.sent.clear();
        self.publish();
    }

    /// Keeps the progress of an attempt before its claim may end.
    fn heard(&mut self, mut verdicts: Vec<AttemptResult>) -> Wake {
        for AttemptResult { id, event, result, sent, .. } in &mut verdicts {
            self.gauges.ends(*id);
            self.sent.extend(sent.take().map(|sent| (*id, sent)));
            self.in_hand.attempted(self.key(*id, event));
            self.series.attempted(result.as_ref().err().map(|error| error.class));
            if result.is_err()
                && let Some(kept) = event.progressed()
            {
                // The journal writes in order, so nothing has to wait for this write.
                drop(self.journal.enriched(*id, &kept, LearntFacts::default()));
                event.enriched = Some(kept);
            }
        }
        Wake::Attempted(verdicts)
    }

    fn begin(&self, call: Vec<(DeliveryId, Event)>) -> BoxFuture<'static, Attempt> {
        let (ids, events): (Vec<_>, Vec<_>) = call.into_iter().unzip();
        self.gauges.begins(&ids);
        self.counters.attempts.add(u64::try_from(ids.len()).unwrap_or(u64::MAX));
        let (action, journal) = (self.action.clone(), self.journal.clone());
        let keys = ids.iter().zip(&events).map(|(id, event)| self.key(*id, event)).collect();
        let attempt = attempt(action, journal, self.preparation.clone(), ids, events, self.settings.timeout);
        self.in_hand.clone().around(keys, attempt)
    }

    fn leave(&mut self) {
        for id in self.course.schedule.release_all() {
            self.end_claim(id, Outcome::Returned.into());
        }
        self.journal.retired(&self.name);
    }

    fn change_setup(&mut self) -> Arc<dyn Action> {
        let Setup { action, settings, preparation, fallback } = self.setups.borrow_and_update().clone();
        *self.gauges.target.lock().unwrap_or_else(PoisonError::into_inner) = action.target();
        self.gauges.max_attempts.store(settings.policy.max_attempts.get(), Ordering::Relaxed);
        (self.settings, self.preparation, self.fallback) = (settings, preparation, fallback);
        std::mem::replace(&mut self.action, action)
    }

    fn publish(&mut self) {
        let schedule = &mut self.course.schedule;
        let breaker = schedule.breaker();
        self.state.send_if_modified(|state| std::mem::replace(state, breaker) != breaker);
        self.gauges.claimed.store(schedule.claimed(), Ordering::Relaxed);
        self.gauges.under_way.store(schedule.under_way(), Ordering::Relaxed);
        self.series.backlog.runs(schedule.load(Instant::now()));
        if let Some(held) = schedule.take_shown() {
            *self.gauges.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        }
        let state = TargetState::from_breaker(breaker, self.course.is_paused());
        self.status.send_if_modified(|status| status.becomes(state));
    }
}

fn attempt(
    action: Arc<dyn Action>,
    journal: Arc<dyn Journal>,
    preparation: Preparation,
    ids: Vec<DeliveryId>,
    events: Vec<Event>,
    limit: Duration,
) -> BoxFuture<'static, Attempt> {
    Box::pin(async move {
        let PreparedBatch { ids, mut events, decided, answered } =
            preparation.prepare(&*journal, ids, events).await;
        let (mut results, begun, now) = (Vec::new(), Instant::now(), epoch::now());
        for (id, event) in ids.iter().zip(&mut events) {
            event.began = Some(now);
            event.delivery = Some(id.to_string().into());
        }
        if !events.is_empty() {
            results = timeout(limit, action.run(&events)).await.unwrap_or_else(|_| {
                let late = ActionError::new(ErrorClass::Timeout, format!("waited {limit:?}"));
                vec![Err(late); events.len()]
            });
        }
        let took = begun.elapsed();
        let mut results = results.into_iter();
        let none = || Err(ActionError::new(ErrorClass::Reset, "the action gave no verdict"));
        let each = ids.into_iter().zip(events);
        let called = each.map(|(id, event)| (id, event, results.next().unwrap_or_else(none), true));
        let decided = decided.into_iter().map(|(id, event, result)| (id, event, result, false));
        let mut answered = Some(answered);
        let verdict = |(id, mut event, result, is_called): (_, Event, Result<_, ActionError>, bool)| {
            event.began = is_called.then_some(now);
            let class = result.as_ref().err().map(|error| error.class);
            let host = if result.is_err() { action.host(&event) } else { None };
            let request = if result.is_err() && is_called { action.request(&event) } else { None };
            let shown = host.as_deref().map(hosts::shown_name);
            let sent = is_called.then_some(SentRequest { request, took, class, host: shown });
            AttemptResult { id, event, host, answered: answered.take().unwrap_or_default(), result, sent }
        };
        decided.chain(called).map(verdict).collect()
    })
}

#[cfg(test)]
mod tests;
