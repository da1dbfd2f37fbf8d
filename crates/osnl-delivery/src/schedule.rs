//! The order and the times of attempts. Pure: the caller passes the time.
//!
//! A claimed delivery is either *ready* or *under way*. A delivery that waits for its retry is in the journal with
//! its due time, and its claim has ended. So claims cover only deliveries that run or can run now, at most
//! [`Schedule::window`].

mod calls;
mod change;
mod hold;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::Rate;
use osnl_core::event::Event;
use osnl_core::metrics::{CallLimit, CallLoad};
use osnl_journal::{ClaimLimits, ClaimedDelivery, DeliveryId};
use tokio::time::Instant;

pub(super) use self::report::{Consequence, EndedDelivery, RetriedDelivery, WaitReason};
use super::breaker::{Breaker, BreakerState};
use super::gather::{BatchLimits, CallPace};
use super::hosts::{HeldHosts, Hosts};
use super::limits::{DeliveryLimits, Hold, HostLimits, PausableClock};
use super::outages::Outages;
use super::policy::RetryPolicy;

/// The fewest claims, so that probes have a choice.
const FEWEST: usize = 16;
const MOST_GATHERED: usize = 1024;

/// The end of a delivery without an attempt left (option `when_exhausted`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenExhausted {
    DeadLetter,
    /// The message returns to the broker after one more pause, as oslo.messaging's requeue does, but without a hot
    /// loop.
    Return,
}

osnl_config::words!(WhenExhausted: "dead_letter" => WhenExhausted::DeadLetter, "return" => WhenExhausted::Return);

/// A claimed delivery, ready or under way.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) claimed: ClaimedDelivery,
    /// The `host:port` that the event names; `None` if the configuration names the target.
    host: Option<Arc<str>>,
    /// The beginning of its wait for others that go into the same call.
    since: Instant,
    /// Whether the delivery is tried alone, after a final refusal of a call with several.
    alone: bool,
    /// The beginning of its wait: the arrival of its message, or later. `None` is earlier than every hold.
    arrived: Option<Instant>,
    /// The time on the `closed` clock when the attempt began; `None` before the attempt.
    aging: Option<Duration>,
    /// The time until which the journal has the age: the claim, or later.
    saved: Instant,
}

impl Item {
    fn has_failed(&self) -> bool {
        self.claimed.used.made > 0
    }
}

/// A call under way: it takes a place of the concurrency until its last delivery has a result.
#[derive(Debug)]
struct RunningCall {
    /// The number of deliveries at the beginning.
    deliveries: usize,
    /// The number of deliveries without a result.
    left: usize,
    kind: CallKind,
    /// Whether the target, or the host, was held when the call began.
    probe: bool,
    /// The number of the settings with which it began.
    settings: u64,
    host: Option<Arc<str>>,
}

/// The reason for the choice of a call's deliveries, by which the kinds share the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallKind {
    /// The oldest of those that have never failed.
    Oldest,
    /// The newest of those that have never failed, since the oldest may be at fault.
    Newest,
    /// Deliveries that have failed before.
    Again,
}

/// Decides which claimed delivery is attempted next, and when; it makes no call and knows no journal.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The number of attempts, and the pauses between them.
    policy: RetryPolicy,
    /// The end of a delivery without an attempt left.
    when_exhausted: WhenExhausted,
    /// The most calls under way; at least one.
    concurrency: usize,
    /// The bounds beyond which a delivery is given up without a refusal.
    limits: DeliveryLimits,
    /// The size of a call.
    batch: BatchLimits,
    /// The rate of calls.
    pace: CallPace,
    /// The state of the target that the configuration names.
    breaker: Breaker,
    /// The states of the hosts that events name.
    hosts: Hosts,
    /// The dependencies that are down.
    outages: Outages,
    /// Ready deliveries that have never failed.
    fresh: BTreeSet<DeliveryId>,
    /// Ready deliveries that have failed before, and are due.
    again: BTreeSet<DeliveryId>,
    /// Deliveries of running calls, each with the number of its call.
    under_way: BTreeMap<DeliveryId, u64>,
    /// The running calls by number.
    calls: HashMap<u64, RunningCall>,
    /// The number of the latest call.
    last_call: u64,
    /// All claimed deliveries: `fresh`, `again`, and `under_way` have their numbers.
    items: HashMap<DeliveryId, Item>,
    /// The number of items that have failed before.
    failed_items: usize,
    /// Deliveries without an attempt left. Once claimed again when due, they return to the broker.
    exhausted: HashMap<DeliveryId, Instant>,
    /// The calls since the last one for failed deliveries, which has every fourth turn.
    turn: usize,
    /// Whether the next call or probe takes the newest delivery, while events may be at fault.
    newest: bool,
    /// Whether the latest probe took a new arrival before the oldest delivery, which has the next turn then.
    out_of_turn: bool,
    /// The newest delivery that was ever called: a larger number is a new arrival.
    latest: DeliveryId,
    /// Whether an attempt may begin: the journal can be written, and the action is not paused.
    runs: bool,
    /// Runs while the breaker is closed. Deliveries age by this clock.
    closed: PausableClock,
    /// The wait for the target that is down; `None` while the breaker is closed.
    hold: Option<Hold>,
    /// Whether the settings changed during a hold: no delivery is given up before a probe has tested the new settings.
    probe_owed: bool,
    /// The number of the settings in force: a call with another number proves nothing about the target.
    settings: u64,
    /// Whether any event has named a host.
    has_hosts: bool,
    /// Whether the action gets no further delivery until one ends.
    is_crowded: bool,
}

impl Schedule {
    pub(super) fn new(policy: RetryPolicy, when_exhausted: WhenExhausted, concurrency: usize) -> Self {
        Self {
            policy,
            when_exhausted,
            concurrency,
            limits: DeliveryLimits::default(),
            batch: BatchLimits::default(),
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
            failed_items: 0,
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
            is_crowded: false,
        }
    }

    pub(super) fn with_limits(mut self, limits: DeliveryLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn with_batch(mut self, batch: BatchLimits, rate: Option<Rate>) -> Self {
        self.batch = batch;
        self.pace.change(rate);
        self
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

    /// Returns the running calls, and the limit that keeps a further one from beginning.
    pub(super) fn load(&mut self, now: Instant) -> CallLoad {
        let waiting = self.items.len() - self.under_way.len();
        let limit = match waiting {
            _ if !self.breaker.is_closed() => None,
            _ if self.calls.len() >= self.concurrency => Some(CallLimit::Concurrency),
            0 if self.under_way.is_empty() => None,
            0 => Some(CallLimit::Order),
            _ if self.pace.next_at(now).is_some() || self.is_paced_by_hosts(now) => Some(CallLimit::Rate),
            _ => None,
        };
        CallLoad { calls: self.calls.len(), deliveries: self.under_way.len(), limit }
    }

    /// Whether no call runs, and only `host_rate` keeps one from beginning.
    fn is_paced_by_hosts(&mut self, now: Instant) -> bool {
        if !self.has_hosts || !self.under_way.is_empty() {
            return false;
        }
        let (items, hosts) = (&self.items, &mut self.hosts);
        let mut waiting = items.values().filter_map(|item| item.host.as_deref());
        waiting.any(|host| hosts.is_paced(host, now))
    }

    /// Returns the numbers of deliveries that may be claimed now. New and failed deliveries have separate places, so
    /// neither kind can fill the other's. A failed delivery is claimed only when due.
    ///
    /// While the target is held, a probe may use the newest delivery. If events may be at fault, half of the calls may
    /// use the newest, and each newer arrival has a place at once. A delivery older than all others, such as one
    /// released by an operator, has a place too.
    pub(super) fn claim_limits(&self, now: Instant) -> ClaimLimits {
        let window = self.window();
        let (suspect, held) = (self.breaker.is_event_suspect(now), !self.breaker.is_closed());
        let of_newest = |id: &&DeliveryId| self.items.get(id).is_some_and(|item| item.claimed.newest);
        let newest = match suspect || held {
            true => self.fresh.iter().rev().take_while(of_newest).count(),
            false => 0,
        };
        let wanted = ClaimLimits {
            oldest: window.saturating_sub(self.items.len() - self.failed_items - newest),
            due: (window / 2).saturating_sub(self.failed_items),
            ..ClaimLimits::default()
        };
        let ahead = if suspect { (self.concurrency / 2).max(1) * self.batch.most } else { 1 };
        match (suspect || held) && !self.batch.whole {
            true if newest < ahead => ClaimLimits { newest: ahead - newest, ..wanted },
            true if suspect => {
                // One place at a time keeps a row of arrivals from taking all places.
                let newest = usize::from(newest < window);
                let (newer_than, older_than) = (self.fresh.last().copied(), self.fresh.first().copied());
                ClaimLimits { newest, newer_than, older_than, ..wanted }
            }
            true | false => wanted,
        }
    }

    pub(super) fn window(&self) -> usize {
        let gathered = (self.concurrency * self.batch.most).min(MOST_GATHERED);
        (self.concurrency * 4).max(gathered).max(self.batch.most * 2).max(FEWEST)
    }

    pub(super) fn add(
        &mut self,
        claimed: ClaimedDelivery,
        host: Option<Arc<str>>,
        arrived: Option<Instant>,
        now: Instant,
        out: &mut Vec<Consequence>,
    ) {
        let id = claimed.id;
        debug_assert!(!self.items.contains_key(&id), "the journal hands out a delivery once");
        if self.exhausted.remove(&id).is_some() {
            return out.push(Consequence::Return(id));
        }
        if host.is_some() {
            self.note_hosts(out);
        }
        let since = claimed.since.unwrap_or(now);
        let mut item = Item { claimed, host, since, alone: false, arrived, aging: None, saved: now };
        if item.has_failed() {
            item.since = now;
        }
        self.ready(item);
    }

    /// Notes that events name the hosts. The settings in force name no target then, so a breaker that is not closed is left
    /// from other settings, and no answer of a host would close it.
    fn note_hosts(&mut self, out: &mut Vec<Consequence>) {
        self.has_hosts = true;
        if !self.breaker.is_closed() {
            self.breaker = Breaker::new(self.concurrency);
            out.push(Consequence::Left);
        }
    }

    fn ready(&mut self, item: Item) {
        let id = item.claimed.id;
        if item.has_failed() {
            self.failed_items += 1;
            self.again.insert(id)
        } else {
            self.fresh.insert(id)
        };
        self.items.insert(id, item);
    }

    pub(super) fn event(&self, id: DeliveryId) -> Option<(DeliveryId, Event)> {
        self.items.get(&id).map(|item| (id, item.claimed.event.clone()))
    }

    /// Updates the clocks. `runs`: whether an attempt may begin; otherwise time does not count.
    pub(super) fn check_clock(&mut self, runs: bool, now: Instant) {
        self.runs = runs;
        let closed = self.breaker.is_closed();
        self.closed.set(closed && runs, now);
        self.outages.set(runs, now);
        self.hosts.set(runs, now);
        if closed {
            (self.hold, self.probe_owed) = (None, false);
        } else {
            self.hold.get_or_insert(Hold::begin(now)).set(runs, now);
        }
    }

    /// Returns whether deliveries wait for others that go into the same call.
    pub(super) fn gathers(&self) -> bool {
        self.waits_for_others() && self.items.len() > self.under_way.len()
    }

    pub(super) fn waits_for_others(&self) -> bool {
        !self.batch.wait.is_zero()
    }

    pub(super) fn crowd(&mut self, is_crowded: bool) {
        self.is_crowded = is_crowded;
    }

    pub(super) fn release(&mut self, id: DeliveryId) -> bool {
        let idle = !self.under_way.contains_key(&id);
        idle && self.forget(id).is_some()
    }

    pub(super) fn release_all(&mut self) -> Vec<DeliveryId> {
        let idle: BTreeSet<DeliveryId> = self.fresh.union(&self.again).copied().collect();
        idle.iter().for_each(|id| drop(self.forget(*id)));
        idle.into_iter().collect()
    }

    pub(super) fn tidy(&mut self, now: Instant) {
        self.outages.check(now);
        // A delivery that is discarded while it waits is never claimed again. If an entry is removed too early, the
        // delivery gets one more attempt.
        let long = Duration::from_secs(3600);
        self.exhausted.retain(|_, due| now < *due + long);
    }

    pub(super) fn take_shown(&mut self) -> Option<HeldHosts> {
        let changed = self.hosts.take_changed() | self.outages.take_changed();
        changed.then(|| {
            let (hosts, others) = self.hosts.held();
            HeldHosts { hosts, others, outages: self.outages.all() }
        })
    }

    fn forget(&mut self, id: DeliveryId) -> Option<Item> {
        debug_assert!(!self.under_way.contains_key(&id), "the claim of a running attempt stays");
        self.fresh.remove(&id);
        self.again.remove(&id);
        let item = self.items.remove(&id)?;
        self.failed_items -= usize::from(item.has_failed());
        Some(item)
    }
}

#[cfg(test)]
pub(super) mod tests;
