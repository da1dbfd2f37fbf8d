//! Paused actions: a row of `meta` each, `paused NAME` with the moment, so that a restart changes nothing.

use rusqlite::{Connection, Result};

use super::rows::moment;
use crate::Paused;

const PREFIX: &str = "paused ";

/// One that is paused already stays so since then.
pub(super) fn pause(connection: &Connection, action: &str, now: i64) -> Result<()> {
    let name = format!("{PREFIX}{action}");
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)", (name, now))?;
    Ok(())
}

pub(super) fn resume(connection: &Connection, action: &str) -> Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [format!("{PREFIX}{action}")])?;
    Ok(())
}

pub(super) fn list(connection: &Connection) -> Result<Paused> {
    let mut select = connection.prepare_cached("SELECT name, value FROM meta WHERE name GLOB 'paused *'")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, moment(row.get(1)?))))?;
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().filter_map(|(name, at)| Some((name.strip_prefix(PREFIX)?.to_owned(), at))).collect())
}
