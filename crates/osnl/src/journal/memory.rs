//! `memory://`: nothing outlives the process, so a message is acknowledged after its last outcome
//! and the broker keeps what is unfinished.
//!
//! Because the message is still the broker's, it may come again while its entry is open (the
//! connection broke, or somebody took a consumer away). A redelivered message whose entry is open
//! *adopts* that entry: a new receipt, no new event. One whose entry has just ended is acknowledged
//! without a second event. What was given back is remembered with its attempts, so that a message
//! that goes round does not begin anew each time.
//!
//! Dead letters are written to the log as one JSON line each, so that they outlive the process.

mod dead;
mod ends;
mod limits;
mod listing;
mod recent;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

pub use self::dead::DeadLetter;
use self::dead::log_dead_letter;
pub use self::limits::MemoryLimits;
use self::recent::Recent;
use super::begin::{self, Begin};
use super::identity::Identity;
use super::{
    Claimed, DeliveryId, Entry, Handover, Journal, JournalState, Learnt, NewDelivery, Outcome, Paused,
    Permit, Places, Receipt, Settle, Used,
};
use crate::action::Event;
use crate::enrich::Enriched;
use crate::metrics::Counters;
use crate::received::Received;

/// See the [module](self).
#[derive(Debug)]
pub struct MemoryJournal {
    limits: Mutex<MemoryLimits>,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    claimable: Notify,
    /// Memory does not fail.
    working: watch::Sender<JournalState>,
    paused: watch::Sender<Paused>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    entries: HashMap<u64, Open>,
    deliveries: HashMap<DeliveryId, Pending>,
    actions: HashMap<Arc<str>, Lanes>,
    identities: HashMap<Identity, u64>,
    finished: Recent<Identity, ()>,
    returned: Recent<Identity, Used>,
    /// What was seen last of objects that were asked about.
    objects: Recent<String, String>,
    dead: VecDeque<DeadLetter>,
    closed: bool,
}

/// An entry with outcomes outstanding.
#[derive(Debug)]
struct Open {
    received: Arc<Received>,
    notification: Arc<Notification>,
    identity: Identity,
    /// What was appended, and what was made later in place of what was given up.
    wanted: Vec<NewDelivery>,
    outstanding: usize,
    returned: bool,
    receipt: Option<oneshot::Sender<Settle>>,
    unsettled_since: Instant,
    _place: Option<Permit>,
}

#[derive(Debug)]
struct Pending {
    entry: u64,
    rule: Arc<str>,
    action: Arc<str>,
    key: Option<String>,
    lane: Lane,
    resource: Option<u32>,
    used: Used,
    told: Option<Arc<Enriched>>,
    claimed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    Key(String),
    Alone(DeliveryId),
}

/// The deliveries of one action.
#[derive(Debug, Default)]
struct Lanes {
    by_key: HashMap<Lane, VecDeque<DeliveryId>>,
    /// Heads of their lane that nobody has claimed.
    claimable: BTreeSet<DeliveryId>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new(limits: MemoryLimits, counters: Arc<Counters>) -> Self {
        Self {
            limits: Mutex::new(limits),
            places: Arc::new(Semaphore::new(limits.entries)),
            state: Mutex::default(),
            claimable: Notify::new(),
            working: watch::Sender::new(JournalState::Working),
            paused: watch::Sender::new(Paused::new()),
            counters,
        }
    }

    /// The latest dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_copy(&self, redelivered: bool, identity: &Identity) {
        if redelivered {
            self.counters.adopted.increment();
        } else {
            self.counters.duplicates.increment();
            tracing::info!(
                queue.name = &*identity.queue,
                message.id = identity.id.as_deref().unwrap_or("-"),
                message.digest = %identity.digest,
                "a second copy of the same message is acknowledged; it is no second event",
            );
        }
    }
}

impl Journal for MemoryJournal {
    fn reserve<'a>(&'a self, _actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        Box::pin(async move {
            // Never closed, so acquiring cannot fail; an empty permit would only stop the intake.
            let Ok(first) = self.places.acquire().await else { return Permit::default() };
            first.forget();
            let mut places = 1;
            while places < at_most
                && let Ok(another) = self.places.try_acquire()
            {
                another.forget();
                places += 1;
            }
            Permit::new(places, self.places.clone())
        })
    }

    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt {
        let identity = Identity::of(&entry.received, &entry.notification);
        let mut state = self.lock();
        let (sender, receipt) = Receipt::open();
        let mut used = Used::default();
        let redelivered = entry.received.origin.redelivered;
        if identity.tells(redelivered) {
            let open = state.identities.get(&identity).copied();
            if let (true, Some(open)) = (redelivered, open.and_then(|id| state.entries.get_mut(&id))) {
                self.counters.adopted.increment();
                open.receipt = Some(sender);
                open.unsettled_since = Instant::now();
                return receipt;
            }
            // A copy of its own: the open entry keeps the first one unsettled, and with it its event.
            if open.is_some() || state.finished.get(&identity).is_some() {
                self.count_copy(redelivered, &identity);
                return Receipt::complete(Settle::Acknowledge);
            }
        }
        if redelivered {
            used = state.returned.take(&identity).unwrap_or_default();
        }
        begin::announce(&entry, &self.counters);
        for new in &entry.deliveries {
            if let Begin::Dead(reason) = &new.begin {
                let (received, notification) = (&entry.received, &entry.notification);
                log_dead_letter(&new.rule, &new.action, &received.origin, notification, reason);
                self.bury(&mut state, received.clone(), reason.clone());
            }
        }
        let outstanding = entry.deliveries.iter().filter(|new| new.begin.is_open()).count();
        if outstanding == 0 {
            state.finished.insert(identity, ());
            return Receipt::complete(Settle::Acknowledge);
        }

        let entry_id = state.next();
        for new in entry.deliveries.iter().filter(|new| new.begin.is_open()) {
            state.add(entry_id, new, used);
        }
        state.identities.insert(identity.clone(), entry_id);
        state.entries.insert(
            entry_id,
            Open {
                received: entry.received,
                notification: entry.notification,
                identity,
                wanted: entry.deliveries,
                outstanding,
                returned: false,
                receipt: Some(sender),
                unsettled_since: Instant::now(),
                _place: permit.take_one(),
            },
        );
        if state.closed {
            state.drop_receipts();
        }
        drop(state);
        self.claimable.notify_waiters();
        receipt
    }

    fn set_aside(&self, received: Received, reason: String) -> Receipt {
        self.counters.unreadable.increment();
        let digest = received.digest();
        tracing::error!(
            queue.name = &*received.origin.queue,
            message.digest = %digest,
            message.bytes = received.body.len(),
            message.redelivered = received.origin.redelivered,
            reason = reason,
            "message cannot be read; set aside",
        );
        self.bury(&mut self.lock(), Arc::new(received), reason);
        Receipt::complete(Settle::Acknowledge)
    }

    fn claim<'a>(&'a self, action: &'a str, at_most: usize) -> BoxFuture<'a, Vec<Claimed>> {
        Box::pin(async move {
            loop {
                // Armed before looking, so that what is appended in between is not missed.
                let claimable = self.claimable.notified();
                let claimed = self.lock().claim(action, at_most);
                if !claimed.is_empty() {
                    return claimed;
                }
                claimable.await;
            }
        })
    }

    fn attempted(&self, delivery: DeliveryId, used: Used, _answer: &str) {
        if let Some(pending) = self.lock().deliveries.get_mut(&delivery) {
            pending.used = used;
        }
    }

    fn outcome(&self, delivery: DeliveryId, outcome: Outcome) {
        self.end(delivery, outcome, None);
    }

    fn give_up(&self, delivery: DeliveryId, outcome: Outcome, to: &Handover) {
        self.end(delivery, outcome, Some(to));
    }

    fn enriched(
        &self,
        _delivery: DeliveryId,
        _enriched: &Enriched,
        learnt: Learnt,
    ) -> BoxFuture<'static, ()> {
        // A delivery that goes back to the broker is another one when it comes again, and may ask again.
        let mut state = self.lock();
        for (name, body) in learnt.objects {
            state.objects.insert(name, body);
        }
        Box::pin(std::future::ready(()))
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(std::future::ready(self.lock().objects.get(&object.to_owned()).cloned()))
    }

    fn overdue(&self, action: &str) -> Vec<DeliveryId> {
        let state = self.lock();
        let now = Instant::now();
        let overdue = |entry: &Open| now.duration_since(entry.unsettled_since) >= self.limits().unsettled;
        let Some(lanes) = state.actions.get(action) else { return Vec::new() };
        // A follower that is overdue goes back with its head.
        lanes
            .by_key
            .values()
            .filter(|lane| {
                lane.iter().any(|id| {
                    let entry = state.deliveries.get(id).and_then(|p| state.entries.get(&p.entry));
                    entry.is_some_and(overdue)
                })
            })
            .filter_map(|lane| lane.front().copied())
            .filter(|id| state.deliveries.get(id).is_some_and(|p| p.claimed))
            .collect()
    }

    fn max_waiting(&self) -> Option<usize> {
        Some(self.limits().waiting)
    }

    fn withdrawn(&self, _action: &str) -> Vec<DeliveryId> {
        Vec::new()
    }

    fn state(&self) -> watch::Receiver<JournalState> {
        self.working.subscribe()
    }

    fn paused(&self) -> watch::Receiver<Paused> {
        self.paused.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let mut state = self.lock();
        state.closed = true;
        state.drop_receipts();
        Box::pin(std::future::ready(()))
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn claim(&mut self, action: &str, at_most: usize) -> Vec<Claimed> {
        let Some(lanes) = self.actions.get_mut(action) else { return Vec::new() };
        let mut claimed = Vec::new();
        while claimed.len() < at_most {
            let Some(id) = lanes.claimable.pop_first() else { break };
            let Some(pending) = self.deliveries.get_mut(&id) else { continue };
            let Some(open) = self.entries.get(&pending.entry) else { continue };
            pending.claimed = true;
            claimed.push(Claimed {
                id,
                key: pending.key.clone(),
                event: Event {
                    received: open.received.clone(),
                    notification: open.notification.clone(),
                    rule: pending.rule.clone(),
                    action: pending.action.clone(),
                    resource: pending.resource,
                    enriched: pending.told.clone(),
                    progress: Default::default(),
                },
                used: pending.used,
            });
        }
        claimed
    }

    /// Takes a delivery out of its lane; the next of its key becomes claimable.
    fn remove(&mut self, id: DeliveryId) -> Option<Pending> {
        let pending = self.deliveries.remove(&id)?;
        if let Some(lanes) = self.actions.get_mut(&pending.action) {
            lanes.claimable.remove(&id);
            if let Some(lane) = lanes.by_key.get_mut(&pending.lane) {
                lane.retain(|other| *other != id);
                match lane.front() {
                    Some(next) => {
                        lanes.claimable.insert(*next);
                    }
                    None => {
                        lanes.by_key.remove(&pending.lane);
                    }
                }
            }
        }
        Some(pending)
    }

    /// One outcome less to wait for; with the last one the receipt completes.
    fn finish(&mut self, pending: &Pending, returned: bool) {
        let Some(open) = self.entries.get_mut(&pending.entry) else { return };
        open.outstanding -= 1;
        open.returned |= returned;
        if returned {
            self.returned.insert(open.identity.clone(), pending.used);
        }
        if open.outstanding > 0 {
            return;
        }
        let Some(mut open) = self.entries.remove(&pending.entry) else { return };
        self.identities.remove(&open.identity);
        let settle = if open.returned { Settle::Requeue } else { Settle::Acknowledge };
        if settle == Settle::Acknowledge {
            self.finished.insert(open.identity, ());
        }
        if let Some(receipt) = open.receipt.take() {
            // Nobody waits any more: the connection is gone, and the message comes again.
            let _ = receipt.send(settle);
        }
    }

    fn drop_receipts(&mut self) {
        for open in self.entries.values_mut() {
            open.receipt = None;
        }
    }
}

impl Places for Semaphore {
    fn give_back(&self, places: usize) {
        self.add_permits(places);
    }
}

#[cfg(test)]
mod tests;
