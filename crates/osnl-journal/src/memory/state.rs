//! The state of the journal in memory: open entries, their deliveries, and the lanes of each action.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use osnl_core::attempt::ErrorClass;
use osnl_core::event::EnrichedValues;
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::GuardHold;
use osnl_model::BulkItems;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::burials::PendingBurial;
use super::dead::DeadLetter;
use super::kept::KeptNotification;
use super::letters::Letters;
use super::recent::RecentItems;
use super::returned::{DeliveryName, MessageCourse};
use crate::dead_letters::items_of;
use crate::identity::MessageIdentity;
use crate::store::weight::{Weight, Weights};
use crate::{DeliveryId, Permit, Settle, Subject, UsedLimits};

/// All that the journal knows, behind one lock.
#[derive(Debug, Default)]
pub(super) struct MemoryState {
    /// The latest number of an entry or delivery; a later one has a larger number.
    pub(super) last: u64,
    /// The messages with a delivery that has not ended, by number.
    pub(super) entries: HashMap<u64, OpenEntry>,
    /// The deliveries that have not ended.
    pub(super) deliveries: HashMap<DeliveryId, PendingDelivery>,
    /// The lanes of each action.
    pub(super) actions: HashMap<Arc<str>, ActionLanes>,
    /// The open messages of each listener.
    pub(super) windows: HashMap<Arc<str>, OpenWindow>,
    /// The open entry of each message, by which a redelivered message finds it.
    pub(super) identities: HashMap<MessageIdentity, u64>,
    /// Messages that have ended, whose further copies have no effect.
    pub(super) finished: RecentItems<MessageIdentity, ()>,
    /// Messages that have returned to the broker, whose limits go on when they come again.
    pub(super) returned: RecentItems<MessageIdentity, MessageCourse>,
    /// Lanes whose next message is on its way back to the broker, each with its listener: later messages follow it.
    pub(super) away: HashMap<(Arc<str>, MemoryLane), Arc<str>>,
    /// The latest JSON of objects of an enrichment (`kind:id`).
    pub(super) objects: RecentItems<String, String>,
    /// The letters in dead letter queues, which hold deliveries of their lanes.
    pub(super) letters: Letters,
    /// Deliveries that leave for a dead letter queue, or whose turn is to be looked at again.
    pub(super) to_leave: VecDeque<DeliveryId>,
    /// First deliveries of their lanes that wait until letters have left their queue.
    pub(super) later: Vec<DeliveryId>,
    /// Letters that wait for the confirm of their queue, oldest first.
    pub(super) burials: VecDeque<PendingBurial>,
    /// Wakes the task that serves the dead letter queues.
    pub(super) to_bury: Arc<Notify>,
    /// The latest dead letters and unreadable messages without a queue, oldest first.
    pub(super) dead: VecDeque<DeadLetter>,
    /// The bytes of their bodies.
    pub(super) dead_bytes: usize,
    /// Actions without a delivery loop: the journal keeps nothing for such an action.
    pub(super) retired: HashSet<Arc<str>>,
    /// Whether the daemon ends, so that no receipt completes any more.
    pub(super) closed: bool,
    /// The bytes of all claimed messages, which bound the claims.
    pub(super) bytes: Arc<AtomicUsize>,
}

/// The open messages of a listener.
#[derive(Debug, Default)]
pub(super) struct OpenWindow {
    pub(super) open: usize,
    /// The most of them; `None` before the listener has subscribed.
    pub(super) most: Option<usize>,
}

/// A message that the broker keeps, because one of its deliveries has not ended.
#[derive(Debug)]
pub(super) struct OpenEntry {
    /// The message as received, which a dead letter repeats.
    pub(super) received: Arc<ReceivedMessage>,
    /// The decoded message, or the means to decode it again.
    pub(super) notification: KeptNotification,
    /// The items of a bulk request, of which letters have one each.
    pub(super) items: EntryItems,
    /// The identity by which a copy of the message is known.
    pub(super) identity: MessageIdentity,
    /// The rule, action and resource of each delivery, including those made later for a given-up delivery.
    pub(super) wanted: HashSet<DeliveryName>,
    /// The outcomes that are missing; the receipts complete with the last.
    pub(super) outstanding: usize,
    /// The waits and attempts over all returns of the message.
    pub(super) course: MessageCourse,
    /// Whether a delivery has returned, with which the message returns.
    pub(super) returned: bool,
    /// A receipt for each arrival of the message; all complete together.
    pub(super) receipts: Vec<oneshot::Sender<Settle>>,
    /// The latest arrival, since the broker's patience counts from there.
    pub(super) unsettled_since: Instant,
    /// The reserved place, which is free again when the entry ends.
    pub(super) _place: Option<Permit>,
}

/// The items of a bulk request, found once for all of its letters.
#[derive(Debug, Default)]
pub(super) struct EntryItems(OnceLock<Option<Arc<BulkItems>>>);

impl EntryItems {
    pub(super) fn find(&self, received: &ReceivedMessage) -> Option<&Arc<BulkItems>> {
        self.0.get_or_init(|| items_of(received).map(Arc::new)).as_ref()
    }
}

/// A delivery that has not ended.
#[derive(Debug)]
pub(super) struct PendingDelivery {
    /// The number of its entry.
    pub(super) entry: u64,
    /// The rule that asked for it.
    pub(super) rule: Arc<str>,
    /// The action that is called.
    pub(super) action: Arc<str>,
    /// The order key, for listings; `None` if it has none.
    pub(super) key: Option<String>,
    /// Its lane: it is attempted when it is the first.
    pub(super) lane: MemoryLane,
    /// The index of the resource in a bulk request; `None` for the whole event.
    pub(super) resource: Option<u32>,
    /// The id and name of the resource, for listings.
    pub(super) subject: Subject,
    /// The part of its limits that it has used up.
    pub(super) used: UsedLimits,
    /// The beginning of its wait.
    pub(super) since: Instant,
    /// The action whose delivery was given up first, if `on_failure` has made this one, and not a rule.
    pub(super) giver: Option<Arc<str>>,
    /// The kept enrichments; `None` before the first.
    pub(super) enriched: Option<Arc<EnrichedValues>>,
    /// Its failed attempts; `None` before the first.
    pub(super) failed: Option<FailedAttempts>,
    /// The bytes that the claim takes; `None` if it is not claimed.
    pub(super) claimed: Option<Weight>,
    /// The time of its retry; `None` if it waits for none.
    pub(super) due: Option<Instant>,
    /// The time of the retry for which it waited when its message returned to the broker.
    pub(super) not_before: Option<Instant>,
    /// The end of the pause that the age includes; `None` if it includes none.
    pub(super) charged_until: Option<Instant>,
    /// The effect of the broker's next answer about the delivery's letter; `None` if no answer is awaited.
    pub(super) awaits: Option<Awaited>,
    /// The decision of the guard that holds the delivery.
    pub(super) held: Option<Box<GuardHold>>,
    /// The waiting letter of which the delivery is the copy.
    pub(super) letter: Option<u64>,
    /// The letter that leaves its queue when this delivery has ended: that of the delivery for which this one was made by
    /// `on_failure`.
    pub(super) ends_letter: Option<u64>,
}

/// The effect of the broker's answer about a delivery's letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The delivery ends. Until then it keeps its place in the lane.
    Ends,
    /// The delivery waits in the dead letter queue from then on. The lane goes on already.
    Leaves,
}

/// The reason for which a claimed delivery of a letter is not attempted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// The letter has left its queue: an operator has discarded it, or another daemon has carried it out.
    Gone,
    /// The session has ended in which the delivery was begun: another daemon may begin with the letter.
    Unsubscribed,
}

/// The first and the latest failure of a delivery, for the status.
#[derive(Clone, Debug)]
pub(super) struct FailedAttempts {
    pub(super) since: SystemTime,
    pub(super) at: SystemTime,
    pub(super) answer: Box<str>,
    /// The kind of the latest failure, and the host that the event names; `None` if no call was made.
    pub(super) class: Option<ErrorClass>,
    pub(super) host: Option<String>,
}

/// The lane of a delivery among those of its action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum MemoryLane {
    /// Shared with all deliveries of this key.
    Key(String),
    /// The delivery has no key or no order, so it waits for no other.
    Alone(DeliveryId),
}

/// The lanes of one action: each hands out its first delivery only.
#[derive(Debug)]
pub(super) struct ActionLanes {
    /// The bytes of the claimed messages of the action.
    pub(super) weights: Weights,
    /// The deliveries of each lane, oldest first.
    pub(super) by_key: HashMap<MemoryLane, VecDeque<DeliveryId>>,
    /// Heads of lanes that can be claimed and have not failed.
    pub(super) claimable: BTreeSet<DeliveryId>,
    /// Heads of lanes that wait for a retry, or whose retry is due.
    pub(super) waiting: BTreeSet<(Instant, DeliveryId)>,
    /// The deliveries that have ended, by which a listener sees progress.
    pub(super) ended: u64,
    /// Claimed deliveries that are not attempted again.
    pub(super) withdrawn: BTreeMap<DeliveryId, Withdrawal>,
    /// Whether the loop must still learn of the latest of these.
    pub(super) calls_back: bool,
    /// When the waits for retries were ended last.
    pub(super) hastened: Option<Instant>,
}

impl ActionLanes {
    pub(super) fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self {
            weights: Weights::new(bytes),
            by_key: HashMap::new(),
            claimable: BTreeSet::new(),
            waiting: BTreeSet::new(),
            ended: 0,
            withdrawn: BTreeMap::new(),
            calls_back: false,
            hastened: None,
        }
    }
}

impl MemoryState {
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn lanes(&mut self, action: &Arc<str>) -> &mut ActionLanes {
        let bytes = &self.bytes;
        self.actions.entry(action.clone()).or_insert_with(|| ActionLanes::new(bytes.clone()))
    }

    /// Removes a delivery, and promotes the next of its lane in the same step, so that nothing overtakes it.
    pub(super) fn remove(&mut self, id: DeliveryId) -> Option<PendingDelivery> {
        let pending = self.deliveries.get(&id)?;
        let was_head = self.head(&pending.action, &pending.lane) == Some(id);
        let pending = self.deliveries.remove(&id)?;
        if let Some(lanes) = self.actions.get_mut(&pending.action) {
            lanes.claimable.remove(&id);
            lanes.withdrawn.remove(&id);
            if let Some(due) = pending.due {
                lanes.waiting.remove(&(due, id));
            }
            if let Some(lane) = lanes.by_key.get_mut(&pending.lane) {
                match lane.front() == Some(&id) {
                    true => drop(lane.pop_front()),
                    false => lane.retain(|other| *other != id),
                }
                if lane.is_empty() {
                    lanes.by_key.remove(&pending.lane);
                }
            }
        }
        if was_head && let Some(next) = self.head(&pending.action, &pending.lane) {
            self.promote(next);
        }
        Some(pending)
    }

    /// Adds the receipt of a message that the broker has delivered again while its entry is open.
    pub(super) fn adopt(&mut self, entry: u64, receipt: oneshot::Sender<Settle>) {
        let Some(open) = self.entries.get_mut(&entry) else {
            debug_assert!(false, "the identity of an entry that has ended is forgotten");
            return;
        };
        // Closed receipts belong to connections that are gone.
        open.receipts.retain(|receipt| !receipt.is_closed());
        open.receipts.push(receipt);
        open.unsettled_since = Instant::now();
        self.takes_back(entry);
    }

    /// Counts the outcome of a delivery that was removed; `returned` makes the whole message return to the broker.
    pub(super) fn settle(&mut self, pending: &PendingDelivery, returned: bool) {
        if let Some(open) = self.entries.get_mut(&pending.entry) {
            open.leaves(pending, returned);
        }
        self.settle_one(pending.entry, returned);
    }

    /// Counts an outcome of an entry, whose receipts complete with the last.
    pub(super) fn settle_one(&mut self, entry: u64, returned: bool) {
        let Some(open) = self.entries.get_mut(&entry) else { return };
        debug_assert!(open.outstanding > 0, "the last outcome completes the receipt, and none follows");
        open.outstanding -= 1;
        open.returned |= returned;
        if open.outstanding > 0 {
            return;
        }
        let Some(mut open) = self.entries.remove(&entry) else { return };
        self.identities.remove(&open.identity);
        if let Some(window) = self.windows.get_mut(&open.received.origin.listener) {
            window.open -= 1;
        }
        let settle = if open.returned { Settle::Requeue } else { Settle::Acknowledge };
        // Without a waiting receipt the connection is gone, and the broker redelivers the message.
        let mut is_unsettled = true;
        for receipt in open.receipts.drain(..) {
            is_unsettled &= receipt.send(settle).is_err();
        }
        // Without an id, another message may have the same bytes; only a redelivered one is surely the same.
        if open.returned {
            self.remember_returned(open);
        } else if is_unsettled || open.identity.id.is_some() {
            self.remember_finished(open.identity);
        }
    }

    /// Whether a listener with a delivery of this action is handed no more messages until one of its messages ends.
    pub(super) fn has_full_window(&self, action: &str) -> bool {
        let is_full = |listener: &Arc<str>| {
            let window = self.windows.get(listener);
            let is_full = |of: &OpenWindow, most| of.open + self.parked_of(listener) >= most;
            window.is_some_and(|of| of.most.is_some_and(|most| is_full(of, most)))
        };
        let listener = |of: &PendingDelivery| Some(&self.entries.get(&of.entry)?.received.origin.listener);
        let mut own = self.deliveries.values().filter(|of| *of.action == *action).filter_map(listener);
        self.windows.keys().any(is_full) && own.any(is_full)
    }

    pub(super) fn remember_finished(&mut self, identity: MessageIdentity) {
        let bytes = identity.bytes();
        self.finished.insert(identity, (), bytes);
    }

    pub(super) fn drop_receipts(&mut self) {
        for open in self.entries.values_mut() {
            open.receipts.clear();
        }
        self.burials.clear();
        self.drop_parked();
    }
}
