//! `memory://`: nothing outlives the process. A message is acknowledged after its last outcome, and the
//! broker keeps unfinished ones.
//!
//! The broker may deliver a message again while its entry is open, after a broken connection or a cancelled
//! consumer. Such a message *adopts* the open entry: a new receipt, no new event. A message whose entry has
//! just ended is acknowledged without a second event. The course of a returned message is remembered: its first
//! arrival, its attempts, what a guard holds, and what has ended. So a message in a requeue loop still uses up its
//! limits, and no wait begins anew.
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
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use osnl_core::attempt::LONGEST_ANSWER;
use osnl_core::epoch;
use osnl_core::event::{EnrichedValues, Event};
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_model::{Notification, cut};
use osnl_transport::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

pub use self::burials::{Burial, QueueWork};
pub use self::dead::DeadLetter;
use self::kept::KeptNotification;
pub use self::letters::LetterVisit;
pub use self::limits::{MemoryLimits, STAY};
use self::returned::MessageCourse;
use self::state::{
    ActionLanes, Awaited, FailedAttempts, MemoryLane, MemoryState, OpenEntry, PendingDelivery,
};
use super::begin;
use super::identity::MessageIdentity;
use super::query::RecentDelivery;
use super::{
    AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, JournalState, LearntFacts,
    Obstacle, PausedActions, Permit, PermitStore, Receipt, SentRequest, Settle, UsedLimits,
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
    /// The metrics of the process.
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

    /// Sets the state, which is otherwise that of a journal that works.
    #[cfg(feature = "sample")]
    pub fn set_state(&self, state: JournalState) {
        self.working.send_replace(state);
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

    fn is_crowded(&self, action: &str) -> bool {
        let state = self.lock();
        state.entries.len() + state.parked() >= self.limits().window || state.has_full_window(action)
    }

    fn subscribed(&self, listener: &str, prefetch: u16) {
        let mut state = self.lock();
        state.letters.subscribed(listener);
        state.windows.entry(listener.into()).or_default().most = Some(prefetch.into());
        // What has returned comes first in the new session.
        state.away.retain(|_, of| **of != *listener);
    }

    fn unsubscribed(&self, listener: &str) {
        let mut state = self.lock();
        self.let_go_of_letters(&mut state, listener);
        drop(state);
        self.claimable.notify_waiters();
    }

    fn active(&self, listener: &str) {
        let mut state = self.lock();
        state.letters.active(listener);
        state.to_bury.notify_waiters();
    }

    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt {
        let identity = MessageIdentity::new(&entry.received, &entry.notification);
        let mut state = self.lock();
        let (sender, receipt) = Receipt::open();
        // A letter that is carried out from its queue has no place.
        if permit.places() > 0 {
            state.letters.arrives(&entry.received.origin.listener);
        }
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
                let (claimed, calls_back) = {
                    let mut state = self.lock();
                    (state.claim(action, wanted), state.calls_back(action))
                };
                if calls_back || !claimed.is_empty() {
                    return claimed;
                }
                claimable.await;
            }
        })
    }

    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str) {
        if let Some(pending) = self.lock().deliveries.get_mut(&delivery) {
            pending.used = used;
            let at = epoch::now();
            let since = pending.failed.as_ref().map_or(at, |failed| failed.since);
            let answer = cut(answer, LONGEST_ANSWER).into();
            pending.failed = Some(FailedAttempts { since, at, answer, class: None, host: None });
        }
    }

    fn aged(&self, delivery: DeliveryId, used: UsedLimits) {
        if let Some(pending) = self.lock().deliveries.get_mut(&delivery) {
            pending.used = used;
        }
    }

    fn sent(&self, delivery: DeliveryId, _: u32, sent: SentRequest) {
        let mut state = self.lock();
        if let Some(failed) = state.deliveries.get_mut(&delivery).and_then(|of| of.failed.as_mut()) {
            (failed.class, failed.host) = (sent.class, sent.host);
        }
    }

    fn next_due(&self, action: &str) -> Option<Instant> {
        self.lock().actions.get(action)?.waiting.first().map(|(due, _)| *due)
    }

    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry) {
        // A wait for a dependency makes no attempt. It is the latest answer of a delivery that has made some.
        if !retry.answer.is_empty() && retry.used.made > 0 {
            self.attempted(delivery, retry.used, &retry.answer);
        }
        let mut state = self.lock();
        if !self.ends_withdrawn(&mut state, delivery) {
            state.wait(delivery, &retry);
            self.return_far_ones(&mut state, delivery);
        }
        self.claimable.notify_waiters();
    }

    fn due_now(&self, action: &str) {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        for pending in state.deliveries.values_mut().filter(|of| *of.action == *action) {
            pending.not_before = None;
            pending.used.uncharge(pending.charged_until.take(), now);
        }
        let Some(lanes) = state.actions.get_mut(action) else { return };
        lanes.hastened = Some(now);
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
        let mut heads: Vec<DeliveryId> = heads.collect();
        heads.sort_unstable();
        let is_claimed = |id: &DeliveryId| state.deliveries.get(id).is_some_and(|p| p.claimed.is_some());
        let (claimed, own): (Vec<_>, Vec<_>) = heads.into_iter().partition(is_claimed);
        own.into_iter().for_each(|id| self.give_back(&mut state, id));
        claimed
    }

    fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        let state = self.lock();
        state.actions.get(action).map_or_else(Vec::new, |lanes| lanes.withdrawn.keys().copied().collect())
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
        // The action that follows by this name attempts them at once.
        if let Some(lanes) = state.actions.get_mut(action) {
            lanes.hastened = Some(Instant::now());
        }
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
            if let Some(open) = open.filter(|_| redelivered) {
                begin::count_copy(&entry.received, &identity, &self.counters);
                state.adopt(open, sender);
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
        // Either the message's rules are being replaced, and the next rules decide at its redelivery; or an earlier message
        // of its lane is on its way back, and this one must not overtake it.
        if lost || (course.is_none() && state.is_behind_returned(&entry)) {
            state.note_unkept(&entry, identity);
            return Some((sender, Settle::Requeue));
        }
        if course.is_some() {
            state.forget_away(&entry);
        }
        if state.is_stale_copy(&entry) {
            begin::count_copy(&entry.received, &identity, &self.counters);
            return Some((sender, Settle::Acknowledge));
        }
        self.place_copies(state, &mut entry);
        let is_back = course.as_ref().is_some_and(|course| course.returns > 0);
        begin::announce(&entry, |_| None, is_back, &self.counters);
        let entry_id = state.next();
        let mut outstanding = entry.deliveries.iter().filter(|new| new.begin.is_open()).count();
        outstanding += self.bury_from_the_start(state, entry_id, &entry);
        if outstanding == 0 {
            state.returned.take(&identity);
            if identity.id.is_some() {
                state.remember_finished(identity);
            }
            return Some((sender, Settle::Acknowledge));
        }
        let Entry { received, notification, deliveries } = entry;
        let mut course = course.unwrap_or_else(|| MessageCourse::begin(received.origin.received));
        state.returned.take(&identity);
        let wanted = course.wanted(&deliveries);
        let (used, handed) = (course.used.clone(), std::mem::take(&mut course.handed));
        state.windows.entry(received.origin.listener.clone()).or_default().open += 1;
        state.identities.insert(identity.clone(), entry_id);
        state.entries.insert(
            entry_id,
            OpenEntry {
                notification: KeptNotification::new(&received, notification),
                received,
                items: state::EntryItems::default(),
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

impl PermitStore for Semaphore {
    fn give_back(&self, places: usize) {
        self.add_permits(places);
    }
}

#[cfg(test)]
mod tests;
