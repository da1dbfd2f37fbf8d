//! Ends of deliveries in memory, and their returns to the broker.

use std::sync::Arc;
use std::time::Duration;

use osnl_core::event::Event;
use osnl_core::received::ReceivedMessage;
use tokio::time::Instant;

use super::dead::{DeadLetter, log_dead_letter};
use super::limits::DEAD_BYTES;
use super::{MemoryJournal, MemoryLane, MemoryState, PendingDelivery};
use crate::{DeliveryId, End, Handover, NewDelivery, Outcome, UsedLimits};

/// A retry later than this may return to the broker when too many wait.
const FAR: Duration = Duration::from_secs(60);

impl MemoryJournal {
    pub(super) fn finish(&self, delivery: DeliveryId, end: &End) {
        let mut state = self.lock();
        let has_effect = matches!(end.outcome, Outcome::Delivered | Outcome::NothingToDo);
        let is_over = (!has_effect && self.ends_withdrawn(&mut state, delivery))
            || self.puts_off(&mut state, delivery, end);
        if !is_over {
            self.finish_in(&mut state, delivery, end, false);
        }
        drop(state);
        self.claimable.notify_waiters();
    }

    /// Returns a message to the broker, with the deliveries behind it in its lane.
    pub(super) fn give_back(&self, state: &mut MemoryState, delivery: DeliveryId) {
        // A large message is decoded only for a callback.
        self.on_return.call(|| {
            let pending = state.deliveries.get(&delivery)?;
            let event = state.entries.get(&pending.entry)?.event(pending);
            Some(Event { delivery: Some(delivery.to_string().into()), ..event })
        });
        self.finish_in(state, delivery, &Outcome::Returned.into(), false);
    }

    /// Returns to the broker the deliveries with the most distant retries, oldest first, if too many of an
    /// action wait.
    pub(super) fn return_far_ones(&self, state: &mut MemoryState, newest: DeliveryId) {
        let Some(lanes) = state.deliveries.get(&newest).and_then(|p| state.actions.get(&p.action)) else {
            return;
        };
        let excess = lanes.waiting.len().saturating_sub(self.limits().waiting);
        if excess == 0 {
            return;
        }
        let from = Instant::now() + FAR;
        let mut far: Vec<_> =
            lanes.waiting.iter().filter(|(due, _)| *due > from).map(|(_, id)| *id).collect();
        far.sort_unstable();
        far.truncate(excess);
        far.into_iter().for_each(|id| self.give_back(state, id));
    }

    /// Ends a delivery; `is_buried` is whether a queue has its dead letter.
    pub(super) fn finish_in(
        &self,
        state: &mut MemoryState,
        delivery: DeliveryId,
        end: &End,
        is_buried: bool,
    ) {
        if let Some(pending) = self.end_unsettled(state, delivery, end, is_buried) {
            state.settle(&pending, end.outcome == Outcome::Returned);
        }
    }

    /// Ends a delivery, and leaves its part of the entry to the caller.
    pub(super) fn end_unsettled(
        &self,
        state: &mut MemoryState,
        delivery: DeliveryId,
        end: &End,
        is_buried: bool,
    ) -> Option<PendingDelivery> {
        let End { outcome, done: _, cause: _, to, took: _ } = end;
        let pending = state.remove(delivery)?;
        if *outcome != Outcome::Returned
            && let Some(lanes) = state.actions.get_mut(&pending.action)
        {
            lanes.ended += 1;
        }
        match outcome {
            Outcome::Delivered => self.counters.delivered.increment(),
            Outcome::NothingToDo => self.counters.no_action_needed.increment(),
            Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason) => {
                self.counters.dead.increment();
                if let Some(open) = state.entries.get(&pending.entry) {
                    log_dead_letter(
                        (&pending.rule, &pending.action, pending.resource),
                        &open.received.origin,
                        &open.notification.whole(&open.received),
                        reason,
                    );
                    let received = open.received.clone();
                    if !is_buried {
                        self.bury(state, received, reason.clone());
                    }
                }
            }
            Outcome::Returned => {
                self.counters.returned.increment();
                state.note_away(&pending);
                // Followers of the same key must not overtake the returned delivery. A follower on its way to the dead letter queue goes on.
                let lanes = state.lanes(&pending.action);
                let mut behind: Vec<_> =
                    lanes.by_key.get(&pending.lane).into_iter().flatten().copied().collect();
                behind.retain(|id| state.deliveries.get(id).is_some_and(|other| other.awaits.is_none()));
                for follower in behind.into_iter().filter(|follower| *follower > delivery) {
                    if let Some(pending) = state.remove(follower) {
                        self.counters.returned.increment();
                        state.settle(&pending, true);
                    }
                }
            }
        }
        if let (Some(to), Some(_)) = (to, outcome.given_up()) {
            let holds_key = matches!(outcome, Outcome::DeadHoldingKey(_));
            state.fall_back(&pending, to, holds_key);
        }
        Some(pending)
    }

    pub(super) fn bury(&self, state: &mut MemoryState, received: Arc<ReceivedMessage>, reason: String) {
        let most = self.limits().dead;
        state.dead_bytes += received.body.len();
        state.dead.push_back(DeadLetter { received, reason });
        // One dead letter is kept even if larger than the bound.
        while state.dead.len() > most.max(1) || (state.dead.len() > 1 && state.dead_bytes > DEAD_BYTES) {
            let Some(oldest) = state.dead.pop_front() else { break };
            state.dead_bytes -= oldest.received.body.len();
        }
    }
}

impl MemoryState {
    /// Adds a delivery, which is not attempted before the time of an interrupted wait for a retry.
    pub(super) fn add(
        &mut self,
        entry: u64,
        new: &NewDelivery,
        used: UsedLimits,
        not_before: Option<Instant>,
    ) {
        let id = DeliveryId(self.next());
        let lane = new.key.clone().filter(|_| new.ordered).map_or(MemoryLane::Alone(id), MemoryLane::Key);
        let lanes = self.lanes(&new.action);
        lanes.by_key.entry(lane.clone()).or_default().push_back(id);
        let (rule, action, resource) = (new.rule.clone(), new.action.clone(), new.resource);
        let (key, enriched) = (new.key.clone(), new.enriched.clone());
        let (claimed, due) = (None, None);
        let subject = new.subject.clone();
        let since = self.entries.get(&entry).map_or_else(Instant::now, |open| open.course.since);
        let pending = PendingDelivery {
            entry,
            rule,
            action,
            key,
            lane,
            resource,
            subject,
            used,
            since,
            giver: None,
            enriched,
            failed: None,
            claimed,
            due,
            not_before,
            charged_until: None,
            awaits: None,
            held: new.begin.hold().cloned().map(Box::new),
            letter: new.letter,
            ends_letter: None,
        };
        self.deliveries.insert(id, pending);
        if self.is_head(id) {
            self.promote(id);
        } else {
            self.follow(id);
        }
    }

    /// Adds the delivery of a fallback action, unless one existed before. The message waits for that too.
    fn fall_back(&mut self, given_up: &PendingDelivery, to: &Handover, holds_key: bool) {
        let Some(open) = self.entries.get_mut(&given_up.entry) else { return };
        let (rule, resource) = (&given_up.rule, given_up.resource);
        if !open.wanted.insert((rule.clone(), to.action.clone(), resource)) {
            return;
        }
        let new = NewDelivery {
            resource,
            ordered: to.ordered,
            enriched: to.enriched.clone(),
            subject: given_up.subject.clone(),
            ..NewDelivery::new(rule.clone(), to.action.clone(), given_up.key.clone())
        };
        open.outstanding += 1;
        // `add` takes the next number.
        let id = DeliveryId(self.last + 1);
        self.add(given_up.entry, &new, UsedLimits::default(), None);
        let waits = |letter: &u64| self.key_of_letter(*letter).is_some();
        let ends_letter = given_up.removed_letter().filter(waits);
        if let Some(pending) = self.deliveries.get_mut(&id) {
            pending.since = Instant::now();
            pending.giver = Some(given_up.giver.as_ref().unwrap_or(&given_up.action).clone());
            pending.ends_letter = ends_letter.filter(|_| !holds_key);
        }
    }
}
