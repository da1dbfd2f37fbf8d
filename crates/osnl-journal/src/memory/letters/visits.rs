//! Visits of a dead letter queue: letters that leave, letters that are carried out, and the letters found.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, MutexGuard};

use tokio::time::Instant;

use super::{AfterRemoval, LetterRemoval, LetterStage, LetterVisit, Letters, ListenerLetters, ParkedEntry};
use crate::dead_letters::{LetterWait, WaitingLetter};
use crate::memory::{MemoryJournal, MemoryState};

/// The most letters of one lane in hand at once.
const AHEAD: usize = 32;

impl MemoryJournal {
    /// Returns the visits that dead letter queues need now, by listener.
    pub(in crate::memory) fn visits(&self, state: &mut MemoryState) -> BTreeMap<Arc<str>, LetterVisit> {
        let mut visits: BTreeMap<Arc<str>, LetterVisit> = BTreeMap::new();
        let now = Instant::now();
        let new = || LetterVisit::new(now);
        for (listener, of) in &mut state.letters.listeners {
            // The connection of a closed receipt is gone: the broker has the message, and others need the place.
            of.parked.retain(|parked| !parked.receipt.is_closed());
            if let Some(proof) = of.proof(now) {
                visits.entry(listener.clone()).or_insert_with(new).proof = Some(proof);
            }
        }
        for removal in &state.letters.removals {
            let visit = visits.entry(removal.listener.clone()).or_insert_with(new);
            visit.remove.insert(removal.letter, removal.is_replaced);
        }
        let begins = |(listener, of): (&Arc<str>, &ListenerLetters)| (listener.clone(), of.begins(now));
        let listeners: HashMap<Arc<str>, bool> = state.letters.listeners.iter().map(begins).collect();
        // A standby leaves the letters to the active daemon.
        let is_ours = |listener: &Arc<str>| listeners.get(listener).is_some_and(|begins| *begins);
        for (action, key) in std::mem::take(&mut state.letters.freed) {
            let Some(lane) = state.letters.lane(&action, &key) else { continue };
            let free = lane.iter().filter(|known| !known.is_done()).take_while(|known| known.is_free());
            let mut is_free = false;
            for known in free.take(AHEAD).filter(|known| known.is_to_begin() && is_ours(&known.listener)) {
                let visit = visits.entry(known.listener.clone()).or_insert_with(new);
                visit.carry_out.insert(known.letter.id, known.letter.why);
                is_free = true;
            }
            if is_free {
                // Until the visit has been made.
                state.letters.freed.insert((action, key));
            }
        }
        let is_whole = |listener: &str| {
            let of = state.letters.listeners.get(listener);
            of.is_some_and(|of| of.begins(now) && !of.has_more)
        };
        for known in state.letters.alone.values() {
            if known.letter.why == LetterWait::Behind && known.is_to_begin() && is_whole(&known.listener) {
                let visit = visits.entry(known.listener.clone()).or_insert_with(new);
                visit.carry_out.insert(known.letter.id, known.letter.why);
            }
        }
        for (listener, visit) in &mut visits {
            let Some(of) = state.letters.listeners.get(listener) else { continue };
            visit.asked = of.asked();
            if !of.is_surely_active(now)
                && let Some(letter) = visit.carry_out.pop_first()
            {
                (visit.carry_out, visit.by_copy) = ([letter].into(), true);
            }
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
        let begun =
            visit.carry_out.keys().filter(|_| !visit.by_copy).map(|letter| (*letter, LetterStage::InHand));
        let stages: HashMap<u64, LetterStage> = stages.chain(begun).collect();
        let letters = &mut state.letters;
        letters.forget(|known| known.listener == *listener);
        for letter in found {
            // A letter that is done is among the removals.
            let stage = stages.get(&letter.id).copied().filter(|stage| *stage != LetterStage::Done);
            letters.insert(listener.clone(), letter, stage.unwrap_or_default());
        }
        if let Some(of) = letters.listeners.get_mut(listener) {
            of.has_more = has_more;
            of.has_sent |= visit.by_copy && !visit.carry_out.is_empty();
        }
        let mut done = Vec::new();
        letters.removals.retain(|removal| {
            let is_done = removal.listener == *listener && visit.remove.contains_key(&removal.letter);
            if is_done {
                done.push(removal.clone());
            }
            !is_done
        });
        // The end of a delivery during the reading: its letter was still found.
        let leaving = letters.removals.iter().filter(|removal| !removal.is_replaced);
        let leaving: Vec<u64> = leaving.map(|removal| removal.letter).collect();
        leaving.into_iter().for_each(|letter| letters.set_stage(letter, LetterStage::Done));
        let later = std::mem::take(&mut state.later);
        state.to_leave.extend(later);
        for LetterRemoval { letter, is_replaced, then, .. } in done {
            let is_read =
                || state.letters.find(letter).is_none_or(|known| known.letter.why == LetterWait::HoldKey);
            match then {
                // The newer letter is behind those that the reading has taken.
                AfterRemoval::Delivery(id, end) if is_replaced && !is_read() => {
                    self.refuse(&mut state, id, letter, &end);
                }
                AfterRemoval::Delivery(id, end) => self.finish_in(&mut state, id, &end, true),
                AfterRemoval::Entry(entry) => state.settle_one(entry, false),
            }
        }
        state.letters.forget_refused();
        if !has_more {
            self.end_without_letter(&mut state, |_, origin| origin == &**listener);
        }
        self.answer(state, listener, visit);
    }

    /// Takes over that a count of a listener's dead letter queue is the expected one.
    pub fn counted(&self, listener: &str, visit: &LetterVisit) {
        let mut state = self.lock();
        let Letters { lanes, freed, .. } = &mut state.letters;
        let lanes =
            lanes.iter().flat_map(|(action, lanes)| lanes.keys().map(|key| (action.clone(), key.clone())));
        freed.extend(lanes);
        self.answer(state, listener, visit);
    }

    /// Keeps the messages that have waited until the letters are known.
    fn answer(&self, mut state: MutexGuard<'_, MemoryState>, listener: &str, visit: &LetterVisit) {
        let is_gating = state.letters.gating.contains(listener);
        let of = state.letters.listeners.get_mut(listener);
        let parked = of.map(|of| of.answer(visit.asked, is_gating, visit.began)).unwrap_or_default();
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
}
