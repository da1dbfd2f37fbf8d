//! The database that a journal is moved away from.

use std::collections::BTreeMap;

use osnl_core::moment::millis;
use osnl_journal::transfer::{
    CellValue, CellValues, JournalFacts, JournalTable, MoveError, MoveOptions, MoveSource, MoveTables, Survey,
};
use osnl_model::Secret;
use osnl_transport::BoxFuture;

use super::{MemberRows, TransferSide, tables};
use crate::mark::{self, Mark};
use crate::schema;

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const CHANGES: &str = "SELECT count(*) FROM osnl_change WHERE verdict <= 1 AND NOT is_dry_run";
const LOST: &str = "SELECT count(*) FROM osnl_delivery d WHERE NOT EXISTS (SELECT 1 FROM osnl_arrival a WHERE a.id = d.arrival)";
const ARRIVALS: &str = "SELECT count(*) FROM osnl_arrival";
const NEXT: &str = "SELECT next FROM osnl_counter WHERE name = $1";
/// The latest message of a dead letter that may have been overtaken by what retention has removed.
const FORGOTTEN: &str = "SELECT max(a.received) FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival \
     WHERE d.state = 3 AND d.ordered AND d.lane IS NULL AND EXISTS (SELECT 1 FROM osnl_forgotten f \
       WHERE f.partition = d.partition AND f.action = d.action AND f.delivery > d.id)";

/// See the [module](self).
pub(crate) struct PostgresSource {
    side: TransferSide,
    /// As they were when the snapshot was taken.
    members: MemberRows,
    moved_to: Option<String>,
    /// When deliveries that have arrived are admitted.
    now: i64,
}

impl PostgresSource {
    /// Opens a journal that no daemon works on.
    pub(crate) async fn open(connection: &Secret, options: MoveOptions) -> Result<Self, MoveError> {
        let side = TransferSide::connect(connection, options).await?;
        match side.version().await? {
            0 => return side.refuse("there is no journal: the database has no tables of osnl"),
            found if found < schema::VERSION => {
                return side.refuse(&format!(
                    "the tables are of version {found}, this osnl needs {}; run osnl journal migrate",
                    schema::VERSION
                ));
            }
            _ => {}
        }
        let moved_to = match mark::read(&side.session.client).await.map_err(|error| side.failed(error))? {
            Some(Mark::MovedTo(to)) => Some(to),
            Some(unfinished) => return Err(side.unusable(&unfinished.into())),
            None => None,
        };
        side.is_free().await?;
        let failed = |error| side.failed(error);
        side.session.client.batch_execute(SNAPSHOT).await.map_err(failed)?;
        let members = MemberRows::there(&side.session.client).await.map_err(failed)?;
        let now = millis(std::time::SystemTime::now());
        Ok(Self { side, members, moved_to, now })
    }

    async fn look(&mut self) -> Result<Survey, MoveError> {
        let changes = self.count(CHANGES).await?;
        if changes > 0 {
            return self.side.refuse(&format!(
                "{changes} changes of deliveries wait for a daemon; start osnl on it once, and stop it"
            ));
        }
        let lost = self.count(LOST).await?;
        if lost > 0 {
            return self.side.refuse(&format!("{lost} deliveries have no message: the tables are damaged"));
        }
        let mut rows = BTreeMap::new();
        for table in JournalTable::ALL {
            let count = tables::count(&self.side.session.client, table).await;
            rows.insert(table, count.map_err(|error| self.side.failed(error))?);
        }
        let mut notes = Vec::new();
        let left = self.count(ARRIVALS).await?.saturating_sub(rows[&JournalTable::Events]);
        if left > 0 {
            notes.push(format!("messages that are left out, as they have no delivery: {left}"));
        }
        let counter = self.moved_to.as_deref().map_or_else(|| mark::ARRIVAL.to_owned(), Mark::moved_to);
        let client = &self.side.session.client;
        let next = client.query_one(NEXT, &[&counter]).await.and_then(|row| row.try_get(0));
        let forgotten = client.query_one(FORGOTTEN, &[]).await.and_then(|row| row.try_get(0));
        let failed = |error| self.side.failed(error);
        let facts = JournalFacts { next: next.map_err(failed)?, forgotten_until: forgotten.map_err(failed)? };
        Ok(Survey { rows, facts, notes, moved_to: self.moved_to.clone() })
    }

    async fn count(&self, sql: &str) -> Result<u64, MoveError> {
        let row = self.side.session.client.query_one(sql, &[]).await;
        let count = row.and_then(|row| row.try_get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|error| self.side.failed(error))
    }

    async fn mark(&self, to: &str) -> Result<(), MoveError> {
        let client = &self.side.session.client;
        let failed = |error| self.side.failed(error);
        client.batch_execute("COMMIT").await.map_err(failed)?;
        if self.moved_to.is_some() {
            // It is the same destination.
            return Ok(());
        }
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let members = self.side.seal(mark::ARRIVAL, &Mark::moved_to(to)).await?;
        if members != self.members {
            client.batch_execute("ROLLBACK").await.map_err(failed)?;
            return Err(self.side.in_use(&members));
        }
        client.batch_execute("COMMIT").await.map_err(failed)
    }
}

impl MoveTables for PostgresSource {
    fn shown(&self) -> &str {
        &self.side.shown
    }

    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>> {
        Box::pin(async move {
            let block = tables::block(&mut self.side.session, table, after, self.now).await;
            let refused = |why| MoveError::Refused(format!("{}: {why}", self.side.shown));
            block.map_err(|error| self.side.failed(error))?.map_err(refused)
        })
    }
}

impl MoveSource for PostgresSource {
    fn survey(&mut self) -> BoxFuture<'_, Result<Survey, MoveError>> {
        Box::pin(self.look())
    }

    fn seal<'a>(&'a mut self, to: &'a str) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(self.mark(to))
    }
}
