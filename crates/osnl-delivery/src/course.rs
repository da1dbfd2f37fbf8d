//! The course of one action's deliveries: what wakes the loop, and what follows. Pure; the time is passed in.
//!
//! | wake | meaning |
//! | --- | --- |
//! | [`Wake::Attempted`] | how the deliveries of one call went |
//! | [`Wake::Claimed`] | what the journal has handed out |
//! | [`Wake::Withdrawn`] | what the operator has taken away, or the broker wants back |
//! | [`Wake::Changed`] | other settings |
//! | [`Wake::Allowed`] | whether the journal can be written, and whether the action is paused |
//! | [`Wake::Draining`] | no attempt begins any more |
//! | [`Wake::Due`] | a moment has come |
//!
//! The consequences of a step have an order of their own, whatever woke the loop: first what the wake itself says, then the
//! calls that may begin, then what is given up because its target was held for too long. So a held target whose settings
//! have changed is probed before anything behind it is given up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::attempt::{ActionError, Completion};
use osnl_core::event::Event;
use osnl_journal::{ClaimedDelivery, DeliveryId, SentRequest};
use tokio::time::Instant;

use super::DeliverySettings;
use super::schedule::{Consequence, Schedule};

/// The interval between two queries for deliveries that have waited too long.
const SWEEP: Duration = Duration::from_secs(10);
/// Between two looks for what is due.
const TICK: Duration = Duration::from_millis(10);

/// The result of one delivery of a call.
#[derive(Debug)]
pub(super) struct AttemptResult {
    pub(super) id: DeliveryId,
    /// With what was learnt before the attempt.
    pub(super) event: Event,
    /// The host that it names, if it failed.
    pub(super) host: Option<Arc<str>>,
    /// The dependencies that were asked for it and have answered.
    pub(super) answered: Vec<Arc<str>>,
    pub(super) result: Result<Completion, ActionError>,
    /// The record of the attempt, if one was made.
    pub(super) sent: Option<SentRequest>,
}

/// The cause that woke the loop. See the [module](self).
#[derive(Debug)]
pub(super) enum Wake {
    Attempted(Vec<AttemptResult>),
    /// With the hosts that their events name.
    Claimed(Vec<(ClaimedDelivery, Option<Arc<str>>)>),
    Withdrawn(Vec<DeliveryId>),
    Changed(DeliverySettings),
    Allowed {
        writable: bool,
        paused: bool,
    },
    Draining,
    Due,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Course {
    pub(super) schedule: Schedule,
    writable: bool,
    paused: bool,
    draining: bool,
    sweep: Instant,
}

impl Course {
    pub(super) fn new(schedule: Schedule, now: Instant) -> Self {
        Self { schedule, writable: true, paused: false, draining: false, sweep: now + SWEEP }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether nothing is left to wait for.
    pub(super) fn has_ended(&self) -> bool {
        self.draining && self.schedule.under_way() == 0
    }

    /// Whether an attempt may begin: what could not be written down would be done again after a restart.
    fn may_attempt(&self) -> bool {
        self.writable && !self.paused
    }

    /// Handles what woke the loop; what it has to do is added to `out`, in the order in which it is to be done.
    pub(super) fn step(&mut self, wake: Wake, now: Instant, out: &mut Vec<Consequence>) {
        match wake {
            Wake::Attempted(verdicts) => {
                for AttemptResult { id, event, host, answered, result, sent: _ } in verdicts {
                    answered.iter().for_each(|dependency| self.schedule.answered(dependency, out));
                    self.schedule.report(id, event, host, result, now, out);
                }
            }
            Wake::Claimed(claimed) => {
                for (claimed, host) in claimed {
                    // Looked at once: a clock that is set later changes nothing.
                    let came = claimed.event.received.origin.received;
                    let ago = SystemTime::now().duration_since(came).unwrap_or_default();
                    let returns = self.schedule.add(claimed, host, now.checked_sub(ago), now);
                    out.extend(returns.map(Consequence::Return));
                }
            }
            Wake::Withdrawn(ids) => {
                let released = ids.into_iter().filter(|id| self.schedule.release(*id));
                out.extend(released.map(Consequence::Return));
            }
            Wake::Changed(settings) => self.schedule.change(&settings, now, out),
            Wake::Allowed { writable, paused } => (self.writable, self.paused) = (writable, paused),
            Wake::Draining => self.draining = true,
            Wake::Due => {}
        }
        self.schedule.look_at_clock(self.may_attempt(), now);
        if self.draining || !self.may_attempt() {
            return;
        }
        while let Some(ids) = self.schedule.next(now) {
            out.push(Consequence::Begin(ids.into_iter().filter_map(|id| self.schedule.event(id)).collect()));
        }
        self.schedule.give_up_held(now, out);
        self.schedule.make_way(now, out);
    }

    /// Whether it is time to ask the journal for what has waited too long; from then on the next time counts.
    pub(super) fn sweeps(&mut self, now: Instant) -> bool {
        let due = now >= self.sweep;
        if due {
            self.sweep = now + SWEEP;
            self.schedule.tidy(now);
        }
        due
    }

    /// When to wake if nothing happens before; `next_due` is the journal's.
    pub(super) fn wake_at(&mut self, next_due: Option<Instant>, now: Instant) -> Instant {
        // What is due already and was not claimed is about to be: its commit is under way, or the journal's clock is behind
        // by less than its tick.
        let next_due =
            next_due.filter(|_| self.schedule.claim_limits(now).due > 0).map(|at| at.max(now + TICK));
        // What is held for longer than it may is looked at with a sweep.
        let own = [self.schedule.wake_at(now), self.schedule.hold_ends(now).filter(|at| *at > now)];
        let own = own.into_iter().flatten().filter(|_| self.may_attempt() && !self.draining);
        own.chain(next_due).fold(self.sweep, Instant::min)
    }
}

#[cfg(test)]
mod tests;
