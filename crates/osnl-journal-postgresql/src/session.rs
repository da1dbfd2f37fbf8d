//! A connection to the database, as every member sets it up.
//!
//! - `synchronous_commit = on`: an acknowledged message is on the disk.
//! - READ COMMITTED, which the fences are written for.
//! - Each statement is planned for the tables as they are: a plan that was kept from when they were empty reads all of them.
//!   The writer, whose statements are small and many, keeps plans until a table has twice or half the size: planning is most
//!   of what they cost. PostgreSQL makes a new plan itself when it has new statistics.
//! - A transaction that its member left open is ended by the server soon, so that its locks keep no successor waiting.
//! - A statement without an answer ends with its connection, not later than a lease: the network may be there, and the server
//!   or its disk hang.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Connection, Error, Row, Socket, Statement};

use crate::tls::{PostgresStream, PostgresTls};
use crate::url::ConnectionUrl;

/// The part of the patience for which a host may be silent before the next one is tried beside it.
const SHARE: u32 = 4;

pub(crate) type StatementValues<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An answer to a statement.
#[derive(Debug, Default)]
pub(crate) struct StatementAnswer {
    pub(crate) rows: Vec<Row>,
    /// The rows that were written.
    pub(crate) count: u64,
}

/// A body with more bytes is sent and read in parts: it has no place in a statement whose answer is waited for.
pub(crate) const LARGE: usize = 64 << 10;

/// Statements that are sent at once: up to 30 futures are polled in their order.
pub(crate) const AT_ONCE: usize = 16;

/// The tables that grow, whose plans are kept.
pub(crate) const GROWING: [&str; 6] =
    ["osnl_arrival", "osnl_delivery", "osnl_attempt", "osnl_enriched", "osnl_object", "osnl_tally"];
/// The bytes of tables, which the planner looks at.
pub(crate) const TABLE_SIZES: &str = "SELECT coalesce(pg_relation_size(to_regclass(name)), 0) \
     FROM unnest($1::text[]) WITH ORDINALITY AS of (name, n) ORDER BY n";
/// Replicas of a server that waits for none of them. A user without rights sees no more of a replica than these columns.
const ASYNCHRONOUS_REPLICAS: &str = "SELECT count(*) FROM pg_stat_replication AS r \
     WHERE current_setting('synchronous_standby_names') = '' \
     AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal') \
     AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";
const FORGET_PLANS: &str = "DISCARD PLANS";

/// Why a database is no journal here.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no connection, or none that takes writes: it may come.
    #[error("{0}")]
    Away(String),
    #[error("{0}")]
    Refused(String),
    /// There are no tables yet, or older ones.
    #[error("the tables are of version {found}, this osnl needs {known}; run osnl journal migrate")]
    NotMigrated {
        /// The version of the tables; 0 if there are none.
        found: i32,
        /// The version that is needed.
        known: i32,
    },
    /// The same, and this user may not make them.
    #[error(
        "the tables are of version {found}, this osnl needs {known}, and this user may not migrate them ({reason}); \
         let their owner run the SQL of osnl journal migrate --dry-run"
    )]
    NotPermitted {
        /// The version of the tables; 0 if there are none.
        found: i32,
        /// The version that is needed.
        known: i32,
        reason: String,
    },
    /// Texts of other languages cannot be kept.
    #[error("the database has the encoding {0}; create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// A newer program has made the tables, and an older one would misread them.
    #[error("the tables are of version {found} and need a newer osnl, this one knows {known}")]
    Newer {
        /// The version of the tables.
        found: i32,
        /// The newest version that is known.
        known: i32,
    },
    #[error(
        "commits would be lost when the server fails ({0}); set it on, or set allow_volatile = true in [journal]"
    )]
    Volatile(&'static str),
    /// The URL names several hosts, and a fail-over would lose commits.
    #[error(
        "commits would be lost at a fail-over: connection names several hosts, and the server's replicas are asynchronous \
         ({0} connected); set synchronous_standby_names, name one host, or set allow_volatile = true in [journal]"
    )]
    Asynchronous(i64),
}

/// PostgreSQL's own words, with what the server adds.
pub(crate) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Tells a refusal from a connection that is gone.
pub(crate) fn refused(error: Error) -> OpenError {
    if error.as_db_error().is_some_and(|said| !is_ending(said.code().code())) {
        OpenError::Refused(words(&error))
    } else {
        OpenError::Away(words(&error))
    }
}

/// Whether a server that starts, stops, takes no writes, or has no room or connection left says so: it may be otherwise soon.
fn is_ending(code: &str) -> bool {
    ["08", "53", "57P", "25006"].iter().any(|beginning| code.starts_with(beginning))
}

/// An open connection with its prepared statements.
pub(crate) struct Session {
    pub(crate) client: Client,
    statements: HashMap<String, Statement>,
    /// The sizes of the growing tables for which plans were made.
    planned_for: Vec<i64>,
    /// The longest time for an answer.
    limit: Duration,
    driver: JoinSet<()>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Connects to the first host that takes writes ([`connect`]). `patience` bounds how long the server waits for this session, and this
    /// session for a lock; three times as long a statement may take.
    pub(crate) async fn connect(
        url: &ConnectionUrl,
        tls: PostgresTls,
        patience: Duration,
    ) -> Result<Self, Error> {
        let (client, connection) = connect(url, &tls, patience / SHARE).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = words(&error), "the connection to the database has ended");
            }
        });
        let (statements, planned_for) = (HashMap::new(), Vec::new());
        let session = Self { client, statements, planned_for, limit: patience * 3, driver };
        let millis = patience.as_millis();
        let settings = format!(
            "SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'; \
             SET standard_conforming_strings = on; \
             SET client_min_messages = warning; SET plan_cache_mode = force_custom_plan; SET idle_in_transaction_session_timeout = {millis}; \
             SET lock_timeout = {millis}"
        );
        session.client.batch_execute(&settings).await?;
        Ok(session)
    }

    /// Keeps the plans of statements until [`forget_outgrown_plans`](Self::forget_outgrown_plans) is called.
    pub(crate) async fn keep_plans(&mut self) -> Result<(), Error> {
        self.execute("SET plan_cache_mode = force_generic_plan", &[]).await.map(drop)
    }

    /// Forgets the plans if one of these sizes of tables is twice or half that for which they were made.
    pub(crate) async fn forget_outgrown_plans(&mut self, sizes: Vec<i64>) -> Result<(), Error> {
        let is_other = |(then, now): (&i64, &i64)| *now > then * 2 || now * 2 < *then;
        if self.planned_for.len() == sizes.len() && !self.planned_for.iter().zip(&sizes).any(is_other) {
            return Ok(());
        }
        self.execute(FORGET_PLANS, &[]).await?;
        self.planned_for = sizes;
        Ok(())
    }

    /// Returns the setting of the server that makes commits volatile, if one does.
    pub(crate) async fn is_volatile(&self) -> Result<Option<&'static str>, Error> {
        for (setting, said) in [("fsync", "fsync = off"), ("full_page_writes", "full_page_writes = off")] {
            let row = self.client.query_one("SELECT current_setting($1)", &[&setting]).await?;
            if row.try_get::<_, String>(0)? == "off" {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Returns the number of replicas, none of which is synchronous; 0 if one is required, or if there are none. Copies, archives
    /// of the log, and subscribers are not replicas: no client can fail over to them.
    pub(crate) async fn asynchronous_replicas(&self) -> Result<i64, Error> {
        self.client.query_one(ASYNCHRONOUS_REPLICAS, &[]).await?.try_get(0)
    }

    async fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = answer(&mut self.driver, self.limit, self.client.prepare(sql)).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Sends statements, prepared once, without waiting for an answer between them. Returns their answers in the order of the
    /// statements: within a transaction, those behind an error are errors.
    ///
    /// At most [`AT_ONCE`], which are known to be sent in their order.
    pub(crate) async fn send(
        &mut self,
        all: &[(&str, StatementValues<'_>)],
    ) -> Result<Vec<Result<StatementAnswer, Error>>, Error> {
        debug_assert!(all.len() <= AT_ONCE);
        let mut statements = Vec::with_capacity(all.len());
        for (sql, _) in all {
            statements.push(self.statement(sql).await?);
        }
        let client = &self.client;
        let asked = all.iter().zip(&statements).map(|((_, values), statement)| async move {
            let values = values.iter().map(|value| *value as &dyn ToSql);
            let mut stream = pin!(client.query_raw(statement, values).await?);
            let mut rows = Vec::new();
            while let Some(row) = stream.try_next().await? {
                rows.push(row);
            }
            Ok(StatementAnswer { rows, count: stream.rows_affected().unwrap_or(0) })
        });
        let asked = join_all(asked);
        answer(&mut self.driver, self.limit, async { Ok(asked.await) }).await
    }

    /// Runs statements sent at once, and returns the rows of each.
    pub(crate) async fn queries<const N: usize>(
        &mut self,
        all: [(&str, StatementValues<'_>); N],
    ) -> Result<[Vec<Row>; N], Error> {
        let mut rows = [const { Vec::new() }; N];
        for (rows, answer) in rows.iter_mut().zip(self.send(&all).await?) {
            *rows = answer?.rows;
        }
        Ok(rows)
    }

    /// Runs statements without values and answers.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        answer(&mut self.driver, self.limit, self.client.batch_execute(sql)).await
    }

    /// Runs a statement, prepared once, and returns its rows.
    pub(crate) async fn query(&mut self, sql: &str, values: StatementValues<'_>) -> Result<Vec<Row>, Error> {
        let [rows] = self.queries([(sql, values)]).await?;
        Ok(rows)
    }

    /// Runs a statement, prepared once, and returns the number of its rows.
    pub(crate) async fn execute(&mut self, sql: &str, values: StatementValues<'_>) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        answer(&mut self.driver, self.limit, self.client.execute(&statement, values)).await
    }
}

/// Connects to the first host that takes writes. The next one is tried when a host refuses, and beside it when a host is
/// silent for a while: a machine without power does not answer, and its standby has been promoted.
async fn connect(
    url: &ConnectionUrl,
    tls: &PostgresTls,
    silence: Duration,
) -> Result<(Client, Connection<Socket, PostgresStream>), Error> {
    let mut hosts = url.configs().into_iter();
    let mut tries = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if let Some(config) = hosts.next() {
            let tls = tls.clone();
            tries.push(async move { config.connect(tls).await });
        }
        let is_last = hosts.len() == 0;
        let answered = tokio::select! {
            answered = tries.next() => answered,
            () = sleep(silence), if !is_last => continue,
        };
        match (answered, failure.take()) {
            (Some(Ok(connected)), _) => return Ok(connected),
            (Some(Err(error)), _) => failure = Some(error),
            (None, Some(error)) => return Err(error),
            // A URL has a host.
            (None, None) => return Config::new().connect(tls.clone()).await,
        }
    }
}

/// Waits for an answer. If none comes in time, the connection is closed, and the answer is that it is.
async fn answer<T>(
    driver: &mut JoinSet<()>,
    limit: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut asked = pin!(asked);
    match timeout(limit, &mut asked).await {
        Ok(answered) => answered,
        Err(_) => {
            tracing::debug!(
                seconds = limit.as_secs(),
                "the database does not answer: the connection is closed"
            );
            driver.abort_all();
            asked.await
        }
    }
}
