//! The database that a journal is moved to.

use osnl_journal::transfer::{
    CellValue, CellValues, JournalFacts, JournalTable, MoveDestination, MoveError, MoveOptions, MoveTables,
    Vacancy,
};
use osnl_model::Secret;
use osnl_transport::BoxFuture;

use super::{TransferSide, insert, tables};
use crate::mark::{self, Mark};
use crate::partition::PARTITIONS;
use crate::schema;

/// The tables whose rows are a journal.
pub(super) const EMPTIED: [&str; 16] = [
    "osnl_arrival",
    "osnl_delivery",
    "osnl_attempt",
    "osnl_enriched",
    "osnl_object",
    "osnl_unreadable",
    "osnl_paused",
    "osnl_tally",
    "osnl_forgotten",
    "osnl_change",
    "osnl_window",
    "osnl_guard_key",
    "osnl_grant",
    "osnl_stream",
    "osnl_stream_slot",
    "osnl_seen",
];
const TALLY: &str = "INSERT INTO osnl_tally (partition, action, state, count) \
     SELECT partition, action, state, count(*) FROM osnl_delivery GROUP BY partition, action, state";
/// A retry is refused of a dead letter that is older than the number.
const FORGOTTEN: &str = "INSERT INTO osnl_forgotten (partition, action, delivery) \
     SELECT d.partition, d.action, max(d.id) + 1 FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival \
     WHERE d.state = 3 AND d.ordered AND d.key IS NOT NULL AND a.received <= $1 GROUP BY d.partition, d.action";
const NEXT: &str = "UPDATE osnl_counter SET next = greatest(next, $2::bigint, (SELECT max(id) + 1 FROM osnl_unreadable)) \
     WHERE name = $1";
const INSERT_PARTITIONS: &str = "INSERT INTO osnl_partition (id, epoch, beat) \
     SELECT n, (SELECT coalesce(max(next), 0) FROM osnl_counter WHERE name = $1), 0 FROM generate_series(0, $2::int - 1) AS n";
/// No version is the time of an earlier row.
const SEEN: &str = "UPDATE osnl_seen_version SET version = coalesce((SELECT max(touched) FROM osnl_seen), 0) + 1, arrival = 0, \
     resources = (SELECT count(*) FROM osnl_seen), messages = 0 WHERE id = 0";
/// Without it, the first statements are planned for empty tables.
const ANALYZE: &str = "ANALYZE osnl_arrival, osnl_delivery, osnl_attempt, osnl_enriched";

/// See the [module](self).
pub(crate) struct PostgresDestination {
    side: TransferSide,
    /// The name of the counter of arrivals.
    counter: String,
    /// Rows are there, and may be removed.
    is_left: bool,
}

impl PostgresDestination {
    pub(crate) async fn open(connection: &Secret, options: MoveOptions) -> Result<Self, MoveError> {
        let side = TransferSide::connect(connection, options).await?;
        Ok(Self { side, counter: mark::ARRIVAL.to_owned(), is_left: false })
    }

    async fn standing(&mut self) -> Result<Vacancy, MoveError> {
        let side = &self.side;
        if side.version().await? == 0 {
            return Ok(Vacancy::Free);
        }
        side.is_free().await?;
        let client = &side.session.client;
        match mark::read(client).await.map_err(|error| side.failed(error))? {
            Some(found @ Mark::Unfinished(..)) => {
                (self.counter, self.is_left) = (found.name(), true);
                return Ok(Vacancy::Unfinished);
            }
            Some(found @ Mark::MovedTo(_)) if side.options.replaces => {
                (self.counter, self.is_left) = (found.name(), true);
                return Ok(Vacancy::Free);
            }
            Some(moved) => return Err(side.unusable(&moved.into())),
            None => {}
        }
        let mut there = Vec::new();
        for table in JournalTable::ALL {
            let count = tables::count(client, table).await.map_err(|error| side.failed(error))?;
            there.extend((count > 0).then(|| format!("{count} {}", table.name())));
        }
        match there.is_empty() {
            // A message without a delivery would be a row too many.
            true => self.is_left = true,
            false => {
                let there = there.join(", ");
                return side.refuse(&format!("is not empty: it has {there}; name an empty database"));
            }
        }
        Ok(Vacancy::Free)
    }

    async fn start(&mut self, from: &str) -> Result<(), MoveError> {
        let side = &self.side;
        let client = &side.session.client;
        let failed = |error| side.failed(error);
        schema::migrate(client).await.map_err(|error| side.unusable(&error))?;
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let name = Mark::moving_from(from);
        side.seal(&self.counter, &name).await?;
        if self.is_left {
            for table in EMPTIED {
                client.execute(&format!("DELETE FROM {table}"), &[]).await.map_err(failed)?;
            }
        }
        client.batch_execute("COMMIT").await.map_err(failed)?;
        self.counter = name;
        Ok(())
    }

    async fn derive(&mut self, facts: &JournalFacts) -> Result<(), MoveError> {
        let side = &self.side;
        let client = &side.session.client;
        let failed = |error| side.failed(error);
        client.execute(TALLY, &[]).await.map_err(failed)?;
        client.execute(SEEN, &[]).await.map_err(failed)?;
        if let Some(until) = facts.forgotten_until {
            client.execute(FORGOTTEN, &[&until]).await.map_err(failed)?;
        }
        if client.execute(NEXT, &[&self.counter, &facts.next]).await.map_err(failed)? != 1 {
            return side.is_overtaken();
        }
        // A user that does not own the tables may not: the server does it later by itself.
        let _ = client.batch_execute(ANALYZE).await;
        Ok(())
    }

    async fn release(&mut self) -> Result<(), MoveError> {
        let side = &self.side;
        let client = &side.session.client;
        let failed = |error| side.failed(error);
        client.batch_execute("BEGIN").await.map_err(failed)?;
        client.execute(INSERT_PARTITIONS, &[&mark::EPOCH, &i32::from(PARTITIONS)]).await.map_err(failed)?;
        if let Err(error) = side.rename(&self.counter, mark::ARRIVAL).await {
            // The reason is told, whatever becomes of the session.
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(error);
        }
        client.batch_execute("COMMIT").await.map_err(failed)
    }
}

impl MoveTables for PostgresDestination {
    fn shown(&self) -> &str {
        &self.side.shown
    }

    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>> {
        Box::pin(async move {
            let block = tables::block(&mut self.side.session, table, after, 0).await;
            block.map_err(|error| self.side.failed(error))?.map_err(MoveError::Differs)
        })
    }
}

impl MoveDestination for PostgresDestination {
    fn look(&mut self) -> BoxFuture<'_, Result<Vacancy, MoveError>> {
        Box::pin(self.standing())
    }

    fn begin<'a>(&'a mut self, from: &'a str) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(self.start(from))
    }

    fn write<'a>(
        &'a mut self,
        table: JournalTable,
        rows: &'a [CellValues],
    ) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(async move {
            let written = insert::write(&mut self.side.session, table, rows).await;
            written.map_err(|error| self.side.failed(error))
        })
    }

    fn fit(&self, table: JournalTable, row: &mut CellValues) -> u64 {
        insert::fit(table, row)
    }

    fn complete<'a>(&'a mut self, facts: &'a JournalFacts) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(self.derive(facts))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), MoveError>> {
        Box::pin(self.release())
    }
}
