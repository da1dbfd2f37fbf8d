//! The claimable deliveries in memory: a short piece of each action's queue, and the claimed deliveries.
//!
//! While the piece is the whole queue, a committed delivery enters it at once and is not read back from the file.
//! Beyond the bound the rest stays in the file, and the writer fetches more when the piece runs out. A second piece
//! has the newest deliveries while claims ask for them.
//!
//! The piece and the claims are bounded in [bytes](super::weight) too: at the bound nothing more is fetched.
//! Each kind of an action may always have one delivery in memory.
//!
//! Each method that removes deliveries from memory wakes all waiting claims, since any action may have room
//! now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::weight::{OF_ACTION, Weight, Weights};
use crate::{ClaimLimits, ClaimedDelivery, DeliveryId};

pub(crate) const PIECE: usize = 256;
pub(crate) const NEWEST: usize = 48;
pub(crate) const BETWEEN: usize = 16;
const LOW: usize = PIECE / 4;

/// Hands claimable deliveries to the loops, so that a claim need not wait for the file.
#[derive(Debug, Default)]
pub(crate) struct Claimable {
    queues: Mutex<Queues>,
    pub changed: Notify,
}

/// The queues of all actions, behind one lock.
#[derive(Debug, Default)]
struct Queues {
    by_action: HashMap<Arc<str>, ActionQueue>,
    /// The bytes of all messages in memory.
    bytes: Arc<AtomicUsize>,
    /// Whether a change is under way: nothing is claimed then, so that the change sees all claims.
    suspended: bool,
}

/// A claimable delivery in memory, with the bytes that it takes.
#[derive(Debug)]
struct InMemory {
    delivery: ClaimedDelivery,
    weight: Weight,
}

/// The bytes that a claimed delivery takes until its claim ends.
#[derive(Debug)]
struct ClaimedWeight {
    kind: ClaimableKind,
    _weight: Weight,
}

/// The piece of one action's queue that is in memory.
#[derive(Debug)]
struct ActionQueue {
    /// The bytes of the action's messages in memory.
    weights: Weights,
    /// The oldest never-failed deliveries, without a gap.
    fresh: BTreeMap<DeliveryId, InMemory>,
    /// The newest deliveries and some between, while claims ask for them and `fresh` is not the whole queue.
    newest: BTreeMap<DeliveryId, InMemory>,
    /// Whether the latest claim asked for the newest.
    wants_newest: bool,
    /// Failed deliveries whose retry is due, by that time.
    due: BTreeMap<(i64, DeliveryId), InMemory>,
    /// The claimed deliveries.
    taken: HashMap<DeliveryId, ClaimedWeight>,
    /// Claims that the operator has changed, and that should end.
    withdrawn: BTreeSet<DeliveryId>,
    /// Whether the loop must still learn of the latest withdrawn claims.
    calls_back: bool,
    /// Whether the file may have claimable deliveries that are not in `fresh`.
    beyond: bool,
    /// The kinds whose fetch is under way.
    asked: FetchKinds,
    /// Whether deliveries have left memory since the writer began its fetch: it took them for known, so it skips them.
    dropped: bool,
    /// The earliest due time of a delivery in the file that is not in `due`.
    next_due: Option<i64>,
    /// Due times of retries whose commit is under way.
    uncommitted: HashMap<DeliveryId, i64>,
    /// Whether the action has no delivery loop: fetched or appended deliveries stay in the file.
    retired: bool,
}

impl ActionQueue {
    fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self {
            weights: Weights::new(bytes),
            fresh: BTreeMap::new(),
            newest: BTreeMap::new(),
            wants_newest: false,
            due: BTreeMap::new(),
            taken: HashMap::new(),
            withdrawn: BTreeSet::new(),
            calls_back: false,
            beyond: true,
            asked: FetchKinds::default(),
            dropped: false,
            next_due: Some(0),
            uncommitted: HashMap::new(),
            retired: false,
        }
    }

    fn knows(&self, id: DeliveryId) -> bool {
        self.fresh.contains_key(&id) || self.newest.contains_key(&id) || self.taken.contains_key(&id)
    }

    fn weigh(&mut self, delivery: ClaimedDelivery) -> InMemory {
        let weight = self.weights.weigh(&delivery.event);
        InMemory { delivery, weight }
    }

    /// Returns the bytes that may be fetched of a kind. Bytes for retries and the newest are reserved, as a
    /// long backlog would use all. Large messages of one kind do not exclude another kind.
    fn room(&self, kind: ClaimableKind) -> usize {
        let (spare, has_none) = match kind {
            ClaimableKind::Fresh => (0, self.fresh.is_empty()),
            ClaimableKind::Newest => (OF_ACTION / 4, self.newest.is_empty()),
            ClaimableKind::Due => (OF_ACTION / 2, self.due.is_empty()),
        };
        match self.weights.room(spare) {
            0 if has_none => usize::from(self.taken.values().all(|taken| taken.kind != kind)),
            room => room,
        }
    }

    fn take(&mut self, kind: ClaimableKind, InMemory { delivery, weight }: InMemory) -> ClaimedDelivery {
        let other_claim = self.taken.insert(delivery.id, ClaimedWeight { kind, _weight: weight });
        debug_assert!(other_claim.is_none(), "a delivery has one claim at a time");
        delivery
    }

    /// Whether a delivery belongs to the oldest. `fresh` has no gap, so an old delivery that becomes
    /// claimable again must enter it.
    fn is_among_oldest(&self, id: DeliveryId) -> bool {
        self.fresh.last_key_value().is_some_and(|(last, _)| id < *last)
    }

    fn has_any(&self) -> bool {
        !self.retired
            && (self.beyond || !(self.fresh.is_empty() && self.newest.is_empty() && self.due.is_empty()))
    }

    fn has_place_at_end(&self) -> bool {
        !self.retired && if self.beyond { self.wants_newest } else { self.fresh.len() < PIECE }
    }

    fn has_place(&self, id: DeliveryId) -> bool {
        (self.has_place_at_end() || self.is_among_oldest(id)) && self.room(ClaimableKind::Fresh) > 0
    }

    fn mark_beyond(&mut self) -> bool {
        self.beyond = true;
        let frees = !self.newest.is_empty();
        self.newest.clear();
        frees
    }

    fn fetched(&mut self, kind: ClaimableKind, found: Vec<(i64, ClaimedDelivery)>) {
        if self.retired {
            self.dropped = true;
            return;
        }
        for (at, claimed) in found {
            if self.taken.contains_key(&claimed.id) {
                continue;
            }
            let (id, fetched) = (claimed.id, self.weigh(claimed));
            match kind {
                ClaimableKind::Fresh => _ = self.fresh.insert(id, fetched),
                ClaimableKind::Newest => _ = self.newest.insert(id, fetched),
                ClaimableKind::Due => _ = self.due.insert((at, id), fetched),
            }
        }
    }

    fn drop_all(&mut self) {
        self.fresh.clear();
        self.newest.clear();
        self.due.clear();
        self.beyond = true;
        self.dropped = true;
        self.waits_until(0);
    }

    fn pop_newest(&mut self, wanted: &ClaimLimits) -> Option<ClaimedDelivery> {
        let piece = if self.beyond { &mut self.newest } else { &mut self.fresh };
        let (first, last) = (*piece.first_key_value()?.0, *piece.last_key_value()?.0);
        let from = wanted.newest_from(first, last, piece.len())?;
        let id = *piece.range(from..).next()?.0;
        let InMemory { delivery, weight } = piece.remove(&id)?;
        let delivery = ClaimedDelivery { newest: true, ..delivery };
        Some(self.take(ClaimableKind::Newest, InMemory { delivery, weight }))
    }

    fn note_fetched(&mut self, more: bool) {
        self.beyond = more || self.dropped;
        if !self.beyond {
            self.fresh.append(&mut self.newest);
        }
    }

    fn waits_until(&mut self, due: i64) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    fn next_due(&self) -> Option<i64> {
        self.next_due.into_iter().chain(self.uncommitted.values().copied()).min()
    }

    fn forget(&mut self, id: DeliveryId) -> bool {
        if self.taken.remove(&id).is_some() {
            self.withdrawn.remove(&id);
            self.uncommitted.remove(&id);
            return true;
        }
        if self.fresh.remove(&id).is_none() && self.newest.remove(&id).is_none() {
            self.due.retain(|(_, other), _| *other != id);
        }
        false
    }
}

/// The kind of a claimable delivery; each has bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimableKind {
    Fresh,
    Newest,
    Due,
}

/// Kinds of deliveries that the writer is to read from the file, or is reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchKinds {
    pub fresh: bool,
    pub newest: bool,
    pub due: bool,
}

impl FetchKinds {
    #[must_use]
    pub(crate) fn is_any(self) -> bool {
        self.fresh || self.newest || self.due
    }

    fn and(self, other: Self) -> Self {
        Self {
            fresh: self.fresh || other.fresh,
            newest: self.newest || other.newest,
            due: self.due || other.due,
        }
    }
}

impl Claimable {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims as soon as possible. `now` returns `None` while claims are not allowed; `fetch` receives the
    /// kinds to fetch and the time.
    pub(crate) async fn claim_when_any(
        &self,
        action: &str,
        wanted: ClaimLimits,
        now: impl Fn() -> Option<i64>,
        fetch: impl Fn(FetchKinds, i64),
    ) -> Vec<ClaimedDelivery> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the look, so that a commit in between is not missed.
            changed.as_mut().enable();
            if let Some(now) = now() {
                let (claimed, ask) = self.claim(action, wanted, now);
                if ask.is_any() {
                    fetch(ask, now);
                }
                if let Some(claimed) = claimed {
                    return claimed;
                }
            }
            changed.await;
        }
    }

    pub(crate) fn claim(
        &self,
        action: &str,
        wanted: ClaimLimits,
        now: i64,
    ) -> (Option<Vec<ClaimedDelivery>>, FetchKinds) {
        let mut queues = self.lock();
        if queues.suspended {
            return Default::default();
        }
        let Queues { by_action, bytes, .. } = &mut *queues;
        let queue = by_action.entry(action.into()).or_insert_with(|| ActionQueue::new(bytes.clone()));
        if std::mem::take(&mut queue.calls_back) {
            return (Some(Vec::new()), FetchKinds::default());
        }
        queue.retired = false;
        queue.wants_newest = wanted.newest > 0;
        if !queue.wants_newest && !queue.newest.is_empty() {
            queue.newest.clear();
            queue.dropped = true;
            self.changed.notify_waiters();
        }
        let mut claimed = Vec::new();
        while claimed.len() < wanted.due
            && let Some((_, first)) = queue.due.pop_first()
        {
            claimed.push(queue.take(ClaimableKind::Due, first));
        }
        claimed.extend(std::iter::from_fn(|| queue.pop_newest(&wanted)).take(wanted.newest));
        let mut oldest = 0;
        while let Some(first) =
            queue.fresh.first_entry().filter(|first| wanted.takes_oldest(oldest, *first.key()))
        {
            let first = first.remove();
            claimed.push(queue.take(ClaimableKind::Fresh, first));
            oldest += 1;
        }
        let ask = FetchKinds {
            fresh: queue.beyond
                && !queue.asked.fresh
                && queue.fresh.len() < LOW
                && queue.room(ClaimableKind::Fresh) > 0,
            newest: queue.beyond
                && !queue.asked.newest
                && queue.wants_newest
                && queue.newest.is_empty()
                && queue.room(ClaimableKind::Newest) > 0,
            due: !queue.asked.due
                && queue.due.len() < LOW
                && queue.next_due().is_some_and(|due| due <= now)
                && queue.room(ClaimableKind::Due) > 0,
        };
        queue.asked = queue.asked.and(ask);
        ((!claimed.is_empty()).then_some(claimed), ask)
    }

    #[must_use]
    pub(crate) fn next_due(&self, action: &str) -> Option<i64> {
        let queues = self.lock();
        let comes = |queue: &&ActionQueue| {
            !queue.asked.due && queue.due.is_empty() && queue.room(ClaimableKind::Due) > 0
        };
        queues.by_action.get(action).filter(comes)?.next_due()
    }

    pub(crate) fn retries(&self, id: DeliveryId, due: i64) {
        let mut queues = self.lock();
        if let Some(queue) = queues.by_action.values_mut().find(|queue| queue.taken.contains_key(&id)) {
            queue.uncommitted.insert(id, due);
        }
    }

    pub(crate) fn waits_until(&self, action: &str, due: i64) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.waits_until(due);
        }
    }

    #[must_use]
    pub(crate) fn expects(&self, action: &str) -> bool {
        self.lock().by_action.get(action).is_some_and(ActionQueue::has_place_at_end)
    }

    /// Whether any action with a loop has a delivery that can be claimed now, in memory or in the file.
    #[must_use]
    pub(crate) fn has_any(&self) -> bool {
        self.lock().by_action.values().any(ActionQueue::has_any)
    }

    /// Returns the bytes of messages that may be fetched of a kind. Unless 0, a single message may be larger.
    #[must_use]
    pub(crate) fn room(&self, action: &str, kind: ClaimableKind) -> usize {
        self.lock().by_action.get(action).map_or(0, |queue| queue.room(kind))
    }

    pub(crate) fn mark_beyond(&self, action: &str) {
        let frees = self.lock().by_action.get_mut(action).is_some_and(ActionQueue::mark_beyond);
        if frees {
            self.changed.notify_waiters();
        }
    }

    /// Whether a claimable delivery has a place in memory; if not, the action is marked as having more in the
    /// file.
    pub(crate) fn has_place(&self, action: &str, id: DeliveryId) -> bool {
        let has_place = self.lock().by_action.get(action).is_some_and(|queue| queue.has_place(id));
        if !has_place {
            self.mark_beyond(action);
        }
        has_place
    }

    pub(crate) fn add(&self, action: &str, claimed: ClaimedDelivery) {
        if let Some(queue) = self.lock().by_action.get_mut(action)
            && !queue.knows(claimed.id)
        {
            let is_newest = queue.beyond && !queue.is_among_oldest(claimed.id);
            let added = queue.weigh(claimed);
            let piece = if is_newest { &mut queue.newest } else { &mut queue.fresh };
            piece.insert(added.delivery.id, added);
            if queue.newest.len() > PIECE {
                queue.newest.pop_first();
            }
            if queue.fresh.len() > PIECE {
                queue.fresh.pop_last();
                queue.beyond = true;
            }
        }
    }

    #[must_use]
    pub(crate) fn known(&self, action: &str) -> HashSet<DeliveryId> {
        let mut queues = self.lock();
        let Some(queue) = queues.by_action.get_mut(action) else { return HashSet::new() };
        queue.dropped = false;
        let due = queue.due.keys().map(|(_, id)| id);
        queue.fresh.keys().chain(queue.newest.keys()).chain(due).chain(queue.taken.keys()).copied().collect()
    }

    pub(crate) fn fetched(&self, action: &str, oldest: Vec<(i64, ClaimedDelivery)>, more: bool) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fetched(ClaimableKind::Fresh, oldest);
            queue.asked.fresh = false;
            queue.note_fetched(more);
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn fetched_newest(&self, action: &str, newest: Vec<(i64, ClaimedDelivery)>, more: bool) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fetched(ClaimableKind::Newest, newest);
            queue.asked.newest = false;
            queue.note_fetched(more);
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn fetched_due(&self, action: &str, due: Vec<(i64, ClaimedDelivery)>, next: Option<i64>) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fetched(ClaimableKind::Due, due);
            queue.next_due = if queue.dropped { Some(0) } else { next };
            queue.asked.due = false;
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn not_fetched(&self, action: &str) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.asked = FetchKinds::default();
            queue.beyond = true;
            queue.waits_until(0);
        }
    }

    pub(crate) fn forget(&self, action: Option<&str>, id: DeliveryId) {
        let mut queues = self.lock();
        let own = action.and_then(|action| queues.by_action.get_mut(action));
        if !own.is_some_and(|queue| queue.forget(id)) {
            for queue in queues.by_action.values_mut() {
                queue.forget(id);
            }
        }
    }

    pub(crate) fn suspend(&self) -> HashSet<DeliveryId> {
        let mut queues = self.lock();
        queues.suspended = true;
        queues.by_action.values().flat_map(|queue| queue.taken.keys().copied()).collect()
    }

    pub(crate) fn resume(&self) {
        self.lock().suspended = false;
        self.changed.notify_waiters();
    }

    /// Withdraws a delivery: a claim should be given back, as it must not be attempted unchanged. Returns
    /// whether a claim exists.
    pub(crate) fn withdraw(&self, action: &str, id: DeliveryId) -> bool {
        let mut is_claimed = false;
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fresh.remove(&id);
            queue.newest.remove(&id);
            queue.due.retain(|(_, other), _| *other != id);
            is_claimed = queue.taken.contains_key(&id);
            if is_claimed {
                queue.calls_back |= queue.withdrawn.insert(id);
            }
        }
        // Wakes the delivery loop, which looks for withdrawn claims.
        self.changed.notify_waiters();
        is_claimed
    }

    pub(crate) fn leave(&self, action: &str, id: DeliveryId) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.withdrawn.remove(&id);
        }
    }

    #[must_use]
    pub(crate) fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        let queues = self.lock();
        queues.by_action.get(action).map_or_else(Vec::new, |queue| queue.withdrawn.iter().copied().collect())
    }

    pub(crate) fn retire(&self, action: &str) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.drop_all();
            queue.retired = true;
        }
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
