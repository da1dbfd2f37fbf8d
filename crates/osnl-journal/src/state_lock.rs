//! One daemon per state directory, as the names of the files there do not include a daemon's name.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::files::{self, LockError, LockHolder};

const NAME: &str = "daemon.lock";

/// The daemon's lock on its state directory, so that no other daemon overwrites its files.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the state directory, created if missing: `daemon.lock` names the process.
    ///
    /// # Errors
    /// Another daemon has the directory, or it cannot be written.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { _file: files::lock(&folder.join(NAME))? })
    }

    /// Returns the daemon that has the state directory, if this user may see that. Creates nothing.
    #[must_use]
    pub fn holder(folder: &Path) -> Option<LockHolder> {
        files::holder(&folder.join(NAME)).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_state_directory_belongs_to_one_daemon_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("made/here");
        assert_eq!(StateLock::holder(&folder), None);
        assert!(files::may_write_in(&folder).is_ok() && !folder.exists());
        let held = StateLock::take(&folder).unwrap();
        let refused = StateLock::take(&folder).unwrap_err();
        assert_eq!(refused.to_string(), format!("is in use by process {}", std::process::id()));
        assert_eq!(StateLock::holder(&folder), Some(LockHolder::Process(std::process::id())));
        drop(held);
        assert_eq!(StateLock::holder(&folder), None);
        StateLock::take(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        std::fs::write(outer.path().join("file"), "").unwrap();
        assert!(matches!(StateLock::take(&outer.path().join("file")), Err(LockError::Io(_))));
        let below = files::may_write_in(&outer.path().join("file/below")).unwrap_err();
        assert_eq!(below.kind(), std::io::ErrorKind::NotADirectory);
    }
}
