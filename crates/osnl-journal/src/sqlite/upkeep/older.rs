//! Writes a journal for an older program: the tables of an earlier version, and what they have room for.
//!
//! Later versions only added tables and columns, so the rows are copied column by column. What an older program would
//! misread is changed, and what it cannot hold is counted.

use std::collections::BTreeSet;
use std::path::Path;

use osnl_core::quarantine::{Extent, StoredBody};
use rusqlite::types::Value;
use rusqlite::{Connection, Result, params, params_from_iter};

use super::super::schema;
use super::part::is_free;
use super::{Contents, Observer, ProgressReports, UpkeepError, begin, contents, has_room, open, used};

/// The oldest version that can be written: the first did not know resources of bulk requests.
pub const LEAST_SCHEMA: i64 = 2;
/// The version that brought wishes, that of compressed messages in quarantine, and that of enrichments.
const WITH_WISH: i64 = 6;
const WITH_EXTENT: i64 = 7;
const WITH_ENRICHED: i64 = 4;

/// A journal for an older program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OlderReport {
    /// The contents of the copy.
    pub contents: Contents,
    /// The facts that the older program does not know, a line each.
    pub notes: Vec<String>,
}

/// Writes a copy with the tables of an older version, which no daemon may have.
///
/// # Errors
/// See [`UpkeepError`].
pub fn export_older(
    journal: &Path,
    to: &Path,
    asked: i64,
    replace: bool,
    observer: &Observer,
) -> std::result::Result<OlderReport, UpkeepError> {
    if !(LEAST_SCHEMA..=schema::VERSION).contains(&asked) {
        return Err(UpkeepError::Schema { asked });
    }
    let from = open(journal)?;
    is_free(journal)?;
    let failed = |error: rusqlite::Error| UpkeepError::of(journal, error);
    from.execute_batch("BEGIN").map_err(failed)?;
    let found = schema::check(&from).map_err(|error| UpkeepError::of(journal, error))?;
    if found < asked {
        // The program brings it up to date by itself.
        return Err(UpkeepError::Schema { asked });
    }
    let part = begin(journal, to, replace)?;
    has_room(&part, used(&from).map_err(failed)?)?;
    let writing = |error: rusqlite::Error| UpkeepError::of(part.to(), error);
    let mut copy = Connection::open(part.path()).map_err(writing)?;
    // It is synced as a whole at the end.
    copy.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF").map_err(writing)?;
    schema::migrate(&mut copy, asked).map_err(|error| UpkeepError::of(part.to(), error))?;
    // It is about the rows that come.
    copy.execute_batch("BEGIN; DELETE FROM meta").map_err(writing)?;
    copy_tables(&from, &copy, observer).map_err(writing)?;
    let notes = adapt(&from, &copy, asked).map_err(writing)?;
    copy.execute_batch("COMMIT").map_err(writing)?;
    drop(copy);
    let contents = contents(part.path())?;
    part.place()?;
    Ok(OlderReport { contents, notes })
}

/// Copies the columns that both have.
fn copy_tables(from: &Connection, to: &Connection, observer: &Observer) -> Result<()> {
    let of: i64 =
        from.query_row("SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM delivery)", [], |row| {
            row.get(0)
        })?;
    let (mut done, mut reports) = (0_i64, ProgressReports::to(observer));
    for table in names(to, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", "")? {
        let columns = |connection| names(connection, "SELECT name FROM pragma_table_info(?1)", &table);
        let (ours, theirs) = (columns(from)?, columns(to)?);
        let both: Vec<String> = theirs.into_iter().filter(|column| ours.contains(column)).collect();
        if both.is_empty() {
            continue;
        }
        let columns = both.join(", ");
        let places = vec!["?"; both.len()].join(", ");
        let mut select = from.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut insert = to.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({places})"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..both.len()).map(|n| row.get::<_, Value>(n)).collect::<Result<Vec<_>>>()?;
            insert.execute(params_from_iter(values))?;
            done += i64::from(table == "event" || table == "delivery");
            reports.report(done, of)?;
        }
    }
    Ok(())
}

/// Names of a schema, which are this program's own.
fn names(connection: &Connection, sql: &str, of: &str) -> Result<Vec<String>> {
    let mut select = connection.prepare(sql)?;
    let values: Vec<&str> = if of.is_empty() { Vec::new() } else { vec![of] };
    let names = select.query_map(params_from_iter(values), |row| row.get(0))?;
    Ok(names.collect::<Result<BTreeSet<String>>>()?.into_iter().collect())
}

/// Changes what an older program would misread, and tells what it cannot hold.
fn adapt(from: &Connection, to: &Connection, asked: i64) -> Result<Vec<String>> {
    let found: i64 = from.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut notes = Vec::new();
    let mut note = |count: i64, what: &str| {
        if count > 0 {
            notes.push(format!("{what}: {count}"));
        }
    };
    let count = |sql: &str| from.query_row(sql, [], |row| row.get::<_, i64>(0));
    if asked < WITH_EXTENT && found >= WITH_EXTENT {
        note(whole_bodies(from, to)?, "quarantined messages left out, of which only the beginning is kept");
        to.execute("DELETE FROM meta WHERE name = 'keys_with_rule_from'", [])?;
        note(
            count(
                "SELECT count(*) FROM delivery WHERE state <= 2 AND tries > 0 AND id >> 16 >= \
                 (SELECT value FROM meta WHERE name = 'keys_with_rule_from')",
            )?,
            "failed deliveries that will be repeated with another Idempotency-Key",
        );
    }
    if asked < WITH_WISH && found >= WITH_WISH {
        note(
            count("SELECT count(*) FROM delivery WHERE wish IS NOT NULL")?,
            "forgotten requests to discard, hold, or move a delivery after its attempt",
        );
        note(
            count("SELECT count(*) FROM delivery WHERE state = 1 AND due > 0")?,
            "retries that are due at once",
        );
    }
    if asked < WITH_ENRICHED && found >= WITH_ENRICHED {
        note(
            count("SELECT count(*) FROM enriched e JOIN delivery d ON d.id = e.delivery WHERE d.state <= 2")?,
            "enrichments that will be asked for again",
        );
    }
    Ok(notes)
}

/// Stores quarantined messages as they came; those of which only the beginning is kept leave, and are counted.
fn whole_bodies(from: &Connection, to: &Connection) -> Result<i64> {
    let mut select = from.prepare("SELECT id, extent, body FROM unreadable WHERE extent <> 0")?;
    let mut rows = select.query([])?;
    let mut left = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let extent = Extent::of(row.get(1)?).filter(|extent| extent.is_whole());
        let bytes: Vec<u8> = row.get(2)?;
        match extent.and_then(|extent| StoredBody { extent, bytes }.read().ok()) {
            Some(body) => {
                to.execute("UPDATE unreadable SET body = ?2 WHERE id = ?1", params![id, &body[..]])?;
            }
            None => {
                to.execute("DELETE FROM unreadable WHERE id = ?1", [id])?;
                left += 1;
            }
        }
    }
    Ok(left)
}
