//! A path that this user may not use: the folder or file that refuses, with its mode and its owner.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A place that the user of a command may not read, with the rights that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAccess {
    path: PathBuf,
    is_folder: bool,
    mode: u32,
    owner: u32,
}

impl NoAccess {
    #[must_use]
    pub fn to(path: &Path) -> Self {
        let seen = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
        match seen {
            Some((path, meta)) => Self {
                path: path.to_owned(),
                is_folder: meta.is_dir(),
                mode: meta.mode() & 0o7777,
                owner: meta.uid(),
            },
            None => Self { path: path.to_owned(), is_folder: false, mode: 0, owner: 0 },
        }
    }

    /// Whether this user may not read the file. A missing file refuses nothing.
    #[must_use]
    pub fn is_refused(file: &Path) -> bool {
        File::open(file).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for NoAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_folder { "look into" } else { "use" };
        let owner = if self.owner == 0 { "root".to_owned() } else { format!("user {}", self.owner) };
        write!(f, "this user may not {verb} {} (mode {:04o}, {owner})", self.path.display(), self.mode)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_nearest_folder_that_is_seen_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let owner = match fs::metadata(folder.path()).unwrap().uid() {
            0 => "root".to_owned(),
            uid => format!("user {uid}"),
        };
        let shown = folder.path().display();
        let words = format!("this user may not look into {shown} (mode 0700, {owner})");
        assert_eq!(NoAccess::to(&folder.path().join("a/b")).to_string(), words);
        let file = folder.path().join("file");
        assert!(!NoAccess::is_refused(&file));
        fs::write(&file, "").unwrap();
        let words = NoAccess::to(&file).to_string();
        assert!(words.starts_with(&format!("this user may not use {shown}/file (mode 06")), "{words}");
    }
}
