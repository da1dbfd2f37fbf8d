//! A connection to the database, as every member sets it up.
//!
//! - `synchronous_commit = on`: an acknowledged message is on the disk.
//! - READ COMMITTED, which the fences are written for.
//! - By default each statement is planned anew, because a plan for empty tables would scan full ones. The
//!   writer, whose cost is mostly planning, keeps plans until a table has twice or half the size. PostgreSQL
//!   makes a new plan when it has new statistics.
//! - The server soon ends a transaction that its member left open, so that the transaction's locks keep no
//!   successor waiting.
//! - No time limit that the DBA has set for statements or sessions holds for the member: under a fixed limit
//!   a backlog would never end.
//! - A statement without an answer closes its connection within a lease: the network may work while the
//!   server or its disk hangs.

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

/// After this part of the patience, the next host is tried beside a silent one.
const SHARE: u32 = 4;

pub(crate) type StatementValues<'a> = &'a [&'a (dyn ToSql + Sync)];

#[derive(Debug, Default)]
pub(crate) struct StatementAnswer {
    pub(crate) rows: Vec<Row>,
    pub(crate) count: u64,
}

/// A larger body is sent and read in parts, as it would exceed the time limit of a statement.
pub(crate) const LARGE: usize = 64 << 10;

/// Up to 30 futures are polled in their order, so statements are sent in theirs.
pub(crate) const AT_ONCE: usize = 16;

pub(crate) const GROWING: [&str; 6] =
    ["osnl_arrival", "osnl_delivery", "osnl_attempt", "osnl_enriched", "osnl_object", "osnl_tally"];
/// The planner decides by these sizes of tables.
pub(crate) const TABLE_SIZES: &str = "SELECT coalesce(pg_relation_size(to_regclass(name)), 0) \
     FROM unnest($1::text[]) WITH ORDINALITY AS of (name, n) ORDER BY n";
/// Replicas of a server that waits for none of them. A user without rights sees only these columns.
const ASYNCHRONOUS_REPLICAS: &str = "SELECT count(*) FROM pg_stat_replication AS r \
     WHERE current_setting('synchronous_standby_names') = '' \
     AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal') \
     AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";
/// Not every version of PostgreSQL has each of these settings.
/// Without parameters in errors, an error with a context is one of a row, and not of a planned statement.
const UNLIMITED: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN \
     ('statement_timeout', 'transaction_timeout', 'idle_session_timeout', 'log_parameter_max_length_on_error')";
const FORGET_PLANS: &str = "DISCARD PLANS";

#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no connection, or none that takes writes; a later attempt may succeed.
    #[error("{0}")]
    Away(String),
    #[error("{0}")]
    Refused(String),
    #[error("the tables are of version {found}, this osnl needs {known}; run osnl journal migrate")]
    NotMigrated {
        /// The version of the tables; 0 if there are none.
        found: i32,
        known: i32,
    },
    #[error(
        "the tables are of version {found}, this osnl needs {known}, and this user may not migrate them ({reason}); \
         let their owner run the SQL of osnl journal migrate --dry-run"
    )]
    NotPermitted { found: i32, known: i32, reason: String },
    #[error("the database has the encoding {0}; create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// A newer program has made the tables, and an older one would misread them.
    #[error("the tables are of version {found} and need a newer osnl, this one knows {known}")]
    Newer { found: i32, known: i32 },
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

pub(crate) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

pub(crate) fn refused(error: Error) -> OpenError {
    if error.as_db_error().is_some_and(|said| !is_ending(said.code().code())) {
        OpenError::Refused(words(&error))
    } else {
        OpenError::Away(words(&error))
    }
}

/// Whether the code means a temporary state of the server: starting, stopping, read-only, or out of
/// connections or space.
fn is_ending(code: &str) -> bool {
    ["08", "53", "57P", "25006"].iter().any(|beginning| code.starts_with(beginning))
}

pub(crate) struct Session {
    pub(crate) client: Client,
    statements: HashMap<String, Statement>,
    planned_for: Vec<i64>,
    limit: Duration,
    driver: JoinSet<()>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Connects to the first host that takes writes ([`connect`]). `patience` bounds how long the server
    /// waits for this session, and this session for a lock. A statement may take three times as long.
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
             SET lock_timeout = {millis}; {UNLIMITED}"
        );
        session.client.batch_execute(&settings).await?;
        Ok(session)
    }

    pub(crate) async fn keep_plans(&mut self) -> Result<(), Error> {
        self.execute("SET plan_cache_mode = force_generic_plan", &[]).await.map(drop)
    }

    /// Forgets the plans if a table has twice or half the size for which the plans were made.
    pub(crate) async fn forget_outgrown_plans(&mut self, sizes: Vec<i64>) -> Result<(), Error> {
        let is_other = |(then, now): (&i64, &i64)| *now > then * 2 || now * 2 < *then;
        if self.planned_for.len() == sizes.len() && !self.planned_for.iter().zip(&sizes).any(is_other) {
            return Ok(());
        }
        self.execute(FORGET_PLANS, &[]).await?;
        self.planned_for = sizes;
        Ok(())
    }

    /// Returns the server's setting that makes commits volatile, if there is one.
    pub(crate) async fn is_volatile(&self) -> Result<Option<&'static str>, Error> {
        for (setting, said) in [("fsync", "fsync = off"), ("full_page_writes", "full_page_writes = off")] {
            let row = self.client.query_one("SELECT current_setting($1)", &[&setting]).await?;
            if row.try_get::<_, String>(0)? == "off" {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Returns the number of replicas if all are asynchronous; 0 if a synchronous one is required. Copies,
    /// log archives, and subscribers don't count: no client can fail over to them.
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

    /// Sends without waiting between the statements. Within a transaction, the answers after an error are errors.
    ///
    /// At most [`AT_ONCE`], up to which the order of sending is known.
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

    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        answer(&mut self.driver, self.limit, self.client.batch_execute(sql)).await
    }

    pub(crate) async fn query(&mut self, sql: &str, values: StatementValues<'_>) -> Result<Vec<Row>, Error> {
        let [rows] = self.queries([(sql, values)]).await?;
        Ok(rows)
    }

    pub(crate) async fn execute(&mut self, sql: &str, values: StatementValues<'_>) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        answer(&mut self.driver, self.limit, self.client.execute(&statement, values)).await
    }
}

/// Connects to the first host that takes writes. The next host is tried when a host refuses, and beside a
/// host that stays silent: a machine without power does not answer, and its standby may be promoted.
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
            (None, None) => return Config::new().connect(tls.clone()).await,
        }
    }
}

/// Waits for an answer; on a timeout, closes the connection and returns that it is closed.
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
