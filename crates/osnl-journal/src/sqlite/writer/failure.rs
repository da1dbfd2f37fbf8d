//! Failures of a file that is unwritable or not what osnl left: reports, waits, and recovery.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::{fs, io};

use rusqlite::ErrorCode;
use rusqlite::config::DbConfig;
use tokio::time::Instant;

use super::super::connection::closed;
use super::super::left::FileLoss;
use super::super::place::{FoundFile, NEW, SAVED};
use super::super::rows::millis;
use super::super::{OpenError, checkpoint, trouble};
use super::{JournalWriter, SqliteCommand, TICK};
use crate::JournalState;
use crate::files::{beside, put, sync_folder};
use osnl_core::epoch;

const REMIND: Duration = Duration::from_secs(60);
/// Bytes of the head of a WAL, and of the head of each page in it, by SQLite's file format.
const WAL_HEAD: i64 = 32;
const FRAME_HEAD: i64 = 24;

/// Returns the name of the complete copy of a lost file, until the copy takes the place of the file.
pub(super) fn saved_copy(file: &Path) -> PathBuf {
    beside(file, SAVED)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A copy of a lost file with everything that was in it, which is to take the place of the file.
pub(super) struct SavedCopy {
    file: fs::File,
    found: FoundFile,
    loss: FileLoss,
}

impl JournalWriter {
    /// Writes a lost file anew, and fails if it cannot. A file that another program has made smaller in order is no loss.
    pub(super) fn check_file(&mut self) -> Result<(), String> {
        if self.saved.is_some() {
            return self.put_saved();
        }
        let file = self.place.file.display().to_string();
        let loss = match self.shared.left.look(&self.place.file) {
            Ok(None) => return Ok(()),
            Ok(Some(loss)) => loss,
            Err(error) => {
                return Err(format!("{file} cannot be looked at: {error}; look at the file system"));
            }
        };
        let to_do = match &loss {
            FileLoss::Replaced => {
                return Err(format!(
                    "{file} {loss}; put the one back that was there, or stop osnl and start it with this one"
                ));
            }
            FileLoss::Removed => "put it back before osnl is stopped",
            FileLoss::Shorter { .. } | FileLoss::WalShorter { .. } if self.is_in_order(&loss) => {
                return self.shared.left.take(&self.place.file).map_err(|error| error.to_string());
            }
            FileLoss::Shorter { .. }
            | FileLoss::Hollow { .. }
            | FileLoss::WalGone
            | FileLoss::WalShorter { .. }
            | FileLoss::Damaged(_) => {
                "stop osnl, keep a copy of the file with its -wal, and restore a backup (osnl journal restore)"
            }
        };
        let now = Instant::now();
        if let Some((reason, again)) = &self.not_anew
            && now < *again
        {
            return Err(reason.clone());
        }
        self.not_anew = None;
        self.save(loss.clone()).map_err(|error| {
            let reason = format!("{file} {loss} and cannot be written anew: {error}; {to_do}");
            // A large file takes long to read, so a damaged one is not read all the time.
            self.not_anew = Some((reason.clone(), now + now.elapsed() * 10));
            reason
        })?;
        self.put_saved()
    }

    /// Whether the connection needs nothing that is missing: after another program's `VACUUM` the journal has fewer pages,
    /// after its checkpoint the WAL may be empty.
    fn is_in_order(&self, loss: &FileLoss) -> bool {
        let Some(connection) = &self.connection else { return false };
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        match loss {
            FileLoss::Shorter { found, .. } => number("page_count")
                .and_then(|pages| Ok(pages * number("page_size")?))
                .is_ok_and(|bytes| bytes.unsigned_abs() <= *found),
            FileLoss::WalShorter { found, .. } => checkpoint::pages(connection)
                .and_then(|pages| Ok((pages, WAL_HEAD + pages * (FRAME_HEAD + number("page_size")?))))
                .is_ok_and(|(pages, bytes)| pages == 0 || bytes.unsigned_abs() <= *found),
            FileLoss::Replaced
            | FileLoss::Removed
            | FileLoss::Hollow { .. }
            | FileLoss::WalGone
            | FileLoss::Damaged(_) => false,
        }
    }

    /// Looks at the file a last time: a closed connection copies the WAL behind a cut, and nothing then knows what the
    /// file has lost. Of a file that cannot be written anew, the WAL stays.
    pub(super) fn check_before_close(&mut self) {
        let Err(reason) = self.check_file() else { return };
        tracing::error!(
            journal.file = %self.place.file.display(),
            reason,
            "the journal ends with a file that is not what osnl left"
        );
        if let Some(connection) = &self.connection {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }

    /// Writes everything that the connection knows to a copy, and closes the connection.
    fn save(&mut self, loss: FileLoss) -> Result<(), OpenError> {
        let (new, copy) = (beside(&self.place.file, NEW), saved_copy(&self.place.file));
        let Some(connection) = &self.connection else { return Err(OpenError::Sqlite(closed())) };
        remove(&new)?;
        connection.execute("VACUUM INTO ?1", [new.to_string_lossy()])?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        let file = fs::File::open(&new)?;
        // A copy with its name is complete, so a start that finds one refuses to go on without it.
        put(&file, &new, &copy)?;
        let found = FoundFile::from_open(&file)?;
        // The old connections delete the WAL when closed, so they close before a new one opens. With a reader's connection
        // open, the WAL stays, and would be taken for the new file's.
        self.checkpointer.set(None);
        self.connection = None;
        self.saved = Some(SavedCopy { file, found, loss });
        Ok(())
    }

    /// Puts the copy of a lost file into its place. Until that succeeds, no connection is open, and the copy has everything.
    fn put_saved(&mut self) -> Result<(), String> {
        let Some(saved) = &self.saved else { return Ok(()) };
        let (file, copy) = (self.place.file.clone(), saved_copy(&self.place.file));
        self.put_copy(saved, &copy).map_err(|error| {
            format!(
                "{} {}; everything in it is in {}, which cannot take its place: {error}; remove the obstacle, or stop osnl, \
                 put the copy there, and remove the files -wal and -shm beside it",
                file.display(),
                saved.loss,
                copy.display()
            )
        })?;
        tracing::error!(
            journal.file = %file.display(),
            reason = %saved.loss,
            "the journal's file was not what osnl had left; everything in it has been written to it anew"
        );
        self.saved = None;
        // If the new file cannot be opened now, it is opened later, and is no other program's.
        self.reopen().map_err(|error| error.to_string())
    }

    /// Each step may be repeated after a failure of a later one.
    fn put_copy(&self, saved: &SavedCopy, copy: &Path) -> io::Result<()> {
        let file = &self.place.file;
        let is_put = FoundFile::at(file)?.is_some_and(|found| found.is(saved.found));
        if !is_put && self.shared.left.look(file)? == Some(FileLoss::Replaced) {
            return Err(io::Error::other("another file is there"));
        }
        // An operator may have put the copy there: SQLite would take the former WAL for that of the copy.
        for more in ["-wal", "-shm"] {
            remove(&beside(file, more))?;
        }
        if !is_put {
            put(&saved.file, copy, file)?;
        }
        sync_folder(file)?;
        self.shared.left.take(file)?;
        self.shared.left.forget_damage();
        Ok(())
    }

    /// Returns the reason of a failure. Damage is remembered until the file is written anew; after a refusal of memory the
    /// connection is opened again, with nothing kept in memory.
    pub(super) fn storage_error(&mut self, error: &rusqlite::Error) -> String {
        if trouble::is_damage(error) {
            self.shared.left.found_damaged(&self.place.file, error.to_string());
        }
        if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) {
            self.connection = None;
        }
        trouble::reason(error)
    }

    pub(super) fn failed(&mut self, reason: &str) {
        let now = Instant::now();
        let file = self.place.file.display().to_string();
        let say = || {
            tracing::error!(
                journal.file = file,
                reason,
                "the journal cannot be written: nothing is read from the broker, which keeps the messages, and no \
                 attempt begins; tried each second",
            );
        };
        let since = match &mut self.failing {
            Some((since, said)) => {
                if now.duration_since(*said) >= REMIND {
                    *said = now;
                    say();
                }
                *since
            }
            None => {
                say();
                let since = epoch::now();
                self.failing = Some((since, now));
                since
            }
        };
        let reason = format!("the journal {file} cannot be written: {reason}");
        self.shared.gate.set_open(false);
        self.shared.state.send_if_modified(|state| {
            let failed = JournalState::Failed { reason, since };
            let changed = *state != failed;
            *state = failed;
            changed
        });
    }

    /// Waits a second while commands queue in memory; `false` at the end of the program.
    pub(super) fn wait_for_storage(&mut self) -> bool {
        if self.closing {
            return false;
        }
        self.shared.disk_wait.ends();
        let until = Instant::now() + TICK;
        while !self.closing {
            match self.commands.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(command @ SqliteCommand::Close(_)) => {
                    self.closing = true;
                    self.backlog.push_back(command);
                }
                #[cfg(any(test, feature = "sample"))]
                Ok(SqliteCommand::Do(what)) => {
                    if let Some(connection) = &self.connection {
                        what(connection);
                    }
                }
                Ok(command) => self.backlog.push_back(command),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.closing = true,
            }
        }
        self.shared.disk_wait.begins();
        true
    }

    pub(super) fn ready_storage(&mut self) -> Result<(), String> {
        self.check_file().and_then(|()| self.ready_connection())
    }

    pub(super) fn recover(&mut self) {
        let again = self.ready_storage();
        match again.and_then(|()| self.write_probe().map_err(|error| self.storage_error(&error))) {
            Ok(()) => self.works(),
            Err(reason) => self.failed(&reason),
        }
    }

    pub(super) fn works(&mut self) {
        if let Some((since, _)) = self.failing.take() {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            let file = self.place.file.display();
            tracing::info!(
                journal.file = %file,
                seconds,
                "the journal can be written again"
            );
            self.publish(None);
        }
    }

    pub(super) fn ready_connection(&mut self) -> Result<(), String> {
        if self.connection.as_ref().is_none_or(|connection| !connection.is_autocommit()) {
            self.connection = None;
            self.reopen().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Writes without an effect, as only a commit proves that commits work.
    pub(super) fn write_probe(&self) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('probe', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [millis(epoch::now())],
        )?;
        Ok(())
    }

    pub(super) fn publish(&self, full: Option<String>) {
        self.shared.gate.set_open(full.is_none());
        let changed = self.shared.state.send_if_modified(|state| match (&full, &*state) {
            (None, JournalState::Working) | (Some(_), JournalState::Full { .. }) => false,
            (None, JournalState::Full { .. } | JournalState::Failed { .. }) => {
                *state = JournalState::Working;
                true
            }
            (Some(reason), JournalState::Working | JournalState::Failed { .. }) => {
                *state = JournalState::Full { reason: reason.clone(), since: epoch::now() };
                true
            }
        });
        if changed {
            match full {
                Some(reason) => tracing::error!(reason, "the journal is full"),
                None => tracing::info!("the journal takes messages again"),
            }
            self.shared.claimable.changed.notify_waiters();
        }
    }
}
