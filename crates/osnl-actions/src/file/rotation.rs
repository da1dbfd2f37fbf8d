use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRotation {
    pub(crate) size: Option<u64>,
    /// The first line of each span begins a new file. Spans count from 1970, so that 1d ends at midnight UTC.
    pub(crate) interval: Option<Duration>,
    pub(crate) keep: usize,
}

impl FileRotation {
    pub(super) fn is_due(&self, length: u64, lines: SystemTime, more: usize, now: SystemTime) -> bool {
        let too_large = !self.has_room(length, more);
        let too_old = self.interval.is_some_and(|span| number(lines, span) < number(now, span));
        length > 0 && (too_large || too_old)
    }

    pub(super) fn has_room(&self, length: u64, more: usize) -> bool {
        self.size.is_none_or(|most| length + more as u64 <= most)
    }

    /// Moves the file to a name of its own, `audit.jsonl.20261120T150312Z`, and removes the oldest
    /// of such files.
    ///
    /// Names sort in the order of rotations, even after a jump of the clock: a name that would sort
    /// before an existing name gets the latest time and the next number.
    pub(super) fn move_away(&self, path: &Path, now: SystemTime) -> io::Result<()> {
        let mut moved = moved(path);
        let newest = moved.last().map(|(suffix, _)| suffix.clone());
        let suffix = free_suffix(path, newest, now)?;
        fs::rename(path, suffix.path(path))?;
        moved.truncate((moved.len() + 1).saturating_sub(self.keep));
        for (_, old) in moved {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(path = %old.display(), error = error.to_string(), "an old file cannot be removed");
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Suffix {
    stamp: String,
    number: u32,
}

impl Suffix {
    /// Reads the suffix of a rotated file; `None` for another program's file, which is never
    /// removed.
    fn read(suffix: &str) -> Option<Self> {
        let (stamp, number) = suffix.split_once('-').unwrap_or((suffix, "0000"));
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let like = "00000000T000000Z";
        let is_stamp = stamp.len() == like.len()
            && stamp.bytes().zip(like.bytes()).all(|(c, l)| if l == b'0' { is_digit(c) } else { c == l });
        let is_number = number.len() >= 4 && number.bytes().all(is_digit);
        (is_stamp && is_number)
            .then(|| number.parse().ok())?
            .map(|number| Self { stamp: stamp.to_owned(), number })
    }

    fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    fn path(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", self.stamp));
        if self.number > 0 {
            name.push(format!("-{:04}", self.number));
        }
        name.into()
    }
}

fn moved(path: &Path) -> Vec<(Suffix, PathBuf)> {
    let Some(name) = path.file_name().map(|name| format!("{}.", name.to_string_lossy())) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    let mut moved: Vec<_> = entries
        .filter_map(|entry| {
            let found = entry.file_name().to_string_lossy().into_owned();
            Some((Suffix::read(found.strip_prefix(&name)?)?, entry.path()))
        })
        .collect();
    moved.sort();
    moved
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn number(time: SystemTime, span: Duration) -> u128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() / span.as_millis().max(1)
}

fn free_suffix(path: &Path, newest: Option<Suffix>, now: SystemTime) -> io::Result<Suffix> {
    let stamp = Timestamp::try_from(now).map_err(io::Error::other)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let now = Suffix { stamp, number: 0 };
    let first = newest.filter(|newest| *newest >= now).map_or(now, Suffix::next);
    // In a folder that cannot be listed, existing names are unknown, so each candidate is tested.
    let suffixes = std::iter::successors(Some(first), |suffix| Some(suffix.clone().next())).take(10_000);
    let mut free = suffixes.filter(|suffix| fs::symlink_metadata(suffix.path(path)).is_err());
    free.next().ok_or_else(|| io::Error::other("no name is left for the file that is to be rotated"))
}
