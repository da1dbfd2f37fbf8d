//! Failures of a file that is unwritable, missing, or replaced: reports, waits, and recovery.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use super::super::connection::closed;
use super::super::place::Inode;
use super::super::rows::millis;
use super::super::{OpenError, trouble};
use super::{JournalWriter, SqliteCommand, TICK};
use crate::JournalState;
use crate::files::{beside, put};

const REMIND: Duration = Duration::from_secs(60);

impl JournalWriter {
    pub(super) fn check_file(&mut self) -> Result<(), String> {
        let file = self.place.file.display().to_string();
        match Inode::of(&self.place.file) {
            Ok(found) if found == self.inode => Ok(()),
            Ok(Some(_)) => Err(format!(
                "{file} has been replaced by another file; put the one back that was there, or stop osnl and start it \
                 with this one"
            )),
            Ok(None) => self.put_back().map_err(|error| {
                format!("{file} has been removed and cannot be written anew: {error}; put it back before osnl is stopped")
            }),
            Err(error) => Err(format!("{file} cannot be looked at: {error}; look at the file system")),
        }
    }

    pub(super) fn put_back(&mut self) -> Result<(), OpenError> {
        let file = self.place.file.clone();
        let copy = beside(&file, ".new");
        let Some(connection) = &self.connection else { return Err(OpenError::Sqlite(closed())) };
        match fs::remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))?;
        let copied = fs::File::open(&copy)?;
        // The old connections delete the WAL when closed, so they close before a new one opens.
        self.checkpointer.set(None);
        self.connection = None;
        put(&copied, &copy, &file)?;
        self.reopen()?;
        tracing::error!(
            journal.file = %file.display(),
            "the journal's file had been removed while in use; everything in it has been written to it anew"
        );
        Ok(())
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
                let since = SystemTime::now();
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
        match again.and_then(|()| self.write_probe().map_err(|error| trouble::reason(&error))) {
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
            [millis(SystemTime::now())],
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
                *state = JournalState::Full { reason: reason.clone(), since: SystemTime::now() };
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
