//! `memory://`: nothing outlives the process. A message is acknowledged after its last outcome, and the
//! broker keeps unfinished ones.
//!
//! The broker may deliver a message again while its entry is open, after a broken connection or a cancelled
//! consumer. Such a message *adopts* the open entry: a new receipt, no new event. A message whose entry has
//! just ended is acknowledged without a second event. The course of a returned message is remembered: its first
//! arrival, its attempts, and what has ended. So a message in a requeue loop still uses up its limits, and no wait begins
//! anew.
//!
//! Dead letters are logged as one JSON line each, and so outlive the process. For a listener with a [dead
//! letter queue](MemoryJournal::keep_dead_letters_of), dead letters and unreadable messages first go to the
//! queue. The message is acknowledged after the broker's confirm.
//!
//! This store has twice as many places as the window, so that redelivered messages can adopt entries that are
//! open. Without a dead letter queue, unreadable bodies stay in memory only: nothing in them can be masked
//! reliably.
//!
//! The turn of a lane is decided here and in `letters`; for SQLite in `sqlite/turn.rs`. The conformance suite keeps
//! the stores alike.

mod burials;
mod claims;
mod dead;
mod ends;
mod kept;
mod letters;
mod limits;
mod listing;
mod queries;
mod recent;
mod returned;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use osnl_core::event::{EnrichedValues, Event};
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use self::burials::PendingBurial;
pub use self::burials::{Burial, QueueWork};
pub use self::dead::DeadLetter;
use self::kept::KeptNotification;
pub use self::letters::LetterVisit;
use self::letters::Letters;
pub use self::limits::{MemoryLimits, STAY};
use self::recent::RecentItems;
use self::returned::{DeliveryName, MessageCourse};
use super::begin;
use super::identity::MessageIdentity;
use super::query::RecentDelivery;
use super::store::weight::{Weight, Weights};
use super::{
    AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, JournalState, LearntFacts,
    Obstacle, PausedActions, Permit, PermitStore, Receipt, SentRequest, Settle, Subject, UsedLimits,
};

/// The store of `memory://`: the broker keeps each message until its last outcome.
#[derive(Debug)]
pub struct MemoryJournal {
    /// The bounds, which a reload can only widen.
    limits: Mutex<MemoryLimits>,
    /// The free places for entries.
    places: Arc<Semaphore>,
    /// All entries and deliveries.
    state: Mutex<MemoryState>,
    /// Wakes delivery loops when a delivery may have become claimable.
    claimable: Notify,
    /// The state of the journal, which never changes.
    working: watch::Sender<JournalState>,
    /// The paused actions, until the process ends.
    paused: watch::Sender<PausedActions>,
    counters: Arc<Counters>,
    /// Called with each event that returns to the broker without a delivery loop.
    on_return: Callback<Event>,
    /// Called with each delivery of a guard whose release has arrived.
    on_release: Callback<RecentDelivery>,
    /// Wakes the end of the journal when a dead letter queue has confirmed a letter.
    has_buried: Notify,
}

/// A function that the daemon sets, and the journal calls with its lock held.
struct Callback<T>(Mutex<Option<CallbackFn<T>>>);

/// The function of a [`Callback`].
type CallbackFn<T> = Box<dyn Fn(&T) + Send>;

impl<T> Default for Callback<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Callback<T> {
    fn set(&self, callback: CallbackFn<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(callback);
    }

    /// Calls the function, if there is one, with a value that is made only then.
    fn call(&self, value: impl FnOnce() -> Option<T>) {
        if let Some(callback) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(value) = value()
        {
            callback(&value);
        }
    }
}

impl<T> std::fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callback")
    }
}

/// All that the journal knows, behind one lock.
#[derive(Debug, Default)]
struct MemoryState {
    /// The latest number of an entry or delivery; a later one has a larger number.
    last: u64,
    /// The messages with a delivery that has not ended, by number.
    entries: HashMap<u64, OpenEntry>,
    /// The deliveries that have not ended.
    deliveries: HashMap<DeliveryId, PendingDelivery>,
    /// The lanes of each action.
    actions: HashMap<Arc<str>, ActionLanes>,
    /// The open entry of each message, by which a redelivered message finds it.
    identities: HashMap<MessageIdentity, u64>,
    /// Messages that have ended, whose further copies have no effect.
    finished: RecentItems<MessageIdentity, ()>,
    /// Messages that have returned to the broker, whose limits go on when they come again.
    returned: RecentItems<MessageIdentity, MessageCourse>,
    /// The latest JSON of objects of an enrichment (`kind:id`).
    objects: RecentItems<String, String>,
    /// The letters in dead letter queues, which hold deliveries of their lanes.
    letters: Letters,
    /// Deliveries that leave for a dead letter queue, or whose turn is to be looked at again.
    to_leave: VecDeque<DeliveryId>,
    /// First deliveries of their lanes that wait until letters have left their queue.
    later: Vec<DeliveryId>,
    /// Letters that wait for the confirm of their queue, oldest first.
    burials: VecDeque<PendingBurial>,
    /// Wakes the task that serves the dead letter queues.
    to_bury: Arc<Notify>,
    /// The latest dead letters and unreadable messages without a queue, oldest first.
    dead: VecDeque<DeadLetter>,
    /// The bytes of their bodies.
    dead_bytes: usize,
    /// Actions without a delivery loop: the journal keeps nothing for such an action.
    retired: HashSet<Arc<str>>,
    /// Whether the daemon ends, so that no receipt completes any more.
    closed: bool,
    /// The bytes of all claimed messages, which bound the claims.
    bytes: Arc<AtomicUsize>,
}

/// A message that the broker keeps, because one of its deliveries has not ended.
#[derive(Debug)]
struct OpenEntry {
    received: Arc<ReceivedMessage>,
    /// The decoded message, or the means to decode it again.
    notification: KeptNotification,
    /// The identity by which a copy of the message is known.
    identity: MessageIdentity,
    /// The rule, action and resource of each delivery, including those made later for a given-up delivery.
    wanted: HashSet<DeliveryName>,
    /// The outcomes that are missing; the receipts complete with the last.
    outstanding: usize,
    /// The waits and attempts over all returns of the message.
    course: MessageCourse,
    /// Whether a delivery has returned, with which the message returns.
    returned: bool,
    /// A receipt for each arrival of the message; all complete together.
    receipts: Vec<oneshot::Sender<Settle>>,
    /// The latest arrival, since the broker's patience counts from there.
    unsettled_since: Instant,
    /// The reserved place, which is free again when the entry ends.
    _place: Option<Permit>,
}

/// A delivery that has not ended.
#[derive(Debug)]
struct PendingDelivery {
    /// The number of its entry.
    entry: u64,
    /// The rule that asked for it.
    rule: Arc<str>,
    /// The action that is called.
    action: Arc<str>,
    /// The order key, for listings; `None` if it has none.
    key: Option<String>,
    /// Its lane: it is attempted when it is the first.
    lane: MemoryLane,
    /// The index of the resource in a bulk request; `None` for the whole event.
    resource: Option<u32>,
    /// The id and name of the resource, for listings.
    subject: Subject,
    /// The part of its limits that it has used up.
    used: UsedLimits,
    /// The beginning of its wait.
    since: Instant,
    /// The action whose delivery was given up first, if `on_failure` has made this one, and not a rule.
    giver: Option<Arc<str>>,
    /// The kept enrichments; `None` before the first.
    enriched: Option<Arc<EnrichedValues>>,
    /// Its failed attempts; `None` before the first.
    failed: Option<FailedAttempts>,
    /// The bytes that the claim takes; `None` if it is not claimed.
    claimed: Option<Weight>,
    /// The time of its retry; `None` if it waits for none.
    due: Option<Instant>,
    /// The effect of the broker's next answer about the delivery's letter; `None` if no answer is awaited.
    awaits: Option<Awaited>,
    /// The reason for which a guard holds the delivery.
    held: Option<Box<str>>,
    /// The waiting letter of which the delivery is the copy.
    letter: Option<u64>,
    /// The letter that leaves its queue when this delivery has ended: that of the delivery for which this one was made by
    /// `on_failure`.
    ends_letter: Option<u64>,
}

/// The effect of the broker's answer about a delivery's letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The delivery ends. Until then it keeps its place in the lane.
    Ends,
    /// The delivery waits in the dead letter queue from then on. The lane goes on already.
    Leaves,
}

/// The first and the latest failure of a delivery, for the status.
#[derive(Debug)]
struct FailedAttempts {
    since: SystemTime,
    at: SystemTime,
    answer: Box<str>,
}

/// The lane of a delivery among those of its action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum MemoryLane {
    /// Shared with all deliveries of this key.
    Key(String),
    /// The delivery has no key or no order, so it waits for no other.
    Alone(DeliveryId),
}

/// The lanes of one action: each hands out its first delivery only.
#[derive(Debug)]
struct ActionLanes {
    /// The bytes of the claimed messages of the action.
    weights: Weights,
    /// The deliveries of each lane, oldest first.
    by_key: HashMap<MemoryLane, VecDeque<DeliveryId>>,
    /// Heads of lanes that can be claimed and have not failed.
    claimable: BTreeSet<DeliveryId>,
    /// Heads of lanes that wait for a retry, or whose retry is due.
    waiting: BTreeSet<(Instant, DeliveryId)>,
    /// The deliveries that have ended, by which a listener sees progress.
    ended: u64,
}

impl ActionLanes {
    fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self {
            weights: Weights::new(bytes),
            by_key: HashMap::new(),
            claimable: BTreeSet::new(),
            waiting: BTreeSet::new(),
            ended: 0,
        }
    }
}

impl MemoryJournal {
    #[must_use]
    pub fn new(limits: MemoryLimits, counters: Arc<Counters>) -> Self {
        Self {
            limits: Mutex::new(limits),
            places: Arc::new(Semaphore::new(limits.entries)),
            state: Mutex::default(),
            claimable: Notify::new(),
            working: watch::Sender::new(JournalState::Working),
            paused: watch::Sender::new(PausedActions::new()),
            counters,
            on_return: Callback::default(),
            on_release: Callback::default(),
            has_buried: Notify::new(),
        }
    }

    /// Sets the callback for each delivery that the journal returns to the broker without a delivery loop: it
    /// waited too long for a retry, or too many wait.
    pub fn on_return(&self, callback: Box<dyn Fn(&Event) + Send>) {
        self.on_return.set(callback);
    }

    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn reserve<'a>(&'a self, _actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        Box::pin(async move {
            // The semaphore is never closed, so `acquire` cannot fail; an empty permit would only stop the
            // intake.
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

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        let state = self.lock();
        let concerns =
            |entry: &&OpenEntry| entry.wanted.iter().any(|(_, action, _)| actions.contains(action));
        let open = state.entries.values().filter(concerns).count() + state.parked();
        let ended =
            actions.iter().filter_map(|action| state.actions.get(action)).map(|lanes| lanes.ended).sum();
        (open > 0).then_some(Obstacle::NoPlace { open, ended })
    }

    fn first_arrival(&self, received: &ReceivedMessage, notification: &Notification) -> Option<SystemTime> {
        if !received.origin.redelivered {
            return None;
        }
        let (identity, state) = (MessageIdentity::new(received, notification), self.lock());
        let open = state.identities.get(&identity).and_then(|id| state.entries.get(id));
        open.map(|open| &open.course).or_else(|| state.returned.get(&identity)).map(|course| course.received)
    }

    fn is_crowded(&self, _action: &str) -> bool {
        let state = self.lock();
        state.entries.len() + state.parked() >= self.limits().window
    }

    fn subscribed(&self, listener: &str) {
        self.lock().letters.subscribed(listener);
    }

    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt {
        let identity = MessageIdentity::new(&entry.received, &entry.notification);
        let mut state = self.lock();
        let (sender, receipt) = Receipt::open();
        if state.parks(&entry)
            && let Some(place) = permit.take_one()
        {
            state.park(entry, identity, sender, place);
            return receipt;
        }
        if let Some((_, settle)) = self.keep(&mut state, permit, entry, identity, sender) {
            return Receipt::complete(settle);
        }
        drop(state);
        self.claimable.notify_waiters();
        receipt
    }

    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt {
        begin::count_unreadable(&received, &reason, &self.counters);
        let has_queue = self.lock().has_queue(&received.origin.listener);
        if has_queue {
            return self.bury_unreadable(&received, &reason);
        }
        self.bury(&mut self.lock(), Arc::new(received), reason);
        Receipt::complete(Settle::Acknowledge)
    }

    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>> {
        Box::pin(async move {
            loop {
                // Enabled before the look, so that an append in between is not missed.
                let claimable = self.claimable.notified();
                let claimed = self.lock().claim(action, wanted);
                if !claimed.is_empty() {
                    return claimed;
                }
                claimable.await;
            }
        })
    }

    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str) {
        if let Some(pending) = self.lock().deliveries.get_mut(&delivery) {
            pending.used = used;
            let at = SystemTime::now();
            let since = pending.failed.as_ref().map_or(at, |failed| failed.since);
            pending.failed = Some(FailedAttempts { since, at, answer: answer.into() });
        }
    }

    fn sent(&self, _: DeliveryId, _: u32, _: SentRequest) {}

    fn next_due(&self, action: &str) -> Option<Instant> {
        self.lock().actions.get(action)?.waiting.first().map(|(due, _)| *due)
    }

    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry) {
        let mut state = self.lock();
        state.wait(delivery, &retry);
        self.return_far_ones(&mut state, delivery);
        self.claimable.notify_waiters();
    }

    fn due_now(&self, action: &str) {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let Some(lanes) = state.actions.get_mut(action) else { return };
        for (due, id) in std::mem::take(&mut lanes.waiting) {
            lanes.waiting.insert((due.min(now), id));
            if let Some(pending) = state.deliveries.get_mut(&id) {
                pending.due = Some(due.min(now));
            }
        }
        self.claimable.notify_waiters();
    }

    fn end(&self, delivery: DeliveryId, end: End) {
        self.finish(delivery, &end);
    }

    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()> {
        let mut state = self.lock();
        // A redelivered message makes a new delivery, which may run the enrichment again.
        if let Some(pending) = state.deliveries.get_mut(&delivery) {
            pending.enriched = Some(Arc::new(enriched.clone()));
        }
        for (name, body) in learnt.objects {
            let bytes = name.len() + body.len();
            state.objects.insert(name, body, bytes);
        }
        Box::pin(std::future::ready(()))
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(std::future::ready(self.lock().objects.get(&object.to_owned()).cloned()))
    }

    fn overdue(&self, action: &str) -> Vec<DeliveryId> {
        let mut state = self.lock();
        let now = Instant::now();
        let patience = self.limits().unsettled;
        let overdue = |entry: &OpenEntry| {
            // A message that was requeued with its connection does not wait for this daemon.
            let is_ours = entry.receipts.iter().any(|receipt| !receipt.is_closed());
            is_ours && now.duration_since(entry.unsettled_since) >= patience
        };
        let Some(lanes) = state.actions.get(action) else { return Vec::new() };
        // An overdue follower is returned with its head.
        let heads = lanes.by_key.iter().filter(|(_, ids)| {
            ids.iter().any(|id| {
                let pending = state.deliveries.get(id).filter(|pending| pending.awaits.is_none());
                pending.and_then(|pending| state.entries.get(&pending.entry)).is_some_and(overdue)
            })
        });
        let heads = heads.filter_map(|(lane, _)| state.head(action, lane));
        let heads = heads.filter(|id| state.deliveries.get(id).is_some_and(|head| head.awaits.is_none()));
        let (claimed, mut own): (Vec<_>, Vec<_>) =
            heads.partition(|id| state.deliveries.get(id).is_some_and(|p| p.claimed.is_some()));
        own.sort_unstable();
        own.into_iter().for_each(|id| self.give_back(&mut state, id));
        claimed
    }

    fn withdrawn(&self, _action: &str) -> Vec<DeliveryId> {
        Vec::new()
    }

    fn retired(&self, action: &str) {
        let mut state = self.lock();
        state.retired.insert(action.into());
        let mut idle: Vec<_> = state
            .deliveries
            .iter()
            .filter(|(_, pending)| {
                *pending.action == *action && pending.claimed.is_none() && pending.awaits.is_none()
            })
            .map(|(id, _)| *id)
            .collect();
        idle.sort_unstable();
        idle.into_iter().for_each(|id| self.give_back(&mut state, id));
    }

    fn state(&self) -> watch::Receiver<JournalState> {
        self.working.subscribe()
    }

    fn paused(&self) -> watch::Receiver<PausedActions> {
        self.paused.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.last_burials().await;
            let mut state = self.lock();
            state.closed = true;
            state.drop_receipts();
        })
    }
}

impl MemoryJournal {
    /// Gives the copies of letters the places of their letters: the rules of today may order otherwise.
    fn place_copies(&self, state: &MemoryState, entry: &mut Entry) {
        for new in &mut entry.deliveries {
            match new.letter {
                Some(letter) if state.has_queue(&entry.received.origin.listener) => {
                    if let Some(key) = state.key_of_letter(letter) {
                        new.ordered = key.is_some();
                        new.key = key.or_else(|| new.key.take());
                    }
                    self.announce_release(state, letter);
                }
                Some(_) | None => new.letter = None,
            }
        }
    }

    /// Keeps an entry in a place of the permit. Returns the receipt with its answer if nothing is left to do.
    fn keep(
        &self,
        state: &mut MemoryState,
        permit: &mut Permit,
        mut entry: Entry,
        identity: MessageIdentity,
        sender: oneshot::Sender<Settle>,
    ) -> Option<(oneshot::Sender<Settle>, Settle)> {
        let redelivered = entry.received.origin.redelivered;
        state.check_letters(&mut entry);
        if identity.may_be_copy(redelivered) {
            let open = state.identities.get(&identity).copied();
            if let (true, Some(open)) = (redelivered, open.and_then(|id| state.entries.get_mut(&id))) {
                begin::count_copy(&entry.received, &identity, &self.counters);
                // Closed receipts belong to connections that are gone.
                open.receipts.retain(|receipt| !receipt.is_closed());
                open.receipts.push(sender);
                open.unsettled_since = Instant::now();
                return None;
            }
            // A separate copy can be acknowledged: the open entry keeps the first copy unsettled, and with
            // that the event.
            // A letter may be retried again and again; whether its copy has an effect is seen at the letter.
            let is_finished = match identity.id {
                Some(_) if entry.deliveries.iter().any(|new| new.letter.is_some()) => false,
                Some(_) => state.finished.get(&identity).is_some(),
                // A message without an id is redelivered once.
                None => state.finished.take(&identity).is_some(),
            };
            if open.is_some() || is_finished {
                begin::count_copy(&entry.received, &identity, &self.counters);
                return Some((sender, Settle::Acknowledge));
            }
        }
        let course = if redelivered { state.course_of(&identity) } else { None };
        if let Some(course) = &course {
            course.resume(&mut entry.deliveries);
        }
        let lost =
            entry.deliveries.iter().any(|new| new.begin.is_open() && state.retired.contains(&new.action));
        if lost {
            // The message's rules are being replaced; the next rules decide at its redelivery.
            return Some((sender, Settle::Requeue));
        }
        if state.is_stale_copy(&entry) {
            begin::count_copy(&entry.received, &identity, &self.counters);
            return Some((sender, Settle::Acknowledge));
        }
        self.place_copies(state, &mut entry);
        begin::announce(&entry, |_| None, &self.counters);
        let entry_id = state.next();
        let mut outstanding = entry.deliveries.iter().filter(|new| new.begin.is_open()).count();
        outstanding += self.bury_from_the_start(state, entry_id, &entry);
        if outstanding == 0 {
            state.returned.take(&identity);
            if identity.id.is_some() {
                state.has_finished(identity);
            }
            return Some((sender, Settle::Acknowledge));
        }
        let Entry { received, notification, deliveries } = entry;
        let mut course = course.unwrap_or_else(|| MessageCourse::begin(received.origin.received));
        state.returned.take(&identity);
        let wanted = course.wanted(&deliveries);
        let (used, handed) = (course.used.clone(), std::mem::take(&mut course.handed));
        state.identities.insert(identity.clone(), entry_id);
        state.entries.insert(
            entry_id,
            OpenEntry {
                notification: KeptNotification::new(&received, notification),
                received,
                identity,
                wanted,
                outstanding,
                returned: false,
                course,
                receipts: vec![sender],
                unsettled_since: Instant::now(),
                _place: permit.take_one(),
            },
        );
        state.add_open(entry_id, &deliveries, &used, &handed);
        if state.closed {
            state.drop_receipts();
        }
        None
    }
}

impl MemoryState {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn lanes(&mut self, action: &Arc<str>) -> &mut ActionLanes {
        let bytes = &self.bytes;
        self.actions.entry(action.clone()).or_insert_with(|| ActionLanes::new(bytes.clone()))
    }

    fn remove(&mut self, id: DeliveryId) -> Option<PendingDelivery> {
        let pending = self.deliveries.get(&id)?;
        let was_head = self.head(&pending.action, &pending.lane) == Some(id);
        let pending = self.deliveries.remove(&id)?;
        if let Some(lanes) = self.actions.get_mut(&pending.action) {
            lanes.claimable.remove(&id);
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

    fn settle(&mut self, pending: &PendingDelivery, returned: bool) {
        if let Some(open) = self.entries.get_mut(&pending.entry) {
            open.leaves(pending, returned);
        }
        self.settle_one(pending.entry, returned);
    }

    /// Counts an outcome of an entry, whose receipts complete with the last.
    fn settle_one(&mut self, entry: u64, returned: bool) {
        let Some(open) = self.entries.get_mut(&entry) else { return };
        open.outstanding -= 1;
        open.returned |= returned;
        if open.outstanding > 0 {
            return;
        }
        let Some(mut open) = self.entries.remove(&entry) else { return };
        self.identities.remove(&open.identity);
        let settle = if open.returned { Settle::Requeue } else { Settle::Acknowledge };
        // Without a waiting receipt the connection is gone, and the broker redelivers the message.
        let mut is_unsettled = true;
        for receipt in open.receipts.drain(..) {
            is_unsettled &= receipt.send(settle).is_err();
        }
        // Without an id, another message may have the same bytes; only a redelivered one is surely the same.
        if open.returned {
            self.has_returned(open);
        } else if is_unsettled || open.identity.id.is_some() {
            self.has_finished(open.identity);
        }
    }

    fn has_finished(&mut self, identity: MessageIdentity) {
        let bytes = identity.bytes();
        self.finished.insert(identity, (), bytes);
    }

    fn drop_receipts(&mut self) {
        for open in self.entries.values_mut() {
            open.receipts.clear();
        }
        self.burials.clear();
        self.drop_parked();
    }
}

impl PermitStore for Semaphore {
    fn give_back(&self, places: usize) {
        self.add_permits(places);
    }
}

#[cfg(test)]
mod tests;
