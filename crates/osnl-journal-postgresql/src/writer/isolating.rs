//! Keeps a message that PostgreSQL refuses from holding up the rest.
//!
//! A group that is refused for a value is halved until the message is alone. It is then set aside, to the quarantine, where an
//! operator finds it with PostgreSQL's words. One that is refused there too stays with the broker. What is known of PostgreSQL's
//! limits is kept before (`stored_name`, `clean`); this is for the rest: a trigger or a domain of the DBA, a limit of an
//! extension, a version to come.

use osnl_journal::Settle;

use super::PostgresWriter;
use crate::command::{NewUnreadable, PostgresCommand};
use crate::job::{CommitRefusal, TransactionJob};
use crate::results::{AppendResult, JobResult};

impl PostgresWriter {
    /// Makes a refused group smaller, or takes the refused message out of it. `false` when the program ends.
    pub(super) async fn isolate(&mut self, batch: &mut Vec<PostgresCommand>, reason: String) -> bool {
        if batch.len() > 1 {
            self.halve(batch);
            return true;
        }
        if !matches!(&batch[..], [PostgresCommand::Append(..) | PostgresCommand::SetAside(..)]) {
            return self.repeat(&reason).await;
        }
        // A group also admits what is stored already: the cause may be there.
        match self.transact(&TransactionJob::Group(&[])).await {
            Ok((JobResult::Group(done), _)) => {
                self.tell(Vec::new(), *done, Vec::new()).await;
            }
            Ok(_) => {}
            Err(CommitRefusal::Unstorable(reason)) => return self.repeat(&reason).await,
            // The group meets it too.
            Err(refusal) => return self.bear(refusal).await,
        }
        match batch.pop() {
            Some(PostgresCommand::Append(new, receipt)) => {
                self.tell_appended(&new, AppendResult::Refused);
                let received = (*new.entry.received).clone();
                let reason = format!("PostgreSQL cannot store it: {reason}");
                let unreadable = NewUnreadable { received, reason, reader: new.reader, id: new.id };
                batch.push(PostgresCommand::SetAside(Box::new(unreadable), receipt));
            }
            Some(PostgresCommand::SetAside(new, receipt)) => {
                let origin = &new.received.origin;
                tracing::error!(
                    listener.name = &*origin.listener,
                    queue.name = &*origin.queue,
                    reason = new.reason,
                    refusal = reason,
                    "PostgreSQL refuses a message, in the quarantine too: it stays with the broker",
                );
                let _ = receipt.send(Settle::Leave);
            }
            other => batch.extend(other),
        }
        true
    }

    /// Fails for a second.
    async fn repeat(&mut self, reason: &str) -> bool {
        self.failed(reason);
        self.pause().await
    }
}
