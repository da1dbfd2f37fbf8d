//! The file and its WAL as osnl left them, and damage that a connection has found.
//!
//! Pages in memory hide from the writer that its file has lost them, so the writer looks before each transaction. A
//! checkpoint only adds pages to the file, and a restarted WAL keeps [`USUAL_WAL`], so a shorter one has lost content.
//! SQLite gives a file that is cut during a checkpoint its size again, and holes in the place of the lost pages. So a file
//! with more holes than before has lost content too.
//! Damage within the file shows in reads: the writer and the readers of queries report it here.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use rustix::fs::{SeekFrom, seek};

use super::connection::USUAL_WAL;
use super::place::FoundFile;
use crate::files::beside;

/// The files of the journal in use.
#[derive(Debug, Default)]
pub(super) struct LeftFiles(Mutex<Known>);

/// The files at the latest look.
#[derive(Debug, Default)]
struct Known {
    file: Option<FoundFile>,
    /// The open file, which is not closed while connections to it are open: a process that closes one descriptor of a file
    /// loses its locks on it.
    open: Option<(FoundFile, File)>,
    /// The bytes of the file that no block of the disk holds; 0 on a file system that does not tell.
    holes: u64,
    /// `None` until the WAL exists.
    wal: Option<FoundFile>,
    damage: Option<String>,
}

/// The difference between the files and what osnl left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileLoss {
    /// Another file is in its place.
    Replaced,
    Removed,
    Shorter {
        left: u64,
        found: u64,
    },
    /// Pages have been cut off, and the size has been restored.
    Hollow {
        left: u64,
        found: u64,
    },
    WalGone,
    WalShorter {
        left: u64,
        found: u64,
    },
    Damaged(String),
}

impl fmt::Display for FileLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced => f.write_str("has been replaced by another file"),
            Self::Removed => f.write_str("has been removed"),
            Self::Shorter { left, found } => write!(f, "has been cut from {left} to {found} bytes"),
            Self::Hollow { left, found } => {
                write!(f, "has lost {} bytes within, which have been cut off", found.saturating_sub(*left))
            }
            Self::WalGone => f.write_str("has lost its -wal, which has been removed or replaced"),
            Self::WalShorter { left, found } => {
                write!(f, "has lost a part of its -wal, which has been cut from {left} to {found} bytes")
            }
            Self::Damaged(words) => write!(f, "is damaged ({words})"),
        }
    }
}

impl LeftFiles {
    /// Notes the present files as the ones that osnl left.
    pub(super) fn take(&self, file: &Path) -> io::Result<()> {
        let found = FoundFile::at(file)?;
        let wal = FoundFile::at(&beside(file, "-wal"))?;
        let mut known = self.lock();
        (known.file, known.wal) = (found, wal);
        known.keep_open(file);
        known.holes = known.holes_now();
        Ok(())
    }

    /// Forgets damage, as the file has been written anew.
    pub(super) fn is_new(&self) {
        self.lock().damage = None;
    }

    /// Records damage that a connection has found, unless another file is in the place meanwhile.
    pub(super) fn found_damaged(&self, file: &Path, words: String) {
        let mut known = self.lock();
        let is_known = |found: FoundFile| known.file.is_some_and(|known| known.is(found));
        if known.damage.is_none() && FoundFile::at(file).is_ok_and(|found| found.is_some_and(is_known)) {
            known.damage = Some(words);
        }
    }

    /// Compares the files with the known ones, and notes their growth.
    pub(super) fn look(&self, file: &Path) -> io::Result<Option<FileLoss>> {
        let mut known = self.lock();
        let (left, left_wal) = (known.file, known.wal);
        let (Some(left), found) = (left, FoundFile::at(file)?) else { return Ok(None) };
        let Some(found) = found else { return Ok(Some(FileLoss::Removed)) };
        if !left.is(found) {
            return Ok(Some(FileLoss::Replaced));
        }
        if let Some(words) = &known.damage {
            return Ok(Some(FileLoss::Damaged(words.clone())));
        }
        if found.bytes < left.bytes {
            return Ok(Some(FileLoss::Shorter { left: left.bytes, found: found.bytes }));
        }
        let holes = known.holes_now();
        if holes > known.holes {
            return Ok(Some(FileLoss::Hollow { left: known.holes, found: holes }));
        }
        let wal = FoundFile::at(&beside(file, "-wal"))?;
        match (left_wal, wal) {
            (None, _) => {}
            (Some(left), Some(wal)) if left.is(wal) => {
                let kept = left.bytes.min(USUAL_WAL);
                if wal.bytes < kept {
                    return Ok(Some(FileLoss::WalShorter { left: kept, found: wal.bytes }));
                }
            }
            (Some(_), _) => return Ok(Some(FileLoss::WalGone)),
        }
        (known.file, known.wal, known.holes) = (Some(found), wal, holes);
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn keep_open(&mut self, file: &Path) {
        let Some(found) = self.file else { return };
        if !self.open.as_ref().is_some_and(|(open, _)| open.is(found)) {
            let open = File::open(file).and_then(|file| Ok((FoundFile::from_open(&file)?, file)));
            self.open = open.ok();
        }
    }

    fn holes_now(&self) -> u64 {
        self.open.as_ref().and_then(|(_, file)| holes(file).ok()).unwrap_or(0)
    }
}

fn holes(file: &File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    let (mut at, mut sum) = (0, 0);
    while at < bytes {
        let hole = seek(file, SeekFrom::Hole(at))?.min(bytes);
        // Behind a hole at the end there is no data.
        at = seek(file, SeekFrom::Data(hole)).map_or(bytes, |data| data.min(bytes));
        sum += at - hole;
    }
    Ok(sum)
}
