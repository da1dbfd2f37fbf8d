//! Files that are replaced as a whole, files beside others, and moments in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The same path with more at its end: `journal.db` and `-wal`.
pub(crate) fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Replaces a file, which only its owner reads: after a crash it is the old or the new one, and when this returns the
/// new one.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    // One that was left behind by a process that was killed keeps its mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(contents)?;
    put(&file, &new, path)
}

/// Puts a file that is written into the place of another; it is there when this returns, whatever happens then.
pub(crate) fn put(file: &File, new: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(new, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The moment of so many milliseconds since 1970.
pub(crate) fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(beside(&path, ".new"), "of a process that was killed, and longer").unwrap();
        for text in ["one", "two, and longer", "3"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("no/x"), b"").is_err());
    }

    #[test]
    fn moments_come_back() {
        for (at, expected) in [(0, 0), (1, 1), (-5, 0), (1_790_000_000_123, 1_790_000_000_123)] {
            assert_eq!(millis(moment(at)), expected);
        }
    }
}
