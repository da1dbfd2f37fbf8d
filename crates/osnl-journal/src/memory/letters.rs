//! Deliveries that wait in the dead letter queue of their listener, and hold later deliveries of their action and
//! resource: beyond a guard, dead with `on_dead = hold_key`, or behind another such delivery.
//!
//! The queue is the memory of these letters, and outlives the daemon. The journal has a table of them:
//!
//! - A listener with a guard or `hold_key` *gates*: a message of a new session is parked until the dead letter queue of
//!   the listener has been read once, since another daemon may have filled the queue. Only then can the journal tell whose turn it is.
//! - A delivery leaves for the queue when all earlier deliveries of the lane have ended, leave too, or are copies of letters with earlier places. Their messages go to the queue in the order of their places.
//! - An operator's release or retry publishes a copy of the letter to the source queue. The letter stays, and with it
//!   the hold, until the delivery made of the copy has ended. So a daemon that dies in between finds the letter, and
//!   nothing of the resource has overtaken it. A copy whose letter is gone has had its effect, and is acknowledged.
//! - A letter of one resource of a bulk request may have a part of the message: `parts` decides.
//! - A letter at the front that waits behind nothing any more is carried out from the queue: the daemon makes a delivery of
//!   it, without a copy. Copies would wait behind all messages of the source queue, and take places of its window.
//! - Only a message of its queue proves that a listener is no standby, and only for a while (`listener`). If none comes,
//!   the daemon sends one copy of such a letter: the broker hands it to the daemon that is active, which then carries out
//!   the letters.
//!
//! A queue with more letters than one reading takes is known in part. Until it is known whole, each delivery of a
//! gating listener waits behind the letters that were not read, and a letter whose delivery is dead stays where it is:
//! [`RefusedLetters`].
//!
//! A command decides by `copies_of` in `osnl/src/dead_letters.rs` which letter of a resource is retried first, because
//! a command also works without a daemon. `osnl-cli/tests/cli/dead_letters.rs` tests both.

mod lanes;
mod listener;
mod parts;
mod visits;
mod withdrawals;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use osnl_core::epoch;
use tokio::time::Instant;

use self::listener::{LetterProof, ListenerLetters, ParkedEntry};
use super::{MemoryJournal, MemoryLane, MemoryState, PendingDelivery};
use crate::dead_letters::{LetterReads, LetterWait, RefusedLetters, WaitingLetter};
use crate::query::{HeldBy, HeldCause, RecentDelivery, RowState};
use crate::{DeliveryId, End};
/// The letters known, and the listeners whose dead letter queues have them.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// The dead letter queue of each listener, and the progress of its reading.
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
    /// The latest place that was given to a letter.
    last_place: u64,
    /// The letters that are dead, and have no newer letter that a reading could find.
    pub(super) refused: RefusedLetters,
}

/// A letter in a dead letter queue, as far as it matters for the order.
#[derive(Debug)]
struct TableLetter {
    listener: Arc<str>,
    letter: WaitingLetter,
    stage: LetterStage,
}

/// The progress of a letter on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LetterStage {
    #[default]
    Waits,
    /// An operator has let it go, and its copy has arrived before its turn.
    LetGo,
    /// This daemon carries it out.
    InHand,
    /// Its delivery has ended, and only the queue still has the letter.
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
            LetterStage::LetGo | LetterStage::InHand => true,
            LetterStage::Done => false,
        }
    }

    /// Whether the daemon is to begin with it.
    fn is_to_begin(&self) -> bool {
        self.is_free() && self.stage != LetterStage::InHand
    }
}

/// A letter that is to leave its queue, and what ends then.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterVisit {
    /// The numbers of letters that leave the queue, and whether a newer letter of the number stays.
    pub remove: BTreeMap<u64, bool>,
    /// The numbers of letters that are carried out from now on, and why each has waited.
    pub carry_out: BTreeMap<u64, LetterWait>,
    /// Whether a copy of such a letter is sent to the source queue instead: there was no message in the session.
    pub by_copy: bool,
    /// The answer to what was asked; `None` if nothing was.
    proof: Option<LetterProof>,
    /// The latest request that a reading or count from now on answers.
    asked: u64,
    /// The time from which on another daemon may change the letters unseen.
    began: Instant,
}

impl LetterVisit {
    /// Returns a visit that changes nothing, from its beginning.
    #[must_use]
    pub fn new(began: Instant) -> Self {
        let (remove, carry_out) = Default::default();
        Self { remove, carry_out, by_copy: false, proof: None, asked: 0, began }
    }

    /// Whether a letter leaves the queue or is carried out.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.remove.is_empty() || !self.carry_out.is_empty()
    }

    /// Whether the daemon begins with a letter that a reading finds. Another copy of it may have been found, which waits
    /// for release.
    #[must_use]
    pub fn begins_with(&self, letter: &WaitingLetter) -> bool {
        self.carry_out.get(&letter.id) == Some(&letter.why)
    }

    /// Whether the queue has to be read, although no further letter can be begun with.
    #[must_use]
    pub fn is_more_than_carrying_out(&self) -> bool {
        self.proof.is_some() || !self.remove.is_empty()
    }

    /// Whether nothing but an answer is needed, and a count of the queue's messages that is the expected one gives it.
    #[must_use]
    pub fn is_answered_by(&self, expected: u64) -> bool {
        let is_enough = match self.proof {
            Some(LetterProof::Count) => true,
            Some(LetterProof::EmptyCount) => expected == 0,
            Some(LetterProof::Reading) | None => false,
        };
        is_enough && !self.has_changed()
    }
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
        let now = epoch::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last_place = (self.last_place + 1).max(u64::try_from(now).unwrap_or_default());
        self.last_place
    }

    /// Notes a letter. One that another daemon has put too keeps the earlier place.
    fn insert(&mut self, listener: Arc<str>, mut letter: WaitingLetter, stage: LetterStage) {
        if let Some(known) = self.find(letter.id) {
            letter.place = letter.place.min(known.letter.place);
        }
        if let Some(reason) = self.refused.lock().get(&letter.id) {
            (letter.why, letter.reason) = (LetterWait::HoldKey, reason.clone());
        }
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

    /// Returns whether a newer letter of this one's number would be behind those that a reading takes.
    pub(super) fn would_hide_newer(&self, id: u64) -> bool {
        let listener = self.find(id).and_then(|known| self.listeners.get(&known.listener));
        listener.is_some_and(|of| of.has_more)
    }

    /// Lets a letter hold its resource as a dead one, without a newer letter of its number.
    fn refuse(&mut self, id: u64, reason: &str) {
        self.refused.lock().insert(id, reason.to_owned());
        if let Some(TableLetter { listener, letter, .. }) = self.find(id) {
            self.insert(listener.clone(), letter.clone(), LetterStage::Waits);
        }
    }

    /// Forgets which letters are dead that are not in their queue any more.
    fn forget_refused(&self) {
        self.refused.lock().retain(|id, _| self.find(*id).is_some());
    }

    /// Forgets letters that have left their queue, or all of a listener before those that its queue has now are noted.
    fn forget(&mut self, is_gone: impl Fn(&TableLetter) -> bool) {
        self.alone.retain(|_, known| !is_gone(known));
        for (action, lanes) in &mut self.lanes {
            for (key, lane) in &mut *lanes {
                let before = lane.len();
                lane.retain(|known| !is_gone(known));
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
            of.subscribed();
        }
    }

    /// Asks for the letters, which the status shows: no message may come for long. The first message asks again.
    pub(super) fn active(&mut self, listener: &str) {
        let is_gating = self.gating.contains(listener);
        if let Some(of) = self.listeners.get_mut(listener) {
            of.active(is_gating, Instant::now());
        }
    }

    /// Notes that a message of the queue has come.
    pub(super) fn arrives(&mut self, listener: &str) {
        let is_gating = self.gating.contains(listener);
        if let Some(of) = self.listeners.get_mut(listener) {
            of.arrives(is_gating, Instant::now());
        }
    }

    /// Decides about the first delivery of a lane; `follows` is whether an earlier one is leaving for the queue.
    fn turn(&self, listener: &str, pending: &PendingDelivery, follows: bool) -> Turn {
        let Some(of) = self.listeners.get(listener) else { return Turn::Attempt };
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
        if follows || first.is_some() || (of.has_more && self.gating.contains(listener)) {
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

impl MemoryJournal {
    /// Keeps dead letters and unreadable messages of a listener in a queue, and deliveries that wait for an operator.
    pub fn keep_dead_letters_of(&self, listener: Arc<str>) {
        self.lock().letters.listeners.entry(listener).or_default();
    }

    /// Sets how much of a bulk request the rules and actions of a listener read, for one resource: its letters have that.
    pub fn set_letter_reads(&self, listener: &str, reads: LetterReads) {
        if let Some(of) = self.lock().letters.listeners.get_mut(listener) {
            of.reads = reads;
        }
    }

    /// Sets the listeners whose rules have guards, or call actions with `hold_key`.
    pub fn set_gating(&self, gating: HashSet<Arc<str>>) {
        self.lock().letters.gating = gating;
    }

    /// Asks for another reading of a listener's dead letter queue, which an operator has changed.
    pub fn ask_for_letters(&self, listener: &str) {
        let mut state = self.lock();
        if let Some(of) = state.letters.listeners.get_mut(listener) {
            of.ask(true);
        }
        state.to_bury.notify_waiters();
    }

    /// Returns the letters that are dead for this program, though their queue tells another state.
    #[must_use]
    pub fn refused_letters(&self) -> RefusedLetters {
        self.lock().letters.refused.clone()
    }

    /// Notes that a letter that was carried out has come back without its end, as after a reload or a wait that was too
    /// long.
    pub fn came_back(&self, letter: u64) {
        let mut state = self.lock();
        let known = state.letters.find(letter).filter(|known| known.stage == LetterStage::InHand);
        let Some(why) = known.map(|known| known.letter.why) else { return };
        let stage = match why {
            LetterWait::Behind => LetterStage::Waits,
            // It was let go before it was carried out.
            LetterWait::Guard | LetterWait::HoldKey => LetterStage::LetGo,
        };
        state.letters.set_stage(letter, stage);
        state.to_bury.notify_waiters();
    }

    /// Returns whether a change of a listener's dead letter queue is of interest to this daemon now: not to a standby, which
    /// reads the queue when it has become active. Without messages the daemon may be one, and looks ever less often at
    /// what others have changed; a command of its own is `is_told` at once.
    #[must_use]
    pub fn follows_letters(&self, listener: &str, is_told: bool) -> bool {
        let mut state = self.lock();
        let is_gating = state.letters.gating.contains(listener);
        let of = state.letters.listeners.get_mut(listener);
        !is_gating || of.is_some_and(|of| of.looks(is_told, Instant::now()))
    }

    /// Sets the callback for each delivery that a guard held, and whose release has arrived.
    pub fn on_release(&self, callback: Box<dyn Fn(&RecentDelivery) + Send>) {
        self.on_release.set(callback);
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

    /// Whether the queue of a listener may have letters that were not read, and wait for release: on a standby, just after
    /// the listener has become active, and with more letters than one reading takes.
    #[must_use]
    pub fn may_have_unread_letters(&self, listener: &str) -> bool {
        let state = self.lock();
        let Letters { listeners, gating, .. } = &state.letters;
        gating.contains(listener) && listeners.get(listener).is_some_and(|of| !of.is_read())
    }

    /// Returns the letters that wait, by action and reason, for the list of incidents.
    #[must_use]
    pub(crate) fn letter_causes(&self) -> Vec<HeldCause> {
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
                by: HeldBy::Guard,
                guard: letter.guard.clone(),
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
