//! The claimable deliveries in memory: a short piece of the queue of each action, and what is claimed.
//!
//! What is committed while the piece is the whole queue goes straight into it, without being read back from
//! the file. Beyond the bound the rest stays in the file, and the writer fetches more when the piece runs out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::journal::{Claimed, DeliveryId};

/// Claimable deliveries kept in memory for an action.
pub(super) const PIECE: usize = 256;
/// With fewer left, more are fetched.
const LOW: usize = PIECE / 4;

#[derive(Debug, Default)]
pub(super) struct Heads {
    lanes: Mutex<HashMap<Arc<str>, Lane>>,
    pub(super) claimable: Notify,
}

#[derive(Debug)]
struct Lane {
    ready: BTreeMap<DeliveryId, Claimed>,
    taken: HashSet<DeliveryId>,
    withdrawn: BTreeSet<DeliveryId>,
    /// There may be claimable ones in the file that are not in `ready`.
    beyond: bool,
    /// The writer has been asked for them.
    asked: bool,
}

impl Lane {
    fn new() -> Self {
        Self {
            ready: BTreeMap::new(),
            taken: HashSet::new(),
            withdrawn: BTreeSet::new(),
            beyond: true,
            asked: false,
        }
    }

    fn knows(&self, id: DeliveryId) -> bool {
        self.ready.contains_key(&id) || self.taken.contains(&id)
    }
}

impl Heads {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims what is in memory, oldest first, and answers whether the writer should fetch more.
    pub(super) fn claim(&self, action: &str, at_most: usize) -> (Vec<Claimed>, bool) {
        let mut lanes = self.lock();
        let lane = lanes.entry(action.into()).or_insert_with(Lane::new);
        let mut claimed = Vec::new();
        while claimed.len() < at_most
            && let Some((id, head)) = lane.ready.pop_first()
        {
            lane.taken.insert(id);
            claimed.push(head);
        }
        let ask = lane.beyond && !lane.asked && lane.ready.len() < LOW;
        lane.asked |= ask;
        (claimed, ask)
    }

    /// Whether what is appended now is likely to have a place in memory when it is committed.
    pub(super) fn expects(&self, action: &str) -> bool {
        self.lock().get(action).is_some_and(|lane| !lane.beyond && lane.ready.len() < PIECE)
    }

    /// What has become claimable is in the file only.
    pub(super) fn is_beyond(&self, action: &str) {
        if let Some(lane) = self.lock().get_mut(action) {
            lane.beyond = true;
        }
    }

    /// Whether a claimable delivery has a place in memory; if not, it is remembered that there is more.
    pub(super) fn has_place(&self, action: &str) -> bool {
        match self.lock().get_mut(action) {
            Some(lane) if !lane.beyond && lane.ready.len() < PIECE => true,
            Some(lane) => {
                lane.beyond = true;
                false
            }
            None => false,
        }
    }

    /// Adds what has become claimable.
    pub(super) fn add(&self, action: &str, claimed: Claimed) {
        if let Some(lane) = self.lock().get_mut(action)
            && !lane.knows(claimed.id)
        {
            lane.ready.insert(claimed.id, claimed);
        }
    }

    /// What the writer need not fetch: how many are known, and whether this one is.
    pub(super) fn known(&self, action: &str) -> HashSet<DeliveryId> {
        let lanes = self.lock();
        let Some(lane) = lanes.get(action) else { return HashSet::new() };
        lane.ready.keys().chain(&lane.taken).copied().collect()
    }

    /// The writer has fetched; `more` are left in the file.
    pub(super) fn fetched(&self, action: &str, heads: Vec<Claimed>, more: bool) {
        if let Some(lane) = self.lock().get_mut(action) {
            for head in heads {
                if !lane.taken.contains(&head.id) {
                    lane.ready.insert(head.id, head);
                }
            }
            lane.beyond = more;
            lane.asked = false;
        }
        self.claimable.notify_waiters();
    }

    /// The writer could not fetch.
    pub(super) fn not_fetched(&self, action: &str) {
        if let Some(lane) = self.lock().get_mut(action) {
            lane.asked = false;
            lane.beyond = true;
        }
    }

    /// The end of a delivery is committed, or it is claimable again.
    pub(super) fn forget(&self, action: &str, id: DeliveryId) {
        let mut lanes = self.lock();
        // One that has been moved is known to the lane it was claimed from.
        for lane in lanes.values_mut() {
            if lane.withdrawn.remove(&id) {
                lane.taken.remove(&id);
            }
        }
        if let Some(lane) = lanes.get_mut(action) {
            lane.taken.remove(&id);
            lane.ready.remove(&id);
        }
    }

    /// What is claimed, of all actions.
    pub(super) fn taken(&self) -> HashSet<DeliveryId> {
        self.lock().values().flat_map(|lane| lane.taken.iter().copied()).collect()
    }

    /// Somebody ended or moved it: whoever has claimed it shall give it back.
    pub(super) fn withdraw(&self, action: &str, id: DeliveryId) {
        if let Some(lane) = self.lock().get_mut(action) {
            lane.ready.remove(&id);
            if lane.taken.contains(&id) {
                lane.withdrawn.insert(id);
            }
        }
        // Wakes the loop, which looks for what it shall give back.
        self.claimable.notify_waiters();
    }

    pub(super) fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        self.lock().get(action).map_or_else(Vec::new, |lane| lane.withdrawn.iter().copied().collect())
    }
}
