//! The tables, and the steps that make them.
//!
//! Each step is one transaction that first inserts the row of its version, so of two daemons that migrate at
//! once one wins. A version names the oldest version that a program must know, so that programs of two
//! versions run side by side during an upgrade. PostgreSQL 13 or newer; the owner of the tables needs no
//! further rights.

use tokio_postgres::Client;

use crate::session::{OpenError, refused, words};

struct SchemaStep {
    sql: &'static str,
    /// The oldest version of the tables that a program must know to use these.
    oldest: i32,
}

const STEPS: [SchemaStep; 1] = [SchemaStep { sql: include_str!("tables.sql"), oldest: 1 }];

pub const VERSION: i32 = STEPS.len() as i32;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS osnl_version (version integer PRIMARY KEY, oldest integer NOT NULL, program text NOT NULL)";

const TRIES: usize = 10;
/// Errors that mean that another daemon runs the same step, or holds its lock.
const RACES: [&str; 4] = ["23505", "42P07", "42710", "55P03"];

/// Returns the SQL that upgrades tables from a version (0 without tables) to the newest, for a database
/// administrator.
#[must_use]
pub fn sql(from: i32) -> String {
    let mut text = String::new();
    for (version, step) in (1..).zip(&STEPS).filter(|(version, _)| *version > from) {
        text.push_str(&format!("-- version {version}\nBEGIN;\n{VERSIONS};\n{};\n", mark(version, step)));
        text.push_str(step.sql);
        text.push_str("COMMIT;\n");
    }
    text
}

fn mark(version: i32, step: &SchemaStep) -> String {
    let (oldest, program) = (step.oldest, env!("CARGO_PKG_VERSION"));
    format!("INSERT INTO osnl_version (version, oldest, program) VALUES ({version}, {oldest}, '{program}')")
}

pub(crate) async fn check(client: &Client) -> Result<i32, OpenError> {
    let there = client.query_one("SELECT to_regclass('osnl_version') IS NOT NULL", &[]).await;
    if !there.and_then(|row| row.try_get(0)).map_err(refused)? {
        return Ok(0);
    }
    let newest =
        client.query_opt("SELECT version, oldest FROM osnl_version ORDER BY version DESC LIMIT 1", &[]);
    let Some(row) = newest.await.map_err(refused)? else { return Ok(0) };
    let (version, oldest): (i32, i32) = (row.try_get(0).map_err(refused)?, row.try_get(1).map_err(refused)?);
    if oldest > VERSION {
        return Err(OpenError::Newer { found: version, known: VERSION });
    }
    Ok(version)
}

pub(crate) async fn migrate(client: &Client) -> Result<i32, OpenError> {
    let mut tries = 0;
    loop {
        let found = check(client).await?;
        let next = usize::try_from(found).ok().and_then(|found| STEPS.get(found));
        let Some(step) = next else { return Ok(found) };
        let sql = format!("BEGIN; {VERSIONS}; {}; {} COMMIT;", mark(found + 1, step), step.sql);
        if let Err(error) = client.batch_execute(&sql).await {
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
            tries += 1;
            if error.code().is_some_and(|code| code.code() == "42501") {
                let reason = words(&error);
                return Err(OpenError::NotPermitted { found, known: VERSION, reason });
            }
            let is_race = error.code().is_some_and(|code| RACES.contains(&code.code()));
            if !is_race || tries > TRIES {
                return Err(refused(error));
            }
        }
    }
}
