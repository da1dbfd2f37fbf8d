use tokio_postgres::Error;

use super::PostgresWriter;
use crate::bounds::{self, OF_QUARANTINE};
use crate::job::TransactionJob;

impl PostgresWriter {
    pub(super) async fn keep_bounds(&mut self) -> Result<(), Error> {
        let (own, most) = (self.member.leases.partitions(), self.options.bounds.max_dead);
        // Without an archive file, exceeding the bound is better than losing records.
        let Some(file) = self.options.archive.clone() else { return Ok(()) };
        let Some(session) = &mut self.session else { return Ok(()) };
        let beyond = bounds::beyond(session, &own, most).await?;
        if !beyond.is_empty() {
            match bounds::write_letters(session, &file, &beyond).await? {
                Ok(()) => self.remove(&TransactionJob::Bury(beyond)).await,
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
        let beyond = bounds::unloaded(session, most).await?;
        let (written, rest) = bounds::write_messages(session, &file, beyond).await?;
        if let Err(error) = rest {
            tracing::warn!(error, "unreadable messages cannot be moved out of the journal");
        }
        if !written.is_empty() {
            self.remove(&TransactionJob::Unload(written)).await;
        }
        Ok(())
    }

    async fn remove(&mut self, job: &TransactionJob<'_>) {
        if let Err(refusal) = self.transact(job).await {
            _ = self.bear(refusal).await;
        }
    }
}
