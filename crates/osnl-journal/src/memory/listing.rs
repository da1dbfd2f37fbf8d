use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::epoch;
use osnl_model::cut;
use tokio::time::Instant;

use super::{FailedAttempts, MemoryJournal, MemoryLane, PendingDelivery};
use crate::query::{DeliveryListRow, FailingKey, LONGEST_TYPE, RowState, Tally};
use crate::{DeliveryId, Pause, PauseNote};

impl MemoryJournal {
    #[must_use]
    pub fn rows(&self) -> Vec<DeliveryListRow> {
        let state = self.lock();
        let row = |(id, pending): (&DeliveryId, &PendingDelivery)| {
            let open = state.entries.get(&pending.entry)?;
            let event_type = open.notification.head().event_type.as_deref();
            Some(DeliveryListRow {
                id: *id,
                rule: pending.rule.to_string(),
                action: pending.action.to_string(),
                key: match &pending.lane {
                    MemoryLane::Key(key) => Some(key.clone()),
                    MemoryLane::Alone(_) => None,
                },
                state: state.place_of(*id, pending),
                attempts: pending.used.attempts,
                tries: pending.used.made,
                ended: None,
                reason: None,
                received: open.received.origin.received,
                queue: open.received.origin.queue.to_string(),
                event_type: event_type.map(|kind| cut(kind, LONGEST_TYPE).to_owned()),
                message_id: open.notification.head().message_id.clone(),
                copies: 0,
                resource: pending.resource,
                resource_id: pending.subject.id.clone(),
                resource_name: pending.subject.name.clone(),
                due: pending.due.map(system_time),
                is_guarded: false,
                waits_for: state.head_before(*id, pending),
                took: None,
                last_answer: pending.failed.as_ref().map(|failed| failed.answer.to_string()),
            })
        };
        let mut rows: Vec<DeliveryListRow> = state.deliveries.iter().filter_map(row).collect();
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }

    #[must_use]
    pub fn failing_keys(&self) -> Vec<(Arc<str>, FailingKey)> {
        let state = self.lock();
        let key = |(id, pending): (&DeliveryId, &PendingDelivery)| {
            let FailedAttempts { since, at, answer, class, host } =
                pending.failed.as_ref().filter(|_| pending.used.made > 1)?;
            let subject = &pending.subject;
            let failing = FailingKey {
                id: *id,
                resource: subject.name.clone().or_else(|| subject.id.clone()).or_else(|| pending.key.clone()),
                tries: pending.used.made,
                since: *since,
                at: *at,
                answer: answer.to_string(),
                class: *class,
                host: host.clone(),
            };
            Some((pending.action.clone(), failing))
        };
        let mut failing: Vec<_> = state.deliveries.iter().filter_map(key).collect();
        failing.sort_by_key(|(_, failing)| (failing.since, failing.id));
        failing
    }

    /// Returns how often, at most, the message of an open delivery has returned to the broker, by action.
    #[must_use]
    pub fn returns(&self) -> BTreeMap<String, u32> {
        let state = self.lock();
        let mut returns = BTreeMap::new();
        for pending in state.deliveries.values() {
            let times = state.entries.get(&pending.entry).map_or(0, |open| open.course.returns);
            if times > 0 {
                let most = returns.entry(pending.action.to_string()).or_insert(times);
                *most = times.max(*most);
            }
        }
        returns
    }

    #[must_use]
    pub fn tally(&self) -> Vec<Tally> {
        let state = self.lock();
        let mut counts = state.letter_counts();
        for (id, pending) in &state.deliveries {
            *counts.entry((pending.action.to_string(), state.place_of(*id, pending))).or_default() += 1;
        }
        counts.into_iter().map(|((action, state), count)| Tally { action, state, count }).collect()
    }

    /// Pauses for the life of the process. The messages stay unsettled, and return to the broker after too long a
    /// wait.
    ///
    /// A reason for an action that is paused replaces the former one, and its operator.
    pub fn set_pause(&self, action: &str, note: Option<PauseNote>) {
        self.paused.send_if_modified(|paused| {
            let Some(note) = note else { return paused.remove(action).is_some() };
            let known = paused.get(action).map(|pause| pause.since);
            if known.is_some() && note.reason.is_none() {
                return false;
            }
            let since = known.unwrap_or_else(epoch::now);
            paused.insert(action.to_owned(), Pause { since, note: Some(note) });
            true
        });
    }
}

fn system_time(at: Instant) -> SystemTime {
    let now = (Instant::now(), epoch::now());
    now.1 + at.saturating_duration_since(now.0) - now.0.saturating_duration_since(at)
}

impl super::MemoryState {
    fn head_before(&self, id: DeliveryId, pending: &PendingDelivery) -> Option<DeliveryId> {
        self.head(&pending.action, &pending.lane).filter(|first| *first < id)
    }

    fn place_of(&self, id: DeliveryId, pending: &PendingDelivery) -> RowState {
        match self.head(&pending.action, &pending.lane) == Some(id) {
            true => RowState::Ready,
            false => RowState::Waiting,
        }
    }
}
