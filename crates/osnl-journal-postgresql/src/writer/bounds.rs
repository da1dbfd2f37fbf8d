//! Keeps the bounds of dead letters and of the quarantine: what leaves is written into a file first.

use std::io;

use osnl_journal::sqlite::archive;
use tokio_postgres::Error;

use super::Writer;
use crate::bounds::{self, OF_QUARANTINE};
use crate::job::Job;

impl Writer {
    /// Removes a bite of what is beyond the bounds.
    pub(super) async fn keep_bounds(&mut self) -> Result<(), Error> {
        let (own, most) = (self.member.leases.partitions(), self.options.max_dead);
        // Without a file for what leaves, more than the bound is better than none.
        let Some(file) = self.options.archive.clone() else { return Ok(()) };
        let Some(session) = &mut self.session else { return Ok(()) };
        let beyond = bounds::beyond(session, &own, most).await?;
        if !beyond.is_empty() {
            let written = bounds::write_letters(session, &file, &beyond).await?;
            self.remove(written, &Job::Bury(beyond)).await;
        }
        if !own.contains(&OF_QUARANTINE) {
            return Ok(());
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        match bounds::unloaded(session, most).await? {
            Ok(messages) if messages.is_empty() => {}
            Ok(messages) => {
                let ids = messages.iter().map(|message| message.id).collect();
                self.remove(archive::write_quarantined(&file, &messages), &Job::Unload(ids)).await;
            }
            Err(reason) => {
                tracing::warn!(error = reason, "unreadable messages cannot be moved out of the journal")
            }
        }
        Ok(())
    }

    /// Removes what is in the file; what cannot be written there stays.
    async fn remove(&mut self, written: io::Result<()>, job: &Job<'_>) {
        if let Err(error) = written {
            let error = error.to_string();
            tracing::warn!(error, "dead letters cannot be moved out of the journal");
        } else if let Err(refusal) = self.transact(job).await {
            _ = self.bear(refusal).await;
        }
    }
}
