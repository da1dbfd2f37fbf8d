//! The turns of deliveries: which is attempted, and which leaves for the dead letter queue.

use osnl_transport::QueuedMessage;
use tokio::sync::oneshot;

use super::{AfterRemoval, LetterRemoval, LetterStage, ParkedEntry, Turn};
use crate::dead_letters::{GivenUp, LetterPart, LetterWait, WaitingLetter};
use crate::identity::MessageIdentity;
use crate::memory::burials::{AfterBurial, Ending};
use crate::memory::{Awaited, MemoryJournal, MemoryLane, MemoryState, PendingDelivery};
use crate::{DeliveryId, End, Entry, Permit, Settle};
/// The most letters that are made with one lock of the journal.
const TOGETHER: usize = 100;

impl MemoryState {
    /// Returns the first delivery of a lane that does not leave for the dead letter queue.
    pub(in crate::memory) fn head(&self, action: &str, lane: &MemoryLane) -> Option<DeliveryId> {
        let mut lane = self.actions.get(action)?.by_key.get(lane)?.iter();
        lane.find(|id| self.deliveries.get(id).is_some_and(|other| other.awaits != Some(Awaited::Leaves)))
            .copied()
    }

    /// Notes that a delivery is the first of its lane: it can be claimed, or leaves for the dead letter queue.
    pub(in crate::memory) fn promote(&mut self, id: DeliveryId) {
        if self.turn(id) == Some(Turn::Attempt) {
            self.can_claim(id);
        } else {
            self.looks_at(id);
        }
    }

    /// Notes that a delivery may leave for the dead letter queue, though it is not the first of its lane.
    pub(in crate::memory) fn follow(&mut self, id: DeliveryId) {
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

    pub(in crate::memory) fn is_head(&self, id: DeliveryId) -> bool {
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

    /// Returns the letter of a delivery that waits, and the part of the message that the letter has.
    fn letter_of(
        &self,
        id: DeliveryId,
        why: LetterWait,
        place: u64,
    ) -> Option<(QueuedMessage, Option<LetterPart>)> {
        let pending = self.deliveries.get(&id)?;
        let open = self.entries.get(&pending.entry)?;
        let part = self.letters.part_of(open, pending.resource, None);
        let given_up = GivenUp {
            received: &open.received,
            part: part.as_ref(),
            head: open.notification.head(),
            rule: &pending.rule,
            action: &pending.action,
            key: pending.lane_key(),
            resource: pending.resource,
            subject: &pending.subject,
            used: pending.used,
            reason: pending
                .held
                .as_ref()
                .map_or("an earlier delivery of the resource waits", |hold| &hold.why),
            guard: pending.held.as_ref().map(|hold| &hold.guard),
            id: None,
            wait: Some((why, place)),
            on_failure: None,
        };
        Some((given_up.message(), part))
    }

    fn can_claim(&mut self, id: DeliveryId) {
        debug_assert!(self.is_head(id), "only the first delivery of a lane can be claimed");
        let Some(pending) = self.deliveries.get_mut(&id) else { return };
        pending.due = pending.not_before.take();
        let (action, due) = (pending.action.clone(), pending.due);
        let lanes = self.lanes(&action);
        match due {
            Some(due) => lanes.waiting.insert((due, id)),
            None => lanes.claimable.insert(id),
        };
    }

    /// Returns whether the entry has to wait until the letters of its listener are known.
    pub(in crate::memory) fn parks(&self, entry: &Entry) -> bool {
        let listener = &entry.received.origin.listener;
        let Some(of) = self.letters.listeners.get(listener) else { return false };
        !of.parked.is_empty()
            || (!of.is_known() && self.letters.gating.contains(listener))
            || self.has_unknown_letter(entry)
    }

    /// Whether the entry is the copy of a letter that the latest reading has not found.
    fn has_unknown_letter(&self, entry: &Entry) -> bool {
        let mut letters = entry.deliveries.iter().filter_map(|new| new.letter);
        letters.any(|letter| self.letters.find(letter).is_none())
    }

    /// Clears the letter of a delivery that does not belong to that letter: a publisher may forge the header.
    pub(in crate::memory) fn check_letters(&self, entry: &mut Entry) {
        let Entry { received, notification, deliveries } = entry;
        for new in deliveries {
            let letter = new.letter.and_then(|letter| self.letters.find(letter));
            if letter.is_some_and(|known| !known.letter.is_of(received, notification, new)) {
                new.letter = None;
            }
        }
    }

    pub(in crate::memory) fn park(
        &mut self,
        entry: Entry,
        identity: MessageIdentity,
        receipt: oneshot::Sender<Settle>,
        place: Permit,
    ) {
        let is_unknown = self.has_unknown_letter(&entry);
        if let Some(of) = self.letters.listeners.get_mut(&entry.received.origin.listener) {
            let asked = of.ask(is_unknown);
            of.parked.push_back(ParkedEntry { entry, identity, receipt, place, asked });
            self.to_bury.notify_waiters();
        }
    }

    pub(in crate::memory) fn parked(&self) -> usize {
        self.letters.listeners.values().map(|of| of.parked.len()).sum()
    }

    pub(in crate::memory) fn parked_of(&self, listener: &str) -> usize {
        self.letters.listeners.get(listener).map_or(0, |of| of.parked.len())
    }

    /// Returns whether the entry is the copy of a letter that is gone: it has had its effect, or was discarded.
    pub(in crate::memory) fn is_stale_copy(&self, entry: &Entry) -> bool {
        self.has_queue(&entry.received.origin.listener) && self.has_unknown_letter(entry)
    }

    /// Returns the order key of a letter, if the letter is known; within that `None` for a letter without a key.
    pub(in crate::memory) fn key_of_letter(&self, letter: u64) -> Option<Option<String>> {
        self.letters.find(letter).map(|known| known.letter.key.clone())
    }

    pub(in crate::memory) fn has_queue(&self, listener: &str) -> bool {
        self.letters.listeners.contains_key(listener)
    }

    /// Returns the number of letters that have to leave their queue before their deliveries end.
    pub(in crate::memory) fn leaving_letters(&self) -> usize {
        self.letters.removals.len()
    }

    pub(in crate::memory) fn drop_parked(&mut self) {
        self.letters.listeners.values_mut().for_each(|of| of.parked.clear());
    }
}

impl MemoryJournal {
    /// Makes letters of deliveries that cannot be attempted: at most 100 with one lock, because each message is hashed.
    pub(in crate::memory) fn make_letters(&self, state: &mut MemoryState) {
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
        let Some((message, part)) = state.letter_of(id, why, place) else { return };
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
        self.put_in_line(state, listener, (message, part), then);
        state.go_on_behind(id, was_head);
    }

    /// Ends a delivery whose letter is in the queue.
    pub(in crate::memory) fn leave(&self, state: &mut MemoryState, id: DeliveryId) {
        if let Some(pending) = state.remove(id) {
            state.settle(&pending, false);
        }
    }

    /// Ends a dead delivery whose letter stays where it is.
    pub(in crate::memory) fn refuse(&self, state: &mut MemoryState, id: DeliveryId, letter: u64, end: &End) {
        if let Some(reason) = end.outcome.given_up() {
            state.letters.refuse(letter, reason);
        }
        self.finish_in(state, id, end, true);
        state.to_bury.notify_waiters();
    }

    /// Keeps the letter of a delivery, and ends the delivery; a former letter of the same number leaves its queue first.
    pub(in crate::memory) fn keep_letter(
        &self,
        state: &mut MemoryState,
        id: DeliveryId,
        ending: Ending,
        letter: Option<Box<WaitingLetter>>,
    ) {
        let Some(pending) = state.deliveries.get(&id) else { return };
        let listener = state.entries.get(&pending.entry).map(|open| open.received.origin.listener.clone());
        let former = pending.removed_letter();
        let is_replaced = letter.as_ref().is_some_and(|letter| Some(letter.id) == former);
        let hands_over = match &ending {
            Ending::End(End { to: Some(to), .. }) if !is_replaced => {
                let open = state.entries.get(&pending.entry);
                open.is_some_and(|open| open.hands_over(pending, to))
            }
            Ending::End(_) | Ending::Left => false,
        };
        if is_replaced && let Some(letter) = former {
            state.letters.refused.lock().remove(&letter);
        }
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
    pub(in crate::memory) fn settle_begun_dead(
        &self,
        state: &mut MemoryState,
        entry: u64,
        letter: Option<u64>,
    ) {
        let listener = state.entries.get(&entry).map(|open| open.received.origin.listener.clone());
        let (Some(letter), Some(listener)) = (letter, listener) else {
            state.settle_one(entry, false);
            return;
        };
        let then = AfterRemoval::Entry(entry);
        state.letters.removals.push_back(LetterRemoval { listener, letter, is_replaced: false, then });
        state.to_bury.notify_waiters();
    }

    /// Ends the delivery of a letter's copy, and lets the letter leave its queue before the message is acknowledged.
    pub(in crate::memory) fn removes_letter(
        &self,
        state: &mut MemoryState,
        id: DeliveryId,
        end: &End,
    ) -> bool {
        let Some(pending) = state.deliveries.get(&id) else { return false };
        let Some(letter) = pending.removed_letter() else { return false };
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
}

impl PendingDelivery {
    /// Returns the key of a delivery that waits for others of its lane.
    pub(in crate::memory) fn lane_key(&self) -> Option<&str> {
        match &self.lane {
            MemoryLane::Key(key) => Some(key),
            MemoryLane::Alone(_) => None,
        }
    }
}
