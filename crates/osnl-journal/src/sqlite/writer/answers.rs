//! Answers the callers after a commit, and brings newly claimable deliveries into memory.

use osnl_core::event::Event;
use tokio::time::Instant;

use super::super::reader::recent;
use super::super::work::{AppendResult, EndResult};
use super::super::{SqliteState, prune};
use super::{Apply, ChangeBatchResult, CommandResult, JournalWriter, NewEntry, SqliteCommand, UNSETTLED};
use crate::query::Change;
use crate::{ClaimedDelivery, DeliveryId, End, Entry, Settle, UsedLimits, begin, store};

impl JournalWriter {
    pub(super) fn answer(&mut self, batch: Vec<SqliteCommand>, results: Vec<CommandResult>) {
        let SqliteState { claimable, counters, .. } = &*self.shared;
        let mut unreadable = false;
        let mut unsettled = Vec::new();
        for (command, result) in batch.into_iter().zip(results) {
            match (command, result) {
                (SqliteCommand::Append(appending, receipt), CommandResult::Appended(appended)) => {
                    let nameless = self.answer_appended(appending, appended);
                    // Without a receiver the connection is gone, and the broker redelivers the message.
                    if let (Err(_), Some(event)) = (receipt.send(Settle::Acknowledge), nameless) {
                        unsettled.push(event);
                    }
                }
                (SqliteCommand::SetAside(received, reason, receipt), CommandResult::SetAside(new)) => {
                    if new {
                        unreadable = true;
                        begin::count_unreadable(&received, &reason, counters);
                    }
                    let _ = receipt.send(Settle::Acknowledge);
                }
                (SqliteCommand::ForgetUnreadable(_, sender), CommandResult::Forgotten(count)) => {
                    let _ = sender.send(count);
                }
                (SqliteCommand::DueNow(action, now), CommandResult::DueNow(more)) => {
                    claimable.waits_until(&action, now);
                    if more {
                        self.backlog.push_back(SqliteCommand::DueNow(action, now));
                    }
                }
                (SqliteCommand::Retry(id, ..), CommandResult::Ended(ended)) => {
                    self.publish_end(id, ended, None)
                }
                (SqliteCommand::End(id, end), CommandResult::Ended(ended)) => {
                    self.publish_end(id, ended, Some(end))
                }
                (SqliteCommand::Change(change_batch, apply, sender), CommandResult::Changed(changed)) => {
                    match apply {
                        Apply::Preview => {}
                        Apply::Commit => self.answer_changed(&change_batch.change, &changed),
                    }
                    let _ = sender.send(*changed);
                }
                (SqliteCommand::Enriched(_, _, _, sender), _) => {
                    let _ = sender.send(());
                }
                // Commands without a waiting caller, or about a row that is gone.
                (
                    SqliteCommand::Append(..)
                    | SqliteCommand::SetAside(..)
                    | SqliteCommand::ForgetUnreadable(..)
                    | SqliteCommand::HoldSuspects(_)
                    | SqliteCommand::Attempted(..)
                    | SqliteCommand::Sent(..)
                    | SqliteCommand::Retry(..)
                    | SqliteCommand::Change(..)
                    | SqliteCommand::DueNow(..)
                    | SqliteCommand::End(..)
                    | SqliteCommand::Known(..)
                    | SqliteCommand::Barrier(_)
                    | SqliteCommand::Fetch(..)
                    | SqliteCommand::Close(_),
                    _,
                ) => {}
                #[cfg(any(test, feature = "sample"))]
                (SqliteCommand::Do(_), _) => {}
            }
        }
        claimable.changed.notify_waiters();
        self.unsettled.extend(unsettled);
        while self.unsettled.len() > UNSETTLED {
            self.unsettled.pop_first();
        }
        if unreadable
            && let Some(pruner) = self.pruner()
            && let Err(error) = prune::unreadable(&pruner)
        {
            tracing::warn!(
                error = error.to_string(),
                "unreadable messages cannot be moved out of the journal"
            );
        }
    }
}

impl JournalWriter {
    fn answer_appended(&self, appending: NewEntry, appended: AppendResult) -> Option<i64> {
        let SqliteState { claimable, gate, counters, .. } = &*self.shared;
        let NewEntry { entry, whole, identity } = appending;
        let mut nameless = None;
        match appended {
            AppendResult::New { event, ready } => {
                nameless = identity.id.is_none().then_some(event);
                let ids = |n| Some(DeliveryId::from_event(event, n));
                begin::announce(&entry, ids, false, counters);
                begin::announce_dead(&entry, ids);
                for n in ready {
                    let new = &entry.deliveries[n];
                    if !whole {
                        claimable.mark_beyond(&new.action);
                    } else if claimable.has_place(&new.action, DeliveryId::from_event(event, n)) {
                        claimable.add(&new.action, claimed(&entry, event, n));
                    }
                }
            }
            AppendResult::Copy => {
                let open = entry.deliveries.iter().filter(|new| new.begin.is_open());
                open.for_each(|new| gate.changed(&new.action, -1));
                begin::count_copy(&entry.received, &identity, counters);
            }
        }
        gate.committed();
        nameless
    }

    fn answer_changed(&self, change: &Change, answer: &ChangeBatchResult) {
        if matches!(change, Change::Pause { .. } | Change::Resume { .. }) {
            self.read_paused();
        }
        let SqliteState { claimable, gate, .. } = &*self.shared;
        for (action, id) in &answer.withdrawn {
            claimable.withdraw(action, *id);
        }
        for (action, id) in &answer.left {
            claimable.leave(action, *id);
        }
        for (action, by) in &answer.pending {
            gate.changed(action, *by);
        }
        self.publish_released(&answer.released);
    }

    fn publish_released(&self, released: &[DeliveryId]) {
        let Some(connection) = &self.connection else { return };
        for id in released {
            // After a failed read, the guard learns of the release at the next start.
            if let Ok(Some(released)) = recent(connection, *id) {
                self.shared.on_release.publish(&released);
            }
        }
    }

    fn publish_end(&self, id: DeliveryId, ended: EndResult, end: Option<End>) {
        let SqliteState { claimable, gate, .. } = &*self.shared;
        let action = match &ended {
            EndResult::Returned { action }
            | EndResult::Waits { action, .. }
            | EndResult::Over { action, .. } => Some(action.as_str()),
            EndResult::Nothing | EndResult::Fulfilled(_) => None,
        };
        claimable.forget(action, id);
        match ended {
            EndResult::Nothing => {}
            EndResult::Waits { action, due } => claimable.waits_until(&action, due),
            EndResult::Returned { action } => {
                // A delivery that has failed has no place in memory, so the next claim looks in the file.
                claimable.waits_until(&action, 0);
                self.offer(vec![(action, id)]);
            }
            EndResult::Fulfilled(pending) => {
                pending.into_iter().for_each(|(action, by)| gate.changed(&action, by));
            }
            EndResult::Over { action, made, retried } => {
                gate.changed(&action, retried - 1);
                let Some(End { outcome, to, .. }) = end else { return };
                store::count(&outcome, &self.shared.counters);
                if let (Some(to), true) = (to, made) {
                    gate.changed(&to.action, 1);
                }
            }
        }
    }
}

fn claimed(entry: &Entry, event: i64, n: usize) -> ClaimedDelivery {
    let new = &entry.deliveries[n];
    ClaimedDelivery {
        id: DeliveryId::from_event(event, n),
        since: Some(Instant::now()),
        began: None,
        key: new.key.clone(),
        event: Event {
            resource: new.resource,
            enriched: new.enriched.clone(),
            ..Event::new(
                entry.received.clone(),
                entry.notification.clone(),
                new.rule.clone(),
                new.action.clone(),
            )
        },
        used: UsedLimits::default(),
        newest: false,
    }
}
