use tokio_postgres::Error;

use super::PostgresWriter;
use crate::bounds::{self, OF_QUARANTINE};
use crate::job::{CommitRefusal, TransactionJob};
use crate::prune;

impl PostgresWriter {
    pub(super) async fn keep_bounds(&mut self) -> Result<(), Error> {
        let (own, most) = (self.member.leases.partitions(), self.options.bounds.max_dead);
        // Without an archive file, exceeding the bound is better than losing records.
        let Some(file) = self.options.archive.clone() else { return Ok(()) };
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut beyond = bounds::beyond(session, &own, most).await?;
        beyond.truncate(self.removed_at_once);
        if !beyond.is_empty() {
            match bounds::write_letters(session, &file, &beyond).await? {
                Ok(()) => {
                    let rows = beyond.len();
                    self.remove(&TransactionJob::Bury(beyond), rows).await;
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(error, "dead letters cannot be moved out of the journal");
                }
            }
        }
        if !own.contains(&OF_QUARANTINE) {
            return Ok(());
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut beyond = bounds::unloaded(session, most).await?;
        beyond.truncate(self.removed_at_once);
        let (written, rest) = bounds::write_messages(session, &file, beyond).await?;
        if let Err(error) = rest {
            tracing::warn!(error, "unreadable messages cannot be moved out of the journal");
        }
        if !written.is_empty() {
            let rows = written.len();
            self.remove(&TransactionJob::Unload(written), rows).await;
        }
        Ok(())
    }

    /// After a removal that takes too long, fewer rows leave with the next chore, and leases are renewed before that.
    pub(super) async fn remove(&mut self, job: &TransactionJob<'_>, rows: usize) {
        match self.transact(job).await {
            // One more each time: a doubled number would be too large each second time.
            Ok(_) => self.removed_at_once = (self.removed_at_once + 1).min(prune::AT_ONCE),
            Err(CommitRefusal::TooLong(_)) if rows > 1 => self.removed_at_once = rows / 2,
            Err(refusal) => _ = self.bear(refusal).await,
        }
    }
}
