//! The files beside the journal, which other processes read while a daemon writes.
//!
//! A full `journal.db.unmatched` becomes `journal.db.unmatched.1`: together they hold the ring and at most as much
//! again.

use std::path::{Path, PathBuf};
use std::{fs, io};

pub(super) use osnl_journal::files::beside;

use super::{UnmatchedMessage, line};

pub(super) fn current(journal: &Path) -> PathBuf {
    beside(journal, ".unmatched")
}

pub(super) fn former(journal: &Path) -> PathBuf {
    beside(journal, ".unmatched.1")
}

pub(super) fn rules(journal: &Path) -> PathBuf {
    beside(journal, ".rules")
}

pub fn read(journal: &Path, most: usize) -> io::Result<Vec<UnmatchedMessage>> {
    // In the other order, entries moved between the two reads would be missed.
    let new = fs::read_to_string(current(journal));
    let old = fs::read_to_string(former(journal));
    let text = match (old, new) {
        (Err(_), Err(error)) => return Err(error),
        (Ok(old), Ok(new)) if old == new => new,
        (old, new) => old.unwrap_or_default() + &new.unwrap_or_default(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<UnmatchedMessage> =
        lines.into_iter().rev().filter_map(line::read).take(most).collect();
    found.reverse();
    Ok(found)
}
