//! Files that are replaced durably, locks on files, and the permissions of a folder.
//!
//! `unmatched/store.rs` of `osnl` replaces its file without a sync, because counts that are written each second wait
//! for no disk.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, RenameFlags, accessat, flock, renameat_with};
use rustix::io::Errno;

use crate::state_dir;

pub fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Replaces a file, readable only by its owner. After a crash the old or the new file exists, after the
/// return the new.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    // A file left by a killed process would keep its mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(contents)?;
    put(&file, &new, path)
}

/// Replaces a file of the state folder, which is created if it is missing (0700).
pub fn replace_in_folder(path: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    replace(path, contents)
}

/// Puts a written file into the place of another; durable at the return.
pub fn put(file: &File, new: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(new, path)?;
    sync_folder(path)
}

/// Puts a written file into an empty place, and does not replace a file that appears meanwhile.
pub(crate) fn put_new(file: &File, new: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    match renameat_with(CWD, new, CWD, path, RenameFlags::NOREPLACE) {
        // File systems such as NFS cannot rename without replacing in one step.
        Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => fs::rename(new, path)?,
        Err(Errno::INVAL | Errno::NOSYS) => return Err(io::ErrorKind::AlreadyExists.into()),
        renamed => renamed?,
    }
    sync_folder(path)
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// The reason why a file cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("is in use by {0}")]
    Held(LockHolder),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The process that has a lock, if the locked file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockHolder {
    Process(u32),
    Unknown,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

/// Takes the lock of a file, creates it if missing, and writes this process's id. The lock ends when the
/// returned file is dropped, or with the process.
pub fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = state_dir::private().read(true).write(true).create(true).truncate(false).open(path)?;
    match lock_patiently(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(LockError::Held(read_pid(&file))),
        Err(error) => return Err(LockError::Io(error.into())),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

pub fn holder(path: &Path) -> io::Result<Option<LockHolder>> {
    let held = match OpenOptions::new().read(true).open(path) {
        Ok(held) => held,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&held, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(_) => Ok(Some(read_pid(&held))),
    }
}

pub fn may_write_in(folder: &Path) -> io::Result<()> {
    let folder = nearest_folder(folder).canonicalize()?;
    if !folder.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    may(&folder, Access::WRITE_OK | Access::EXEC_OK)
}

pub(crate) fn nearest_folder(folder: &Path) -> &Path {
    let there = folder.ancestors().find(|folder| folder.exists());
    there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

pub(crate) fn may(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// The longest wait for programs that only look at the lock: on a busy machine one may wait while it has the lock.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// The longest wait for another daemon that ends.
const LONGEST_END: Duration = Duration::from_millis(100);

/// Takes the lock. Programs that only look at it ([`holder`]) share it, another daemon does not.
fn lock_patiently(file: &File) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            ended => return ended,
        }
        let is_shared = flock(file, FlockOperation::NonBlockingLockShared).is_ok();
        if is_shared {
            flock(file, FlockOperation::Unlock)?;
        }
        if begun.elapsed() >= if is_shared { LONGEST_LOOK } else { LONGEST_END } {
            return Err(Errno::WOULDBLOCK);
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn read_pid(mut file: &File) -> LockHolder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    match (read, text.trim().parse()) {
        (Ok(_), Ok(pid)) => LockHolder::Process(pid),
        (Ok(_), Err(_)) | (Err(_), _) => LockHolder::Unknown,
    }
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

    /// A status that had lost its turn on a busy machine once kept the daemon from starting.
    #[test]
    fn a_look_at_a_lock_does_not_keep_a_daemon_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        drop(lock(&path).unwrap());
        let looks = File::open(&path).unwrap();
        flock(&looks, FlockOperation::NonBlockingLockShared).unwrap();
        let takes = std::thread::spawn({
            let path = path.clone();
            move || lock(&path)
        });
        let begun = Instant::now();
        while begun.elapsed() < 4 * LONGEST_END {
            assert!(!takes.is_finished(), "{:?}", takes.join());
            std::thread::park_timeout(LONGEST_END / 10);
        }
        drop(looks);
        let held = takes.join().unwrap().unwrap();
        assert!(matches!(lock(&path), Err(LockError::Held(LockHolder::Process(_)))));
        drop(held);
    }

    #[test]
    fn a_file_is_not_put_over_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (new, path) = (folder.path().join("new"), folder.path().join("x"));
        for expected in [Ok(()), Err(io::ErrorKind::AlreadyExists)] {
            fs::write(&new, "new").unwrap();
            let put = put_new(&File::open(&new).unwrap(), &new, &path);
            assert_eq!(put.map_err(|error| error.kind()), expected);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
