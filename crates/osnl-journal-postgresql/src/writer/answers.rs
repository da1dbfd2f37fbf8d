use std::sync::Arc;

use osnl_journal::{Entry, Outcome, Settle, begin, store};

use super::PostgresWriter;
use crate::change::ChangedDelivery;
use crate::command::{NewEntry, PostgresCommand};
use crate::delivery::Promotion;
use crate::results::{AppendResult, GroupResult};

const UNSETTLED: usize = u16::MAX as usize;

impl PostgresWriter {
    pub(super) async fn answer(
        &mut self,
        batch: Vec<PostgresCommand>,
        mut done: GroupResult,
        fetches: Vec<PostgresCommand>,
    ) {
        let is_unknown = done.arrived.is_none();
        self.member.arrived = self.refused.without_refused(done.arrived.take().unwrap_or_default());
        self.more_arrived |= is_unknown || !self.member.arrived.is_empty();
        let mut promoted = self.follow(&batch, &done);
        promoted.extend(done.promoted);
        for id in done.adopted {
            self.member.unsettled.remove(&id);
        }
        let mut told = Vec::with_capacity(batch.len());
        for (n, command) in batch.into_iter().enumerate() {
            let appended = done.appended.get(&n).copied();
            match command {
                PostgresCommand::Append(new, receipt) => {
                    let appended = appended.unwrap_or(AppendResult::Refused);
                    let settle = match appended {
                        AppendResult::New | AppendResult::Copy => Settle::Acknowledge,
                        AppendResult::Refused => Settle::Resubscribe,
                    };
                    self.answer_appended(&new, appended);
                    let is_nameless = appended == AppendResult::New && new.identity.id.is_none();
                    // The message's connection is closed, and the broker delivers the message again.
                    if receipt.send(settle).is_err() && is_nameless {
                        self.member.unsettled.insert(new.id);
                    }
                    told.push(new);
                }
                PostgresCommand::SetAside(new, receipt) => {
                    if appended == Some(AppendResult::New) {
                        begin::count_unreadable(&new.received, &new.reason, &self.shared.counters);
                    }
                    let is_kept = matches!(appended, Some(AppendResult::New | AppendResult::Copy));
                    let _ = receipt.send(if is_kept { Settle::Acknowledge } else { Settle::Resubscribe });
                }
                PostgresCommand::DueNow(action, now) => {
                    self.shared.claimable.waits_until(&action, now);
                    if done.due_more {
                        self.backlog.push_front(PostgresCommand::DueNow(action, now));
                    }
                }
                PostgresCommand::Enriched(_, _, _, sender) => {
                    let _ = sender.send(());
                }
                _ => {}
            }
        }
        while self.member.unsettled.len() > UNSETTLED {
            self.member.unsettled.pop_first();
        }
        // Dropping large messages takes time, so it runs while the database works.
        futures_util::join!(self.bring(promoted, fetches), async move { drop(told) });
        self.shared.claimable.changed.notify_waiters();
    }

    /// Updates memory before new rows are read into it; returns the deliveries that are claimable again.
    fn follow(&mut self, batch: &[PostgresCommand], done: &GroupResult) -> Vec<Promotion> {
        let shared = self.shared.clone();
        let mut again = Vec::new();
        for command in batch {
            if let PostgresCommand::Append(new, _) = command {
                let Entry { received, notification, .. } = &new.entry;
                self.member.messages.insert(new.id, &(received.clone(), notification.clone()));
            }
            let (PostgresCommand::End(id, _) | PostgresCommand::Retry(id, ..)) = command else { continue };
            let own = self.member.place(*id).is_some();
            let place = self.member.places.remove(id);
            let action: Option<Arc<str>> = place.map(|place| place.action);
            shared.claimable.forget(action.as_deref(), *id);
            shared.end_claim(*id);
            let Some(action) = action else { continue };
            self.member.deferred.remove(id);
            match command {
                _ if let Some(changed) = done.changed.get(id) => self.count_pending_change(changed),
                PostgresCommand::Retry(_, due, ..) if done.retried.contains(id) => {
                    shared.claimable.waits_until(&action, due.at);
                }
                PostgresCommand::End(_, end) if let Some(made) = done.ended.get(id) => {
                    shared.gate.changed(&action, -1);
                    store::count(&end.outcome, &shared.counters);
                    if let (Some(to), true) = (&end.to, *made) {
                        shared.gate.changed(&to.action, 1);
                    }
                }
                PostgresCommand::End(_, end) if own && end.outcome == Outcome::Returned => {
                    // The delivery may have failed and have no place in memory: the next claim reads the
                    // tables.
                    shared.claimable.waits_until(&action, 0);
                    again.push(Promotion::new(*id, action.to_string()));
                }
                _ => {
                    if !own {
                        tracing::warn!(
                            delivery.id = %id,
                            action.name = &*action,
                            "another daemon has taken over the delivery: its end here is not recorded"
                        );
                    }
                    // The partition may be this member's again, under another epoch.
                    shared.claimable.is_beyond(&action);
                    shared.claimable.waits_until(&action, 0);
                }
            }
        }
        again
    }

    pub(super) fn count_pending_change(&self, changed: &ChangedDelivery) {
        for (action, by) in &changed.pending {
            self.shared.gate.changed(action, *by);
        }
    }

    pub(super) fn answer_appended(&self, new: &NewEntry, appended: AppendResult) {
        let shared = &self.shared;
        let open = new.entry.deliveries.iter().filter(|new| new.begin.is_open());
        let open: Vec<&Arc<str>> = open.map(|new| &new.action).collect();
        match appended {
            AppendResult::New => {
                let ids = |n| Some(osnl_journal::DeliveryId::of(new.id, n));
                begin::announce(&new.entry, ids, &shared.counters);
                begin::announce_dead(&new.entry, ids);
            }
            AppendResult::Copy => {
                open.iter().for_each(|action| shared.gate.changed(action, -1));
                begin::count_copy(&new.entry.received, &new.identity, &shared.counters);
            }
            AppendResult::Refused => open.iter().for_each(|action| shared.gate.changed(action, -1)),
        }
        shared.committed(open.into_iter());
        shared.gate.committed();
    }
}
