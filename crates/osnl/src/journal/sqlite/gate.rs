//! How many entries may still come: nothing is read from the broker that could not be kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

use crate::journal::{Permit, Places};

/// Entries that are promised or not yet committed: they are in memory.
const IN_MEMORY: usize = 16 * 1024;

/// The bound of each action, and whether anything may come at all.
#[derive(Debug)]
pub(super) struct Gate {
    max_pending: u64,
    /// Actions that nobody waits for: beyond the bound, what they are to do is a dead letter.
    overflowing: RwLock<BTreeSet<Arc<str>>>,
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug)]
struct State {
    open: bool,
    /// Entries promised, and those appended and not committed.
    in_memory: usize,
    actions: HashMap<Arc<str>, Room>,
}

#[derive(Debug, Default)]
struct Room {
    pending: u64,
    reserved: u64,
    /// Said in the log since it became full.
    said: bool,
}

/// What a permit gives back.
#[derive(Debug)]
struct Reserved {
    gate: Arc<Gate>,
    actions: Vec<Arc<str>>,
}

impl Gate {
    pub(super) fn new(max_pending: u64, overflowing: BTreeSet<Arc<str>>) -> Self {
        let state = State { open: true, in_memory: 0, actions: HashMap::new() };
        let overflowing = RwLock::new(overflowing);
        Self { max_pending, overflowing, state: Mutex::new(state), room: Notify::new() }
    }

    pub(super) fn max_pending(&self) -> u64 {
        self.max_pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overflowing(&self) -> RwLockReadGuard<'_, BTreeSet<Arc<str>>> {
        self.overflowing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, nobody waits for these.
    pub(super) fn set_overflowing(&self, actions: BTreeSet<Arc<str>>) {
        *self.overflowing.write().unwrap_or_else(PoisonError::into_inner) = actions;
        self.room.notify_waiters();
    }

    /// Why one delivery more of an action is a dead letter at once, if it is.
    pub(super) fn overflows(&self, action: &Arc<str>) -> Option<String> {
        if !self.overflowing().contains(action) {
            return None;
        }
        let pending = self.lock().actions.get(action).map_or(0, |room| room.pending);
        (pending >= self.max_pending)
            .then(|| format!("{pending} deliveries are pending, max_pending (on_full = dead_letter)"))
    }

    pub(super) async fn reserve(self: &Arc<Self>, actions: &[Arc<str>], at_most: usize) -> Permit {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Armed before looking, so that what is given back in between is not missed.
            room.as_mut().enable();
            let bounded: Vec<Arc<str>> = {
                let overflowing = self.overflowing();
                actions.iter().filter(|action| !overflowing.contains(*action)).cloned().collect()
            };
            let places = self.lock().take(self.max_pending, &bounded, at_most);
            if places > 0 {
                let from = Reserved { gate: self.clone(), actions: bounded };
                return Permit::new(places, Arc::new(from));
            }
            room.await;
        }
    }

    /// Lets entries in, or not.
    pub(super) fn set_open(&self, open: bool) {
        self.lock().open = open;
        self.room.notify_waiters();
    }

    /// An entry is on its way into the file.
    pub(super) fn appended<'a>(&self, actions: impl Iterator<Item = &'a Arc<str>>) {
        let mut state = self.lock();
        state.in_memory += 1;
        for action in actions {
            state.actions.entry(action.clone()).or_default().pending += 1;
        }
    }

    /// An entry left memory.
    pub(super) fn committed(&self) {
        let mut state = self.lock();
        state.in_memory = state.in_memory.saturating_sub(1);
        drop(state);
        self.room.notify_waiters();
    }

    /// Deliveries came to be pending, or ceased to be.
    pub(super) fn changed(&self, action: &str, by: i64) {
        let mut state = self.lock();
        let room = state.actions.entry(action.into()).or_default();
        room.pending = room.pending.saturating_add_signed(by);
        room.said &= room.pending >= self.max_pending;
        drop(state);
        self.room.notify_waiters();
    }
}

impl State {
    fn take(&mut self, max_pending: u64, actions: &[Arc<str>], at_most: usize) -> usize {
        if !self.open {
            return 0;
        }
        let mut places =
            u64::try_from(at_most.max(1).min(IN_MEMORY.saturating_sub(self.in_memory))).unwrap_or(0);
        for action in actions {
            let room = self.actions.entry(action.clone()).or_default();
            let free = max_pending.saturating_sub(room.pending + room.reserved);
            if room.pending >= max_pending && !room.said {
                room.said = true;
                tracing::error!(
                    action.name = &**action,
                    deliveries = room.pending,
                    "max_pending is reached: what this action's rules want is left with the broker until some are delivered",
                );
            }
            places = places.min(free);
        }
        for action in actions {
            self.actions.entry(action.clone()).or_default().reserved += places;
        }
        let places = usize::try_from(places).unwrap_or(0);
        self.in_memory += places;
        places
    }
}

impl Places for Reserved {
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

    #[test]
    fn a_full_action_stops_only_those_who_need_it() {
        let gate = Arc::new(Gate::new(3, BTreeSet::new()));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let both = [a.clone(), b.clone()];
        let reserve =
            |actions: &[Arc<str>], n| gate.reserve(actions, n).now_or_never().map(|p| (p.places(), p));
        let (places, mut permit) = reserve(&both, 10).unwrap();
        assert_eq!(places, 3);
        assert!(reserve(&both[..1], 1).is_none());
        // One entry for `a` alone: its place in `b` comes back, and that of the unused ones.
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
}
