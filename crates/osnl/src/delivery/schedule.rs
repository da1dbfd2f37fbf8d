//! Which delivery is attempted when: pure, the time is passed in.
//!
//! A claimed delivery is in exactly one place: *ready* (in order of arrival), *waiting* until its own
//! moment, or *under way*. The breaker says how many may be under way; the policy says what a failure
//! means.

mod calls;
mod change;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, BreakerState, Change};
use super::gather::{Batch, Pace};
use super::limits::{Clock, Limits, OnDead};
use super::policy::{Decision, RetryPolicy};
use crate::action::{ActionError, Done, ErrorClass, Event};
use crate::journal::{Claimed, DeliveryId, Outcome, Used};
use crate::rule::Rate;

/// What ends a delivery whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenExhausted {
    /// A dead letter.
    DeadLetter,
    /// Back to the broker, after one more pause: oslo.messaging's requeue, without its hot loop.
    Return,
}

/// A claimed delivery and what has happened to it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) claimed: Claimed,
    /// Attempts on answers used up.
    attempts: u32,
    /// Attempts that failed, of any class.
    made: u32,
    /// Attempts in a row that were held: they cost none.
    holds: u32,
    /// Since when it is ready.
    ready_since: Instant,
    /// It failed in a call with others: it is tried alone, so that it shows which of them is at fault.
    alone: bool,
    /// Nothing more to try: when its pause is over it goes back to the broker.
    exhausted: bool,
    /// Since when it waits for a target, should that be held.
    waits_since: Instant,
    /// At its first attempt here: what the clock that it ages by said, and its age from before.
    aging: Option<(Duration, Duration)>,
}

/// What the loop has to do after a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell the journal: this delivery has ended.
    End(DeliveryId, Outcome),
    /// Tell the journal: attempts used up so far.
    Attempted(DeliveryId, u32),
    /// The delivery waits for this long; for the log.
    Waits(Duration),
    /// The delivery waits for the target; for the log.
    Held,
    /// The breaker opened, and for how long; for the log.
    Opened(Duration),
    /// The breaker closed; for the log.
    Closed,
}

pub(super) struct Schedule {
    policy: RetryPolicy,
    when_exhausted: WhenExhausted,
    breaker: Breaker,
    ready: BTreeSet<DeliveryId>,
    waiting: BTreeSet<(Instant, DeliveryId)>,
    /// With the call that each is part of.
    under_way: BTreeMap<DeliveryId, u64>,
    /// Of the calls under way: how many deliveries each has, and how many of them have not reported.
    calls: HashMap<u64, (usize, usize)>,
    last_call: u64,
    batch: Batch,
    pace: Pace,
    /// Exhausted, and their last pause is over.
    leaving: Vec<DeliveryId>,
    items: HashMap<DeliveryId, Item>,
    last_probe: Option<DeliveryId>,
    limits: Limits,
    /// Runs while the breaker is closed: what ages, ages by it.
    closed: Clock,
    /// Since when it is not.
    held_since: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(policy: RetryPolicy, when_exhausted: WhenExhausted, concurrency: usize) -> Self {
        Self {
            policy,
            when_exhausted,
            breaker: Breaker::new(concurrency),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            under_way: BTreeMap::new(),
            calls: HashMap::new(),
            last_call: 0,
            batch: Batch::default(),
            pace: Pace::default(),
            leaving: Vec::new(),
            items: HashMap::new(),
            last_probe: None,
            limits: Limits::default(),
            closed: Clock::stopped(),
            held_since: None,
        }
    }

    pub(super) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn with_batch(mut self, batch: Batch, rate: Option<Rate>) -> Self {
        self.batch = batch;
        self.pace = Pace::new(rate);
        self
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    pub(super) fn claimed(&self) -> usize {
        self.items.len()
    }

    /// The resource key of a delivery.
    pub(super) fn key(&self, id: DeliveryId) -> Option<&str> {
        self.items.get(&id)?.claimed.key.as_deref()
    }

    /// Keeps what was asked for an event, for its next attempt.
    pub(super) fn learnt(&mut self, id: DeliveryId, event: &Event) {
        if let (Some(item), Some(enriched)) = (self.items.get_mut(&id), &event.enriched) {
            item.claimed.event.enriched = Some(enriched.clone());
        }
    }

    /// What a claimed delivery has used up.
    pub(super) fn used(&self, id: DeliveryId, now: Instant) -> Option<Used> {
        let item = self.items.get(&id)?;
        Some(Used { attempts: item.attempts, age: self.age(item, now), made: item.made })
    }

    fn age(&self, item: &Item, now: Instant) -> Duration {
        let before = item.claimed.used.age;
        item.aging.map_or(before, |(then, age)| age + self.closed.at(now).saturating_sub(then))
    }

    /// Whether time counts: it does while the breaker is closed, and `may_attempt` says whether anything may begin.
    pub(super) fn look_at_clock(&mut self, may_attempt: bool, now: Instant) {
        let closed = match self.breaker.state() {
            BreakerState::Closed => true,
            BreakerState::Open { .. } | BreakerState::Probing => false,
        };
        self.closed.set(closed && may_attempt, now);
        self.held_since = if closed { None } else { Some(self.held_since.unwrap_or(now)) };
    }

    /// When what a held target keeps waiting is given up; `None` if it is not held, or for ever.
    pub(super) fn hold_ends(&self) -> Option<Instant> {
        self.held_since?.checked_add(self.limits.hold_max?)
    }

    /// A delivery that was added now had come so long ago: it has waited for a held target as long as that, but not
    /// longer than the target is held.
    pub(super) fn came_before(&mut self, id: DeliveryId, ago: Duration, now: Instant) {
        let held = self.held_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if let Some(item) = self.items.get_mut(&id) {
            item.waits_since = now.checked_sub(ago.min(held)).unwrap_or(now);
        }
    }

    /// Gives up what a held target has kept waiting for too long; with the attempts that each had used up.
    pub(super) fn held_too_long(&mut self, now: Instant) -> Vec<(DeliveryId, Event, Outcome, u32)> {
        let (Some(since), Some(most)) = (self.held_since, self.limits.hold_max) else { return Vec::new() };
        let held = now.saturating_duration_since(since);
        if held < most {
            return Vec::new();
        }
        let too_long = |item: &Item| now.saturating_duration_since(item.waits_since) >= most;
        let mut ended: Vec<_> = self
            .items
            .iter()
            .filter(|(id, item)| !self.under_way.contains_key(id) && too_long(item))
            .map(|(id, item)| (*id, item.claimed.event.clone(), item.attempts))
            .collect();
        ended.sort_unstable_by_key(|(id, ..)| *id);
        let reason = format!("the target was held for {} s, and hold_max is over", held.as_secs());
        let give_up = |(id, event, attempts)| (id, event, self.give_up(id, reason.clone()), attempts);
        ended.into_iter().map(give_up).collect()
    }

    fn give_up(&mut self, id: DeliveryId, reason: String) -> Outcome {
        self.forget(id);
        match self.limits.on_dead {
            OnDead::ReleaseKey => Outcome::Dead(reason),
            OnDead::HoldKey => Outcome::DeadHoldingKey(reason),
        }
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn add(&mut self, claimed: Claimed, now: Instant) {
        let id = claimed.id;
        let Used { attempts, made, age: _ } = claimed.used;
        let item = Item {
            attempts,
            made,
            claimed,
            // Where it has waited in the journal since, only the sum of both is known.
            holds: made.saturating_sub(attempts),
            ready_since: now,
            alone: made > 0 && !self.batch.whole,
            exhausted: false,
            waits_since: now,
            aging: None,
        };
        self.items.insert(id, item);
        self.ready.insert(id);
    }

    /// Deliveries whose last pause is over and that go back to the broker.
    pub(super) fn returning(&mut self, now: Instant) -> Vec<DeliveryId> {
        self.ripen(now);
        let leaving = std::mem::take(&mut self.leaving);
        leaving.iter().for_each(|id| self.forget(*id));
        leaving
    }

    /// Lets go of a delivery that waits for its own retry: it waits in the journal until then. One that is only to
    /// leave stays, and one that was part of a digest and goes alone next.
    pub(super) fn hand_back(&mut self, id: DeliveryId) -> Option<Instant> {
        let item = self.items.get(&id)?;
        if item.exhausted || (item.alone && self.batch.whole) {
            return None;
        }
        let due = self.waiting.iter().find(|(_, other)| *other == id).map(|(due, _)| *due)?;
        self.forget(id);
        Some(due)
    }

    /// Lets go of a delivery unless an attempt is under way.
    pub(super) fn release(&mut self, id: DeliveryId) -> bool {
        let idle = self.items.contains_key(&id) && !self.under_way.contains_key(&id);
        if idle {
            self.forget(id);
        }
        idle
    }

    /// The attempt ended.
    pub(super) fn report(
        &mut self,
        id: DeliveryId,
        result: Result<Done, ActionError>,
        now: Instant,
    ) -> Vec<Step> {
        let several = self.returned(id);
        let Some(item) = self.items.get_mut(&id) else { return Vec::new() };
        let mut steps = Vec::new();
        let error = match result {
            Ok(done) => {
                let outcome = match done {
                    Done::Delivered(_) => {
                        if self.breaker.success() == Change::Closed {
                            steps.push(Step::Closed);
                        }
                        Outcome::Delivered
                    }
                    Done::NothingToDo(_) => {
                        self.breaker.neutral(now);
                        Outcome::NothingToDo
                    }
                };
                self.forget(id);
                self.look_at_clock(true, now);
                steps.push(Step::End(id, outcome));
                return steps;
            }
            Err(error) => error,
        };
        item.made = item.made.saturating_add(1);

        // Of a call with several nobody knows whose fault it is: they count as one, cost nothing, and go alone then.
        // A digest stays one, unless it is refused for good: then each shows for itself whether it is.
        let refused = self.batch.whole && error.class == ErrorClass::Rejected;
        item.alone |= several.is_some() && (!self.batch.whole || refused);
        let key = match several {
            Some(call) => format!("call #{call}"),
            None => item.claimed.key.clone().unwrap_or_else(|| format!("#{}", id.0)),
        };
        let change = self.breaker.failure(&key, &error, &self.policy, now);
        let attempt = NonZeroU32::MIN.saturating_add(item.attempts);
        self.look_at_clock(true, now);
        let age = self.used(id, now).map_or(Duration::ZERO, |used| used.age);
        let too_old = self.limits.max_age.filter(|most| age >= *most);
        let Some(item) = self.items.get_mut(&id) else { return steps };
        let decision = match self.policy.decide(attempt, &error) {
            Decision::RetryAfter(_) | Decision::GiveUp
                if several.is_some() && (refused || !error.class.is_final()) =>
            {
                Decision::Hold
            }
            decision @ (Decision::Hold | Decision::RetryAfter(_) | Decision::GiveUp) => decision,
        };
        match (self.breaker.state(), decision) {
            // The target's state, not the event's: no attempt is burnt and nothing ages.
            (BreakerState::Open { until }, _) if !error.class.is_final() => {
                item.ready_since = now;
                self.ready.insert(id);
                steps.push(if change == Change::Opened { Step::Opened(until - now) } else { Step::Held });
            }
            (_, Decision::Hold | Decision::RetryAfter(_)) if too_old.is_some() => {
                let reason = format!("{error} (attempt {attempt}, after {} s: retry_max_age)", age.as_secs());
                let outcome = self.give_up(id, reason);
                steps.push(Step::End(id, outcome));
            }
            (_, Decision::Hold) => {
                item.holds = item.holds.saturating_add(1);
                let pause = self.policy.pause(item.holds).max(error.retry_after.unwrap_or_default());
                self.waiting.insert((now + pause, id));
                steps.push(Step::Waits(pause));
            }
            (_, Decision::RetryAfter(pause)) => {
                item.holds = 0;
                item.attempts = attempt.get();
                self.waiting.insert((now + pause, id));
                steps.push(Step::Attempted(id, attempt.get()));
                steps.push(Step::Waits(pause));
            }
            (_, Decision::GiveUp) => match self.when_exhausted {
                WhenExhausted::Return if !error.class.is_final() => {
                    let pause = self.policy.pause(attempt.get());
                    item.exhausted = true;
                    self.waiting.insert((now + pause, id));
                    steps.push(Step::Attempted(id, attempt.get()));
                    steps.push(Step::Waits(pause));
                }
                WhenExhausted::Return | WhenExhausted::DeadLetter => {
                    let outcome = self.give_up(id, format!("{error} (attempt {attempt})"));
                    steps.push(Step::End(id, outcome));
                }
            },
        }
        if change == Change::Closed {
            steps.push(Step::Closed);
        }
        steps
    }

    fn ripen(&mut self, now: Instant) {
        while let Some((due, id)) = self.waiting.first().copied()
            && due <= now
        {
            self.waiting.pop_first();
            match self.items.get_mut(&id) {
                Some(item) if item.exhausted => self.leaving.push(id),
                Some(item) => {
                    item.ready_since = due;
                    self.ready.insert(id);
                }
                None => {}
            }
        }
    }

    /// Another delivery than the last one that probed, so that one poisonous event cannot keep the
    /// target closed: the next younger that is ready, else the oldest.
    fn probe(&mut self) -> Option<DeliveryId> {
        let younger = self.last_probe.and_then(|last| self.ready.range(DeliveryId(last.0 + 1)..).next());
        let id = younger.or(self.ready.first()).copied();
        self.last_probe = id;
        id
    }

    fn take_out(&mut self, id: DeliveryId) {
        self.ready.remove(&id);
        self.waiting.retain(|(_, other)| *other != id);
        self.leaving.retain(|other| *other != id);
    }

    fn forget(&mut self, id: DeliveryId) {
        self.take_out(id);
        self.items.remove(&id);
    }
}

#[cfg(test)]
mod tests;
