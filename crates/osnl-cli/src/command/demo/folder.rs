//! A private folder for what the daemon of a demo keeps; it goes with the demo.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// See the [module](self).
pub(super) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one that no other user can enter.
    ///
    /// # Errors
    /// The folder for temporary files can't be written, or holds one of this name.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("osnl-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // At the end of the program: a folder that stays is in the way of nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}
