//! The process that keeps a WAL from being emptied, from the kernel's list of locks.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::files::beside;

/// The bytes of the WAL's index that readers lock (`WAL_READ_LOCK` and `UNIX_SHM_BASE` of SQLite).
const READ_LOCKS: (u64, u64) = (123, 127);

/// Returns another process that reads a state of the file.
pub(super) fn find(file: &Path) -> Option<u32> {
    let index = fs::metadata(beside(file, "-shm")).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().filter_map(|line| reader(line, index)).find(|pid| *pid != std::process::id())
}

/// Reads a line such as `1: POSIX  ADVISORY  READ 4711 fd:00:2531 124 124`.
fn reader(line: &str, index: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "POSIX", _, "READ", pid, place, first, last] = words[..] else { return None };
    let is_index = place.rsplit(':').next()?.parse() == Ok(index);
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (is_index && first <= READ_LOCKS.1 && last >= READ_LOCKS.0).then(|| pid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_known_by_its_lock() {
        let check = |line: &str, expected: Option<u32>| assert_eq!(reader(line, 2531), expected, "{line}");
        check("1: POSIX  ADVISORY  READ 4711 fd:00:2531 124 124", Some(4711));
        check("1: POSIX  ADVISORY  READ 4711 fd:00:2531 128 128", None);
        check("1: POSIX  ADVISORY  WRITE 4711 fd:00:2531 120 120", None);
        check("1: POSIX  ADVISORY  READ 4711 fd:00:2532 124 124", None);
        check("1: -> POSIX  ADVISORY  READ 4711 fd:00:2531 124 124", None);
        check("2: FLOCK  ADVISORY  WRITE 99 fd:00:2531 0 EOF", None);
    }
}
