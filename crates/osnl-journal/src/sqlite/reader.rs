//! A reader of a journal on its own connection, which neither waits for the writer nor delays it.
//!
//! The daemon of the file may be running or stopped. Calls block, so an async caller uses a thread.

mod groups;
mod listing;
mod lookup;
mod recent;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use osnl_core::received::ReceivedMessage;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Result};

pub(super) use self::listing::{list, parts};

pub(super) use self::recent::recent;
use super::connection::open_guarded;
use super::inspection::refuse_foreign;
use super::rows::{self, delivery_id, event_of, from_millis, is, received};
use super::{OpenError, schema};
use crate::DeliveryId;
use crate::query::Tally;
use crate::state_dir::is_read_only;

/// A connection that only reads, on a thread of the caller.
#[derive(Debug)]
pub struct SqliteReader(pub(super) Connection);

impl SqliteReader {
    pub fn open(file: &Path) -> std::result::Result<Self, OpenError> {
        let no_journal = |why: &str| Err(OpenError::NothingToRead(why.to_owned()));
        match file.metadata() {
            Ok(found) if found.is_dir() => return no_journal("it is a folder"),
            Ok(found) if !found.is_file() => return no_journal("it is not a regular file"),
            Ok(_) | Err(_) => {}
        }
        let opened = refuse_foreign(file).and_then(|()| {
            let connection = open_guarded(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            schema::check(&connection).map(|version| (version, connection))
        });
        match opened {
            Ok((0, _)) => no_journal("it is empty"),
            Ok((_, connection)) => Ok(Self(connection)),
            Err(OpenError::NotAJournal(why)) => no_journal(&why),
            // A journal is read together with its WAL, whose index is a file that SQLite creates.
            Err(OpenError::Sqlite(error))
                if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                    && is_read_only(file)
                    && std::fs::File::open(file).is_ok() =>
            {
                Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into())
            }
            Err(error) => Err(error),
        }
    }

    pub fn message(&self, id: DeliveryId) -> Result<Option<ReceivedMessage>> {
        let sql = format!("SELECT {} FROM event WHERE id = ?", rows::RECEIVED);
        let mut select = self.0.prepare_cached(&sql)?;
        select.query_row([event_of(&self.0, id)?], |row| received(row, 0)).optional()
    }

    pub fn tally(&self) -> Result<Vec<Tally>> {
        let mut select = self.0.prepare_cached("SELECT action, state, count FROM tally WHERE count > 0")?;
        let rows = select.query_map([], |row| {
            Ok(Tally { action: row.get(0)?, state: row.get(1)?, count: row.get::<_, i64>(2)?.unsigned_abs() })
        })?;
        rows.collect()
    }

    pub(crate) fn oldest_ready(&self, action: &str) -> Result<Option<SystemTime>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT min(id) FROM (SELECT min(id) AS id FROM delivery WHERE action = ?1 AND ",
            is!(Ready),
            " AND due = 0 UNION ALL SELECT min(id) FROM delivery WHERE action = ?1 AND ",
            is!(Ready),
            " AND due > 0)"
        ))?;
        let id = select.query_row([action], |row| Ok(row.get::<_, Option<i64>>(0)?.map(delivery_id)))?;
        let Some(id) = id else { return Ok(None) };
        // Read without the body, which may be large.
        let mut select = self.0.prepare_cached("SELECT received FROM event WHERE id = ?")?;
        Ok(select.query_row([event_of(&self.0, id)?], |row| row.get(0)).optional()?.map(from_millis))
    }

    /// Returns the rows about resources, the latest last. Of more than `most` bytes, the latest count.
    pub fn seen(&self, most: usize) -> Result<Vec<(String, String)>> {
        let mut select = self.0.prepare("SELECT name, row FROM seen ORDER BY at DESC, name DESC")?;
        let mut rows = select.query([])?;
        let (mut found, mut left) = (Vec::<(String, String)>::new(), most);
        while let Some(row) = rows.next()? {
            let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
            let Some(rest) = left.checked_sub(name.len() + text.len()) else { break };
            left = rest;
            found.push((name, text));
        }
        found.reverse();
        Ok(found)
    }
}
