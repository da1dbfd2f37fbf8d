//! Keeps one row that PostgreSQL refuses from blocking the rest.
//!
//! A refused group is halved until its cause is alone:
//!
//! | refused alone | what follows |
//! | --- | --- |
//! | a message | it is set aside, to the quarantine, with PostgreSQL's words |
//! | that, in the quarantine too | of a large one only the beginning is set aside; then the message stays unsettled, and is tried again ([`RefusedRecords`]) |
//! | an end, a retry without its answer | the delivery stays claimed, its resource waits, and the record is tried again |
//! | the answer of a failed attempt, a request, an enrichment | it is given up, and `osnl status` names it for a while |
//! | the admission of a stored delivery | it and its lane are left out, and tried again |
//!
//! PostgreSQL's known limits are met before (`stored_name`, `clean`). This module handles a trigger or a
//! constraint of the DBA, and limits of extensions and later versions.
//!
//! [`RefusedRecords`]: super::refused::RefusedRecords

use super::PostgresWriter;
use super::refused::{RefusedItem, of_delivery};
use super::transfer::cut;
use crate::command::{NewUnreadable, PostgresCommand};
use crate::job::{CommitRefusal, TransactionJob};
use crate::results::{AppendResult, JobResult};

pub(super) const REMOVAL: &str = "the removal of what is old, or of what is beyond a bound";

impl PostgresWriter {
    /// Makes a refused group smaller, or removes the refused row. `false` when the program ends.
    pub(super) async fn isolate(&mut self, batch: &mut Vec<PostgresCommand>, reason: String) -> bool {
        if batch.len() > 1 {
            self.halve(batch);
            return true;
        }
        if batch.is_empty() {
            return self.isolate_arrived(reason).await;
        }
        // A group also admits stored deliveries, and the cause may be among them.
        match self.transact(&TransactionJob::Group(&[])).await {
            Ok((JobResult::Group(done), _)) => self.answer(Vec::new(), *done, Vec::new()).await,
            Ok(_) => {}
            Err(CommitRefusal::Unstorable(reason)) => return self.isolate_arrived(reason).await,
            Err(CommitRefusal::TooLong(reason)) => return self.repeat(&reason).await,
            Err(refusal) => return self.bear(refusal).await,
        }
        if let Some(command) = batch.pop() {
            batch.extend(self.without_refused(command, reason));
        }
        self.publish_refused();
        true
    }

    async fn isolate_arrived(&mut self, reason: String) -> bool {
        let arrived = &mut self.member.arrived;
        match arrived.len() {
            // The cause can only be in the rows that every group writes.
            0 => return self.repeat(&reason).await,
            1 => {
                if let Some(new) = arrived.pop() {
                    let named = of_delivery(None, "the admission", crate::delivery::delivery(new.id));
                    self.refused.keep(RefusedItem::Arrived(new), named, reason);
                    self.publish_refused();
                }
            }
            many => arrived.truncate(many / 2),
        }
        true
    }

    fn without_refused(&mut self, command: PostgresCommand, reason: String) -> Option<PostgresCommand> {
        let action =
            command.claim().and_then(|id| self.member.places.get(&id)).map(|place| place.action.clone());
        let named = |record: &str, id| of_delivery(action.as_deref(), record, id);
        match command {
            PostgresCommand::Append(new, receipt) => {
                self.answer_appended(&new, AppendResult::Refused);
                let received = (*new.entry.received).clone();
                let reason = format!("PostgreSQL cannot store it: {reason}");
                let unreadable =
                    NewUnreadable { received, reason, reader: new.reader, id: new.id, sent: None };
                // The command's body may have to be sent first.
                self.backlog.push_front(PostgresCommand::SetAside(Box::new(unreadable), receipt));
                None
            }
            PostgresCommand::SetAside(new, receipt) if new.sent.is_some() => {
                Some(PostgresCommand::SetAside(Box::new(cut(*new)), receipt))
            }
            PostgresCommand::SetAside(mut new, receipt) => {
                // Later messages get smaller numbers meanwhile.
                new.id = 0;
                let subject = format!("listener {}", new.received.origin.listener);
                let record =
                    format!("a message of queue {}, in the quarantine too", new.received.origin.queue);
                let command = Box::new(PostgresCommand::SetAside(new, receipt));
                self.refused.keep(RefusedItem::Command(command), (subject, record), reason);
                None
            }
            PostgresCommand::Retry(id, due, used, answer) if !answer.is_empty() => {
                self.refused.give_up(named("the answer of a failed attempt", id), reason);
                Some(PostgresCommand::Retry(id, due, used, String::new()))
            }
            PostgresCommand::Retry(id, ..) => {
                let item = RefusedItem::Command(Box::new(command));
                self.refused.keep(item, named("the retry", id), reason);
                None
            }
            PostgresCommand::End(id, _) => {
                let item = RefusedItem::Command(Box::new(command));
                self.refused.keep(item, named("the end", id), reason);
                None
            }
            PostgresCommand::Attempted(id, ..) => {
                self.refused.give_up(named("the answer of a failed attempt", id), reason);
                None
            }
            PostgresCommand::Sent(id, ..) => {
                self.refused.give_up(named("the request", id), reason);
                None
            }
            PostgresCommand::Enriched(id, _, _, sender) => {
                self.refused.give_up(named("the enrichment", id), reason);
                // The attempt has the enrichment in memory, and continues.
                let _ = sender.send(());
                None
            }
            PostgresCommand::DueNow(action, _) => {
                let named = (format!("action {action}"), "making its retries due now".to_owned());
                self.refused.give_up(named, reason);
                None
            }
            _ => None,
        }
    }

    /// Retries the due records, each alone. `false` when the program ends.
    pub(super) async fn retry_refused(&mut self) -> bool {
        let waiting = self.refused.shown().len();
        while let Some(due) = self.refused.take_due() {
            match due.item {
                // The message's connection is closed, so the broker delivers the message again.
                RefusedItem::Command(command) if command.is_unheard() => {}
                RefusedItem::Command(command) => {
                    if !self.commit(vec![*command], Vec::new()).await {
                        return false;
                    }
                }
                RefusedItem::Arrived(new) => {
                    self.member.arrived = vec![new];
                    if !self.commit(Vec::new(), Vec::new()).await {
                        return false;
                    }
                }
                RefusedItem::GivenUp => {}
            }
            self.refused.tried();
        }
        if waiting > 0 {
            self.publish_refused();
        }
        true
    }

    fn publish_refused(&self) {
        self.shared.set_refused(self.refused.shown());
    }

    /// Gives up the rows of a chore: the next run tries again.
    pub(super) fn give_up_chore(&mut self, chore: &str, reason: String) {
        self.refused.give_up(("journal".to_owned(), chore.to_owned()), reason);
        self.publish_refused();
    }

    async fn repeat(&mut self, reason: &str) -> bool {
        self.failed_by_row(reason);
        self.pause().await
    }
}
