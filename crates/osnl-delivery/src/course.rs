//! The course of one action's deliveries: the wakes of the loop and their consequences. Pure: the caller passes the
//! time.
//!
//! The consequences of a step have a fixed order: of the wake, given-up deliveries, then calls that may begin. After a
//! change of settings, no delivery that waits for a held target is given up before a probe has failed.

use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{ActionError, Completion};
use osnl_core::clock::SteppedClock;
use osnl_core::event::Event;
use osnl_journal::{ClaimedDelivery, DeliveryId, SentRequest};
use tokio::time::Instant;

use super::DeliverySettings;
use super::schedule::{Consequence, Schedule};

const SWEEP: Duration = Duration::from_secs(10);
/// The wait for a host after which the next sweep saves the age, so that a restart takes at most a minute off.
const UNSAVED: Duration = Duration::from_secs(50);
const TICK: Duration = Duration::from_millis(10);

/// The result of one delivery in a call that has ended.
#[derive(Debug)]
pub(super) struct AttemptResult {
    pub(super) id: DeliveryId,
    /// The event, with the values that the preparation or the attempt has added.
    pub(super) event: Event,
    /// The `host:port` that the event named; `None` after a success, or if the configuration names the target.
    pub(super) host: Option<Arc<str>>,
    /// Dependencies that have answered before the call; empty in all results of a call but the first.
    pub(super) answered: Vec<Arc<str>>,
    pub(super) result: Result<Completion, ActionError>,
    /// The request and its duration; `None` if a preparation decided and no call was made.
    pub(super) sent: Option<SentRequest>,
}

/// The event that woke the loop, and so the reason for a step.
#[derive(Debug)]
pub(super) enum Wake {
    Attempted(Vec<AttemptResult>),
    /// Deliveries from the journal, each with the `host:port` that its event names.
    Claimed(Vec<(ClaimedDelivery, Option<Arc<str>>)>),
    /// Claims that an operator, or a wait that was too long, has taken back.
    Withdrawn(Vec<DeliveryId>),
    Changed(DeliverySettings),
    /// The state of the journal, and whether the operator has paused the action.
    Allowed {
        writable: bool,
        paused: bool,
    },
    Draining,
    /// A time has come: a retry, a probe, or the next sweep.
    Due,
}

/// Puts the consequences of a wake-up in order, so that the loop only carries them out.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) schedule: Schedule,
    /// Whether the journal can record outcomes.
    writable: bool,
    /// Whether the operator has paused the action.
    paused: bool,
    /// Whether no call begins any more, because the daemon or the action ends.
    draining: bool,
    /// The time of the next look for overdue deliveries.
    sweep: Instant,
    /// Knows when a wait began whose time the file has by the system clock alone.
    clock: SteppedClock,
}

impl Course {
    pub(super) fn new(schedule: Schedule, now: Instant) -> Self {
        let (sweep, clock) = (now + SWEEP, SteppedClock::default());
        Self { schedule, writable: true, paused: false, draining: false, sweep, clock }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn has_ended(&self) -> bool {
        self.draining && self.schedule.under_way() == 0
    }

    /// Returns whether an attempt may begin. An outcome that the journal cannot write would be repeated after a
    /// restart.
    fn may_attempt(&self) -> bool {
        self.writable && !self.paused
    }

    pub(super) fn step(&mut self, wake: Wake, now: Instant, out: &mut Vec<Consequence>) {
        self.clock.look();
        match wake {
            Wake::Attempted(verdicts) => {
                for AttemptResult { id, event, host, answered, result, sent: _ } in verdicts {
                    answered.iter().for_each(|dependency| self.schedule.answered(dependency, out));
                    self.schedule.report(id, event, host, result, now, out);
                }
            }
            Wake::Claimed(claimed) => {
                for (claimed, host) in claimed {
                    let came = claimed.began.unwrap_or(claimed.event.received.origin.received);
                    let arrived = claimed.since.or_else(|| now.checked_sub(self.clock.age(came)));
                    self.schedule.add(claimed, host, arrived, now, out);
                }
            }
            Wake::Withdrawn(ids) => {
                let released = ids.into_iter().filter(|id| self.schedule.release(*id));
                out.extend(released.map(Consequence::Return));
            }
            Wake::Changed(settings) => self.schedule.change(&settings, now, out),
            Wake::Allowed { writable, paused } => {
                let before = self.may_attempt();
                (self.writable, self.paused) = (writable, paused);
                if before && !self.may_attempt() {
                    // A hold counts only from the end of the pause, so short waits between pauses would never be saved.
                    self.schedule.save_ages(Duration::ZERO, now, out);
                }
            }
            Wake::Draining => self.draining = true,
            Wake::Due => {}
        }
        self.schedule.check_clock(self.may_attempt(), now);
        if self.draining || !self.may_attempt() {
            return;
        }
        // A retry that is due at the time of the next probe would otherwise be under way at each look, and never given up.
        self.schedule.give_up_held(now, out);
        while let Some(ids) = self.schedule.next(now) {
            out.push(Consequence::Begin(ids.into_iter().filter_map(|id| self.schedule.event(id)).collect()));
        }
        self.schedule.make_way(now, out);
    }

    pub(super) fn sweeps(&mut self, now: Instant, out: &mut Vec<Consequence>) -> bool {
        let due = now >= self.sweep;
        if due {
            self.sweep = now + SWEEP;
            self.schedule.tidy(now);
            self.schedule.save_ages(UNSAVED, now, out);
        }
        due
    }

    pub(super) fn wake_at(&mut self, next_due: Option<Instant>, now: Instant) -> Instant {
        // A due delivery that was not claimed will be claimed soon: its commit is under way, or the journal's clock is
        // behind by less than its tick.
        let next_due =
            next_due.filter(|_| self.schedule.claim_limits(now).due > 0).map(|at| at.max(now + TICK));
        // An expired hold waits for the next sweep.
        let own = [self.schedule.wake_at(now), self.schedule.hold_ends(now).filter(|at| *at > now)];
        let own = own.into_iter().flatten().filter(|_| self.may_attempt() && !self.draining);
        own.chain(next_due).fold(self.sweep, Instant::min)
    }
}

#[cfg(test)]
mod tests;
