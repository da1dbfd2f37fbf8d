//! A journal in PostgreSQL as one side of a move to or from a file.
//!
//! The source is read in one snapshot, and marked in a transaction that looks whether a member has written since: each
//! transaction of a member writes its number. The destination is marked before its first row is written; see [`mark`].
//!
//! A delivery that has arrived and is in no lane yet is moved as its owner would admit it.

mod destination;
mod insert;
mod source;
mod tables;

use std::time::Duration;

use osnl_journal::transfer::{MoveError, MoveOptions};
use osnl_model::Secret;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Error};

pub(crate) use self::destination::PostgresDestination;
pub(crate) use self::source::PostgresSource;
use crate::leases::LeaseToken;
use crate::mark;
use crate::partition::PartitionNumber;
use crate::schema;
use crate::session::{OpenError, Session, refused, words};
use crate::tls::PostgresTls;
use crate::url::ConnectionUrl;

/// The longest time in which a command connects.
const CONNECTING: Duration = Duration::from_secs(10);
/// The longest time for which a session may wait for the other side of the move.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The interval at which the rows of members are read.
const LOOK: Duration = Duration::from_millis(250);

const MEMBERS: &str = "SELECT token, number, name FROM osnl_member ORDER BY token";
const LEASES: &str = "SELECT id, epoch, beat FROM osnl_partition ORDER BY id";
const KEEP_EPOCH: &str = "INSERT INTO osnl_counter AS c (name, next) SELECT $1::text, coalesce(max(epoch), 0) FROM osnl_partition \
     ON CONFLICT (name) DO UPDATE SET next = greatest(c.next, excluded.next)";
const LEASES_LEAVE: &str = "DELETE FROM osnl_partition RETURNING id, epoch, beat";
const MEMBERS_LEAVE: &str = "DELETE FROM osnl_member RETURNING token, number, name";
const READERS_LEAVE: &str = "DELETE FROM osnl_reader";
const RENAME: &str = "UPDATE osnl_counter SET name = $2 WHERE name = $1";

/// The rows that every transaction of a member changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MemberRows {
    leases: Vec<(PartitionNumber, i64, i64)>,
    members: Vec<(LeaseToken, i64)>,
    names: Vec<String>,
}

impl MemberRows {
    async fn read(client: &Client, leases: &str, members: &str) -> Result<Self, Error> {
        let mut rows = Self::default();
        for row in client.query(leases, &[]).await? {
            rows.leases.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        }
        for row in client.query(members, &[]).await? {
            rows.members.push((row.try_get(0)?, row.try_get(1)?));
            rows.names.push(row.try_get(2)?);
        }
        rows.leases.sort_unstable();
        rows.members.sort_unstable();
        Ok(rows)
    }

    async fn there(client: &Client) -> Result<Self, Error> {
        Self::read(client, LEASES, MEMBERS).await
    }

    fn names(&self) -> String {
        if self.names.is_empty() { "a daemon".to_owned() } else { self.names.join(", ") }
    }
}

/// A session of a command that moves a journal.
struct TransferSide {
    session: Session,
    shown: String,
    options: MoveOptions,
}

impl TransferSide {
    async fn connect(connection: &Secret, options: MoveOptions) -> Result<Self, MoveError> {
        let refuse = |why: String| MoveError::Refused(why);
        let url = ConnectionUrl::parse(connection.expose()).map_err(|error| refuse(error.to_string()))?;
        let shown = url.to_string();
        let tls = PostgresTls::of(&url).map_err(|why| refuse(format!("{shown}: {why}")))?;
        let away = |why: String| MoveError::Unavailable(format!("{shown}: {why}; nothing was moved"));
        match timeout(CONNECTING, Session::connect(&url, tls, PATIENCE)).await {
            Ok(Ok(session)) => Ok(Self { session, shown, options }),
            Ok(Err(error)) => Err(away(words(&error))),
            Err(_) => Err(away(format!("no answer within {} s", CONNECTING.as_secs()))),
        }
    }

    /// Returns the version of the tables; 0 without any.
    async fn version(&self) -> Result<i32, MoveError> {
        schema::check(&self.session.client).await.map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &OpenError) -> MoveError {
        let text = format!("{}: {error}", self.shown);
        match error {
            OpenError::Away(_) => MoveError::Unavailable(text),
            OpenError::Refused(_)
            | OpenError::NotMigrated { .. }
            | OpenError::NotPermitted { .. }
            | OpenError::Encoding(_)
            | OpenError::Newer { .. }
            | OpenError::Moved(_)
            | OpenError::Unfinished(_)
            | OpenError::Volatile(_)
            | OpenError::Asynchronous(_) => MoveError::Refused(text),
        }
    }

    fn failed(&self, error: Error) -> MoveError {
        MoveError::Failed(format!("{}: {}", self.shown, refused(error)))
    }

    fn refuse<T>(&self, why: &str) -> Result<T, MoveError> {
        Err(MoveError::Refused(format!("{}: {why}", self.shown)))
    }

    /// Refuses a database that a daemon works on. A member that has changed no row for a lease is dead, as its successor would
    /// judge.
    async fn is_free(&self) -> Result<(), MoveError> {
        let rows = async || MemberRows::there(&self.session.client).await.map_err(|error| self.failed(error));
        let first = rows().await?;
        if first.members.is_empty() {
            return Ok(());
        }
        let (lease, names) = (self.options.lease, first.names());
        (self.options.show)(&format!(
            "{}: looking for {} s whether {names} is alive",
            self.shown,
            lease.as_secs()
        ));
        let until = Instant::now() + lease;
        while Instant::now() < until {
            sleep(LOOK).await;
            let now = rows().await?;
            if now != first && !now.members.is_empty() {
                return Err(self.in_use(&now));
            }
        }
        Ok(())
    }

    fn in_use(&self, members: &MemberRows) -> MoveError {
        let names = members.names();
        MoveError::InUse(format!(
            "{}: in use by {names}; stop osnl there first (systemctl stop osnl)",
            self.shown
        ))
    }

    /// Takes everything away that a daemon works with, in the caller's transaction; returns the rows of members that were there.
    async fn seal(&self, from: &str, to: &str) -> Result<MemberRows, MoveError> {
        let client = &self.session.client;
        let failed = |error| self.failed(error);
        client.execute(KEEP_EPOCH, &[&mark::EPOCH]).await.map_err(failed)?;
        let rows = MemberRows::read(client, LEASES_LEAVE, MEMBERS_LEAVE).await.map_err(failed)?;
        client.execute(READERS_LEAVE, &[]).await.map_err(failed)?;
        self.rename(from, to).await?;
        Ok(rows)
    }

    /// Gives the counter of arrivals another name, unless another move has done so.
    async fn rename(&self, from: &str, to: &str) -> Result<(), MoveError> {
        match self.session.client.execute(RENAME, &[&from, &to]).await {
            Ok(1) => Ok(()),
            Ok(_) => self.is_overtaken(),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn is_overtaken(&self) -> Result<(), MoveError> {
        self.refuse("another osnl journal move has begun meanwhile; let that one finish")
    }
}
