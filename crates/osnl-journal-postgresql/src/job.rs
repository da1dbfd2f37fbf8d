use std::collections::BTreeSet;
use std::time::Duration;

use crate::change::ChangePass;
use crate::command::PostgresCommand;
use crate::fence::LATEST;
use crate::group;
use crate::leases::LeaseRow;
use crate::member::Member;
use crate::partition::PartitionNumber;
use crate::reader::QueueReader;
use crate::results::JobResult;
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction, TransactionProgress};

pub(crate) enum TransactionJob<'a> {
    Group(&'a [PostgresCommand]),
    Renew,
    /// Takes partitions whose rows are unchanged since they were read, at a time of the clock of due times;
    /// an owner gives its own partition the next epoch.
    Take(Vec<LeaseRow>, i64),
    Release(Vec<PartitionNumber>),
    Prune(i64, usize),
    Bury(Vec<i64>),
    Unload(Vec<i64>),
    Change(ChangePass),
    /// Takes the next epoch of a queue, or this many more numbers in the member's epoch.
    Read(QueueReader, Option<i64>, i64),
}

/// A result with the time before the transaction was sent; `None` if the answer was late.
pub(crate) type Result = std::result::Result<(JobResult, Option<Duration>), CommitRefusal>;

#[derive(Debug)]
pub(crate) enum CommitRefusal {
    Lost(Vec<PartitionNumber>),
    Fenced(Vec<QueueReader>),
    Forgotten,
    Closing,
    /// A job that the member can do without takes longer than a transaction may; a smaller one may succeed.
    TooLong(String),
    /// PostgreSQL refuses, with this error, a row of a job that the member can do without.
    Unstorable(String),
    PartsLost,
}

/// The epoch is the next number or the time, whichever is larger: a restored backup has lost its latest
/// epochs, and the database's clock is above them.
const TAKE: &str = "UPDATE osnl_partition p SET token = $1, beat = p.beat + 1, \
       epoch = greatest(p.epoch + 1, least(floor(extract(epoch FROM statement_timestamp()))::bigint, $5::bigint)) \
     FROM unnest($2::smallint[], $3::bigint[], $4::bigint[]) AS seen (id, epoch, beat) \
     WHERE p.id = seen.id AND p.epoch = seen.epoch AND p.beat = seen.beat RETURNING p.id, p.epoch";
/// No retry waits longer than its pause by the new owner's clock, because the former owner's clock may have
/// been wrong.
const CLAMP: &str = "UPDATE osnl_delivery SET due = $2::bigint + pause WHERE state = 1 AND due > 0 AND partition = ANY($1) \
     AND due > $2 + pause";
const RELEASE: &str =
    "UPDATE osnl_partition SET token = NULL, beat = beat + 1 WHERE id = ANY($2) AND token = $1";
const TAKE_READER: &str = "INSERT INTO osnl_reader AS r (name, listener, queue, epoch, token, beat) VALUES ($1, $2, $3, 1, $4, 0) \
     ON CONFLICT (name) DO UPDATE SET epoch = r.epoch + 1, token = excluded.token, beat = r.beat + 1 RETURNING epoch";
const NUMBERS: &str =
    "UPDATE osnl_counter SET next = next + $1::bigint WHERE name = 'arrival' RETURNING next";

impl TransactionJob<'_> {
    pub(crate) fn may_be_refused(&self) -> bool {
        matches!(self, Self::Group(_) | Self::Prune(..) | Self::Bury(_) | Self::Unload(_) | Self::Change(_))
    }

    pub(crate) async fn run(
        &self,
        session: &mut Session,
        member: &Member,
        now: i64,
        (kept, progress): (&mut Option<JobResult>, &mut TransactionProgress),
    ) -> std::result::Result<JobResult, CommitFailure> {
        if let Self::Group(batch) = self {
            let done = group::run(session, member, batch, now, (kept, progress)).await;
            return done.map(|done| JobResult::Group(Box::new(done)));
        }
        let mut transaction = Transaction::begin(session, member, now, progress);
        let ended = match self {
            Self::Group(_) | Self::Renew => {
                let own = member.leases.partitions();
                transaction.own(own.iter().copied()).await?;
                JobResult::Renewed(own.into_iter().collect())
            }
            Self::Take(rows, now) => JobResult::Taken(transaction.take(rows, *now).await?),
            Self::Release(partitions) => {
                transaction.execute(RELEASE, &[&member.token, partitions]).await?;
                JobResult::Released
            }
            Self::Prune(before, at_most) => {
                transaction.prune(*before, *at_most).await?;
                JobResult::Pruned
            }
            Self::Bury(ids) => {
                transaction.bury(ids).await?;
                JobResult::Pruned
            }
            Self::Unload(ids) => {
                transaction.unload(ids).await?;
                JobResult::Pruned
            }
            Self::Change(pass) => JobResult::Changed(Box::new(transaction.change(pass).await?)),
            Self::Read(reader, epoch, numbers) => transaction.take_reader(reader, *epoch, *numbers).await?,
        };
        transaction.commit(|| *kept = Some(ended.clone())).await?;
        Ok(ended)
    }
}

impl Transaction<'_> {
    async fn take(
        &mut self,
        rows: &[LeaseRow],
        now: i64,
    ) -> std::result::Result<Vec<(PartitionNumber, i64)>, CommitFailure> {
        let ids: Vec<PartitionNumber> = rows.iter().map(|row| row.partition).collect();
        let epochs: Vec<i64> = rows.iter().map(|row| row.epoch).collect();
        let beats: Vec<i64> = rows.iter().map(|row| row.beat).collect();
        let mut taken = Vec::new();
        for row in self.query(TAKE, &[&self.member.token, &ids, &epochs, &beats, &LATEST]).await? {
            taken.push((row.try_get(0)?, row.try_get(1)?));
        }
        let ids: Vec<PartitionNumber> = taken.iter().map(|(partition, _)| *partition).collect();
        self.execute(CLAMP, &[&ids, &now]).await?;
        Ok(taken)
    }

    async fn take_reader(
        &mut self,
        reader: &QueueReader,
        epoch: Option<i64>,
        numbers: i64,
    ) -> std::result::Result<JobResult, CommitFailure> {
        let epoch = match epoch {
            Some(epoch) => {
                self.read(BTreeSet::from([reader.clone()])).await?;
                epoch
            }
            None => {
                let values: (Vec<u8>, &str, &str) = (reader.name(), &reader.listener, &reader.queue);
                let token = &self.member.token;
                let rows = self.query(TAKE_READER, &[&values.0, &values.1, &values.2, token]).await?;
                let row =
                    rows.first().ok_or_else(|| CommitFailure::Failed("a reader has no row".to_owned()))?;
                row.try_get(0)?
            }
        };
        let rows = self.query(NUMBERS, &[&numbers]).await?;
        let row = rows.first().ok_or_else(|| CommitFailure::Failed("osnl_counter has no row".to_owned()))?;
        let next: i64 = row.try_get(0)?;
        Ok(JobResult::Read { epoch, first: next - numbers, numbers })
    }
}
