use tokio_postgres::Error;

use super::PostgresWriter;
use crate::bounds::{self, OF_QUARANTINE};
use crate::job::{CommitRefusal, TransactionJob};
use crate::prune;

/// Rows whose records are in the archive's files, and which leave the database with this or a later chore.
#[derive(Default)]
pub(super) struct ArchivedRows {
    letters: Vec<i64>,
    messages: Vec<i64>,
}

impl PostgresWriter {
    pub(super) async fn keep_bounds(&mut self) -> Result<(), Error> {
        let (own, most) = (self.member.leases.partitions(), self.options.bounds.max_dead);
        // Without an archive file, exceeding the bound is better than losing records.
        let Some(file) = self.options.archive.clone() else { return Ok(()) };
        if self.archived.letters.is_empty() {
            let Some(session) = &mut self.session else { return Ok(()) };
            let mut beyond = bounds::beyond(session, &own, most).await?;
            beyond.truncate(self.removed_at_once);
            match bounds::write_letters(session, &file, &beyond).await? {
                Ok(()) => self.archived.letters = beyond,
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(error, "dead letters cannot be moved out of the journal");
                }
            }
        }
        let letters = std::mem::take(&mut self.archived.letters);
        self.archived.letters = self.remove_archived(TransactionJob::Bury, letters).await;
        if !own.contains(&OF_QUARANTINE) {
            return Ok(());
        }
        if self.archived.messages.is_empty() {
            let Some(session) = &mut self.session else { return Ok(()) };
            let mut beyond = bounds::unloaded(session, most).await?;
            beyond.truncate(self.removed_at_once);
            let (written, rest) = bounds::write_messages(session, &file, beyond).await?;
            if let Err(error) = rest {
                tracing::warn!(error, "unreadable messages cannot be moved out of the journal");
            }
            self.archived.messages = written;
        }
        let messages = std::mem::take(&mut self.archived.messages);
        self.archived.messages = self.remove_archived(TransactionJob::Unload, messages).await;
        Ok(())
    }

    /// Removes as many of the rows as one transaction may, and returns the others. A row that stays is not written to
    /// the archive again.
    async fn remove_archived(
        &mut self,
        job: fn(Vec<i64>) -> TransactionJob<'static>,
        mut rows: Vec<i64>,
    ) -> Vec<i64> {
        let now = rows.len().min(self.removed_at_once);
        if now > 0 && self.remove(&job(rows[..now].to_vec()), now).await {
            rows.drain(..now);
        }
        rows
    }

    /// Removes rows, and returns whether the rows have left. After a removal that takes too long, fewer rows leave with
    /// the next chore, and leases are renewed before that.
    pub(super) async fn remove(&mut self, job: &TransactionJob<'_>, rows: usize) -> bool {
        match self.transact(job).await {
            Ok(_) => {
                // One more each time: a doubled number would be too large each second time.
                self.removed_at_once = (self.removed_at_once + 1).min(prune::AT_ONCE);
                return true;
            }
            Err(CommitRefusal::TooLong(_)) if rows > 1 => self.removed_at_once = rows / 2,
            Err(refusal) => _ = self.bear(refusal).await,
        }
        false
    }
}
