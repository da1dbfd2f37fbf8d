//! A connection that writes: WAL, and a commit is on the disk when it returns.
//!
//! Statements are planned once (`SQLITE_DBCONFIG_ENABLE_QPSG`). Otherwise SQLite plans again for other
//! values, in case a partial index suits, which took a sixth of an append.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// The bytes of disk that a WAL keeps when it restarts. A write to existing blocks does not change the file's
/// size, which a sync would also have to wait for. The WAL may grow to this size before the writer helps.
const WAL_BYTES: i64 = super::checkpoint::TOO_MANY as i64 * 4096;

/// The bytes that a WAL has at most, unless a reader holds an old state of the file.
pub const USUAL_WAL: u64 = WAL_BYTES.unsigned_abs();

/// Opens a file in which SQL that osnl did not write may do nothing: the file may come from elsewhere.
pub(super) fn open_guarded(file: impl AsRef<Path>, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags)?;
    for (config, is_on) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    ] {
        connection.set_db_config(config, is_on)?;
    }
    Ok(connection)
}

pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    // Place::take has resolved the links on the way to the file.
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = open_guarded(file, flags)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // In KiB; a backlog is spread over the file, and its indexes should stay in memory.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    Ok(connection)
}

pub(super) fn closed() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), None)
}
