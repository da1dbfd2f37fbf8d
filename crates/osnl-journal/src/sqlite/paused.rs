//! Paused actions, which survive a restart: `meta` has a row `paused NAME` with the time of each. A row
//! `paused-by NAME` has the operator on a second line, with the same time.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use super::rows::from_millis;
use crate::PausedActions;

const PREFIX: &str = "paused ";
const BY: &str = "paused-by ";

pub(super) fn pause(connection: &Connection, action: &str, by: &str, now: i64) -> Result<()> {
    const INSERT: &str = "INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)";
    if connection.execute(INSERT, (format!("{PREFIX}{action}"), now))? > 0 {
        connection.execute(INSERT, (format!("{BY}{action}\n{by}"), now))?;
    }
    Ok(())
}

pub(super) fn resume(connection: &Connection, action: &str) -> Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [format!("{PREFIX}{action}")])?;
    let by = format!("{BY}{action}\n");
    connection.execute("DELETE FROM meta WHERE substr(name, 1, length(?1)) = ?1", [by])?;
    Ok(())
}

pub(super) fn list(connection: &Connection) -> Result<PausedActions> {
    let mut select = connection.prepare_cached("SELECT name, value FROM meta WHERE name GLOB 'paused *'")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, from_millis(row.get(1)?))))?;
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().filter_map(|(name, at)| Some((name.strip_prefix(PREFIX)?.to_owned(), at))).collect())
}

/// Returns the operator that paused each action. A row that an older program left at a resume has a different
/// time and is ignored.
pub(super) fn by(connection: &Connection) -> Result<BTreeMap<String, String>> {
    let mut select = connection.prepare_cached(
        "SELECT b.name FROM meta b WHERE b.name GLOB 'paused-by *' AND EXISTS (SELECT 1 FROM meta p WHERE p.value = b.value \
         AND p.name = 'paused ' || substr(b.name, 11, instr(b.name, char(10)) - 11))",
    )?;
    let rows = select.query_map([], |row| row.get::<_, String>(0))?;
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let split = |name: String| {
        let (action, by) = name.strip_prefix(BY)?.split_once('\n')?;
        Some((action.to_owned(), by.to_owned()))
    };
    Ok(rows.into_iter().filter_map(split).collect())
}
