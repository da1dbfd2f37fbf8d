//! The place of the file: its folder, its modes, its lock, and its existence.
//!
//! The lock is a separate file beside the journal. SQLite's own locks are POSIX record locks, which a process
//! loses when it closes any descriptor of that file. So this module never opens the journal.
//!
//! A removed, shortened, or damaged file is rewritten from open descriptors and memory; a replaced file is never
//! written.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, flock, statfs, statvfs};

use super::OpenError;
use crate::files::{self, LockError, LockHolder, beside, may, may_write_in, nearest_folder};
use crate::state_dir;

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
/// Cleared at a restart or by a timer, or private to one run of the service (systemd's `PrivateTmp`).
const TEMPORARY: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

const LOCK: &str = ".lock";
pub(super) const DEAD: &str = ".dead.jsonl";
pub(super) const QUARANTINE: &str = ".quarantine.jsonl";
/// The complete copy of a lost file, until it takes the place of the file, and that copy while it is written.
pub(super) const SAVED: &str = ".saved";
pub(super) const NEW: &str = ".new";
/// The copy of a compact or restore, and what a restore receives.
pub(super) const PART: &str = ".part";
pub(super) const RECEIVED: &str = ".received";
/// What the files beside a journal add to its name. The crate `osnl` writes the last two.
const ADDED: [&str; 12] =
    ["-wal", "-shm", "-journal", LOCK, DEAD, QUARANTINE, SAVED, NEW, PART, RECEIVED, ".unmatched", ".rules"];

/// Whether a journal uses a name that adds this to its own: also for what follows one of its files, such as
/// `.dead.jsonl.1` and `.part-journal`.
pub(super) fn is_own(more: &[u8]) -> bool {
    let is_of = |added: &&str| {
        let rest = more.strip_prefix(added.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'-')))
    };
    more.is_empty() || ADDED.iter().any(is_of)
}

/// The lock of a journal: one process at a time writes the file.
#[derive(Debug)]
pub(super) struct JournalLock {
    pub(super) file: PathBuf,
    _lock: File,
}

impl JournalLock {
    /// Creates a missing folder (0700) and file (0600), and takes the lock. An existing folder keeps its
    /// mode, as other programs may use it.
    pub(super) fn take(file: &Path, allow_volatile: bool) -> Result<Self, OpenError> {
        judge_place(file, allow_volatile, state_dir::judge)?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        state_dir::judge(&folder)?;
        let file = folder.join(file.file_name().ok_or(OpenError::NoFile)?);
        let lock = lock(&beside(&file, LOCK))?;
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        for more in ["", "-wal", "-shm"] {
            tighten(&beside(&file, more))?;
        }
        Ok(Self { file, _lock: lock })
    }

    pub(super) fn holder(file: &Path) -> Option<LockHolder> {
        Self::find_holder(file).ok().flatten()
    }

    pub(super) fn find_holder(file: &Path) -> io::Result<Option<LockHolder>> {
        files::holder(&beside(file, LOCK))
    }

    /// Removes the copies of a compact or restore that was killed. A running one has the journal's lock, and another program
    /// that writes such a file has locked that. For the daemon only: an operator may restore what a killed restore received.
    pub(super) fn remove_left(&self) {
        for more in [PART, RECEIVED] {
            let left = beside(&self.file, more);
            if !left.symlink_metadata().is_ok_and(|found| found.is_file()) {
                continue;
            }
            let is_free = state_dir::private()
                .write(true)
                .open(&left)
                .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
            if is_free && fs::remove_file(&left).is_ok() {
                let _ = fs::remove_file(beside(&left, "-journal"));
                tracing::info!(file.path = %left.display(), "the copy of a killed compact or restore is removed");
            }
        }
    }
}

/// A file that was found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    device: u64,
    inode: u64,
    pub(super) bytes: u64,
}

impl From<&fs::Metadata> for FoundFile {
    fn from(meta: &fs::Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), bytes: meta.len() }
    }
}

impl FoundFile {
    pub(super) fn at(file: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(file) {
            Ok(meta) => Ok(Some(Self::from(&meta))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn from_open(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// Whether both are one file, of whatever size.
    pub(super) fn is(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

pub(super) fn judge_place(
    file: &Path,
    allow_volatile: bool,
    judge: fn(&Path) -> Result<(), state_dir::UnsafePlace>,
) -> Result<(), OpenError> {
    if file.file_name().is_none() {
        return Err(OpenError::NoFile);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    may_write_in(folder)?;
    let there = nearest_folder(folder).canonicalize()?;
    let shown = if folder.exists() { &there } else { folder };
    if let (false, Some(why)) = (allow_volatile, volatile(&there, shown)) {
        return Err(OpenError::Volatile(why));
    }
    judge(folder.canonicalize().as_deref().unwrap_or(folder))?;
    for more in ["", "-wal", "-shm"] {
        state_dir::no_link(&beside(file, more))?;
    }
    no_folder(file)?;
    if file.exists() {
        may(file, Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(())
}

fn no_folder(file: &Path) -> io::Result<()> {
    let places = ["", LOCK, "-wal", "-shm"].map(|more| beside(file, more));
    match places.iter().find(|place| place.is_dir()) {
        Some(place) => {
            let why = format!("{} is a folder", place.display());
            Err(io::Error::new(io::ErrorKind::IsADirectory, why))
        }
        None => Ok(()),
    }
}

/// Returns the free bytes for users other than root.
pub(super) fn free_bytes(file: &Path) -> Option<u64> {
    let found = statvfs(file.parent()?).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn volatile(folder: &Path, shown: &Path) -> Option<String> {
    #[expect(clippy::cast_sign_loss, reason = "a magic number, wide or not")]
    let kind = statfs(folder).map_or(0, |found| found.f_type as u64 & 0xffff_ffff);
    let shown = shown.display();
    match kind {
        TMPFS => return Some(format!("{shown} is in memory (tmpfs)")),
        RAMFS => return Some(format!("{shown} is in memory (ramfs)")),
        _ => {}
    }
    let temporary = TEMPORARY.iter().find(|temporary| folder.starts_with(temporary))?;
    Some(format!("{shown} is below {temporary}, which does not outlive a restart"))
}

fn tighten(file: &Path) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(meta) if meta.mode() & 0o077 != 0 => fs::set_permissions(file, Permissions::from_mode(0o600)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    files::lock(path).map_err(|error| match error {
        LockError::Held(by) => OpenError::InUse(by),
        LockError::Io(error) => OpenError::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use super::super::SqliteOptions;
    use super::*;

    #[test]
    fn one_daemon_per_file_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/journal.db");
        let place = JournalLock::take(&file, true).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&place.file), 0o600);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        let refused = JournalLock::take(&file, true).unwrap_err().to_string();
        let pid = std::process::id();
        assert_eq!(
            refused,
            format!(
                "is in use by process {pid}; a journal belongs to one daemon: stop that process, or set another state_dir here"
            )
        );
        assert_eq!(JournalLock::holder(&place.file), Some(LockHolder::Process(pid)));
        fs::set_permissions(&place.file, Permissions::from_mode(0o644)).unwrap();
        drop(place);
        assert_eq!(JournalLock::holder(&file), None);
        let again = JournalLock::take(&file, true).unwrap();
        assert_eq!(mode(&again.file), 0o600);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        for more in ["", ".lock", "-wal", "-shm"] {
            let place = beside(&file, more);
            fs::create_dir(&place).unwrap();
            let mode = fs::metadata(&place).unwrap().mode();
            let words = format!(
                "cannot be opened: {} is a folder; move that folder away, or name another file",
                place.display()
            );
            assert_eq!(JournalLock::take(&file, true).unwrap_err().to_string(), words);
            let options = SqliteOptions::new(file.clone()).bounded(|bounds| bounds.allow_volatile = true);
            assert_eq!(super::super::inspect(&options).unwrap_err().to_string(), words);
            assert_eq!(fs::metadata(&place).unwrap().mode(), mode, "{more}");
            fs::remove_dir(&place).unwrap();
        }
    }

    #[test]
    fn neither_a_link_nor_a_folder_of_others_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (file, victim) = (folder.path().join("journal.db"), folder.path().join("victim"));
        fs::write(&victim, "kept").unwrap();
        for more in ["", ".lock", "-wal", "-shm"] {
            let link = beside(&file, more);
            std::os::unix::fs::symlink(&victim, &link).unwrap();
            assert!(JournalLock::take(&file, true).is_err(), "{more}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "kept", "{more}");
            fs::remove_file(link).unwrap();
        }
        for mode in [0o1777, 0o770] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let refused = JournalLock::take(&file, true).unwrap_err().to_string();
            assert!(refused.contains(&format!("(mode {mode:04o})")), "{refused}");
        }
    }

    #[test]
    fn what_a_killed_compact_or_restore_has_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        let left = [".part", ".part-journal", ".received"].map(|more| beside(&file, more));
        left.iter().for_each(|path| fs::write(path, "left").unwrap());
        JournalLock::take(&file, true).unwrap().remove_left();
        assert!(left.iter().all(|path| !path.exists()), "{left:?}");
        left.iter().for_each(|path| fs::write(path, "used").unwrap());
        let used = File::open(&left[0]).unwrap();
        flock(&used, FlockOperation::LockExclusive).unwrap();
        JournalLock::take(&file, true).unwrap().remove_left();
        assert_eq!(left.each_ref().map(|path| path.exists()), [true, true, false]);
    }

    #[test]
    fn volatile_places_are_refused() {
        let check = |folder: &str, refused: bool| {
            assert_eq!(volatile(Path::new(folder), Path::new(folder)).is_some(), refused, "{folder}");
        };
        check("/tmp", true);
        check("/tmp/x/y", true);
        check("/var/tmp/x", true);
        check("/dev/shm", true);
        check("/tmpfile", false);
        check("/", false);
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir_in("/tmp")).unwrap();
        let refused = JournalLock::take(&folder.path().join("x.db"), false).unwrap_err().to_string();
        assert!(refused.contains("allow_volatile = true"), "{refused}");
        assert!(!folder.path().join("x.db").exists());
    }
}
