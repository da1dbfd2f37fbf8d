//! The consequences of an attempt: the end of a delivery, or its retry.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{ActionError, Completion, ErrorClass};
use osnl_core::event::Event;
use osnl_journal::{AttemptRetry, ClaimedDelivery, Outcome, UsedLimits};
use osnl_transport::Remedy;
use tokio::time::Instant;

use super::calls::Back;
use super::{CallKind, DeliveryId, Item, Schedule, WhenExhausted};
use crate::breaker::{Breaker, BreakerChange, FailedKey, LONGEST_OPEN};
use crate::limits::OnDead;
use crate::policy::Decision;

/// An order of the schedule, which the loop carries out in the given sequence.
#[derive(Debug)]
pub(crate) enum Consequence {
    /// Calls the action with these deliveries.
    Begin(Vec<(DeliveryId, Event)>),
    /// Records an end in the journal.
    End(Box<EndedDelivery>),
    /// Gives a delivery back to the journal until its retry is due.
    Retry(Box<RetriedDelivery>),
    /// Ends a claim without an outcome: it was withdrawn, or no attempt is left with `when_exhausted = return`.
    Return(DeliveryId),
    /// Records the age of a delivery that waits for a host, which a restart would lose.
    Aged { id: DeliveryId, used: UsedLimits },
    /// Makes the retries in the journal due, because the settings have changed.
    DueNow,
    /// Logs that a refused digest is taken apart: each of its events is tried alone.
    Apart { id: DeliveryId, error: String },
    /// Logs that the target, or the host of an event, is down.
    Opened { host: Option<Arc<str>>, error: String, remedy: Option<Remedy>, pause: Duration },
    /// Logs that the target, or the host of an event, answers again.
    Closed { host: Option<Arc<str>> },
    /// Logs that the target that is down is no longer called, since events name the hosts.
    Left,
    /// Logs that a dependency does not answer: its deliveries wait.
    Down { dependency: Arc<str>, error: String },
    /// Logs that a dependency answers again.
    Answers { dependency: Arc<str> },
}

/// A delivery that is done or given up, with all that the journal and the log need.
#[derive(Debug)]
pub(crate) struct EndedDelivery {
    pub(crate) claimed: ClaimedDelivery,
    pub(crate) outcome: Outcome,
    /// The result of the last attempt. If a limit ended a wait: `None` for the target, the error of the dependency or of
    /// the event's host otherwise.
    pub(crate) last: Option<Result<Completion, ActionError>>,
    /// The used limits. They include the last attempt if it failed, and not if it succeeded.
    pub(crate) used: UsedLimits,
}

/// A delivery that goes back to the journal until its retry is due.
#[derive(Debug)]
pub(crate) struct RetriedDelivery {
    pub(crate) claimed: ClaimedDelivery,
    pub(crate) retry: AttemptRetry,
    pub(crate) pause: Duration,
    pub(crate) reason: WaitReason,
    pub(crate) remedy: Option<Remedy>,
    pub(crate) class: Option<ErrorClass>,
}

/// The reason for a wait, which decides the log line and whether the target is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// The attempt failed.
    Failed,
    /// The attempt failed while the target is down, so the wait costs nothing.
    TargetDown,
    /// A dependency did not answer, so no attempt was made.
    Dependency,
    /// The host takes no further call now, so no attempt was made.
    Crowded,
}

impl Schedule {
    pub(crate) fn report(
        &mut self,
        id: DeliveryId,
        event: Event,
        host: Option<Arc<str>>,
        result: Result<Completion, ActionError>,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        let Some(back) = self.returned(id) else { return };
        let Some(mut item) = self.forget(id) else { return };
        item.claimed.event = event;
        if let Some(host) = host {
            // The call began for the target or for another host, as its own was not known yet. That one learns nothing.
            if item.host.as_ref() != Some(&host) {
                self.neutral(&item, back, now);
            }
            if back.current {
                self.note_hosts(out);
            }
            item.host = Some(host);
        }
        match result {
            Ok(done) => self.succeeded(item, back, done, now, out),
            Err(error) if error.class == ErrorClass::Dependency => {
                self.wait_for_dependency(item, back, error, now, out)
            }
            Err(error) => self.failed(item, back, error, now, out),
        }
    }

    fn succeeded(
        &mut self,
        item: Item,
        back: Back,
        done: Completion,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        let outcome = match &done {
            Completion::Delivered(_) => {
                // An answer under earlier settings proves nothing about the current target.
                if back.current {
                    self.probe_owed = false;
                    let change = match &item.host {
                        Some(host) => self.hosts.success(host, now),
                        None => self.breaker.success(now),
                    };
                    if back.kind == CallKind::Oldest && item.host.is_none() {
                        self.breaker.acquit();
                    }
                    if change == BreakerChange::Closed {
                        out.push(Consequence::Closed { host: item.host.clone() });
                    }
                }
                Outcome::Delivered
            }
            Completion::NothingToDo(_) => {
                self.neutral(&item, back, now);
                Outcome::NothingToDo
            }
        };
        self.check_clock(self.runs, now);
        let used = item.claimed.used;
        out.push(Consequence::End(Box::new(EndedDelivery {
            claimed: item.claimed,
            outcome,
            last: Some(Ok(done)),
            used,
        })));
    }

    fn neutral(&mut self, item: &Item, back: Back, now: Instant) {
        match &item.host {
            _ if !back.current => {}
            Some(host) => self.hosts.neutral(host, now),
            None => self.breaker.neutral(now),
        }
    }

    /// Makes a delivery wait for a dependency. The wait costs no attempt, adds nothing to the age, and proves nothing
    /// about the target. `hold_max` ends the wait.
    fn wait_for_dependency(
        &mut self,
        item: Item,
        back: Back,
        error: ActionError,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        self.neutral(&item, back, now);
        let dependency = error.dependency.clone().unwrap_or_else(|| "a dependency".into());
        let (due, begins) = self.outages.failed(&dependency, &error, &self.policy, now);
        if begins {
            let (dependency, error) = (dependency.clone(), error.reason.clone());
            out.push(Consequence::Down { dependency, error });
        }
        let used = item.claimed.used;
        self.check_clock(self.runs, now);
        let waited = self.outages.kept_waiting(&dependency, item.arrived, now).unwrap_or_default();
        if self.limits.hold_max.is_some_and(|most| waited >= most) {
            let reason = format!("{error} ({})", hold_is_over(waited));
            return out.push(self.given_up(item, reason, used, Some(error)));
        }
        let retry = delayed(due, used, false, error.to_string(), now);
        out.push(retried(item, retry, WaitReason::Dependency, now));
    }

    pub(crate) fn answered(&mut self, dependency: &Arc<str>, out: &mut Vec<Consequence>) {
        if !self.outages.is_empty() && self.outages.answered(dependency) {
            out.push(Consequence::Answers { dependency: dependency.clone() });
        }
    }

    fn failed(
        &mut self,
        mut item: Item,
        back: Back,
        error: ActionError,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        if !back.current {
            return self.try_with_new_settings(item, &error, now, out);
        }
        // Without a call, a question before it was refused, which concerns this delivery alone and proves nothing about
        // the target.
        let is_called = item.claimed.event.began.is_some();
        let back = Back { several: back.several.filter(|_| is_called), ..back };
        if is_called && !matches!(error.class, ErrorClass::Content) {
            self.probe_owed = false;
        }
        // The answer may end the hold of a host, and with it the knowledge of the wait, also of that behind another
        // delivery to the host, which ends what fails then, but is no age of its own.
        let (age, waited) = (self.age(&item, now), self.waited(&item, item.arrived, now).unwrap_or_default());
        if is_called {
            self.blame(&item, back, &error, now, out);
        } else {
            self.neutral(&item, back, now);
        }
        self.check_clock(self.runs, now);
        // A digest stays whole until a final refusal. Then each event is tried alone to find the event at fault.
        if back.several.is_some() && self.batch.whole && error.class == ErrorClass::Rejected {
            item.alone = true;
            out.push(Consequence::Apart { id: item.claimed.id, error: error.to_string() });
            return self.ready(item);
        }
        let is_target_down = !self.breaker_of(&item).is_none_or(Breaker::is_closed);
        let used = UsedLimits { age, ..item.claimed.used };
        let made = used.made.saturating_add(1);
        let attempt = NonZeroU32::MIN.saturating_add(used.attempts);
        // The pause of a hold doubles with all failed attempts, that of a refusal with those that count.
        let own_pause = self.policy.pause(made).max(error.retry_after.unwrap_or_default());
        let spared = is_called && self.is_spared(&item, back, &error);
        let limit = self.reached_limit(&item, age.max(waited), spared, now);
        let decision = if spared { Decision::Hold } else { self.decide(back, attempt, &error) };
        match (decision, limit) {
            // The state of the target is the cause, so no attempt is counted. Only what waits for a host of an event ages.
            (Decision::Hold, None) if spared => {
                let pause = own_pause.min(LONGEST_OPEN.max(error.retry_after.unwrap_or_default()));
                let (used, ages) = (UsedLimits { made, ..used }, item.host.is_some());
                let reason = if is_target_down { WaitReason::TargetDown } else { WaitReason::Failed };
                out.push(retried_after(item, pause, used, ages, reason, &error, now));
            }
            (Decision::Hold | Decision::RetryAfter(_), Some(limit)) => {
                let attempts = if spared { used.attempts } else { attempt.get() };
                let used = UsedLimits { attempts, made, ..used };
                out.push(self.given_up(item, format!("{error} ({limit})"), used, Some(error)));
            }
            (Decision::Hold, None) => {
                let (used, ages) = (UsedLimits { made, ..used }, !is_target_down);
                out.push(retried_after(item, own_pause, used, ages, WaitReason::Failed, &error, now));
            }
            (Decision::RetryAfter(pause), None) => {
                let used = UsedLimits { attempts: attempt.get(), made, ..used };
                out.push(retried_after(item, pause, used, !is_target_down, WaitReason::Failed, &error, now));
            }
            (Decision::GiveUp, None | Some(_)) => {
                let used = UsedLimits { attempts: attempt.get(), made, ..used };
                match self.when_exhausted {
                    WhenExhausted::Return if !error.class.is_final() => {
                        let pause = self.policy.pause(attempt.get());
                        self.exhausted.insert(item.claimed.id, now + pause);
                        out.push(retried_after(item, pause, used, false, WaitReason::Failed, &error, now));
                    }
                    WhenExhausted::Return | WhenExhausted::DeadLetter => {
                        out.push(self.given_up(item, error.to_string(), used, Some(error)));
                    }
                }
            }
        }
    }

    /// Retries at no cost: the failure proves nothing about the new settings.
    fn try_with_new_settings(
        &mut self,
        item: Item,
        error: &ActionError,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        let used = UsedLimits { made: item.claimed.used.made.saturating_add(1), ..item.claimed.used };
        out.push(retried_after(item, Duration::ZERO, used, false, WaitReason::Failed, error, now));
    }

    fn blame(
        &mut self,
        item: &Item,
        back: Back,
        error: &ActionError,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        let key = match back.several {
            // In a call with several deliveries the one at fault is unknown, so the call counts as one key.
            Some(call) => format!("call #{call}"),
            None => item.claimed.key.clone().unwrap_or_else(|| format!("#{}", item.claimed.id.0)),
        };
        let failed = FailedKey { key: &key, before: item.has_failed() };
        let change = match &item.host {
            Some(host) => self.hosts.failure(host, failed, error, &self.policy, now),
            None => self.breaker.failure(failed, error, &self.policy, now),
        };
        let host = item.host.clone();
        match change {
            BreakerChange::None => {}
            BreakerChange::Closed => out.push(Consequence::Closed { host }),
            BreakerChange::Opened => {
                self.newest |= self.breaker.is_event_suspect(now);
                let probe_at = self.breaker_of(item).and_then(|breaker| breaker.next_probe_at(false));
                let pause = probe_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
                out.push(Consequence::Opened {
                    host,
                    error: error.to_string(),
                    remedy: error.remedy(),
                    pause,
                });
            }
        }
    }

    fn breaker_of(&self, item: &Item) -> Option<&Breaker> {
        match &item.host {
            Some(host) => self.hosts.breaker(host),
            None => Some(&self.breaker),
        }
    }

    /// Returns whether the hold of the target, or of the host, is the cause, so that the failure costs no attempt. A probe
    /// costs none, whatever the answer: a delivery that the target always refuses is given up once others succeed.
    fn is_spared(&self, item: &Item, back: Back, error: &ActionError) -> bool {
        let is_held = back.probe || !self.breaker_of(item).is_none_or(Breaker::is_closed);
        is_held && !error.class.is_final()
    }

    /// Returns the limit of time that ends the delivery, for the reason of the dead letter. A hold of the target stops the
    /// age. An event may name a host that never exists, so the hold of such a host adds to the age.
    /// [`Self::give_up_held`] ends what waits for either.
    pub(super) fn reached_limit(
        &self,
        item: &Item,
        age: Duration,
        spared: bool,
        now: Instant,
    ) -> Option<String> {
        if item.host.is_none() && spared {
            return None;
        }
        if self.limits.max_age.is_some_and(|most| age >= most) {
            return Some(format!("after {} s: retry_max_age", age.as_secs()));
        }
        let waited = self.waited(item, item.arrived, now).unwrap_or_default();
        self.limits.hold_max.filter(|most| waited >= *most).map(|_| hold_is_over(waited))
    }

    fn decide(&self, back: Back, attempt: NonZeroU32, error: &ActionError) -> Decision {
        match self.policy.decide(attempt, error) {
            // The deliveries of a failed call cost nothing, and are then tried alone.
            Decision::RetryAfter(_) | Decision::GiveUp
                if back.several.is_some() && !error.class.is_final() =>
            {
                Decision::Hold
            }
            decision @ (Decision::Hold | Decision::RetryAfter(_) | Decision::GiveUp) => decision,
        }
    }

    /// Returns the age that the journal has kept, and the time since.
    pub(super) fn age(&self, item: &Item, now: Instant) -> Duration {
        let here = item.aging.map_or(Duration::ZERO, |then| self.closed.at(now).saturating_sub(then));
        item.claimed.used.age + here.max(self.waited(item, Some(item.saved), now).unwrap_or_default())
    }

    /// Returns the time since then for which a host has kept a delivery waiting; `None` while the host answers.
    pub(super) fn waited(&self, item: &Item, since: Option<Instant>, now: Instant) -> Option<Duration> {
        self.hosts.kept_waiting(item.host.as_deref()?, since, now)
    }

    pub(super) fn given_up(
        &self,
        item: Item,
        reason: String,
        used: UsedLimits,
        error: Option<ActionError>,
    ) -> Consequence {
        let outcome = match self.limits.on_dead {
            OnDead::ReleaseKey => Outcome::Dead(reason),
            OnDead::HoldKey => Outcome::DeadHoldingKey(reason),
        };
        Consequence::End(Box::new(EndedDelivery {
            claimed: item.claimed,
            outcome,
            last: error.map(Err),
            used,
        }))
    }
}

fn hold_is_over(waited: Duration) -> String {
    format!("for {} s, and hold_max is over", waited.as_secs())
}

/// Returns a retry after a pause. A pause that ages the delivery is added at its beginning, because the journal has no
/// clock that stops.
pub(super) fn delayed(
    due: Instant,
    used: UsedLimits,
    ages: bool,
    answer: String,
    now: Instant,
) -> AttemptRetry {
    let pause = if ages { due.saturating_duration_since(now) } else { Duration::ZERO };
    AttemptRetry { due, used: UsedLimits { age: used.age + pause, ..used }, is_charged: ages, answer }
}

/// Returns the retry after a failed attempt.
fn retried_after(
    item: Item,
    pause: Duration,
    used: UsedLimits,
    ages: bool,
    reason: WaitReason,
    error: &ActionError,
    now: Instant,
) -> Consequence {
    let retry = delayed(now + pause, used, ages, error.to_string(), now);
    let (claimed, remedy, class) = (item.claimed, error.remedy(), Some(error.class));
    Consequence::Retry(Box::new(RetriedDelivery { claimed, retry, pause, reason, remedy, class }))
}

/// Returns the retry of a delivery for which no attempt was made.
pub(super) fn retried(item: Item, retry: AttemptRetry, reason: WaitReason, now: Instant) -> Consequence {
    let pause = retry.due.saturating_duration_since(now);
    let (claimed, remedy, class) = (item.claimed, None, None);
    Consequence::Retry(Box::new(RetriedDelivery { claimed, retry, pause, reason, remedy, class }))
}
