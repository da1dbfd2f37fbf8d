//! Streams with an expectation: told with the renewal of leases, judged with the look at other members.

use tokio_postgres::Error;

use super::PostgresWriter;
use crate::job::TransactionJob;
use crate::results::JobResult;
use crate::streams;

impl PostgresWriter {
    /// Tells the other members what this one has received since it told last.
    pub(super) async fn tell_streams(&mut self) {
        let untold = self.shared.counters.series.streams.untold();
        if untold.is_empty() {
            return;
        }
        match self.transact(&TransactionJob::Tell(&untold, self.options.lease)).await {
            Ok((JobResult::Told, _)) => self.shared.counters.series.streams.told(&untold),
            Ok(_) => {}
            // With the next renewal.
            Err(refusal) => _ = self.bear(refusal).await,
        }
    }

    /// Judges the streams by what all members have told.
    pub(super) async fn judge_streams(&mut self) -> Result<(), Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        streams::judge(session, &self.shared.counters.series.streams, self.options.lease).await
    }
}
