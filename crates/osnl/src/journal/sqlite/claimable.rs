//! The claimable deliveries in memory: a short piece of the queue of each action, and what is claimed.
//!
//! What is committed while the piece is the whole queue goes straight into it, without being read back from
//! the file. Beyond the bound the rest stays in the file, and the writer fetches more when the piece runs out. Deliveries
//! that wait for a retry are in the file only, until they are due.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::journal::share::Share;
use crate::journal::{Claimed, DeliveryId};

/// Claimable deliveries kept in memory for an action, of each kind.
pub(super) const PIECE: usize = 256;
/// With fewer left, more are fetched.
const LOW: usize = PIECE / 4;

#[derive(Debug, Default)]
pub(super) struct Claimable {
    queues: Mutex<Queues>,
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    by_action: HashMap<Arc<str>, Queue>,
    /// While a change is being made nothing is claimed: what the change sees as claimed is all that is.
    frozen: bool,
}

/// What is in memory of one action.
#[derive(Debug)]
struct Queue {
    /// Those that have never failed, in order of arrival.
    fresh: BTreeMap<DeliveryId, Claimed>,
    /// Those whose retry is due, longest due first.
    due: BTreeMap<(i64, DeliveryId), Claimed>,
    taken: HashSet<DeliveryId>,
    withdrawn: BTreeSet<DeliveryId>,
    /// The loop has not been told of the latest of these.
    calls_back: bool,
    /// There may be claimable ones in the file that are not in `fresh`.
    beyond: bool,
    /// The writer has been asked for them.
    asked: bool,
    /// The earliest moment at which something in the file is due that is not in `due`.
    next_due: Option<i64>,
    /// The writer has been asked for what is due.
    due_asked: bool,
    /// Claims that have ended with a retry which is not committed yet, and when each is due.
    uncommitted: HashMap<DeliveryId, i64>,
    share: Share,
}

impl Queue {
    fn new() -> Self {
        Self {
            fresh: BTreeMap::new(),
            due: BTreeMap::new(),
            taken: HashSet::new(),
            withdrawn: BTreeSet::new(),
            calls_back: false,
            beyond: true,
            asked: false,
            next_due: Some(0),
            due_asked: false,
            uncommitted: HashMap::new(),
            share: Share::default(),
        }
    }

    fn knows(&self, id: DeliveryId) -> bool {
        self.fresh.contains_key(&id) || self.taken.contains(&id)
    }

    fn waits_until(&mut self, due: i64) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    fn next_due(&self) -> Option<i64> {
        self.next_due.into_iter().chain(self.uncommitted.values().copied()).min()
    }

    /// Answers whether it was claimed.
    fn forget(&mut self, id: DeliveryId) -> bool {
        if self.taken.remove(&id) {
            self.withdrawn.remove(&id);
            self.uncommitted.remove(&id);
            return true;
        }
        if self.fresh.remove(&id).is_none() {
            self.due.retain(|(_, other), _| *other != id);
        }
        false
    }
}

/// What a claim wants the writer to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) fresh: bool,
    pub(super) due: bool,
}

impl Ask {
    pub(super) fn is_any(self) -> bool {
        self.fresh || self.due
    }
}

impl Claimable {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims what is in memory, and answers what the writer should fetch; `None` while nothing can be claimed.
    pub(super) fn claim(&self, action: &str, at_most: usize, now: i64) -> (Option<Vec<Claimed>>, Ask) {
        let mut queues = self.lock();
        if queues.frozen {
            return Default::default();
        }
        let queue = queues.by_action.entry(action.into()).or_insert_with(Queue::new);
        if std::mem::take(&mut queue.calls_back) {
            return (Some(Vec::new()), Ask::default());
        }
        let (fresh, due) = queue.share.of(at_most, queue.fresh.len(), queue.due.len());
        let due = std::iter::from_fn(|| queue.due.pop_first()).take(due).map(|(_, claimed)| claimed);
        let mut claimed: Vec<Claimed> = due.collect();
        claimed
            .extend(std::iter::from_fn(|| queue.fresh.pop_first()).take(fresh).map(|(_, claimed)| claimed));
        queue.taken.extend(claimed.iter().map(|claimed| claimed.id));
        let ask = Ask {
            fresh: queue.beyond && !queue.asked && queue.fresh.len() < LOW,
            due: !queue.due_asked && queue.due.len() < LOW && queue.next_due().is_some_and(|due| due <= now),
        };
        queue.asked |= ask.fresh;
        queue.due_asked |= ask.due;
        ((!claimed.is_empty()).then_some(claimed), ask)
    }

    /// When something of an action becomes due that a claim would not find now.
    pub(super) fn next_due(&self, action: &str) -> Option<i64> {
        let queues = self.lock();
        // What is being fetched wakes the claim.
        queues.by_action.get(action).filter(|queue| !queue.due_asked && queue.due.is_empty())?.next_due()
    }

    /// A claim ends with a retry, as soon as that is committed.
    pub(super) fn retries(&self, id: DeliveryId, due: i64) {
        let mut queues = self.lock();
        if let Some(queue) = queues.by_action.values_mut().find(|queue| queue.taken.contains(&id)) {
            queue.uncommitted.insert(id, due);
        }
    }

    /// Something of an action is due then.
    pub(super) fn waits_until(&self, action: &str, due: i64) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.waits_until(due);
        }
    }

    /// Whether what is appended now is likely to have a place in memory when it is committed.
    pub(super) fn expects(&self, action: &str) -> bool {
        self.lock().by_action.get(action).is_some_and(|queue| !queue.beyond && queue.fresh.len() < PIECE)
    }

    /// What has become claimable is in the file only.
    pub(super) fn is_beyond(&self, action: &str) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.beyond = true;
        }
    }

    /// Whether a claimable delivery has a place in memory; if not, it is remembered that there is more.
    pub(super) fn has_place(&self, action: &str) -> bool {
        match self.lock().by_action.get_mut(action) {
            Some(queue) if !queue.beyond && queue.fresh.len() < PIECE => true,
            Some(queue) => {
                queue.beyond = true;
                false
            }
            None => false,
        }
    }

    /// Adds what has become claimable.
    pub(super) fn add(&self, action: &str, claimed: Claimed) {
        if let Some(queue) = self.lock().by_action.get_mut(action)
            && !queue.knows(claimed.id)
        {
            queue.fresh.insert(claimed.id, claimed);
        }
    }

    /// What the writer need not fetch.
    pub(super) fn known(&self, action: &str) -> HashSet<DeliveryId> {
        let queues = self.lock();
        let Some(queue) = queues.by_action.get(action) else { return HashSet::new() };
        let due = queue.due.keys().map(|(_, id)| id);
        queue.fresh.keys().chain(due).chain(&queue.taken).copied().collect()
    }

    /// The writer has fetched; `more` are left in the file.
    pub(super) fn fetched(&self, action: &str, fresh: Vec<Claimed>, more: bool) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            for claimed in fresh {
                if !queue.taken.contains(&claimed.id) {
                    queue.fresh.insert(claimed.id, claimed);
                }
            }
            queue.beyond = more;
            queue.asked = false;
        }
        self.changed.notify_waiters();
    }

    /// The writer has fetched what is due; the next in the file is due then.
    pub(super) fn fetched_due(&self, action: &str, due: Vec<(i64, Claimed)>, next: Option<i64>) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            for (at, claimed) in due {
                if !queue.taken.contains(&claimed.id) {
                    queue.due.insert((at, claimed.id), claimed);
                }
            }
            queue.next_due = next;
            queue.due_asked = false;
        }
        self.changed.notify_waiters();
    }

    /// The writer could not fetch.
    pub(super) fn not_fetched(&self, action: &str) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.asked = false;
            queue.beyond = true;
            queue.due_asked = false;
            queue.waits_until(0);
        }
    }

    /// The end of a claim is committed; the delivery is of that action, as far as is known.
    pub(super) fn forget(&self, action: Option<&str>, id: DeliveryId) {
        let mut queues = self.lock();
        let own = action.and_then(|action| queues.by_action.get_mut(action));
        if !own.is_some_and(|queue| queue.forget(id)) {
            // One that has been moved is known to the queue it was claimed from.
            for queue in queues.by_action.values_mut() {
                queue.forget(id);
            }
        }
    }

    /// Nothing is claimed until [`thaw`](Self::thaw); answers what is claimed, of all actions.
    pub(super) fn freeze(&self) -> HashSet<DeliveryId> {
        let mut queues = self.lock();
        queues.frozen = true;
        queues.by_action.values().flat_map(|queue| queue.taken.iter().copied()).collect()
    }

    pub(super) fn thaw(&self) {
        self.lock().frozen = false;
        self.changed.notify_waiters();
    }

    /// It is not to be attempted as it was: a claim of it shall be given back.
    pub(super) fn withdraw(&self, action: &str, id: DeliveryId) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fresh.remove(&id);
            queue.due.retain(|(_, other), _| *other != id);
            if queue.taken.contains(&id) {
                queue.calls_back |= queue.withdrawn.insert(id);
            }
        }
        // Wakes the loop, which looks for what it shall give back.
        self.changed.notify_waiters();
    }

    pub(super) fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        let queues = self.lock();
        queues.by_action.get(action).map_or_else(Vec::new, |queue| queue.withdrawn.iter().copied().collect())
    }

    /// Nothing of an action is claimed any more: what is in memory of it is dropped, but for what is claimed.
    pub(super) fn retire(&self, action: &str) {
        if let Some(queue) = self.lock().by_action.get_mut(action) {
            queue.fresh.clear();
            queue.due.clear();
            queue.beyond = true;
            queue.waits_until(0);
        }
    }
}
