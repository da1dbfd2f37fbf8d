//! The delivery loop: one per action, and the only place that owns attempts, pauses and deadlines.
//!
//! It claims deliveries from the journal (heads of their resource key only, so order is the
//! journal's), attempts up to `concurrency` of them at once, and gives each outcome back. A key that
//! fails waits by itself; a target that is down is *held*: the breaker stops all attempts, probes, and
//! then lets them go at a growing pace, oldest first. What failed how, and what follows, is decided in
//! [`policy`](RetryPolicy), [`breaker`](BreakerState) and `schedule`, which are pure.

mod breaker;
mod fallback;
mod gather;
mod limits;
mod outcomes;
mod policy;
mod prelude;
mod published;
mod replaced;
mod schedule;
mod setup;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use osnl_transport::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub use self::breaker::BreakerState;
pub use self::fallback::Fallback;
pub(crate) use self::fallback::GivenUp;
pub use self::gather::Batch;
pub(crate) use self::gather::Pace;
pub use self::limits::{Limits, OnDead};
pub use self::policy::{Decision, RetryPolicy};
pub use self::prelude::Prelude;
use self::prelude::Prepared;
use self::published::Gauges;
pub use self::published::{Published, TargetState, TargetStatus};
use self::replaced::Replaced;
use self::schedule::Schedule;
pub use self::schedule::WhenExhausted;
pub use self::setup::{Remote, Setup};
use crate::action::{Action, ActionError, Done, ErrorClass, Event};
use crate::journal::{DeliveryId, Journal, Learnt, Outcome};
use crate::metrics::Counters;
use crate::rule::Rate;
use crate::shutdown::Shutdown;

/// How often the journal is asked for what has waited too long.
const SWEEP: Duration = Duration::from_secs(10);

/// How one action is delivered.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// Calls under way at once, each for other keys.
    pub concurrency: usize,
    /// How long one call may take in all.
    pub timeout: Duration,
    /// What a failure means.
    pub policy: RetryPolicy,
    /// What ends a delivery whose attempts are used up.
    pub when_exhausted: WhenExhausted,
    /// What else ends one, and what follows for its key.
    pub limits: Limits,
    /// How many events one call takes.
    pub batch: Batch,
    /// The most calls within a time; `None` is as many as there are.
    pub rate: Option<Rate>,
}

/// The loop of one action. See the [module](self).
pub struct DeliveryLoop {
    name: Arc<str>,
    action: Arc<dyn Action>,
    journal: Arc<dyn Journal>,
    settings: DeliverySettings,
    prelude: Prelude,
    fallback: Option<Fallback>,
    counters: Arc<Counters>,
    schedule: Schedule,
    state: watch::Sender<BreakerState>,
    status: watch::Sender<TargetStatus>,
    gauges: Arc<Gauges>,
    remote: Remote,
    setups: watch::Receiver<Setup>,
    /// Since when the target is held, and when the log said so last.
    held: Option<(Instant, Instant)>,
}

/// Of each delivery of one call how it went.
type Attempt = Vec<(DeliveryId, Event, Result<Done, ActionError>)>;

impl DeliveryLoop {
    /// A loop for the deliveries that name this action.
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        action: Arc<dyn Action>,
        journal: Arc<dyn Journal>,
        settings: DeliverySettings,
        counters: Arc<Counters>,
    ) -> Self {
        let gauges = Gauges { target: action.target().into(), ..Gauges::default() };
        let setup = Setup { action: action.clone(), settings, prelude: Prelude::default(), fallback: None };
        let remote = Remote::new(setup);
        Self {
            name: name.into(),
            action,
            journal,
            settings,
            prelude: Prelude::default(),
            fallback: None,
            counters,
            schedule: Schedule::new(settings.policy, settings.when_exhausted, settings.concurrency)
                .with_limits(settings.limits)
                .with_batch(settings.batch, settings.rate),
            state: watch::Sender::new(BreakerState::Closed),
            status: watch::Sender::new(TargetStatus::begin()),
            gauges: Arc::new(gauges),
            setups: remote.setups(),
            remote,
            held: None,
        }
    }

    /// What is done before the first attempt of each delivery: what is asked, and what must hold.
    #[must_use]
    pub fn with_prelude(mut self, prelude: Prelude) -> Self {
        self.prelude = prelude;
        self
    }

    /// Hands what it gives up to another action.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Option<Fallback>) -> Self {
        self.fallback = fallback;
        self
    }

    /// The target's breaker, as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BreakerState> {
        self.state.subscribe()
    }

    /// What it shows while it runs.
    #[must_use]
    pub fn published(&self) -> Published {
        Published { name: self.name.clone(), status: self.status.subscribe(), gauges: self.gauges.clone() }
    }

    /// Changes it while it runs.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Delivers until told to drain, or until it is [retired](Remote::retire); then the attempts under way are
    /// finished, and no other begins.
    pub async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => {}
            () = shutdown.abort.cancelled() => {}
            () = replaced::open(self.action.clone(), self.name.clone(), self.settings.timeout) => {}
        }
        let mut replaced = Replaced::new(shutdown.abort.clone());
        let mut attempts = FuturesUnordered::new();
        let mut sweep = Instant::now() + SWEEP;
        let gone = self.remote.gone().clone();
        let mut journal = self.journal.state();
        let mut paused_actions = self.journal.paused();
        loop {
            let draining = shutdown.drain.is_cancelled() || gone.is_cancelled();
            // What could not be written down would be done again after a restart.
            let paused = paused_actions.borrow_and_update().contains_key(&*self.name);
            let may_attempt = journal.borrow_and_update().takes_outcomes() && !paused;
            self.schedule.look_at_clock(may_attempt, Instant::now());
            self.return_withdrawn();
            if !draining && may_attempt {
                self.begin_attempts(&mut attempts);
            } else if draining && self.schedule.under_way() == 0 {
                break;
            }
            self.state.send_if_modified(|state| {
                let changed = *state != self.schedule.breaker();
                *state = self.schedule.breaker();
                changed
            });
            self.publish(paused);
            // Waiting deliveries are claimed too, so the bound is well above the concurrency: a key that
            // waits must not keep another from being claimed.
            let most = (self.settings.concurrency.max(16) * 64).max(self.settings.batch.most * 2);
            let room = most.saturating_sub(self.schedule.claimed());
            // What is held for longer than that already is looked at with each sweep.
            let hold_ends = self.schedule.hold_ends().filter(|at| *at > Instant::now());
            let retry = self.journal.next_due(&self.name).filter(|_| room > 0);
            let due = [self.schedule.wake_at(Instant::now()), hold_ends, retry]
                .into_iter()
                .flatten()
                .filter(|_| may_attempt)
                .min();
            let wake = due.map_or(sweep, |at| at.min(sweep));
            tokio::select! {
                biased;
                () = shutdown.abort.cancelled() => break,
                () = shutdown.drain.cancelled(), if !draining => {}
                () = gone.cancelled(), if !draining => {}
                Ok(()) = self.setups.changed(), if !draining => {
                    let before = self.change_setup();
                    replaced.by(&self.action, before, &self.name, self.settings.timeout);
                }
                () = replaced.work() => {}
                Some(attempt) = attempts.next() => {
                    for (id, mut event, result) in attempt {
                        if result.is_err() && let Some(kept) = event.progressed() {
                            // Written in its turn; nobody has to wait for it.
                            drop(self.journal.enriched(id, &kept, Learnt::default()));
                            event.enriched = Some(kept);
                        }
                        self.schedule.learnt(id, &event);
                        self.attempted(id, &event, result);
                    }
                }
                claimed = self.journal.claim(&self.name, room), if !draining && room > 0 => {
                    let now = Instant::now();
                    for claimed in claimed {
                        let (id, came) = (claimed.id, claimed.event.received.origin.received);
                        self.schedule.add(claimed, now);
                        // Looked at once: a clock that is set later changes nothing.
                        let ago = SystemTime::now().duration_since(came).unwrap_or_default();
                        self.schedule.came_before(id, ago, now);
                    }
                }
                Ok(()) = journal.changed(), if !draining => {}
                Ok(()) = paused_actions.changed(), if !draining => {}
                () = sleep_until(wake), if !draining => {
                    if Instant::now() >= sweep {
                        sweep = Instant::now() + SWEEP;
                        self.return_overdue();
                        self.remind();
                    }
                }
            }
            if may_attempt {
                self.give_up_what_is_held_too_long();
            }
            self.return_what_cannot_wait();
            replaced.end_unused();
        }
        drop(attempts);
        replaced.end().await;
        self.action.close(&shutdown.abort).await;
        if gone.is_cancelled() && !shutdown.drain.is_cancelled() {
            for id in self.schedule.release_all() {
                self.journal.end(id, Outcome::Returned.into());
            }
            self.journal.retired(&self.name);
        }
        let unfinished = self.schedule.claimed();
        if unfinished > 0 {
            tracing::info!(action.name = &*self.name, deliveries = unfinished, "unfinished at the end");
        }
    }

    /// Answers the action that counted until now.
    fn change_setup(&mut self) -> Arc<dyn Action> {
        let Setup { action, settings, prelude, fallback } = self.setups.borrow_and_update().clone();
        self.schedule.change(&settings, Instant::now());
        self.journal.due_now(&self.name);
        *self.gauges.target.lock().unwrap_or_else(PoisonError::into_inner) = action.target();
        (self.settings, self.prelude, self.fallback) = (settings, prelude, fallback);
        std::mem::replace(&mut self.action, action)
    }

    fn publish(&self, paused: bool) {
        let state = TargetState::of(self.schedule.breaker(), paused);
        self.status.send_if_modified(|status| status.becomes(state));
        self.gauges.claimed.store(self.schedule.claimed(), Ordering::Relaxed);
        self.gauges.under_way.store(self.schedule.under_way(), Ordering::Relaxed);
    }

    /// What the operator has taken back is done once nobody has it in hand.
    fn return_withdrawn(&mut self) {
        for id in self.journal.withdrawn(&self.name) {
            if self.schedule.release(id) {
                self.journal.end(id, Outcome::Returned.into());
            }
        }
    }

    fn begin_attempts(&mut self, attempts: &mut FuturesUnordered<BoxFuture<'static, Attempt>>) {
        while let Some(items) = self.schedule.next(Instant::now()) {
            let (ids, events): (Vec<_>, Vec<_>) =
                items.into_iter().map(|item| (item.claimed.id, item.claimed.event.clone())).unzip();
            self.counters.attempts.add(u64::try_from(ids.len()).unwrap_or(u64::MAX));
            let (action, journal) = (self.action.clone(), self.journal.clone());
            attempts.push(attempt(action, journal, self.prelude.clone(), ids, events, self.settings.timeout));
        }
    }

    fn return_overdue(&mut self) {
        for id in self.journal.overdue(&self.name) {
            if self.schedule.release(id) {
                self.journal.end(id, Outcome::Returned.into());
            }
        }
    }

    fn return_what_cannot_wait(&mut self) {
        let now = Instant::now();
        for id in self.schedule.returning(now) {
            self.journal.end(id, Outcome::Returned.into());
        }
    }
}

fn attempt(
    action: Arc<dyn Action>,
    journal: Arc<dyn Journal>,
    prelude: Prelude,
    ids: Vec<DeliveryId>,
    events: Vec<Event>,
    limit: Duration,
) -> BoxFuture<'static, Attempt> {
    Box::pin(async move {
        let Prepared { ids, events, decided } = prelude.prepare(&*journal, ids, events).await;
        if events.is_empty() {
            return decided;
        }
        let mut verdicts = match timeout(limit, action.run(&events)).await {
            Ok(verdicts) => verdicts,
            Err(_) => {
                let late = ActionError::new(ErrorClass::Timeout, format!("after {limit:?}"));
                vec![Err(late); events.len()]
            }
        }
        .into_iter();
        let none = || Err(ActionError::new(ErrorClass::Reset, "the action gave no verdict"));
        let each = ids.into_iter().zip(events);
        let called = each.map(|(id, event)| (id, event, verdicts.next().unwrap_or_else(none)));
        decided.into_iter().chain(called).collect()
    })
}

#[cfg(test)]
mod tests;
