//! The file and its WAL as osnl left them, and damage that a connection has found.
//!
//! Pages in memory hide from the writer that its file has lost them, so the writer looks before each transaction. A
//! checkpoint only adds pages to the file, and a restarted WAL keeps [`USUAL_WAL`], so a shorter one has lost content.
//! SQLite gives a file that is cut during a checkpoint its size again, and holes in the place of the lost pages. So once
//! the whole WAL is copied, a hole that is no free page has lost content too. Before, a reader may keep a page in the WAL.
//! Damage within the file shows in reads: the writer and the readers of queries report it here.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use rustix::fs::{SeekFrom, seek};

use super::connection::USUAL_WAL;
use super::place::FoundFile;
use crate::files::beside;

/// The bytes of the head of the file that is read.
const HEAD: usize = 36;
/// The first byte of the page that SQLite never writes, since its locks are there.
const LOCKS: u64 = 1 << 30;

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
    /// The holes, if the latest look found lost pages.
    hollow: Option<FileLoss>,
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
        (known.holes, known.hollow) = (sum(&known.holes_now()), None);
        Ok(())
    }

    /// Looks for lost pages, right after the whole WAL has been copied and before anybody copies more.
    pub(super) fn look_for_holes(&self) {
        let mut known = self.lock();
        let holes = known.holes_now();
        let (left, found) = (known.holes, sum(&holes));
        known.hollow = match &known.open {
            Some((_, file)) if found > left && are_lost(file, &holes).is_ok_and(|are_lost| are_lost) => {
                Some(FileLoss::Hollow { left, found })
            }
            _ => None,
        };
        if known.hollow.is_none() {
            known.holes = found;
        }
    }

    /// Forgets damage, as the file has been written anew.
    pub(super) fn forget_damage(&self) {
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
        if known.hollow.is_some() {
            return Ok(known.hollow.clone());
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
        (known.file, known.wal) = (Some(found), wal);
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

    fn holes_now(&self) -> Vec<Range<u64>> {
        self.open.as_ref().and_then(|(_, file)| holes(file).ok()).unwrap_or_default()
    }
}

fn sum(holes: &[Range<u64>]) -> u64 {
    holes.iter().map(|hole| hole.end - hole.start).sum()
}

pub(super) fn holes(file: &File) -> io::Result<Vec<Range<u64>>> {
    let bytes = file.metadata()?.len();
    let (mut at, mut holes) = (0, Vec::new());
    while at < bytes {
        let hole = seek(file, SeekFrom::Hole(at))?.min(bytes);
        // Behind a hole at the end there is no data.
        at = seek(file, SeekFrom::Data(hole)).map_or(bytes, |data| data.min(bytes));
        if hole < at {
            holes.push(hole..at);
        }
    }
    Ok(holes)
}

/// Returns whether holes have pages that are not free. A page that is added and freed in one transaction is never written,
/// and the page with SQLite's locks never is.
fn are_lost(file: &File, holes: &[Range<u64>]) -> io::Result<bool> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    // 1 stands for 65,536.
    let page_bytes = match u64::from(u16::from_be_bytes([head[16], head[17]])) {
        1 => 65_536,
        bytes => bytes.max(512),
    };
    let free = free_pages(file, page_bytes, number(&head, 32))?;
    let is_written = |page: u64| (page - 1) * page_bytes != LOCKS && !free.contains(&page);
    Ok(holes
        .iter()
        .any(|hole| (hole.start / page_bytes + 1..=(hole.end - 1) / page_bytes + 1).any(is_written)))
}

/// Reads the chain of lists of free pages that begins with the given page; 0 is the end. A page with such a list is
/// always written.
fn free_pages(file: &File, page_bytes: u64, mut list: u64) -> io::Result<HashSet<u64>> {
    let (mut free, mut lists) = (HashSet::new(), HashSet::new());
    let mut page = vec![0; usize::try_from(page_bytes).unwrap_or_default()];
    // A page that comes twice would never end.
    while list > 0 && lists.insert(list) {
        file.read_exact_at(&mut page, (list - 1) * page_bytes)?;
        let most = page.len() / 4 - 2;
        let count = usize::try_from(number(&page, 4)).unwrap_or(most).min(most);
        free.extend((0..count).map(|n| number(&page, 8 + 4 * n)));
        list = number(&page, 0);
    }
    Ok(free)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).map_or(0, |bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_a_loss_unless_its_pages_are_free_or_hold_the_locks() {
        const PAGE: usize = 4096;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut bytes = vec![1; 8 * PAGE];
        bytes[16..18].copy_from_slice(&[0x10, 0]);
        bytes[32..36].copy_from_slice(&3_u32.to_be_bytes());
        // Page 3 lists 5 and continues on page 4, which lists 7.
        for (list, next, free) in [(3, 4_u32, 5_u32), (4, 0, 7)] {
            let words = [next, 1, free].map(u32::to_be_bytes).concat();
            bytes[(list - 1) * PAGE..][..12].copy_from_slice(&words);
        }
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let check = |pages: Range<u64>, expected: bool| {
            let hole = (pages.start - 1) * PAGE as u64..(pages.end - 1) * PAGE as u64;
            assert_eq!(are_lost(&file, &[hole]).unwrap(), expected, "{pages:?}");
        };
        check(5..6, false);
        check(7..8, false);
        check(6..7, true);
        check(5..8, true);
        // The pages with the lists.
        check(3..4, true);
        check(4..5, true);
        check(262_145..262_146, false);
        check(262_145..262_147, true);
    }
}
