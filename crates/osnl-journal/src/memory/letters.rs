//! Deliveries that wait in the dead letter queue of their listener, and hold later deliveries of their action and
//! resource: beyond a guard, dead with `on_dead = hold_key`, or behind another such delivery.
//!
//! The queue is the memory of these letters, and outlives the daemon. The journal has a table of them:
//!
//! - A listener with a guard or `hold_key` *gates*: a message of a new session is parked until the dead letter queue of
//!   the listener has been read once, since another daemon may have filled the queue. Only then can the journal tell whose turn it is.
//! - A delivery leaves for the queue when all earlier ones of its lane have ended, leave too, or are copies of letters
//!   that are carried out before it. Their messages go to the queue in the order of their places.
//! - An operator's release or retry publishes a copy of the letter to the source queue. The letter stays, and with it
//!   the hold, until the delivery made of the copy has ended. So a daemon that dies in between finds the letter, and
//!   nothing of the resource has overtaken it. A copy whose letter is gone has had its effect, and is acknowledged.
//! - A letter at the front that waits behind nothing any more is sent back by the daemon in the same way.
//!
//! A queue with more letters than one reading takes is known in part. Until it is known whole, each delivery of a
//! gating listener waits behind the letters that were not read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use osnl_transport::QueuedMessage;
use tokio::sync::oneshot;

use super::burials::{AfterBurial, Ending};
use super::{Awaited, MemoryJournal, MemoryLane, MemoryState, PendingDelivery};
use crate::dead_letters::{GivenUp, LetterWait, WaitingLetter};
use crate::identity::MessageIdentity;
use crate::query::{HeldCause, RecentDelivery, RowState};
use crate::{DeliveryId, End, Entry, Permit, Settle};

/// The most letters of one lane whose copies are on their way at once: the copies of a daemon that dies are sent anew.
const AHEAD: usize = 32;
/// The most letters that are made with one lock of the journal.
const TOGETHER: usize = 100;

/// The letters known, and the listeners whose dead letter queues have them.
#[derive(Debug, Default)]
pub(super) struct Letters {
    listeners: HashMap<Arc<str>, ListenerLetters>,
    /// The listeners whose rules have a guard, or call actions with `hold_key`.
    gating: HashSet<Arc<str>>,
    /// The letters of each action and key, in their places.
    lanes: HashMap<Arc<str>, HashMap<String, Vec<TableLetter>>>,
    /// The action and key of each of these.
    index: HashMap<u64, (Arc<str>, String)>,
    /// The letters without a key, which hold no other delivery.
    alone: HashMap<u64, TableLetter>,
    /// Keys whose first letter may have become free.
    freed: BTreeSet<(Arc<str>, String)>,
    /// Letters whose delivery has ended, and that are to leave their queue.
    removals: VecDeque<LetterRemoval>,
    last_place: u64,
}

#[derive(Debug)]
struct TableLetter {
    listener: Arc<str>,
    letter: WaitingLetter,
    stage: LetterStage,
}

/// How far a letter is on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LetterStage {
    #[default]
    Waits,
    /// An operator has let it go, and its copy has arrived before its turn.
    LetGo,
    /// A copy is on its way that this daemon has published.
    Sent,
    /// The delivery of its copy has ended, and only the queue still has the letter.
    Done,
}

impl TableLetter {
    fn is_done(&self) -> bool {
        self.stage == LetterStage::Done
    }

    /// Whether the daemon alone carries the letter out when all earlier letters of the lane are done.
    fn is_free(&self) -> bool {
        match self.stage {
            LetterStage::Waits => self.letter.why == LetterWait::Behind,
            LetterStage::LetGo | LetterStage::Sent => true,
            LetterStage::Done => false,
        }
    }

    /// Whether a copy is to be published.
    fn is_to_send(&self) -> bool {
        self.is_free() && self.stage != LetterStage::Sent
    }
}

/// The dead letter queue of one listener, as far as the journal knows it.
#[derive(Debug, Default)]
struct ListenerLetters {
    known: KnownLetters,
    /// The number of requests to read the queue, and of those that a reading has answered.
    asked: u64,
    answered: u64,
    parked: VecDeque<ParkedEntry>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KnownLetters {
    #[default]
    None,
    /// More letters waited than one reading takes.
    Part,
    Whole,
}

/// An entry that waits until the letters of its listener are known.
#[derive(Debug)]
struct ParkedEntry {
    entry: Entry,
    identity: MessageIdentity,
    receipt: oneshot::Sender<Settle>,
    place: Permit,
    /// The request that a reading has to answer before the entry is kept.
    asked: u64,
}

#[derive(Debug)]
struct LetterRemoval {
    listener: Arc<str>,
    letter: u64,
    /// Whether a newer letter of the same number has been put into the queue, and stays.
    is_replaced: bool,
    then: AfterRemoval,
}

/// The part of an entry that ends when a letter has left its queue.
#[derive(Clone, Debug)]
enum AfterRemoval {
    Delivery(DeliveryId, End),
    /// A delivery of this entry has ended, or was a dead letter from the start.
    Entry(u64),
}

/// The work that the journal has for the dead letter queue of one listener, in one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterVisit {
    /// The numbers of letters that leave the queue, and whether a newer letter of the number stays.
    pub remove: BTreeMap<u64, bool>,
    /// The numbers of letters of which copies are published to the source queue.
    pub send_back: BTreeSet<u64>,
    /// The latest request that a reading from now on answers.
    asked: u64,
}

/// The decision about a delivery that has become the first of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Attempt,
    Wait(LetterWait),
    /// A letter of this delivery, which no lane holds, may be among those that wait.
    Look,
    /// All letters of the lane are done. Once these have left their queue, the delivery is attempted.
    Later,
    /// The copy of a letter that is not the first any more, or not yet: the letter stays, and is sent again.
    NotYet(u64),
}

impl Letters {
    fn lane(&self, action: &str, key: &str) -> Option<&Vec<TableLetter>> {
        self.lanes.get(action)?.get(key)
    }

    fn all(&self) -> impl Iterator<Item = &TableLetter> {
        self.lanes.values().flat_map(HashMap::values).flatten().chain(self.alone.values())
    }

    fn find(&self, id: u64) -> Option<&TableLetter> {
        let in_lane = || {
            let (action, key) = self.index.get(&id)?;
            self.lane(action, key)?.iter().find(|known| known.letter.id == id)
        };
        self.alone.get(&id).or_else(in_lane)
    }

    /// Returns the letter of an earlier arrival of the same message. Two messages may have one id and different bodies,
    /// and without an id only a redelivered message is surely the same.
    fn earlier(&self, letter: &WaitingLetter, has_id: bool, is_redelivered: bool) -> Option<&WaitingLetter> {
        let is_same = |known: &&TableLetter| {
            let known = &known.letter;
            known.action == letter.action
                && known.effect == letter.effect
                // The lower half is a hash of id, digest, and effect.
                && if has_id { known.id as u32 == letter.id as u32 } else { is_redelivered }
        };
        let found = match &letter.key {
            Some(key) => self.lane(&letter.action, key)?.iter().find(is_same),
            None => self.alone.values().find(is_same),
        };
        found.map(|known| &known.letter)
    }

    /// Returns whether a letter is the first of its lane.
    fn is_first(&self, id: u64) -> bool {
        let lane = self.index.get(&id).and_then(|(action, key)| self.lane(action, key));
        let first = lane.and_then(|lane| lane.iter().find(|known| !known.is_done()));
        first.is_some_and(|first| first.letter.id == id)
    }

    /// Returns whether a letter of the lane is carried out later than these.
    fn waits_beyond(&self, action: &str, key: &str, these: &[u64]) -> bool {
        let mut lane = self.lane(action, key).into_iter().flatten();
        lane.any(|known| !known.is_done() && !these.contains(&known.letter.id))
    }

    /// Notes how far a letter is; a letter that is done stays so.
    fn set_stage(&mut self, id: u64, stage: LetterStage) {
        let Self { index, lanes, alone, freed, .. } = self;
        let place = index.get(&id);
        let lane = place.and_then(|(action, key)| lanes.get_mut(action)?.get_mut(key));
        let in_lane = lane.and_then(|lane| lane.iter_mut().find(|known| known.letter.id == id));
        if let Some(known) = alone.get_mut(&id).or(in_lane).filter(|known| !known.is_done()) {
            known.stage = stage;
        }
        freed.extend(place.cloned());
    }

    /// Returns the place of a letter that replaces another, or a new one.
    pub(super) fn place_for(&mut self, former: Option<u64>) -> u64 {
        let former = former.and_then(|letter| self.find(letter)).map(|known| known.letter.place);
        former.unwrap_or_else(|| self.next_place())
    }

    fn next_place(&mut self) -> u64 {
        // Later than the letters of a queue that was read in part, also if another daemon has put them there.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last_place = (self.last_place + 1).max(u64::try_from(now).unwrap_or_default());
        self.last_place
    }

    fn insert(&mut self, listener: Arc<str>, letter: WaitingLetter, stage: LetterStage) {
        self.last_place = self.last_place.max(letter.place);
        let Some(key) = letter.key.clone() else {
            self.alone.insert(letter.id, TableLetter { listener, letter, stage });
            return;
        };
        self.freed.insert((letter.action.clone(), key.clone()));
        self.index.insert(letter.id, (letter.action.clone(), key.clone()));
        let lane = self.lanes.entry(letter.action.clone()).or_default().entry(key).or_default();
        lane.retain(|known| known.letter.id != letter.id);
        let at = lane.partition_point(|known| known.letter.place <= letter.place);
        lane.insert(at, TableLetter { listener, letter, stage });
    }

    /// Forgets the letters of a listener, before those that its queue has now are noted.
    fn forget(&mut self, listener: &str) {
        self.alone.retain(|_, known| *known.listener != *listener);
        for (action, lanes) in &mut self.lanes {
            for (key, lane) in &mut *lanes {
                let before = lane.len();
                lane.retain(|known| *known.listener != *listener);
                if lane.len() < before {
                    self.freed.insert((action.clone(), key.clone()));
                }
            }
            lanes.retain(|_, lane| !lane.is_empty());
        }
        let lanes = &self.lanes;
        self.index.retain(|id, (action, key)| {
            let lane = lanes.get(action).and_then(|lanes| lanes.get(key));
            lane.is_some_and(|lane| lane.iter().any(|known| known.letter.id == *id))
        });
    }

    pub(super) fn subscribed(&mut self, listener: &str) {
        if let Some(of) = self.listeners.get_mut(listener) {
            of.known = KnownLetters::None;
        }
    }

    /// Decides about the first delivery of a lane; `follows` is whether an earlier one is leaving for the queue.
    fn turn(&self, listener: &str, pending: &PendingDelivery, follows: bool) -> Turn {
        let Some(known) = self.listeners.get(listener) else { return Turn::Attempt };
        let lane = match &pending.lane {
            MemoryLane::Key(key) => self.lane(&pending.action, key),
            MemoryLane::Alone(_) => None,
        };
        let first = lane.and_then(|lane| lane.iter().find(|known| !known.is_done()));
        if let Some(letter) = pending.letter {
            let is_first = match &pending.lane {
                MemoryLane::Key(_) => first.is_some_and(|first| first.letter.id == letter),
                MemoryLane::Alone(_) => self.alone.contains_key(&letter),
            };
            return if is_first { Turn::Attempt } else { Turn::NotYet(letter) };
        }
        if pending.held.is_some() {
            return Turn::Wait(LetterWait::Guard);
        }
        if follows || first.is_some() || (known.known == KnownLetters::Part && self.gating.contains(listener))
        {
            return Turn::Wait(LetterWait::Behind);
        }
        match &pending.lane {
            MemoryLane::Key(_) if lane.is_some() => Turn::Later,
            MemoryLane::Alone(_)
                if self.alone.values().any(|known| known.letter.action == pending.action) =>
            {
                Turn::Look
            }
            MemoryLane::Alone(_) | MemoryLane::Key(_) => Turn::Attempt,
        }
    }
}

impl MemoryState {
    /// Returns the first delivery of a lane that does not leave for the dead letter queue.
    pub(super) fn head(&self, action: &str, lane: &MemoryLane) -> Option<DeliveryId> {
        let mut lane = self.actions.get(action)?.by_key.get(lane)?.iter();
        lane.find(|id| self.deliveries.get(id).is_some_and(|other| other.awaits != Some(Awaited::Leaves)))
            .copied()
    }

    /// Notes that a delivery is the first of its lane: it can be claimed, or leaves for the dead letter queue.
    pub(super) fn promote(&mut self, id: DeliveryId) {
        if self.turn(id) == Some(Turn::Attempt) {
            self.can_claim(id);
        } else {
            self.looks_at(id);
        }
    }

    /// Notes that a delivery may leave for the dead letter queue, though it is not the first of its lane.
    pub(super) fn follow(&mut self, id: DeliveryId) {
        if matches!(self.turn(id), Some(Turn::Wait(_))) {
            self.looks_at(id);
        }
    }

    fn looks_at(&mut self, id: DeliveryId) {
        self.to_leave.push_back(id);
        self.to_bury.notify_waiters();
    }

    /// Decides about a delivery; `None` while an earlier one of its lane decides.
    fn turn(&self, id: DeliveryId) -> Option<Turn> {
        let pending = self.deliveries.get(&id)?;
        let listener = &self.entries.get(&pending.entry)?.received.origin.listener;
        let MemoryLane::Key(key) = &pending.lane else {
            return Some(self.letters.turn(listener, pending, false));
        };
        let (mut copies, mut follows) = (Vec::new(), false);
        for earlier in self.actions.get(&pending.action)?.by_key.get(&pending.lane)? {
            if *earlier == id {
                break;
            }
            let earlier = self.deliveries.get(earlier)?;
            match earlier.letter {
                _ if earlier.awaits == Some(Awaited::Leaves) => follows = true,
                Some(letter) if earlier.awaits.is_none() => copies.push(letter),
                Some(_) | None => return None,
            }
        }
        if copies.is_empty() {
            return Some(self.letters.turn(listener, pending, follows));
        }
        let leaves =
            pending.letter.is_none() && (follows || self.letters.waits_beyond(&pending.action, key, &copies));
        leaves.then_some(Turn::Wait(match pending.held {
            Some(_) => LetterWait::Guard,
            None => LetterWait::Behind,
        }))
    }

    pub(super) fn is_head(&self, id: DeliveryId) -> bool {
        let pending = self.deliveries.get(&id);
        pending.is_some_and(|pending| self.head(&pending.action, &pending.lane) == Some(id))
    }

    /// Looks at the deliveries behind one that leaves for the dead letter queue.
    fn go_on_behind(&mut self, id: DeliveryId, was_head: bool) {
        let Some(pending) = self.deliveries.get(&id) else { return };
        let (action, lane) = (pending.action.clone(), pending.lane.clone());
        if was_head && let Some(head) = self.head(&action, &lane) {
            self.promote(head);
        }
        let lanes = self.actions.get(&action).and_then(|lanes| lanes.by_key.get(&lane));
        let next = lanes.and_then(|lane| lane.iter().copied().find(|other| *other > id));
        if let Some(next) = next {
            self.follow(next);
        }
    }

    /// Returns the letter of a delivery that waits.
    fn letter_of(&self, id: DeliveryId, why: LetterWait, place: u64) -> Option<QueuedMessage> {
        let pending = self.deliveries.get(&id)?;
        let open = self.entries.get(&pending.entry)?;
        let given_up = GivenUp {
            received: &open.received,
            head: open.notification.head(),
            rule: &pending.rule,
            action: &pending.action,
            key: pending.lane_key(),
            resource: pending.resource,
            subject: &pending.subject,
            used: pending.used,
            reason: pending.held.as_deref().unwrap_or("an earlier delivery of the resource waits"),
            id: None,
            wait: Some((why, place)),
        };
        Some(given_up.message())
    }

    fn can_claim(&mut self, id: DeliveryId) {
        if let Some(action) = self.deliveries.get(&id).map(|pending| pending.action.clone()) {
            self.lanes(&action).claimable.insert(id);
        }
    }

    /// Returns whether the entry has to wait until the letters of its listener are known.
    pub(super) fn parks(&self, entry: &Entry) -> bool {
        let listener = &entry.received.origin.listener;
        let Some(of) = self.letters.listeners.get(listener) else { return false };
        let is_unknown =
            |new: &crate::NewDelivery| new.letter.is_some_and(|letter| self.letters.find(letter).is_none());
        !of.parked.is_empty()
            || (of.known == KnownLetters::None && self.letters.gating.contains(listener))
            || entry.deliveries.iter().any(is_unknown)
    }

    pub(super) fn park(
        &mut self,
        entry: Entry,
        identity: MessageIdentity,
        receipt: oneshot::Sender<Settle>,
        place: Permit,
    ) {
        if let Some(of) = self.letters.listeners.get_mut(&entry.received.origin.listener) {
            of.asked += 1;
            let asked = of.asked;
            of.parked.push_back(ParkedEntry { entry, identity, receipt, place, asked });
            self.to_bury.notify_waiters();
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.letters.listeners.values().map(|of| of.parked.len()).sum()
    }

    /// Returns whether the entry is the copy of a letter that is gone: it has had its effect, or was discarded.
    pub(super) fn is_stale_copy(&self, entry: &Entry) -> bool {
        let is_served = self.letters.listeners.contains_key(&entry.received.origin.listener);
        let mut letters = entry.deliveries.iter().filter_map(|new| new.letter);
        is_served && letters.any(|letter| self.letters.find(letter).is_none())
    }

    /// Returns the order key of a letter, if the letter is known; within that `None` for a letter without a key.
    pub(super) fn key_of_letter(&self, letter: u64) -> Option<Option<String>> {
        self.letters.find(letter).map(|known| known.letter.key.clone())
    }

    pub(super) fn has_queue(&self, listener: &str) -> bool {
        self.letters.listeners.contains_key(listener)
    }

    /// Returns the number of letters that have to leave their queue before their deliveries end.
    pub(super) fn leaving_letters(&self) -> usize {
        self.letters.removals.len()
    }

    pub(super) fn drop_parked(&mut self) {
        self.letters.listeners.values_mut().for_each(|of| of.parked.clear());
    }
}

impl MemoryJournal {
    /// Keeps dead letters and unreadable messages of a listener in a queue, and deliveries that wait for an operator.
    pub fn keep_dead_letters_of(&self, listener: Arc<str>) {
        self.lock().letters.listeners.entry(listener).or_default();
    }

    /// Sets the listeners whose rules have guards, or call actions with `hold_key`.
    pub fn set_gating(&self, gating: HashSet<Arc<str>>) {
        self.lock().letters.gating = gating;
    }

    /// Asks for another reading of a listener's dead letter queue, which an operator has changed.
    pub fn ask_for_letters(&self, listener: &str) {
        let mut state = self.lock();
        if let Some(of) = state.letters.listeners.get_mut(listener) {
            of.asked += 1;
        }
        state.to_bury.notify_waiters();
    }

    /// Returns whether a change of a listener's dead letter queue is of interest to this daemon: not to a standby, which
    /// reads the queue when it has become active.
    #[must_use]
    pub fn follows_letters(&self, listener: &str) -> bool {
        let state = self.lock();
        let is_known = state.letters.listeners.get(listener).is_some_and(|of| of.known != KnownLetters::None);
        is_known || !state.letters.gating.contains(listener)
    }

    /// Sets the callback for each delivery that a guard held, and whose release has arrived.
    pub fn on_release(&self, told: Box<dyn Fn(&RecentDelivery) + Send>) {
        self.on_release.set(told);
    }

    /// Makes letters of deliveries that cannot be attempted: at most 100 with one lock, because each message is hashed.
    pub(super) fn make_letters(&self, state: &mut MemoryState) {
        if state.to_leave.is_empty() {
            return;
        }
        for _ in 0..TOGETHER {
            let Some(id) = state.to_leave.pop_front() else { break };
            self.make_letter(state, id);
        }
        if !state.to_leave.is_empty() {
            state.to_bury.notify_waiters();
        }
        self.claimable.notify_waiters();
    }

    fn make_letter(&self, state: &mut MemoryState, id: DeliveryId) {
        let Some(pending) = state.deliveries.get(&id) else { return };
        let Some(open) = state.entries.get(&pending.entry) else { return };
        if pending.awaits.is_some() || pending.claimed.is_some() || pending.due.is_some() {
            return;
        }
        let listener = open.received.origin.listener.clone();
        let (has_id, is_redelivered) = (open.identity.id.is_some(), open.received.origin.redelivered);
        let turn = state.turn(id);
        let why = match turn {
            Some(Turn::Wait(why)) => why,
            Some(Turn::Look) => LetterWait::Behind,
            Some(Turn::Attempt) => return state.can_claim(id),
            Some(Turn::Later) => return state.later.push(id),
            Some(Turn::NotYet(letter)) => {
                state.letters.set_stage(letter, LetterStage::LetGo);
                return self.leave(state, id);
            }
            None => return,
        };
        let place = state.letters.next_place();
        let Some(message) = state.letter_of(id, why, place) else { return };
        let Some(letter) = WaitingLetter::read(&message) else { return };
        // The letter of an earlier arrival, whose message was not acknowledged.
        let earlier = state.letters.earlier(&letter, has_id, is_redelivered);
        if let Some(WaitingLetter { id: earlier, why, .. }) = earlier.cloned() {
            let is_first = state.letters.is_first(earlier);
            let is_head = state.is_head(id);
            match state.deliveries.get_mut(&id) {
                // The delivery may have an action of `on_failure` that has not ended.
                Some(pending) if why == LetterWait::HoldKey && is_first => {
                    pending.letter = Some(earlier);
                    if is_head {
                        state.can_claim(id);
                    }
                }
                Some(_) | None => self.leave(state, id),
            }
            return;
        }
        if turn == Some(Turn::Look) {
            return state.can_claim(id);
        }
        let was_head = state.is_head(id);
        if let Some(pending) = state.deliveries.get_mut(&id) {
            pending.awaits = Some(Awaited::Leaves);
        }
        let then = AfterBurial::Delivery(id, Ending::Left, Some(Box::new(letter)));
        self.put_in_line(state, listener, message, then);
        state.go_on_behind(id, was_head);
    }

    /// Ends a delivery whose letter is in the queue.
    pub(super) fn leave(&self, state: &mut MemoryState, id: DeliveryId) {
        if let Some(pending) = state.remove(id) {
            state.settle(&pending, false);
        }
    }

    /// Keeps the letter of a delivery, and ends the delivery; a former letter of the same number leaves its queue first.
    pub(super) fn has_letter(
        &self,
        state: &mut MemoryState,
        id: DeliveryId,
        ending: Ending,
        letter: Option<Box<WaitingLetter>>,
    ) {
        let Some(pending) = state.deliveries.get(&id) else { return };
        let listener = state.entries.get(&pending.entry).map(|open| open.received.origin.listener.clone());
        let former = pending.letter.or(pending.ends_letter);
        let is_replaced = letter.as_ref().is_some_and(|letter| Some(letter.id) == former);
        let hands_over = match &ending {
            Ending::End(End { to: Some(to), .. }) if !is_replaced => {
                let open = state.entries.get(&pending.entry);
                let delivery = (pending.rule.clone(), to.action.clone(), pending.resource);
                open.is_some_and(|open| !open.wanted.contains(&delivery))
            }
            Ending::End(_) | Ending::Left => false,
        };
        if let (Some(letter), Some(listener)) = (letter, &listener) {
            state.letters.insert(listener.clone(), *letter, LetterStage::Waits);
        }
        match (ending, former, listener) {
            // The letter leaves its queue with the end of the delivery of `on_failure`.
            (Ending::End(end), Some(_), _) if hands_over => self.finish_in(state, id, &end, true),
            (Ending::End(end), Some(letter), Some(listener)) => {
                let then = AfterRemoval::Delivery(id, end);
                state.letters.removals.push_back(LetterRemoval { listener, letter, is_replaced, then });
                state.to_bury.notify_waiters();
            }
            (Ending::End(end), ..) => self.finish_in(state, id, &end, true),
            (Ending::Left, ..) => self.leave(state, id),
        }
    }

    /// Settles a part of an entry that was a dead letter from the start; the letter of which it is the copy leaves its
    /// queue first.
    pub(super) fn has_begun_dead(&self, state: &mut MemoryState, entry: u64, letter: Option<u64>) {
        let listener = state.entries.get(&entry).map(|open| open.received.origin.listener.clone());
        let (Some(letter), Some(listener)) = (letter, listener) else {
            state.settle_one(entry, None);
            return;
        };
        let then = AfterRemoval::Entry(entry);
        state.letters.removals.push_back(LetterRemoval { listener, letter, is_replaced: false, then });
        state.to_bury.notify_waiters();
    }

    /// Ends the delivery of a letter's copy, and lets the letter leave its queue before the message is acknowledged.
    pub(super) fn removes_letter(&self, state: &mut MemoryState, id: DeliveryId, end: &End) -> bool {
        let Some(pending) = state.deliveries.get(&id) else { return false };
        let Some(letter) = pending.letter.or(pending.ends_letter) else { return false };
        let Some(open) = state.entries.get(&pending.entry) else { return false };
        let (listener, entry) = (open.received.origin.listener.clone(), pending.entry);
        // The next of the lane goes on. The message is acknowledged when the letter is gone: until then a new daemon
        // finds both.
        state.letters.set_stage(letter, LetterStage::Done);
        drop(self.end_unsettled(state, id, end, false));
        let then = AfterRemoval::Entry(entry);
        state.letters.removals.push_back(LetterRemoval { listener, letter, is_replaced: false, then });
        state.to_bury.notify_waiters();
        true
    }

    /// Returns the visits that dead letter queues need now, by listener.
    pub(super) fn visits(&self, state: &mut MemoryState) -> BTreeMap<Arc<str>, LetterVisit> {
        let mut visits: BTreeMap<Arc<str>, LetterVisit> = BTreeMap::new();
        for (listener, of) in &mut state.letters.listeners {
            // The connection of a closed receipt is gone: the broker has the message, and others need the place.
            of.parked.retain(|parked| !parked.receipt.is_closed());
            if of.asked != of.answered {
                visits.entry(listener.clone()).or_default();
            }
        }
        for removal in &state.letters.removals {
            let visit = visits.entry(removal.listener.clone()).or_default();
            visit.remove.insert(removal.letter, removal.is_replaced);
        }
        let listeners: HashMap<Arc<str>, bool> = state
            .letters
            .listeners
            .iter()
            .map(|(listener, of)| (listener.clone(), of.known != KnownLetters::None))
            .collect();
        // A standby leaves the letters to the active daemon.
        let is_ours = |listener: &Arc<str>| listeners.get(listener).is_some_and(|is_known| *is_known);
        for (action, key) in std::mem::take(&mut state.letters.freed) {
            let Some(lane) = state.letters.lane(&action, &key) else { continue };
            let free = lane.iter().filter(|known| !known.is_done()).take_while(|known| known.is_free());
            let mut is_free = false;
            for known in free.take(AHEAD).filter(|known| known.is_to_send() && is_ours(&known.listener)) {
                visits.entry(known.listener.clone()).or_default().send_back.insert(known.letter.id);
                is_free = true;
            }
            if is_free {
                // Until the visit has been made.
                state.letters.freed.insert((action, key));
            }
        }
        let is_whole = |listener: &str| {
            let of = state.letters.listeners.get(listener);
            of.is_some_and(|of| of.known == KnownLetters::Whole)
        };
        for known in state.letters.alone.values() {
            if known.letter.why == LetterWait::Behind && known.is_to_send() && is_whole(&known.listener) {
                visits.entry(known.listener.clone()).or_default().send_back.insert(known.letter.id);
            }
        }
        for (listener, visit) in &mut visits {
            visit.asked = state.letters.listeners.get(listener).map_or(0, |of| of.asked);
        }
        visits
    }

    /// Takes over what a reading of a listener's dead letter queue has found, after the visit. `has_more` is whether
    /// the queue has more letters than one reading takes.
    pub fn visited(
        &self,
        listener: &Arc<str>,
        visit: &LetterVisit,
        found: Vec<WaitingLetter>,
        has_more: bool,
    ) {
        let mut state = self.lock();
        let stages = state.letters.all().map(|known| (known.letter.id, known.stage));
        let sent = visit.send_back.iter().map(|letter| (*letter, LetterStage::Sent));
        let stages: HashMap<u64, LetterStage> = stages.chain(sent).collect();
        let letters = &mut state.letters;
        letters.forget(listener);
        for letter in found {
            // A letter that is done is among the removals.
            let stage = stages.get(&letter.id).copied().filter(|stage| *stage != LetterStage::Done);
            letters.insert(listener.clone(), letter, stage.unwrap_or_default());
        }
        let is_gating = letters.gating.contains(listener);
        if let Some(of) = letters.listeners.get_mut(listener) {
            of.answered = of.answered.max(visit.asked);
            // A reading from before the first message of a session may be older than the letters of the daemon before.
            let is_ours = of.known != KnownLetters::None
                || !is_gating
                || of.parked.front().is_some_and(|parked| parked.asked <= visit.asked);
            if is_ours {
                of.known = if has_more { KnownLetters::Part } else { KnownLetters::Whole };
            }
        }
        let mut done = Vec::new();
        letters.removals.retain(|removal| {
            let is_done = removal.listener == *listener && visit.remove.contains_key(&removal.letter);
            if is_done {
                done.push(removal.then.clone());
            }
            !is_done
        });
        // The end of a delivery during the reading: its letter was still found.
        let leaving = letters.removals.iter().filter(|removal| !removal.is_replaced);
        let leaving: Vec<u64> = leaving.map(|removal| removal.letter).collect();
        leaving.into_iter().for_each(|letter| letters.set_stage(letter, LetterStage::Done));
        let later = std::mem::take(&mut state.later);
        state.to_leave.extend(later);
        for then in done {
            match then {
                AfterRemoval::Delivery(id, end) => self.finish_in(&mut state, id, &end, true),
                AfterRemoval::Entry(entry) => state.settle_one(entry, None),
            }
        }
        if !has_more {
            self.leave_discarded(&mut state, listener);
        }
        let parked: Vec<ParkedEntry> = match state.letters.listeners.get_mut(listener) {
            Some(of) => {
                let answered = of.parked.partition_point(|parked| parked.asked <= visit.asked);
                of.parked.drain(..answered).collect()
            }
            None => Vec::new(),
        };
        for ParkedEntry { entry, identity, receipt, mut place, asked: _ } in parked {
            // The connection of a closed receipt is gone, and its messages return.
            if receipt.is_closed() {
                continue;
            }
            if let Some((receipt, settle)) = self.keep(&mut state, &mut place, entry, identity, receipt) {
                let _ = receipt.send(settle);
            }
        }
        if state.closed {
            state.drop_receipts();
        }
        state.to_bury.notify_waiters();
        drop(state);
        self.claimable.notify_waiters();
        self.has_buried.notify_waiters();
    }

    /// Ends the unclaimed copies of letters that an operator has discarded.
    fn leave_discarded(&self, state: &mut MemoryState, listener: &Arc<str>) {
        let is_discarded = |(id, pending): (&DeliveryId, &PendingDelivery)| {
            let of = state.entries.get(&pending.entry)?;
            let is_gone = pending.letter.is_some_and(|letter| state.letters.find(letter).is_none());
            let is_meant = is_gone && pending.claimed.is_none() && pending.awaits.is_none();
            (is_meant && of.received.origin.listener == *listener).then_some(*id)
        };
        let discarded: Vec<DeliveryId> = state.deliveries.iter().filter_map(is_discarded).collect();
        discarded.into_iter().for_each(|id| self.leave(state, id));
    }

    /// Tells the guards that the resource of a letter that one of them held is released.
    pub(super) fn announce_release(&self, state: &MemoryState, letter: u64) {
        self.on_release.call(|| {
            let TableLetter { letter, .. } = state.letters.find(letter)?;
            let (LetterWait::Guard, Some(key)) = (letter.why, letter.key.clone()) else { return None };
            Some(RecentDelivery {
                rule: letter.rule.to_string(),
                action: letter.action.to_string(),
                key,
                received: letter.received,
                has_passed: true,
            })
        });
    }

    /// Returns the number of known letters that are not dead.
    #[must_use]
    pub fn waiting_letters(&self) -> u64 {
        self.lock().letter_counts().values().sum()
    }

    /// Returns the letters that wait, by action and reason, for the list of incidents.
    #[must_use]
    pub fn letter_causes(&self) -> Vec<HeldCause> {
        let state = self.lock();
        let mut causes: BTreeMap<(String, String), HeldCause> = BTreeMap::new();
        for TableLetter { letter, .. } in state.letters.all() {
            if letter.why != LetterWait::Guard {
                continue;
            }
            let cause = causes.entry((letter.action.to_string(), letter.reason.clone()));
            let cause = cause.or_insert_with(|| HeldCause {
                action: letter.action.to_string(),
                reason: Some(letter.reason.clone()),
                count: 0,
                is_guarded: true,
                since: letter.received,
            });
            cause.count += 1;
            cause.since = cause.since.min(letter.received);
        }
        causes.into_values().collect()
    }
}

impl MemoryState {
    /// Returns how many letters of each action wait for release or behind another; dead letters count in their queue.
    pub(super) fn letter_counts(&self) -> BTreeMap<(String, RowState), u64> {
        let mut counts = BTreeMap::new();
        for TableLetter { letter, .. } in self.letters.all() {
            match letter.why {
                LetterWait::HoldKey => {}
                LetterWait::Guard | LetterWait::Behind => {
                    *counts.entry((letter.action.to_string(), letter.why.state())).or_default() += 1;
                }
            }
        }
        counts
    }
}

impl PendingDelivery {
    /// Returns the key of a delivery that waits for others of its lane.
    pub(super) fn lane_key(&self) -> Option<&str> {
        match &self.lane {
            MemoryLane::Key(key) => Some(key),
            MemoryLane::Alone(_) => None,
        }
    }
}
