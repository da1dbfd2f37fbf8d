//! Makes a backup the journal.
//!
//! The copy is checked, as the backup could change meanwhile. An existing journal is kept under another name.
//! If readable, it shows later messages and deliveries that have ended since the backup.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use osnl_core::epoch;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Result};

use super::super::connection::open_guarded;
use super::super::place::RECEIVED;
use super::super::rows::{delivery_id, is, millis};
use super::super::{paused, prune, quarantine, writer};
use super::part::PartFile;
use super::verify::problems;
use super::{Contents, Observer, UpkeepError, UpkeepProgress, contents, copy, open, settle, take};
use crate::files::beside;
use crate::{DeliveryId, PauseNote};

/// The backup that becomes the journal.
pub enum BackupSource<'a> {
    File(&'a Path),
    Stream(&'a mut dyn Read),
}

/// The operator's choices for a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions<'a> {
    /// The name under which an existing journal is kept; `None` refuses to replace a journal.
    pub aside: Option<PathBuf>,
    /// The operator in whose name all actions begin paused; `None` pauses none.
    pub pause_by: Option<&'a str>,
}

/// The effect of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    pub contents: Contents,
    pub paused: Vec<String>,
    pub replaced: Option<ReplacedJournal>,
}

/// The journal that a backup has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedJournal {
    pub file: PathBuf,
    /// The contents that the backup lacks; `None` if the file cannot be read.
    pub since: Option<Since>,
}

/// The events and ends of a replaced journal that are later than the backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    pub events: u64,
    pub ended: Vec<DeliveryId>,
}

pub fn restore(
    source: BackupSource<'_>,
    journal: &Path,
    options: &RestoreOptions<'_>,
    observer: &Observer,
) -> std::result::Result<RestoreReport, UpkeepError> {
    let was_there = fs::symlink_metadata(journal).is_ok();
    let is_there = fs::metadata(journal).is_ok_and(|meta| meta.len() > 0);
    if is_there && options.aside.is_none() {
        let remedy = "--replace keeps it under another name";
        return Err(UpkeepError::Exists { file: journal.to_owned(), remedy });
    }
    if let BackupSource::File(backup) = &source {
        drop(open(backup)?);
    }
    let held = take(journal)?;
    let file = held.file.as_path();
    let restored =
        restore_taken(source, file, options.aside.as_deref().filter(|_| is_there), options, observer);
    if restored.is_err() && !was_there {
        // Taking the lock created the file.
        let _ = fs::remove_file(file);
    }
    restored
}

fn restore_taken(
    source: BackupSource<'_>,
    file: &Path,
    aside: Option<&Path>,
    options: &RestoreOptions<'_>,
    observer: &Observer,
) -> std::result::Result<RestoreReport, UpkeepError> {
    let (backup, _received) = match source {
        BackupSource::File(backup) => (backup.to_owned(), None),
        BackupSource::Stream(bytes) => {
            let received = received(bytes, file, observer)?;
            (received.path().to_owned(), Some(received))
        }
    };
    let old = match aside {
        Some(aside) => {
            if aside.symlink_metadata().is_ok() {
                let remedy = "move it away";
                return Err(UpkeepError::Exists { file: aside.to_owned(), remedy });
            }
            match open(file).map(drop).and_then(|()| settle(file)) {
                Ok(connection) => Some(connection),
                Err(busy @ UpkeepError::Busy(_)) => return Err(busy),
                // A damaged, newer, or foreign file is kept unchanged with its WAL.
                Err(_) => None,
            }
        }
        None => None,
    };
    let mut connection = open(&backup)?;
    let part = PartFile::begin_journal(file)?;
    copy(&mut connection, &backup, &part, observer)?;
    drop(connection);
    let failed = |error: rusqlite::Error| UpkeepError::for_file(part.path(), error);
    let mut copied = open_guarded(part.path(), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    if let Some(problem) = problems(&mut copied, &backup, observer)?.into_iter().next() {
        return Err(UpkeepError::Damaged { file: backup, problem });
    }
    let since = old.as_ref().and_then(|old| since(&copied, old).ok());
    if let Some(next) = old.as_ref().and_then(|old| writer::next_event(old).ok()) {
        // A number that an operator has seen must not name another event.
        copied
            .execute(
                "INSERT INTO meta (name, value) VALUES ('next_event', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                [next],
            )
            .map_err(failed)?;
    }
    if let Some(next) = old.as_ref().and_then(|old| quarantine::next_number(old).ok()) {
        quarantine::keep_next_number(&copied, next).map_err(failed)?;
    }
    let paused = match options.pause_by {
        Some(by) => pause(&copied, by).map_err(failed)?,
        None => Vec::new(),
    };
    drop(copied);
    let contents = contents(part.path())?;
    let is_settled = old.is_some();
    drop(old);
    if let Some(aside) = aside {
        put_aside(file, aside, is_settled)?;
    }
    part.place()?;
    let replaced = aside.map(|aside| ReplacedJournal { file: aside.to_owned(), since });
    Ok(RestoreReport { contents, paused, replaced })
}

fn received(
    bytes: &mut dyn Read,
    file: &Path,
    observer: &Observer,
) -> std::result::Result<PartFile, UpkeepError> {
    let part = PartFile::temporary(file, RECEIVED)?;
    let (mut buffer, mut out, mut done) = (vec![0; 1 << 20], part.file(), 0);
    loop {
        // The total size of a stream is unknown.
        if observer(UpkeepProgress { done, of: 0 }).is_break() {
            return Err(UpkeepError::Interrupted);
        }
        let read = bytes.read(&mut buffer).and_then(|read| out.write_all(&buffer[..read]).map(|()| read));
        match read {
            Ok(0) => return Ok(part),
            Ok(read) => done += read as u64,
            Err(error) => return Err(UpkeepError::io(part.path(), error)),
        }
    }
}

/// Gives the journal a second name, so that a file always exists at the first. The WAL of an unreadable
/// journal is moved too.
fn put_aside(file: &Path, aside: &Path, is_settled: bool) -> std::result::Result<(), UpkeepError> {
    let failed = |error: io::Error| UpkeepError::io(aside, error);
    // On file systems without hard links, the first name is missing for an instant.
    fs::hard_link(file, aside).or_else(|_| fs::rename(file, aside)).map_err(failed)?;
    if !is_settled {
        for more in ["-wal", "-shm", "-journal"] {
            match fs::rename(beside(file, more), beside(aside, more)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn since(copied: &Connection, old: &Connection) -> Result<Since> {
    let next = writer::next_event(copied)?;
    let events: i64 = old.query_row("SELECT count(*) FROM event WHERE id >= ?1", [next], |row| row.get(0))?;
    // Compared by identity, since a number may be another event's if the backup is another journal's.
    let sql = |condition: &str| {
        format!(
            "SELECT d.id, e.identity, e.received FROM delivery d \
             JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) WHERE {condition}"
        )
    };
    let mut select = copied.prepare(&sql(is!(open)))?;
    let mut open = select.query([])?;
    let mut same = old.prepare(&sql(&format!("d.id = ?1 AND d.{}", is!(open))))?;
    let forgotten = prune::forgotten_number(old)?.unwrap_or_default();
    let mut known = old.prepare(&sql("d.id = ?1"))?;
    let mut ended = Vec::new();
    while let Some(row) = open.next()? {
        let one: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let is_open = same.query_row([one.0], read).optional()? == Some(one);
        // A missing delivery was removed after its end.
        let is_known =
            known.query_row([one.0], read).optional()?.map_or(one.0 <= forgotten, |there| there == one);
        if !is_open && is_known {
            ended.push(delivery_id(one.0));
        }
    }
    Ok(Since { events: events.unsigned_abs(), ended })
}

fn pause(connection: &Connection, by: &str) -> Result<Vec<String>> {
    let sql = concat!("SELECT DISTINCT action FROM tally WHERE ", is!(open), " AND count > 0");
    let mut select = connection.prepare(sql)?;
    let actions = select.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>>>()?;
    let note = PauseNote { by: by.to_owned(), reason: Some("restored from a backup".to_owned()) };
    for action in &actions {
        paused::pause(connection, action, &note, millis(epoch::now()))?;
    }
    Ok(actions.into_iter().collect())
}
