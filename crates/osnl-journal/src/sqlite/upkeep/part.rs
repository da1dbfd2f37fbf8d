//! A file that is written beside its place: `copy.db.part`. The mode is 0600 from the start, and the file is
//! removed unless it is moved to its place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::super::place::{JournalLock, PART};
use super::UpkeepError;
use crate::files::{beside, put, put_new};
use crate::state_dir;

/// A file that is not in its place yet, and is removed if it never gets there.
#[derive(Debug)]
pub struct PartFile {
    path: PathBuf,
    to: PathBuf,
    /// Locked, so that another program neither writes nor removes the file.
    file: File,
    replaces: bool,
}

impl PartFile {
    /// Begins a file for this place, which may be occupied only with `replaces`.
    pub(super) fn begin(to: &Path, replaces: bool) -> Result<Self, UpkeepError> {
        let to = std::path::absolute(to).map_err(|error| UpkeepError::io(to, error))?;
        is_vacant(&to, replaces)?;
        Self::beside(to, PART, replaces)
    }

    pub(super) fn begin_journal(journal: &Path) -> Result<Self, UpkeepError> {
        Self::beside(journal.to_owned(), PART, true)
    }

    pub(super) fn temporary(of: &Path, more: &str) -> Result<Self, UpkeepError> {
        let of = std::path::absolute(of).map_err(|error| UpkeepError::io(of, error))?;
        Self::beside(of, more, false)
    }

    fn beside(to: PathBuf, more: &str, replaces: bool) -> Result<Self, UpkeepError> {
        let path = beside(&to, more);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => {
                UpkeepError::NoFolder(path.parent().unwrap_or(Path::new("/")).to_owned())
            }
            _ => UpkeepError::io(&path, error),
        };
        let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
        if path.symlink_metadata().is_ok() {
            // The file of a killed process, or in use.
            let left = state_dir::private().write(true).open(&path).map_err(failed)?;
            lock(&left).map_err(|_| UpkeepError::Writing(to.clone()))?;
            fs::remove_file(&path).map_err(failed)?;
        }
        let file = state_dir::private().write(true).create_new(true).open(&path).map_err(failed)?;
        lock(&file).map_err(|_| UpkeepError::Writing(to.clone()))?;
        Ok(Self { path, to, file, replaces })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn to(&self) -> &Path {
        &self.to
    }

    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    #[must_use]
    pub fn failed(&self, error: io::Error) -> UpkeepError {
        UpkeepError::io(&self.to, error)
    }

    /// Moves the finished file to its place; durable at the return.
    pub fn place(self) -> Result<(), UpkeepError> {
        is_vacant(&self.to, self.replaces)?;
        let is_ours = match (self.file.metadata(), self.path.symlink_metadata()) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            _ => false,
        };
        if !is_ours {
            return Err(UpkeepError::Writing(self.to.clone()));
        }
        let put = if self.replaces { put } else { put_new };
        put(&self.file, &self.path, &self.to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.to),
            _ => UpkeepError::io(&self.to, error),
        })
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After the move these names do not exist.
        for more in ["", "-journal"] {
            let _ = fs::remove_file(beside(&self.path, more));
        }
    }
}

fn exists(file: &Path) -> UpkeepError {
    let remedy = "name another file, or replace it with --overwrite";
    UpkeepError::Exists { file: file.to_owned(), remedy }
}

fn is_vacant(to: &Path, replaces: bool) -> Result<(), UpkeepError> {
    state_dir::no_link(to)?;
    match to.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(UpkeepError::Exists { file: to.to_owned(), remedy: "it is not a file; name one" });
        }
        Ok(_) if !replaces => return Err(exists(to)),
        Ok(_) | Err(_) => {}
    }
    // SQLite would apply such a file to the new database.
    for more in ["-wal", "-journal"] {
        let more = beside(to, more);
        if more.symlink_metadata().is_ok() {
            let remedy = "it belongs to another file, and would damage this one; move it away";
            return Err(UpkeepError::Exists { file: more, remedy });
        }
    }
    Ok(())
}

pub(super) fn is_free(to: &Path) -> Result<(), UpkeepError> {
    match JournalLock::holder(to) {
        Some(by) => Err(UpkeepError::InUse { file: to.to_owned(), by }),
        None => Ok(()),
    }
}
