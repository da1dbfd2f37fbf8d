//! Admits entries, so that the broker sends no message that the journal could not keep.
//!
//! Places are shared fairly. A caller that finds free places leaves one to each waiting caller that could
//! take it now. So a busy listener does not starve another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

use crate::{ActionTerms, Begin, NewDelivery, Obstacle, Permit, PermitStore};

/// The bound of entries in memory: promised or not yet committed.
pub const IN_MEMORY: usize = 16 * 1024;

/// Promises places for entries before messages are read, so that no message is read in vain.
#[derive(Debug)]
pub(crate) struct Gate {
    max_pending: u64,
    terms: RwLock<ActionTerms>,
    state: Mutex<GateState>,
    room: Notify,
}

/// The promised places, and the callers that wait for one.
#[derive(Debug)]
struct GateState {
    /// Whether the journal takes entries.
    open: bool,
    /// Entries promised, and those appended and not committed.
    in_memory: usize,
    actions: HashMap<Arc<str>, ActionRoom>,
    waiting: Vec<Waiter>,
    last_ticket: u64,
}

/// A caller that waits, for whom others leave a place.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    actions: Vec<Arc<str>>,
}

/// The wait of one caller, which ends on drop.
struct Ticket<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.gate.lock().waiting.retain(|waiting| waiting.ticket != self.number);
        // Other callers may take the places left to this caller.
        self.gate.room.notify_waiters();
    }
}

/// The pending deliveries of one action, against `max_pending`.
#[derive(Debug, Default)]
struct ActionRoom {
    /// Deliveries that have not ended.
    pending: u64,
    /// Places that permits hold.
    reserved: u64,
    /// Whether the full action is logged.
    said: bool,
}

/// Takes back the places of a permit.
#[derive(Debug)]
struct ReservedPlaces {
    gate: Arc<Gate>,
    actions: Vec<Arc<str>>,
}

impl Gate {
    #[must_use]
    pub(crate) fn new(max_pending: u64, terms: ActionTerms) -> Self {
        let state = GateState {
            open: true,
            in_memory: 0,
            actions: HashMap::new(),
            waiting: Vec::new(),
            last_ticket: 0,
        };
        Self { max_pending, terms: RwLock::new(terms), state: Mutex::new(state), room: Notify::new() }
    }

    #[must_use]
    pub(crate) fn max_pending(&self) -> u64 {
        self.max_pending
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn terms(&self) -> RwLockReadGuard<'_, ActionTerms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_terms(&self, terms: ActionTerms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
        self.room.notify_waiters();
    }

    pub(crate) fn refuse_overflowing(&self, deliveries: &mut [NewDelivery]) {
        for new in deliveries.iter_mut().filter(|new| new.begin.is_open()) {
            if let Some(reason) = self.overflows(&new.action) {
                new.begin = Begin::Dead(reason);
            }
        }
    }

    fn overflows(&self, action: &Arc<str>) -> Option<String> {
        if !self.terms().get(action).is_some_and(|terms| terms.overflows) {
            return None;
        }
        let pending = self.lock().actions.get(action).map_or(0, |room| room.pending);
        (pending >= self.max_pending).then(|| "max_pending is reached (on_full = dead_letter)".to_owned())
    }

    pub(crate) async fn reserve(self: &Arc<Self>, actions: &[Arc<str>], at_most: usize) -> Permit {
        let mut ticket: Option<Ticket<'_>> = None;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Enabled before the look, so that a place returned in between is not missed.
            room.as_mut().enable();
            let bounded = self.bounded(actions);
            let number = ticket.as_ref().map(|ticket| ticket.number);
            let places = self.lock().take(self.max_pending, actions, &bounded, at_most, number);
            if places > 0 {
                let from = ReservedPlaces { gate: self.clone(), actions: actions.to_vec() };
                return Permit::new(places, Arc::new(from));
            }
            ticket = ticket.or_else(|| Some(self.wait(bounded)));
            room.await;
        }
    }

    fn wait(&self, actions: Vec<Arc<str>>) -> Ticket<'_> {
        let mut state = self.lock();
        state.last_ticket += 1;
        let number = state.last_ticket;
        state.waiting.push(Waiter { ticket: number, actions });
        Ticket { gate: self, number }
    }

    fn bounded(&self, actions: &[Arc<str>]) -> Vec<Arc<str>> {
        let terms = self.terms();
        let is_bounded = |action: &&Arc<str>| !terms.get(*action).is_some_and(|terms| terms.overflows);
        actions.iter().filter(is_bounded).cloned().collect()
    }

    /// Whether a caller waits for a place.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Returns the obstacle to an entry for these actions, apart from the journal's own state.
    pub(crate) fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        let (bounded, state, most) = (self.bounded(actions), self.lock(), self.max_pending);
        let taken = |action: &Arc<str>| {
            let room = state.actions.get(action)?;
            (room.pending + room.reserved >= most).then_some(room.pending)
        };
        let full = bounded.into_iter().find_map(|action| Some((taken(&action)?, action)));
        match full {
            Some((pending, action)) => Some(Obstacle::ActionFull { action, pending, most }),
            None => {
                let open = state.in_memory;
                (open >= IN_MEMORY).then_some(Obstacle::NoPlace { open, ended: 0 })
            }
        }
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.lock().open = open;
        self.room.notify_waiters();
    }

    pub(crate) fn appended<'a>(&self, actions: impl Iterator<Item = &'a Arc<str>>) {
        let mut state = self.lock();
        state.in_memory += 1;
        for action in actions {
            state.actions.entry(action.clone()).or_default().pending += 1;
        }
    }

    pub(crate) fn committed(&self) {
        let mut state = self.lock();
        state.in_memory = state.in_memory.saturating_sub(1);
        drop(state);
        self.room.notify_waiters();
    }

    pub(crate) fn changed(&self, action: &str, by: i64) {
        let mut state = self.lock();
        let room = state.actions.entry(action.into()).or_default();
        room.pending = room.pending.saturating_add_signed(by);
        room.said &= room.pending >= self.max_pending;
        drop(state);
        self.room.notify_waiters();
    }
}

impl GateState {
    /// Promises places for `actions`, as many as those of them allow that are `bounded`. The places count for the others
    /// too: a permit may outlive the terms that it was promised under, and is merged with later ones.
    fn take(
        &mut self,
        max_pending: u64,
        actions: &[Arc<str>],
        bounded: &[Arc<str>],
        at_most: usize,
        ticket: Option<u64>,
    ) -> usize {
        if !self.open {
            return 0;
        }
        let ahead = |state: &Self, action: Option<&Arc<str>>| {
            let before = |waiting: &&Waiter| ticket.is_none_or(|own| waiting.ticket < own);
            let waits = |waiting: &&Waiter| action.is_none_or(|action| waiting.actions.contains(action));
            let could = |waiting: &&Waiter| waiting.actions.iter().all(|a| state.free(max_pending, a) > 0);
            state.waiting.iter().filter(before).filter(waits).filter(could).count()
        };
        let free = IN_MEMORY.saturating_sub(self.in_memory).saturating_sub(ahead(self, None));
        let mut places = u64::try_from(at_most.max(1).min(free)).unwrap_or(0);
        for action in bounded {
            let left = ahead(self, Some(action)) as u64;
            let free = self.free(max_pending, action).saturating_sub(left);
            let room = self.actions.entry(action.clone()).or_default();
            if room.pending >= max_pending && !room.said {
                room.said = true;
                tracing::error!(
                    action.name = &**action,
                    deliveries = room.pending,
                    "max_pending is reached: further messages for this action stay with the broker until some deliveries end",
                );
            }
            places = places.min(free);
        }
        if places == 0 {
            return 0;
        }
        for action in actions {
            self.actions.entry(action.clone()).or_default().reserved += places;
        }
        let places = usize::try_from(places).unwrap_or(0);
        self.in_memory += places;
        debug_assert!(self.in_memory <= IN_MEMORY, "no place is promised beyond the bound");
        places
    }

    fn free(&self, max_pending: u64, action: &Arc<str>) -> u64 {
        self.actions
            .get(action)
            .map_or(max_pending, |room| max_pending.saturating_sub(room.pending + room.reserved))
    }
}

impl PermitStore for ReservedPlaces {
    fn give_back(&self, places: usize) {
        let mut state = self.gate.lock();
        state.in_memory = state.in_memory.saturating_sub(places);
        for action in &self.actions {
            if let Some(room) = state.actions.get_mut(action) {
                room.reserved = room.reserved.saturating_sub(places as u64);
            }
        }
        drop(state);
        self.gate.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::JournalTerms;

    #[test]
    fn a_full_action_stops_only_those_who_need_it() {
        let gate = Arc::new(Gate::new(3, ActionTerms::new()));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let both = [a.clone(), b.clone()];
        let reserve =
            |actions: &[Arc<str>], n| gate.reserve(actions, n).now_or_never().map(|p| (p.places(), p));
        let (places, mut permit) = reserve(&both, 10).unwrap();
        assert_eq!(places, 3);
        assert!(reserve(&both[..1], 1).is_none());
        // One entry for `a` alone: its place in `b` and the unused places return.
        drop(permit.take_one());
        gate.appended([a.clone()].iter());
        drop(permit);
        assert_eq!(reserve(&both[1..], 10).map(|r| r.0), Some(3));
        assert_eq!(reserve(&both, 10).map(|r| r.0), Some(2));
        gate.changed("a", 2);
        assert!(reserve(&both, 1).is_none());
        assert_eq!(reserve(&both[1..], 1).map(|r| r.0), Some(1));
        gate.changed("a", -1);
        assert_eq!(reserve(&both, 10).map(|r| r.0), Some(1));
        gate.set_open(false);
        assert!(reserve(&both[1..], 1).is_none());
        gate.set_open(true);
        assert_eq!(reserve(&both[1..], 1).map(|r| r.0), Some(1));
    }

    /// A listener keeps a place between two looks, while a reload may change `on_full` to and fro.
    #[test]
    fn places_return_whatever_became_of_on_full_meanwhile() {
        let overflowing =
            ActionTerms::from([("a".into(), JournalTerms { overflows: true, ..JournalTerms::default() })]);
        let gate = Arc::new(Gate::new(10, overflowing.clone()));
        let actions: [Arc<str>; 1] = ["a".into()];
        let reserve = |n| gate.reserve(&actions, n).now_or_never();
        let mut kept = reserve(1).unwrap();
        for terms in [ActionTerms::new(), overflowing, ActionTerms::new()] {
            gate.set_terms(terms);
            for _ in 0..10 {
                kept.merge(reserve(9).unwrap());
                kept.keep(1);
            }
            assert!(gate.obstacle(&actions).is_none());
            assert_eq!(reserve(9).unwrap().places(), 9);
        }
        drop(kept);
        assert_eq!(reserve(10).unwrap().places(), 10);
    }

    #[test]
    fn a_caller_that_waits_has_the_next_place_before_one_that_has_enough() {
        let gate = Arc::new(Gate::new(2, ActionTerms::new()));
        let actions: [Arc<str>; 1] = ["a".into()];
        let other: [Arc<str>; 1] = ["b".into()];
        let busy = gate.reserve(&actions, 10).now_or_never().unwrap();
        assert_eq!(busy.places(), 2);
        let waits = gate.reserve(&actions, 10);
        tokio::pin!(waits);
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!(
            gate.obstacle(&actions).unwrap().to_string(),
            "action a has 0 deliveries pending and no place for another (max_pending is 2)"
        );
        drop(busy);
        // Two places are free; one is left for the waiting caller, which does not ask for the other action.
        let greedy = gate.reserve(&actions, 10).now_or_never().unwrap();
        assert_eq!(greedy.places(), 1);
        assert_eq!(gate.reserve(&other, 10).now_or_never().unwrap().places(), 2);
        let served = (&mut waits).now_or_never().unwrap();
        assert_eq!(served.places(), 1);
        assert!(gate.reserve(&actions, 1).now_or_never().is_none());
        drop(greedy);
        // A caller that gave up is left nothing.
        assert_eq!(gate.reserve(&actions, 10).now_or_never().unwrap().places(), 1);
    }
}
