//! The order and the times of attempts: pure, the time is passed in.
//!
//! A claimed delivery is in exactly one place: *ready* or *under way*. A delivery that waits for its own retry waits in
//! the journal with its due time, and its claim has ended; so the claims hold what runs and what can run now, at most
//! [`Schedule::window`] of them. The breaker says how many may be under way; the policy says what a failure means.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `calls` | which deliveries make the next call, and when |
//! | `report` | what follows from an attempt |
//! | `hold` | what a held target keeps waiting, and for how long |
//! | `change` | other settings |

mod calls;
mod change;
mod hold;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::Rate;
use osnl_core::event::Event;
use osnl_journal::{ClaimLimits, ClaimedDelivery, DeliveryId};
use tokio::time::Instant;

pub(super) use self::report::{Consequence, EndedDelivery, RetriedDelivery, WaitReason};
use super::breaker::{Breaker, BreakerState};
use super::gather::{BatchLimits, CallPace, share};
use super::hosts::{HeldHost, Hosts};
use super::limits::{DeliveryLimits, Hold, HostLimits, PausableClock};
use super::outages::{Outage, Outages};
use super::policy::RetryPolicy;

/// The fewest claims, for a choice of probes.
const FEWEST: usize = 16;
/// Calls of several events may claim no more than this for being all under way at once.
const MOST_GATHERED: usize = 1024;

/// The end of a delivery whose attempts are used up.
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
    pub(super) claimed: ClaimedDelivery,
    /// The host that its event names.
    host: Option<Arc<str>>,
    /// Since when it is ready.
    ready_since: Instant,
    /// It was refused for good in a call with others: it is tried alone, so that it shows which of them is at fault.
    alone: bool,
    /// When its message came; `None` is before anything that counts.
    arrived: Option<Instant>,
    /// The clock that it ages by, at the beginning of its attempt.
    aging: Option<Duration>,
}

impl Item {
    /// Whether an attempt of it has failed before.
    fn has_failed(&self) -> bool {
        self.claimed.used.made > 0
    }
}

/// A call under way.
#[derive(Debug)]
struct RunningCall {
    deliveries: usize,
    /// The number of deliveries that have not reported.
    left: usize,
    kind: CallKind,
    /// It shows whether a target or host that is held is back.
    probe: bool,
    /// The settings that it was made with.
    settings: u64,
    host: Option<Arc<str>>,
}

/// The deliveries that a call is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallKind {
    /// The oldest that have never failed.
    Oldest,
    /// The newest that have never failed, beside them.
    Newest,
    /// Such that had failed before.
    Again,
}

#[derive(Debug)]
pub(super) struct Schedule {
    policy: RetryPolicy,
    when_exhausted: WhenExhausted,
    concurrency: usize,
    limits: DeliveryLimits,
    batch: BatchLimits,
    /// The rate of all daemons that make deliveries of the action, and their number.
    rate: Option<Rate>,
    daemons: usize,
    pace: CallPace,
    breaker: Breaker,
    hosts: Hosts,
    outages: Outages,
    /// Ready, and no attempt of them has ever failed; in order of arrival.
    fresh: BTreeSet<DeliveryId>,
    /// Ready again after a failure.
    again: BTreeSet<DeliveryId>,
    /// With the call that each is part of.
    under_way: BTreeMap<DeliveryId, u64>,
    calls: HashMap<u64, RunningCall>,
    last_call: u64,
    items: HashMap<DeliveryId, Item>,
    /// The number of items that had failed before.
    failed: usize,
    /// No attempt is left to them: they go back to the broker when they are due and claimed again.
    exhausted: HashMap<DeliveryId, Instant>,
    /// Calls since the last one of deliveries that had failed before.
    turn: usize,
    /// It is the turn of the newest delivery, not of the oldest.
    newest: bool,
    /// The latest probe took a delivery that had just come, out of turn.
    out_of_turn: bool,
    /// The newest delivery that has been attempted.
    latest: DeliveryId,
    /// Whether an attempt may begin.
    runs: bool,
    /// Runs while the breaker is closed: what ages, ages by it.
    closed: PausableClock,
    /// While the breaker is not.
    hold: Option<Hold>,
    /// The settings have changed while the target was held: nothing is given up before a probe has shown what they do.
    probe_owed: bool,
    /// The number of changes of the settings.
    settings: u64,
    /// Deliveries have hosts of their own.
    has_hosts: bool,
}

impl Schedule {
    pub(super) fn new(policy: RetryPolicy, when_exhausted: WhenExhausted, concurrency: usize) -> Self {
        Self {
            policy,
            when_exhausted,
            concurrency,
            limits: DeliveryLimits::default(),
            batch: BatchLimits::default(),
            rate: None,
            daemons: 1,
            pace: CallPace::default(),
            breaker: Breaker::new(concurrency),
            hosts: Hosts::new(HostLimits::default(), concurrency),
            outages: Outages::default(),
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            under_way: BTreeMap::new(),
            calls: HashMap::new(),
            last_call: 0,
            items: HashMap::new(),
            failed: 0,
            exhausted: HashMap::new(),
            turn: 0,
            newest: false,
            out_of_turn: false,
            latest: DeliveryId(0),
            runs: true,
            closed: PausableClock::stopped(),
            hold: None,
            probe_owed: false,
            settings: 0,
            has_hosts: false,
        }
    }

    pub(super) fn with_limits(mut self, limits: DeliveryLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn with_batch(mut self, batch: BatchLimits, rate: Option<Rate>) -> Self {
        self.batch = batch;
        self.rate = rate;
        self.keep_pace();
        self
    }

    /// So many daemons make deliveries of the action from now on.
    pub(super) fn share(&mut self, daemons: usize) {
        self.daemons = daemons;
        self.keep_pace();
    }

    /// Keeps this daemon's part of the rate. The calls of a digest are all one daemon's.
    fn keep_pace(&mut self) {
        let daemons = if self.batch.whole { 1 } else { self.daemons };
        self.pace.change(self.rate.map(|rate| share(rate, daemons)));
    }

    pub(super) fn with_hosts(mut self, limits: HostLimits) -> Self {
        self.hosts = Hosts::new(limits, self.concurrency);
        self
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    pub(super) fn claimed(&self) -> usize {
        self.items.len()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Returns the numbers of deliveries that may be claimed now. Deliveries that have never failed and those that are
    /// due again have separate places, so neither kind can fill the other's. Failed deliveries that are not yet due are
    /// not among the claims, so they never fill them.
    ///
    /// While the target is held, a probe may be made with the newest delivery. Where events may be at fault, half of the
    /// calls may be made with the newest, and each that is newer still has a place at once; so has one that is older than
    /// all, such as one that an operator has just released.
    pub(super) fn claim_limits(&self, now: Instant) -> ClaimLimits {
        let window = self.window();
        let (suspect, held) = (self.breaker.is_event_suspect(now), !self.breaker.is_closed());
        let of_newest = |id: &&DeliveryId| self.items.get(id).is_some_and(|item| item.claimed.newest);
        let newest = match suspect || held {
            true => self.fresh.iter().rev().take_while(of_newest).count(),
            false => 0,
        };
        let wanted = ClaimLimits {
            oldest: window.saturating_sub(self.items.len() - self.failed - newest),
            due: (window / 2).saturating_sub(self.failed),
            ..ClaimLimits::default()
        };
        let ahead = if suspect { (self.concurrency / 2).max(1) * self.batch.most } else { 1 };
        match (suspect || held) && !self.batch.whole {
            true if newest < ahead => ClaimLimits { newest: ahead - newest, ..wanted },
            true if suspect => {
                // One at a time, so that what comes in a row does not take all places.
                let newest = usize::from(newest < window);
                let (newer_than, older_than) = (self.fresh.last().copied(), self.fresh.first().copied());
                ClaimLimits { newest, newer_than, older_than, ..wanted }
            }
            true | false => wanted,
        }
    }

    /// The most claims of deliveries that have never failed. Half as many are of those that have.
    pub(super) fn window(&self) -> usize {
        let gathered = (self.concurrency * self.batch.most).min(MOST_GATHERED);
        (self.concurrency * 4).max(gathered).max(self.batch.most * 2).max(FEWEST)
    }

    /// Takes in what was claimed; answers those that are claimed only to go back to the broker.
    pub(super) fn add(
        &mut self,
        claimed: ClaimedDelivery,
        host: Option<Arc<str>>,
        arrived: Option<Instant>,
        now: Instant,
    ) -> Option<DeliveryId> {
        let id = claimed.id;
        if self.exhausted.remove(&id).is_some() {
            return Some(id);
        }
        self.has_hosts |= host.is_some();
        let item = Item { claimed, host, ready_since: now, alone: false, arrived, aging: None };
        self.ready(item);
        None
    }

    fn ready(&mut self, item: Item) {
        let id = item.claimed.id;
        if item.has_failed() {
            self.failed += 1;
            self.again.insert(id)
        } else {
            self.fresh.insert(id)
        };
        self.items.insert(id, item);
    }

    /// The number and the event of a delivery, for its attempt.
    pub(super) fn event(&self, id: DeliveryId) -> Option<(DeliveryId, Event)> {
        self.items.get(&id).map(|item| (id, item.claimed.event.clone()))
    }

    /// Whether time counts: `runs` says whether an attempt may begin.
    pub(super) fn look_at_clock(&mut self, runs: bool, now: Instant) {
        self.runs = runs;
        let closed = self.breaker.is_closed();
        self.closed.set(closed && runs, now);
        self.outages.set(runs, now);
        if closed {
            (self.hold, self.probe_owed) = (None, false);
        } else {
            self.hold.get_or_insert(Hold::begin(now)).set(runs, now);
        }
    }

    /// Lets go of a delivery unless an attempt is under way.
    pub(super) fn release(&mut self, id: DeliveryId) -> bool {
        let idle = !self.under_way.contains_key(&id);
        idle && self.forget(id).is_some()
    }

    /// Lets go of everything that is not under way, in its order.
    pub(super) fn release_all(&mut self) -> Vec<DeliveryId> {
        let idle: BTreeSet<DeliveryId> = self.fresh.union(&self.again).copied().collect();
        idle.iter().for_each(|id| drop(self.forget(*id)));
        idle.into_iter().collect()
    }

    /// Forgets, once in a while, outages and exhausted deliveries that ended without a report.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.outages.look(now);
        // What is discarded while it waits for its end is never claimed again. One that is claimed all the same is tried
        // once more.
        let long = Duration::from_secs(3600);
        self.exhausted.retain(|_, due| now < *due + long);
    }

    /// Returns the state that a status shows beside the target, if it has changed: held hosts, the number of others,
    /// and dependencies that are down.
    pub(super) fn take_shown(&mut self) -> Option<(Vec<HeldHost>, usize, Vec<Outage>)> {
        let changed = self.hosts.take_changed() | self.outages.take_changed();
        changed.then(|| {
            let (hosts, others) = self.hosts.held();
            (hosts, others, self.outages.all())
        })
    }

    fn forget(&mut self, id: DeliveryId) -> Option<Item> {
        self.fresh.remove(&id);
        self.again.remove(&id);
        let item = self.items.remove(&id)?;
        self.failed -= usize::from(item.has_failed());
        Some(item)
    }
}

#[cfg(test)]
pub(super) mod tests;
