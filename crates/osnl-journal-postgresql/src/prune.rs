//! Retention: removes old ended deliveries in batches.
//!
//! Only the owner of a partition counts its deliveries, so only the owner removes them. An arrival leaves
//! with the last of its deliveries. Two owners that remove the last two at once each see the other's
//! delivery, so each round also checks the next few arrivals in the order of their numbers.

use std::collections::BTreeMap;

use osnl_journal::query::RowState;
use tokio_postgres::Error;

use crate::partition::PartitionNumber;
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction};

pub(crate) const AT_ONCE: usize = 500;
const BATCH_ROWS: i64 = AT_ONCE as i64;
const EFFECTS: [i16; 2] = [RowState::Delivered as i16, RowState::NothingToDo as i16];
const SCAN_LIMIT: i64 = 100;

const IS_OLD: &str =
    "SELECT 1 FROM osnl_delivery WHERE state >= 4 AND ended < $1 AND partition = ANY($2) LIMIT 1";
const OLD: &str = "SELECT id, arrival, partition, action, state FROM osnl_delivery \
     WHERE state >= 4 AND ended < $1 AND partition = ANY($2) ORDER BY ended LIMIT $3";
const DELIVERIES: &str = "DELETE FROM osnl_delivery WHERE id = ANY($1)";
const ATTEMPTS: &str = "DELETE FROM osnl_attempt WHERE delivery = ANY($1)";
const ENRICHED: &str = "DELETE FROM osnl_enriched WHERE delivery = ANY($1)";
const ARRIVALS: &str = "DELETE FROM osnl_arrival a WHERE a.id = ANY($1) AND a.received < $2 AND NOT EXISTS ( \
       SELECT 1 FROM osnl_delivery d WHERE d.id >= a.id << 16 AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16)";
const NEXT_ARRIVALS: &str = "SELECT id FROM osnl_arrival WHERE id > $1 ORDER BY id LIMIT $2";
/// A dead letter that is older than a forgotten delivery may have been overtaken.
const FORGOTTEN: &str = "INSERT INTO osnl_forgotten (partition, action, delivery) \
     SELECT * FROM unnest($1::smallint[], $2::text[], $3::bigint[]) \
     ON CONFLICT (partition, action) DO UPDATE SET delivery = greatest(osnl_forgotten.delivery, excluded.delivery)";
const OBJECTS: &str =
    "DELETE FROM osnl_object WHERE name IN (SELECT name FROM osnl_object WHERE at < $1 LIMIT $2)";

/// A transfer older than six hours, by the server's clock, is abandoned: its daemon has died or has lost its
/// queue.
const PARTS: &str = "DELETE FROM osnl_part WHERE transfer IN (SELECT transfer FROM osnl_part \
     WHERE at < (extract(epoch FROM now())::bigint - 6 * 3600) * 1000 LIMIT 10)";

const MOST_OBJECTS: i64 = 100_000;
const COUNT_OBJECTS: &str = "SELECT count(*) FROM osnl_object";
const OLDEST_OBJECTS: &str =
    "DELETE FROM osnl_object WHERE name IN (SELECT name FROM osnl_object ORDER BY at LIMIT $1)";

pub(crate) async fn is_due(
    session: &mut Session,
    before: i64,
    own: &[PartitionNumber],
) -> Result<bool, Error> {
    Ok(!session.query(IS_OLD, &[&before, &own]).await?.is_empty())
}

/// Removes arrivals without deliveries among the few after a number, old objects, and abandoned transfers;
/// returns the number to continue from.
pub(crate) async fn sweep(session: &mut Session, before: i64, from: i64) -> Result<i64, Error> {
    let rows = session.query(NEXT_ARRIVALS, &[&from, &SCAN_LIMIT]).await?;
    let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, Error>>()?;
    if !ids.is_empty() {
        session.execute(ARRIVALS, &[&ids, &before]).await?;
    }
    session.execute(OBJECTS, &[&before, &BATCH_ROWS]).await?;
    session.execute(PARTS, &[]).await?;
    Ok(if ids.len() as i64 == SCAN_LIMIT { ids.last().copied().unwrap_or(0) } else { 0 })
}

pub(crate) async fn bound_objects(session: &mut Session) -> Result<(), Error> {
    let counted = session.query(COUNT_OBJECTS, &[]).await?;
    let count: i64 = counted.first().map_or(Ok(0), |row| row.try_get(0))?;
    if count > MOST_OBJECTS {
        session.execute(OLDEST_OBJECTS, &[&(count - MOST_OBJECTS).min(BATCH_ROWS)]).await?;
    }
    Ok(())
}

impl Transaction<'_> {
    pub(crate) async fn prune(&mut self, before: i64, at_most: usize) -> Result<(), CommitFailure> {
        let own = self.member.leases.partitions();
        let (mut ids, mut arrivals, mut partitions) = (Vec::new(), Vec::new(), Vec::new());
        let mut forgotten: BTreeMap<(PartitionNumber, String), i64> = BTreeMap::new();
        for row in self.query(OLD, &[&before, &own, &(at_most as i64)]).await? {
            let (partition, action, state): (PartitionNumber, String, i16) =
                (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let id = row.try_get::<_, i64>(0)?;
            if EFFECTS.contains(&state) {
                let latest = forgotten.entry((partition, action.clone())).or_insert(id);
                *latest = id.max(*latest);
            }
            ids.push(id);
            arrivals.push(row.try_get::<_, i64>(1)?);
            partitions.push(partition);
            self.count(partition, &action, state, -1);
        }
        self.own(partitions).await?;
        self.execute(DELIVERIES, &[&ids]).await?;
        self.forget(forgotten).await?;
        self.leave(&ids, &arrivals, before).await
    }

    pub(crate) async fn leave(
        &mut self,
        ids: &[i64],
        arrivals: &[i64],
        before: i64,
    ) -> Result<(), CommitFailure> {
        self.execute(ATTEMPTS, &[&ids]).await?;
        self.execute(ENRICHED, &[&ids]).await?;
        self.execute(ARRIVALS, &[&arrivals, &before]).await?;
        Ok(())
    }

    async fn forget(
        &mut self,
        latest: BTreeMap<(PartitionNumber, String), i64>,
    ) -> Result<(), CommitFailure> {
        if latest.is_empty() {
            return Ok(());
        }
        let (keys, ids): (Vec<_>, Vec<i64>) = latest.into_iter().unzip();
        let (partitions, actions): (Vec<PartitionNumber>, Vec<String>) = keys.into_iter().unzip();
        self.execute(FORGOTTEN, &[&partitions, &actions, &ids]).await?;
        Ok(())
    }
}
