//! Copies, checks, restores, and shrinks the file of a journal. Calls block.
//!
//! | function | while a daemon has the journal |
//! | --- | --- |
//! | [`backup`] | copies one moment, from a read transaction; the daemon keeps writing |
//! | [`verify`] | reads one moment, as [`backup`] does |
//! | [`compact`], [`restore`](fn@restore) | refused: the file is replaced, and the daemon has it open |
//!
//! `VACUUM INTO` makes a copy with neither free pages nor a WAL. The copy is written beside its place,
//! synced, and renamed: after a crash the place has the old file or the new one.
//!
//! SQLite would apply a WAL beside a replaced file to the new file. So `settle` ends WAL mode first, which
//! SQLite allows only while no other program has the file open.

mod part;
mod restore;
mod verify;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, ffi};

pub use self::part::PartFile;
use self::part::is_free;
pub use self::restore::{BackupSource, ReplacedJournal, RestoreOptions, RestoreReport, Since, restore};
pub use self::verify::{VerifyReport, verify};
use super::connection::{connect, open_guarded};
use super::inspection::refuse_foreign;
use super::place::{JournalLock, free_bytes, is_own};
use super::rows::{from_millis, is};
use super::{OpenError, SqliteJournal, schema, trouble};
use crate::files::LockHolder;
use crate::state_dir::UnsafePlace;

pub const SCHEMA: i64 = schema::VERSION;
const STEPS: i32 = 100;
const REPORT: Duration = Duration::from_millis(50);

/// The progress of a backup, restore, or check, for a screen. Without a known total, `of` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpkeepProgress {
    pub done: u64,
    pub of: u64,
}

/// The observer of a long call; `Break` stops the call, which then leaves nothing behind.
pub type Observer = Arc<dyn Fn(UpkeepProgress) -> ControlFlow<()> + Send + Sync>;

/// The reason why a backup, restore, or check failed.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error("{} {error}", .file.display())]
    Open { file: PathBuf, error: OpenError },
    #[error("{} is not a journal of osnl: {why}; name a journal, or a backup of one", .file.display())]
    NotAJournal { file: PathBuf, why: String },
    #[error("{}: there is no journal; name its file", .0.display())]
    Missing(PathBuf),
    #[error("{}: there is no such folder; create it, or name another file", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is in use by {by}; stop it first", .file.display())]
    InUse { file: PathBuf, by: LockHolder },
    #[error("{} is open in another program, such as osnl deliveries or a backup; let that finish first", .0.display())]
    Busy(PathBuf),
    #[error("{}: another osnl is writing it; let that finish, or name another file", .0.display())]
    Writing(PathBuf),
    #[error("{}: exists already; {remedy}", .file.display())]
    Exists { file: PathBuf, remedy: &'static str },
    #[error("{}: belongs to the journal itself; name another file", .0.display())]
    Itself(PathBuf),
    #[error(transparent)]
    Unsafe(#[from] UnsafePlace),
    #[error("{}: is damaged: {problem}; osnl journal verify shows all problems", .file.display())]
    Damaged { file: PathBuf, problem: String },
    #[error(
        "{}: its file system has {free} bytes free, and the copy needs {needed}; make room, or name a file on another one", .file.display()
    )]
    NoRoom { file: PathBuf, free: u64, needed: u64 },
    #[error("{}: {}", .file.display(), trouble::reason(.error))]
    Sqlite { file: PathBuf, error: rusqlite::Error },
    #[error("{}: {error}; let this user read and write it", .file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("interrupted; nothing was changed")]
    Interrupted,
}

impl UpkeepError {
    fn for_file(file: &Path, error: impl Into<OpenError>) -> Self {
        let file = file.to_owned();
        match error.into() {
            OpenError::NotAJournal(why) | OpenError::NothingToRead(why) => Self::NotAJournal { file, why },
            OpenError::InUse(by) => Self::InUse { file, by },
            OpenError::Open(error) => Self::Unsafe(error),
            OpenError::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::OperationInterrupted) => Self::Interrupted,
                Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { file, problem: error.to_string() },
                Some(ErrorCode::CannotOpen) => Self::Open { file, error: OpenError::Sqlite(error) },
                _ => Self::Sqlite { file, error },
            },
            error @ (OpenError::NoFile
            | OpenError::Volatile(_)
            | OpenError::Newer { .. }
            | OpenError::ForeignObject { .. }
            | OpenError::NotPut(_)
            | OpenError::Io(_)) => Self::Open { file, error },
        }
    }

    fn io(file: &Path, error: io::Error) -> Self {
        Self::Io { file: file.to_owned(), error }
    }
}

/// The contents of a file, for the report of a backup, restore, or check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub bytes: u64,
    pub schema: i64,
    pub events: u64,
    pub open: u64,
    pub dead: u64,
    pub quarantined: u64,
    /// The arrival of the latest event; `None` without one.
    pub latest: Option<SystemTime>,
}

/// Copies a journal to a file of mode 0600; replaces an existing file only if asked.
pub fn backup(
    journal: &Path,
    to: &Path,
    replace: bool,
    observer: &Observer,
) -> Result<Contents, UpkeepError> {
    let mut connection = open(journal)?;
    let part = begin(journal, to, replace)?;
    copy(&mut connection, journal, &part, observer)?;
    // Read back, so that an unreadable copy never takes the place.
    let contents = contents(part.path())?;
    part.place()?;
    Ok(contents)
}

pub fn begin(journal: &Path, to: &Path, replace: bool) -> Result<PartFile, UpkeepError> {
    is_elsewhere(journal, to)?;
    is_free(to)?;
    PartFile::begin(to, replace)
}

pub fn compact(journal: &Path, observer: &Observer) -> Result<(u64, Contents), UpkeepError> {
    drop(open(journal)?);
    let held = take(journal)?;
    let before = SqliteJournal::bytes(&held.file);
    let mut connection = settle(&held.file)?;
    let part = PartFile::begin_journal(&held.file)?;
    copy(&mut connection, &held.file, &part, observer)?;
    let contents = contents(part.path())?;
    drop(connection);
    part.place()?;
    Ok((before, contents))
}

fn open(file: &Path) -> Result<Connection, UpkeepError> {
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            let why = "it is not a file".to_owned();
            return Err(UpkeepError::NotAJournal { file: file.to_owned(), why });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(UpkeepError::Missing(file.to_owned()));
        }
        Err(error) => return Err(UpkeepError::io(file, error)),
    }
    // SQLite's own error would only be "cannot be opened".
    std::fs::File::open(file).map_err(|error| UpkeepError::io(file, error))?;
    let opened = || -> Result<Connection, OpenError> {
        refuse_foreign(file)?;
        let connection = open_guarded(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        match schema::check(&connection)? {
            0 => Err(OpenError::NotAJournal("it is empty".to_owned())),
            _ => Ok(connection),
        }
    };
    opened().map_err(|error| UpkeepError::for_file(file, error))
}

fn take(journal: &Path) -> Result<JournalLock, UpkeepError> {
    // A volatile place is no error here: the daemon has the option that allows it.
    JournalLock::take(journal, true).map_err(|error| UpkeepError::for_file(journal, error))
}

/// Copies the WAL into the file and ends WAL mode, which fails while another program has the file open.
fn settle(file: &Path) -> Result<Connection, UpkeepError> {
    let settled = || -> Result<Connection, OpenError> {
        let connection = connect(file)?;
        schema::check(&connection)?;
        connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        Ok(connection)
    };
    settled().map_err(|error| match UpkeepError::for_file(file, error) {
        UpkeepError::Sqlite { file, error }
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            UpkeepError::Busy(file)
        }
        other => other,
    })
}

fn copy(
    connection: &mut Connection,
    from: &Path,
    part: &PartFile,
    observer: &Observer,
) -> Result<(), UpkeepError> {
    let failed = |error: rusqlite::Error| UpkeepError::for_file(from, error);
    let of = used(connection).map_err(failed)?;
    has_room(part, of)?;
    let (written, mut reports) = (part.path().to_owned(), ProgressReports::to(observer));
    let done = move || std::fs::metadata(&written).map_or(0, |meta| meta.len()).min(of);
    let report = move || reports.report_at_intervals(&done, of).is_break();
    connection.progress_handler(STEPS, Some(report)).map_err(failed)?;
    let copied = connection.execute("VACUUM INTO ?1", [PathText(part.path())]);
    connection.progress_handler(0, None::<fn() -> bool>).map_err(failed)?;
    copied.map(drop).map_err(|error| match error.sqlite_error_code() {
        // Such an error is about the copy and not the journal.
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => {
            UpkeepError::Sqlite { file: part.to().to_owned(), error }
        }
        _ => failed(error),
    })
}

/// A path as a parameter, whose bytes need not be UTF-8.
struct PathText<'a>(&'a Path);

impl ToSql for PathText<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_os_str().as_encoded_bytes())))
    }
}

fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(pages.unsigned_abs() * pragma("page_size")?.unsigned_abs())
}

fn has_room(part: &PartFile, needed: u64) -> Result<(), UpkeepError> {
    match free_bytes(part.path()) {
        Some(free) if free < needed => Err(UpkeepError::NoRoom { file: part.to().to_owned(), free, needed }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a name that the journal uses for its own files.
pub fn is_elsewhere(journal: &Path, to: &Path) -> Result<(), UpkeepError> {
    let whole = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(path.file_name().unwrap_or_default())
    };
    let (own, to) = (whole(journal), whole(to));
    let more = to.as_os_str().as_encoded_bytes().strip_prefix(own.as_os_str().as_encoded_bytes());
    if more.is_some_and(is_own) {
        return Err(UpkeepError::Itself(to));
    }
    Ok(())
}

/// Calls the observer at intervals.
struct ProgressReports {
    observer: Observer,
    latest: Option<Instant>,
}

impl ProgressReports {
    fn to(observer: &Observer) -> Self {
        Self { observer: observer.clone(), latest: None }
    }

    fn report_at_intervals(&mut self, done: impl FnOnce() -> u64, of: u64) -> ControlFlow<()> {
        if self.latest.is_some_and(|latest| latest.elapsed() < REPORT) {
            return ControlFlow::Continue(());
        }
        self.latest = Some(Instant::now());
        (self.observer)(UpkeepProgress { done: done(), of })
    }

    fn report(&mut self, done: i64, of: i64) -> rusqlite::Result<()> {
        match self.report_at_intervals(|| done.unsigned_abs(), of.unsigned_abs()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None))
            }
        }
    }
}

fn contents(file: &Path) -> Result<Contents, UpkeepError> {
    counted(&open(file)?, file).map_err(|error| UpkeepError::for_file(file, error))
}

fn counted(connection: &Connection, file: &Path) -> rusqlite::Result<Contents> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let latest = connection
        .query_row("SELECT received FROM event ORDER BY id DESC LIMIT 1", [], |row| {
            row.get(0).map(from_millis)
        })
        .optional()?;
    Ok(Contents {
        bytes: SqliteJournal::bytes(file),
        schema: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        events: count("SELECT count(*) FROM event")?,
        open: count(concat!("SELECT coalesce(sum(count), 0) FROM tally WHERE ", is!(open)))?,
        dead: count(concat!("SELECT coalesce(sum(count), 0) FROM tally WHERE ", is!(Dead)))?,
        quarantined: count("SELECT count(*) FROM unreadable")?,
        latest,
    })
}
