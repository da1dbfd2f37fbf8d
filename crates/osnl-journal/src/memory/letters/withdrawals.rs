//! Deliveries of letters that end before their effect: an operator has discarded the letter, or another daemon may begin
//! with it. Nobody calls the target for such a delivery any more. A call that runs then goes on, and its success counts.

use std::collections::HashSet;

use crate::DeliveryId;
use crate::memory::state::Withdrawal;
use crate::memory::{MemoryJournal, MemoryState, PendingDelivery};

impl MemoryJournal {
    /// Ends the deliveries of letters that an operator has just removed from their queue. What a delivery loop has in hand
    /// is [in its hand](Self::letters_in_hand) until the loop gives it back, at once unless its attempt runs.
    pub fn discard_letters(&self, letters: &HashSet<u64>) {
        let mut state = self.lock();
        // A copy that comes now is that of an unknown letter.
        state.letters.forget(|known| letters.contains(&known.letter.id));
        self.end_without_letter(&mut state, |letter, _| letters.contains(&letter));
        state.to_bury.notify_waiters();
        drop(state);
        self.claimable.notify_waiters();
    }

    /// Returns those of these letters that a delivery loop has in hand.
    #[must_use]
    pub fn letters_in_hand(&self, letters: &HashSet<u64>) -> HashSet<u64> {
        let state = self.lock();
        let claimed = state.deliveries.values().filter(|pending| pending.claimed.is_some());
        claimed.filter_map(|pending| pending.letter).filter(|letter| letters.contains(letter)).collect()
    }

    /// Ends the deliveries whose letter is not in its queue any more, among those that are meant: by letter and listener.
    pub(super) fn end_without_letter(&self, state: &mut MemoryState, is_meant: impl Fn(u64, &str) -> bool) {
        let is_gone =
            |letter: u64, listener: &str| is_meant(letter, listener) && state.letters.find(letter).is_none();
        for id in state.begun_letters(is_gone) {
            if !state.withdraw(id, Withdrawal::Gone) {
                self.leave(state, id);
            }
        }
    }

    /// Gives the deliveries of a listener's letters back to the broker, whose other consumer may begin with the letters.
    pub(in crate::memory) fn let_go_of_letters(&self, state: &mut MemoryState, listener: &str) {
        for id in state.begun_letters(|_, of| of == listener) {
            if !state.withdraw(id, Withdrawal::Unsubscribed) {
                self.give_back(state, id);
            }
        }
    }

    /// Ends a withdrawn delivery whose claim ends without an effect. Returns whether it was one.
    pub(in crate::memory) fn ends_withdrawn(&self, state: &mut MemoryState, id: DeliveryId) -> bool {
        let Some(withdrawal) = state.withdrawal(id) else { return false };
        match withdrawal {
            Withdrawal::Gone => self.leave(state, id),
            Withdrawal::Unsubscribed => self.give_back(state, id),
        }
        true
    }
}

impl MemoryState {
    /// Returns the deliveries of letters that are meant, oldest first; none whose end waits for the broker.
    fn begun_letters(&self, is_meant: impl Fn(u64, &str) -> bool) -> Vec<DeliveryId> {
        let is_begun = |(id, pending): (&DeliveryId, &PendingDelivery)| {
            // A delivery of `on_failure` outlives the letter of the one that was given up.
            let letter = pending.letter.filter(|_| pending.awaits.is_none())?;
            let listener = &self.entries.get(&pending.entry)?.received.origin.listener;
            is_meant(letter, listener).then_some(*id)
        };
        let mut begun: Vec<DeliveryId> = self.deliveries.iter().filter_map(is_begun).collect();
        begun.sort_unstable();
        begun
    }

    /// Withdraws a delivery if it is claimed, and returns whether it is.
    fn withdraw(&mut self, id: DeliveryId, why: Withdrawal) -> bool {
        let pending = self.deliveries.get(&id).filter(|pending| pending.claimed.is_some());
        let lanes = pending.and_then(|pending| self.actions.get_mut(&pending.action));
        let Some(lanes) = lanes else { return false };
        // A letter that is gone does not come back.
        if lanes.withdrawn.get(&id) != Some(&Withdrawal::Gone) {
            lanes.withdrawn.insert(id, why);
        }
        lanes.calls_back = true;
        true
    }

    fn withdrawal(&self, id: DeliveryId) -> Option<Withdrawal> {
        let pending = self.deliveries.get(&id)?;
        self.actions.get(&pending.action)?.withdrawn.get(&id).copied()
    }

    /// Lets the deliveries of an entry go on whose message the broker has handed to this daemon again.
    pub(in crate::memory) fn takes_back(&mut self, entry: u64) {
        let deliveries = &self.deliveries;
        let is_back = |id: &DeliveryId| deliveries.get(id).is_some_and(|pending| pending.entry == entry);
        for lanes in self.actions.values_mut() {
            lanes.withdrawn.retain(|id, why| *why == Withdrawal::Gone || !is_back(id));
        }
    }
}

impl PendingDelivery {
    /// Returns the letter that leaves its queue with the end of this delivery.
    pub(in crate::memory) fn removed_letter(&self) -> Option<u64> {
        self.letter.or(self.ends_letter)
    }
}
