//! A transaction of a member: its own number, its fences, its end.
//!
//! It writes what it relies on: the member's number, the lease rows of the partitions that it changes, the rows of the queues
//! that it reads. Each write is on condition of what the member knows, and must find its row; PostgreSQL looks at the condition
//! again when another transaction has changed the row meanwhile, Galera refuses the commit.
//!
//! A COMMIT without an answer is repeated as a whole under its number: only one of the two can write it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

use crate::member::{CommitFault, Member};
use crate::partition::Partition;
use crate::reader::Reader;
use crate::session::{Session, Values, words};

/// Why a transaction did not commit, or may have.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another transaction was in its way: it is repeated at once.
    Conflict(String),
    /// The database cannot be written.
    Failed(String),
    /// The server has ended the session, as it received nothing whole for too long: it is not committed.
    TooSlow(String),
    /// There is no answer to COMMIT.
    Unknown(String),
    /// The transaction of this number is committed.
    Committed,
    /// The member's row is gone: it was silent for too long.
    Forgotten,
    /// Other members have these partitions.
    Lost(Vec<Partition>),
    /// Other members read these queues.
    Fenced(Vec<Reader>),
    /// Messages of these queues have smaller numbers than messages whose meaning counts before theirs.
    Behind(Vec<Reader>),
}

/// Conflicts, and locks that took too long.
const CONFLICTS: [&str; 5] = ["40001", "40P01", "55P03", "23505", "57014"];

/// `idle_in_transaction_session_timeout`, which counts while a large statement is on its way.
const IDLE: &str = "25P03";

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.code().map(SqlState::code) {
            Some(code) if CONFLICTS.contains(&code) => Self::Conflict(words(&error)),
            Some(IDLE) => Self::TooSlow(words(&error)),
            Some(_) | None => Self::Failed(words(&error)),
        }
    }
}

const NUMBER: &str = "UPDATE osnl_member SET number = $2 WHERE token = $1 AND number = $2::bigint - 1";
const LEASES: &str = "UPDATE osnl_partition p SET beat = p.beat + 1 \
     FROM unnest($2::smallint[], $3::bigint[]) AS own (id, epoch) \
     WHERE p.id = own.id AND p.epoch = own.epoch AND p.token = $1 RETURNING p.id";
const READER: &str = "UPDATE osnl_reader SET beat = beat + 1 WHERE name = $1 AND epoch = $2 AND token = $3";
const TALLY: &str = "INSERT INTO osnl_tally (partition, action, state, count) \
     SELECT * FROM unnest($1::smallint[], $2::text[], $3::smallint[], $4::bigint[]) \
     ON CONFLICT (partition, action, state) DO UPDATE SET count = osnl_tally.count + excluded.count";

/// An open transaction.
pub(crate) struct Transaction<'a> {
    session: &'a mut Session,
    pub(crate) member: &'a Member,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
    written: BTreeSet<Partition>,
    /// The change in the number of deliveries.
    tally: BTreeMap<(Partition, String, i16), i64>,
}

impl<'a> Transaction<'a> {
    /// Begins the transaction after the member's latest.
    pub(crate) async fn begin(
        session: &'a mut Session,
        member: &'a Member,
        now: i64,
    ) -> Result<Self, Trouble> {
        session.client.batch_execute("BEGIN").await?;
        let number = member.number + 1;
        let mut begun = Self { session, member, now, written: BTreeSet::new(), tally: BTreeMap::new() };
        if begun.execute(NUMBER, &[&member.token, &number]).await? == 1 {
            return Ok(begun);
        }
        let found = begun.query("SELECT number FROM osnl_member WHERE token = $1", &[&member.token]).await?;
        match found.first() {
            Some(row) if row.try_get::<_, i64>(0)? >= number => Err(Trouble::Committed),
            Some(_) | None => Err(Trouble::Forgotten),
        }
    }

    pub(crate) async fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Trouble> {
        Ok(self.session.query(sql, values).await?)
    }

    pub(crate) async fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, Trouble> {
        Ok(self.session.execute(sql, values).await?)
    }

    /// Writes the lease rows of partitions that the transaction changes, once each.
    pub(crate) async fn own(
        &mut self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<(), Trouble> {
        let held = &self.member.leases.held;
        let new: BTreeSet<Partition> =
            partitions.into_iter().filter(|partition| !self.written.contains(partition)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let ids: Vec<Partition> = new.iter().copied().collect();
        let epochs: Vec<i64> =
            ids.iter().map(|partition| held.get(partition).map_or(-1, |held| held.epoch)).collect();
        let rows = self.query(LEASES, &[&self.member.token, &ids, &epochs]).await?;
        let mut lost = new.clone();
        for row in rows {
            lost.remove(&row.try_get(0)?);
        }
        if !lost.is_empty() {
            return Err(Trouble::Lost(lost.into_iter().collect()));
        }
        self.written.extend(new);
        Ok(())
    }

    /// Writes the rows of the queues that the transaction appends from.
    pub(crate) async fn read(&mut self, readers: BTreeSet<Reader>) -> Result<(), Trouble> {
        let mut fenced = Vec::new();
        for reader in readers {
            let epoch = self.member.reading.get(&reader).map_or(-1, |reading| reading.epoch);
            let token = &self.member.token;
            if self.execute(READER, &[&reader.name(), &epoch, token]).await? != 1 {
                fenced.push(reader);
            }
        }
        if fenced.is_empty() { Ok(()) } else { Err(Trouble::Fenced(fenced)) }
    }

    /// Counts deliveries in or out of a state.
    pub(crate) fn count(&mut self, partition: Partition, action: &str, state: i16, by: i64) {
        *self.tally.entry((partition, action.to_owned(), state)).or_default() += by;
    }

    /// Ends it; returns the partitions whose lease rows it has written.
    pub(crate) async fn commit(mut self) -> Result<BTreeSet<Partition>, Trouble> {
        let tally: Vec<_> = std::mem::take(&mut self.tally).into_iter().filter(|(_, by)| *by != 0).collect();
        if !tally.is_empty() {
            let (mut partitions, mut actions, mut states, mut counts) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for ((partition, action, state), by) in tally {
                partitions.push(partition);
                actions.push(action);
                states.push(state);
                counts.push(by);
            }
            self.execute(TALLY, &[&partitions, &actions, &states, &counts]).await?;
        }
        let unknown = |words: String| Trouble::Unknown(words);
        if self.member.fault == CommitFault::CommitLost {
            return Err(unknown("a test has broken the connection".to_owned()));
        }
        // The server's own refusal too: it may end a session whose commit is done.
        self.session.client.batch_execute("COMMIT").await.map_err(|error| unknown(words(&error)))?;
        if self.member.fault == CommitFault::AnswerLost {
            return Err(unknown("a test has broken the connection".to_owned()));
        }
        Ok(self.written)
    }
}
