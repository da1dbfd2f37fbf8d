//! The leases of streams: the rows of their readers, as a member holds and watches them.
//!
//! A member that asks for a lease sees the row of the reader each second. It takes a row that is not there, that was given
//! back, or that has not changed for a whole lease by its own clock, on condition that the row is still the same. An append of the
//! former reader misses its epoch then, as behind a reader that the broker has chosen. A member that is not sure of its lease
//! is therefore no danger: what it reads is not kept.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::watch;

use crate::command::{LeaseRequest, PostgresStreamLease};
use crate::leases::LeaseToken;
use crate::reader::QueueReader;
use crate::transaction::{CommitFailure, StatementValue, Transaction};

pub(crate) const READERS: &str = "SELECT name, epoch, beat, token FROM osnl_reader WHERE name = ANY($1)";
const FIRST: &str = "INSERT INTO osnl_reader (name, listener, queue, epoch, token, beat) VALUES ($1, $2, $3, 1, $4, 0) \
     ON CONFLICT DO NOTHING RETURNING epoch, position";
const NEXT: &str = "UPDATE osnl_reader SET epoch = epoch + 1, token = $4, beat = beat + 1 \
     WHERE name = $1 AND epoch = $2 AND beat = $3 RETURNING epoch, position";
const POSITION: &str = "UPDATE osnl_reader SET position = $2 WHERE name = $1";
/// The token of a row without a reader.
const GIVEN_BACK: &str =
    "UPDATE osnl_reader SET token = '', beat = beat + 1 WHERE name = ANY($2) AND token = $1";

/// A row of `osnl_reader`, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReaderRow {
    pub(crate) epoch: i64,
    pub(crate) beat: i64,
    pub(crate) token: LeaseToken,
}

/// The leases that a member has and asks for.
#[derive(Default)]
pub(crate) struct StreamLeases {
    requests: Vec<LeaseRequest>,
    /// Rows of others, and since when each has been the same.
    seen: HashMap<QueueReader, (ReaderRow, Duration)>,
    /// The leases that it has: a sender is dropped when its lease is lost.
    held: HashMap<QueueReader, watch::Sender<()>>,
}

impl StreamLeases {
    pub(crate) fn request(&mut self, request: LeaseRequest) {
        self.requests.push(request);
    }

    /// Returns the streams that this member asks for and does not have.
    pub(crate) fn wanted(&mut self) -> BTreeSet<QueueReader> {
        self.requests.retain(|request| !request.answer.is_closed());
        let wanted = self.requests.iter().map(|request| request.reader.clone());
        wanted.filter(|reader| !self.held.contains_key(reader)).collect()
    }

    /// Takes note of a row that was asked for and answered at these moments; returns whether it may be taken.
    pub(crate) fn is_free(
        &mut self,
        (reader, own): (&QueueReader, &LeaseToken),
        row: Option<&ReaderRow>,
        (asked, answered): (Duration, Duration),
        lease: Duration,
    ) -> bool {
        let Some(row) = row else { return true };
        let since = match self.seen.get(reader) {
            Some((known, since)) if known == row => *since,
            Some(_) | None => answered,
        };
        self.seen.insert(reader.clone(), (row.clone(), since));
        row.token.is_empty() || row.token == *own || asked.saturating_sub(since) >= lease
    }

    /// Hands the lease to the first that has asked for it. One that is not there any more gives it back.
    pub(crate) fn grant(&mut self, reader: &QueueReader, epoch: i64, position: Option<String>) {
        self.seen.remove(reader);
        let Some(at) = self.requests.iter().position(|request| request.reader == *reader) else { return };
        let LeaseRequest { reader, answer, commands } = self.requests.remove(at);
        let (held, lost) = watch::channel(());
        self.held.insert(reader.clone(), held);
        drop(answer.send(PostgresStreamLease { reader, epoch, position, commands, lost }));
    }

    /// The member has the lease no more.
    pub(crate) fn lose(&mut self, reader: &QueueReader) {
        self.held.remove(reader);
    }

    /// The member has none of them any more.
    pub(crate) fn lose_all(&mut self) {
        self.held.clear();
    }
}

impl Transaction<'_> {
    /// Takes the lease of a stream whose row is as it was seen: epoch and beat, or not there. Returns the epoch, and the position
    /// that was kept last.
    pub(crate) async fn lease_stream(
        &mut self,
        reader: &QueueReader,
        seen: Option<(i64, i64)>,
    ) -> Result<Option<(i64, Option<String>)>, CommitFailure> {
        let (name, token) = (reader.name(), &self.member.token);
        let (listener, queue) = (&*reader.listener, &*reader.queue);
        let rows = match seen {
            Some((epoch, beat)) => self.query(NEXT, &[&name, &epoch, &beat, token]).await?,
            None => self.query(FIRST, &[&name, &listener, &queue, token]).await?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some((row.try_get(0)?, row.try_get(1)?)))
    }

    /// Keeps the positions of streams, in the epochs of their leases.
    pub(crate) async fn keep_positions(
        &mut self,
        positions: &[(QueueReader, String)],
    ) -> Result<(), CommitFailure> {
        self.read(positions.iter().map(|(reader, _)| reader.clone()).collect()).await?;
        for (reader, position) in positions {
            let values: Vec<StatementValue> = vec![Box::new(reader.name()), Box::new(position.clone())];
            self.later(POSITION, values).await?;
        }
        Ok(())
    }

    /// Gives the leases of streams back that this member has.
    pub(crate) async fn give_streams_back(&mut self, readers: &[QueueReader]) -> Result<(), CommitFailure> {
        let names: Vec<Vec<u8>> = readers.iter().map(QueueReader::name).collect();
        self.execute(GIVEN_BACK, &[&self.member.token, &names]).await?;
        Ok(())
    }
}
