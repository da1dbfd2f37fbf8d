//! A journal in a file as one side of a move to another store. Calls block.
//!
//! The source is only read, until it is marked at the end. The destination is written in its place, under a mark that keeps
//! every program from opening it; it is on the disk before the mark is removed.

mod destination;
mod source;
mod tables;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

pub use self::destination::SqliteDestination;
pub use self::source::SqliteSource;
use super::{OpenError, schema, trouble};
use crate::transfer::MoveError;

/// Returns the URL of a file.
fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn absolute(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    let name = file.file_name().map(PathBuf::from);
    match (folder, name) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

/// Opens a file to look at it.
fn open(file: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// Returns the error of a file that cannot be one side of a move.
fn refused(file: &Path, error: OpenError) -> MoveError {
    let text = format!("{} {error}", url(file));
    match error {
        OpenError::InUse(by) => MoveError::InUse(format!("{}: in use by {by}; stop osnl first", url(file))),
        OpenError::Io(_) | OpenError::Sqlite(_) => MoveError::Unavailable(text),
        OpenError::NoFile
        | OpenError::Volatile(_)
        | OpenError::Open(_)
        | OpenError::NotAJournal(_)
        | OpenError::Newer { .. }
        | OpenError::Moved(_)
        | OpenError::Unfinished(_) => MoveError::Refused(text),
    }
}

/// Returns the error of a file that cannot be read or written in the midst of a move.
fn failed(file: &Path, error: &rusqlite::Error) -> MoveError {
    MoveError::Failed(format!("{}: {}", url(file), trouble::reason(error)))
}

/// Sets the number that tells what a file is.
fn set_application(connection: &Connection, application: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", application)
}

/// The version of the tables that are moved.
const VERSION: i64 = schema::VERSION;
