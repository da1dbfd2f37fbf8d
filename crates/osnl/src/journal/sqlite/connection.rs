//! A connection that writes: WAL, and a commit is on the disk when it returns.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Opens the file, or makes it.
pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    // In KiB: a backlog is spread over the file, and its indexes should not be.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    Ok(connection)
}

/// As SQLite says it of a file that cannot be opened.
pub(super) fn closed() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), None)
}
