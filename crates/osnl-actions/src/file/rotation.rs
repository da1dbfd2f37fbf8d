//! The rotation of a file, and the removal of old ones. The time is passed in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// The limits of a file, and the number of old ones that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRotation {
    /// The largest file in bytes: a line that would exceed it begins a new one.
    pub(crate) size: Option<u64>,
    /// The span of a file: the first line of each span begins a new one. Spans count from 1970, so that 1d ends at
    /// midnight UTC.
    pub(crate) interval: Option<Duration>,
    /// The number of moved files that stay.
    pub(crate) keep: usize,
}

impl FileRotation {
    /// Whether a file of this length, whose lines are of `lines`, is moved away before so many bytes more.
    pub(super) fn is_due(&self, length: u64, lines: SystemTime, more: usize, now: SystemTime) -> bool {
        let too_large = !self.has_room(length, more);
        let too_old = self.interval.is_some_and(|span| number(lines, span) < number(now, span));
        length > 0 && (too_large || too_old)
    }

    /// Whether a file of this length may have so many bytes more.
    pub(super) fn has_room(&self, length: u64, more: usize) -> bool {
        self.size.is_none_or(|most| length + more as u64 <= most)
    }

    /// Moves the file to a name of its own, `audit.jsonl.20261120T150312Z`, and removes the oldest of such files
    /// beyond those that stay.
    pub(super) fn move_away(&self, path: &Path, now: SystemTime) -> io::Result<()> {
        fs::rename(path, free_name(path, now)?)?;
        for old in self.too_many(path) {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(path = %old.display(), error = error.to_string(), "an old file cannot be removed");
            }
        }
        Ok(())
    }

    /// The oldest, by their names.
    fn too_many(&self, path: &Path) -> Vec<PathBuf> {
        let Some(name) = path.file_name().map(|name| format!("{}.", name.to_string_lossy())) else {
            return Vec::new();
        };
        let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
        let mut moved: Vec<PathBuf> = entries
            .filter(|entry| {
                let found = entry.file_name().to_string_lossy().into_owned();
                found.strip_prefix(&name).is_some_and(is_ours)
            })
            .map(|entry| entry.path())
            .collect();
        moved.sort();
        moved.truncate(moved.len().saturating_sub(self.keep));
        moved
    }
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn number(time: SystemTime, span: Duration) -> u128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() / span.as_millis().max(1)
}

/// Several within a second are numbered.
fn free_name(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let stamp = Timestamp::try_from(now).map_err(io::Error::other)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (0..10_000).map(|n| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{stamp}"));
        if n > 0 {
            name.push(format!("-{n:04}"));
        }
        PathBuf::from(name)
    });
    let mut free = names.filter(|name| fs::symlink_metadata(name).is_err());
    free.next().ok_or_else(|| io::Error::other("no name is left for the file that is to be rotated"))
}

/// Whether the suffix is one of rotation, as `20261120T150312Z`, `20261120T150312Z-0001`: other programs' files are
/// never removed.
fn is_ours(suffix: &str) -> bool {
    let (stamp, number) = suffix.split_once('-').unwrap_or((suffix, "0000"));
    let shape = |text: &str, like: &str| {
        text.len() == like.len()
            && text
                .bytes()
                .zip(like.bytes())
                .all(|(c, l)| if l == b'0' { c.is_ascii_digit() } else { c == l })
    };
    shape(stamp, "00000000T000000Z") && shape(number, "0000")
}
