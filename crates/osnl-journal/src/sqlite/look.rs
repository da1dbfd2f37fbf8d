//! Checks whether a journal is possible at a place, and creates nothing there.

use std::path::Path;

use rustix::fs::Access;

use super::place::{JournalLock, no_folder, volatile};
use super::{OpenError, SqliteOptions};
use crate::files::{may, may_write_in, nearest_folder};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceLook {
    pub holder: Option<String>,
    pub exists: bool,
}

/// Checks whether this user may write or create the file, and which process has it.
///
/// # Errors
/// Returns the errors of [`SqliteJournal::open`](super::SqliteJournal::open) about the place, but none about
/// the process that has the file.
pub fn look(options: &SqliteOptions) -> Result<PlaceLook, OpenError> {
    let file = &options.path;
    if file.file_name().is_none() {
        return Err(OpenError::NoFile);
    }
    let folder = file.parent().unwrap_or(file);
    may_write_in(folder)?;
    let folder = nearest_folder(folder).canonicalize()?;
    if let (false, Some(why)) = (options.allow_volatile, volatile(&folder)) {
        return Err(OpenError::Volatile(why));
    }
    // A folder that is still to be created will have mode 0700.
    if file.parent().is_some_and(Path::exists) {
        crate::state_dir::judge_for_any(&folder)?;
    }
    no_folder(file)?;
    let exists = file.exists();
    if exists {
        may(file, Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(PlaceLook { holder: JournalLock::holder(file), exists })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_place_is_looked_at_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let options = |path: PathBuf, allow_volatile: bool| SqliteOptions {
            allow_volatile,
            ..SqliteOptions::new(path)
        };
        let file = folder.path().join("a/b/journal.db");
        let found = look(&options(file.clone(), true)).unwrap();
        assert_eq!(found, PlaceLook { holder: None, exists: false });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
        let taken = JournalLock::take(&file, true).unwrap();
        let holder = Some(format!("process {}", std::process::id()));
        assert_eq!(look(&options(file.clone(), true)).unwrap(), PlaceLook { holder, exists: true });
        drop(taken);
        let refused = |path: PathBuf, volatile: bool| look(&options(path, volatile)).unwrap_err().to_string();
        assert!(refused(file, false).contains("allow_volatile = true"));
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let below = folder.path().join("plain/x/journal.db");
        assert_eq!(
            refused(below, true),
            "cannot be opened: not a directory; a folder of this path is a file: name another one"
        );
    }
}
