//! Where a daemon keeps what outlives it, unless the configuration says: `$STATE_DIRECTORY` (systemd's), else
//! `/var/lib/osnl` for root, else `$XDG_STATE_HOME/osnl`, else `~/.local/state/osnl`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The default folder of this process; `None` where neither home nor anything else is named. Nothing is made.
#[must_use]
pub fn default() -> Option<PathBuf> {
    // Whose process it is, said without a system call of our own.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    of(is_root, |name| std::env::var_os(name))
}

/// For files in it: only its user may read and write them (0600), and a symbolic link in a file's place is an error, since
/// it would lead a privileged daemon to a file of another.
pub(crate) fn private() -> OpenOptions {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(nofollow);
    options
}

/// Why a folder is not safe to keep state in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "every user of this machine can write to {} (mode {mode:04o}), so that any of them could replace what is kept there; \
     take that right away (chmod o-w {}), or name another folder", .folder.display(), .folder.display()
)]
pub struct OpenToAll {
    folder: PathBuf,
    mode: u32,
}

/// Whether every user may write to a folder. One that is not there, or cannot be looked at, is not judged.
///
/// # Errors
/// They may.
pub fn judge(folder: &Path) -> Result<(), OpenToAll> {
    let Ok(found) = std::fs::metadata(folder) else { return Ok(()) };
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 { Err(OpenToAll { folder: folder.to_owned(), mode }) } else { Ok(()) }
}

/// An error for a link where a file should be.
pub(crate) fn no_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let problem = format!("{} is a symbolic link, which is not followed", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn of(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored; systemd gives none.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let first = |list: OsString| {
        let first = list.into_vec().split(|byte| *byte == b':').next().map(<[u8]>::to_vec)?;
        absolute(OsString::from_vec(first).into())
    };
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("STATE_DIRECTORY").and_then(first) {
        return Some(folder);
    }
    if is_root {
        return Some("/var/lib/osnl".into());
    }
    let xdg = variable("XDG_STATE_HOME").and_then(|home| absolute(home.into()));
    let state = xdg.or_else(|| Some(absolute(variable("HOME")?.into())?.join(Path::new(".local/state"))));
    Some(state?.join("osnl"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_all_can_write_to_is_refused_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |mode: u32, expected: bool| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let judged = judge(folder.path());
            assert_eq!(judged.is_ok(), expected, "{mode:o}");
            if let Err(why) = judged {
                let said = why.to_string();
                assert!(said.contains(&format!("(mode {mode:04o})")) && said.contains("chmod o-w"), "{said}");
            }
        };
        check(0o777, false);
        check(0o1777, false);
        check(0o702, false);
        check(0o775, true);
        check(0o755, true);
        check(0o700, true);
        assert_eq!(judge(&folder.path().join("none")), Ok(()));

        let (link, victim) = (folder.path().join("link"), folder.path().join("victim"));
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(private().write(true).create(true).truncate(true).open(&link).is_err());
        assert!(no_link(&link).is_err() && no_link(&victim).is_ok());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        let own = folder.path().join("own");
        private().write(true).create(true).truncate(false).open(&own).unwrap().write_all(b"x").unwrap();
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_first_that_is_named_counts() {
        let check = |is_root: bool, variables: &[(&str, &str)], expected: Option<&str>| {
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
            assert_eq!(of(is_root, variable).as_deref(), expected.map(Path::new), "{is_root} {variables:?}");
        };
        let home = ("HOME", "/root-of-u");
        check(true, &[("STATE_DIRECTORY", "/var/lib/osnl"), home], Some("/var/lib/osnl"));
        check(false, &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), home], Some("/var/lib/a"));
        check(true, &[home, ("XDG_STATE_HOME", "/state")], Some("/var/lib/osnl"));
        check(true, &[("STATE_DIRECTORY", "")], Some("/var/lib/osnl"));
        check(false, &[home, ("XDG_STATE_HOME", "/state")], Some("/state/osnl"));
        check(false, &[home, ("XDG_STATE_HOME", "relative")], Some("/root-of-u/.local/state/osnl"));
        check(false, &[home], Some("/root-of-u/.local/state/osnl"));
        check(false, &[], None);
    }
}
