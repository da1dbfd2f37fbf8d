//! The default state directory of a daemon: `$STATE_DIRECTORY` (systemd's), else `/var/lib/osnl` for root and the user
//! who owns it, else `$XDG_STATE_HOME/osnl`, else `~/.local/state/osnl`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SYSTEM: &str = "/var/lib/osnl";

/// Returns the default folder, which is not created; `None` if no variable names any.
#[must_use]
pub fn default() -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    // The user of the packages' daemon, whose commands are to find what it has.
    let is_owner =
        || std::fs::symlink_metadata(SYSTEM).is_ok_and(|found| found.is_dir() && found.uid() == user);
    from_variables(user == 0 || is_owner(), |name| std::env::var_os(name))
}

/// Returns options for private files (0600). A symbolic link is an error, as it would lead a privileged
/// daemon to another user's file.
pub fn private() -> OpenOptions {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(nofollow);
    options
}

/// The reason why another user could change what is kept at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafePlace {
    #[error(
        "{who} can write to {} (mode {mode:04o}), so that any of them could replace what is kept there; remove that permission (chmod {change} {}), or name another place", .folder.display(), .folder.display()
    )]
    Writable { folder: PathBuf, mode: u32, who: &'static str, change: &'static str },
    /// The directory belongs neither to root nor to the user of this process.
    #[error(
        "{} belongs to user {uid}, who could replace what is kept there; run osnl as that user, give it to the user that \
         osnl runs as (chown), or name another place", .folder.display()
    )]
    Foreign { folder: PathBuf, uid: u32 },
    #[error("{} is a symbolic link, which is not followed; name the file that it leads to", .0.display())]
    Link(PathBuf),
}

/// Judges as sshd's `StrictModes` a user's files. The directory, and each directory and link on the way, must belong
/// to root or this user, and no other user may write there. On the way, two exceptions apply. A sticky directory, as
/// `/tmp`, protects its contents. Group write access is accepted, as container volumes have no other mode. Missing or
/// unreadable parts are not judged.
pub fn judge(folder: &Path) -> Result<(), UnsafePlace> {
    let own = rustix::process::geteuid().as_raw();
    judge_for(folder, Keeps::State, |uid| uid == 0 || uid == own)
}

/// Judges for a daemon that another user will run, if root asks.
pub fn judge_for_any(folder: &Path) -> Result<(), UnsafePlace> {
    if rustix::process::geteuid().is_root() {
        judge_for(folder, Keeps::State, |_| true)
    } else {
        judge(folder)
    }
}

/// Judges what a daemon reads or runs: a file of the configuration, its folder, or a program. A group may write the
/// file, as operators share a group. Nobody writes to a read-only file system.
pub fn judge_source(path: &Path) -> Result<(), UnsafePlace> {
    let user = rustix::process::geteuid();
    judge_for(path, Keeps::Source, |uid| user.is_root() || uid == 0 || uid == user.as_raw())
}

/// The kind of content at a place, by which group write access is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    State,
    Source,
}

pub fn judge_link(path: &Path) -> Result<(), UnsafePlace> {
    let own = rustix::process::geteuid().as_raw();
    judge_link_for(path, |uid| uid == 0 || uid == own)
}

fn judge_link_for(path: &Path, trusted: impl Fn(u32) -> bool) -> Result<(), UnsafePlace> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && !trusted(found.uid()) => {
            Err(UnsafePlace::Foreign { folder: path.to_owned(), uid: found.uid() })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn judge_for(folder: &Path, keeps: Keeps, trusted: impl Fn(u32) -> bool) -> Result<(), UnsafePlace> {
    if keeps == Keeps::Source && is_read_only(folder) {
        return Ok(());
    }
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    for written in whole.ancestors() {
        judge_link_for(written, &trusted)?;
        let Ok(real) = written.canonicalize() else { continue };
        for place in real.ancestors() {
            judge_one(place, (written == whole && place == real).then_some(keeps), &trusted)?;
        }
    }
    Ok(())
}

pub(crate) fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// `last`: the content of the place; `None` for a folder on the way to the place.
fn judge_one(folder: &Path, last: Option<Keeps>, trusted: impl Fn(u32) -> bool) -> Result<(), UnsafePlace> {
    let Ok(found) = std::fs::metadata(folder) else { return Ok(()) };
    let (mode, folder) = (found.mode() & 0o7777, folder.to_owned());
    if !trusted(found.uid()) {
        return Err(UnsafePlace::Foreign { folder, uid: found.uid() });
    }
    let writable = |who, change| Err(UnsafePlace::Writable { folder, mode, who, change });
    match (mode & 0o002 != 0, mode & 0o020 != 0) {
        (true, _) if last.is_some() || mode & 0o1000 == 0 => {
            writable("every user of this machine", if mode & 0o020 == 0 { "o-w" } else { "go-w" })
        }
        (false, true) if last == Some(Keeps::State) => writable("its group", "g-w"),
        (true | false, _) => Ok(()),
    }
}

pub fn no_link(path: &Path) -> Result<(), UnsafePlace> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(UnsafePlace::Link(path.to_owned())),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn from_variables(is_system: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG specification ignores relative paths; systemd gives none.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let first = |list: OsString| {
        let first = list.into_vec().split(|byte| *byte == b':').next().map(<[u8]>::to_vec)?;
        absolute(OsString::from_vec(first).into())
    };
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("STATE_DIRECTORY").and_then(first) {
        return Some(folder);
    }
    if is_system {
        return Some(SYSTEM.into());
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
    fn a_folder_that_others_can_replace_is_refused_and_links_are_not_followed() {
        let (outer, own) = (tempfile::tempdir().unwrap(), rustix::process::geteuid().as_raw());
        let folder = outer.path().join("state");
        std::fs::create_dir(&folder).unwrap();
        let check = |path: &Path, mode: u32, expected: Option<&str>| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = judge(&folder).err().map(|why| why.to_string());
            match (&said, expected) {
                (None, None) => {}
                (Some(said), Some(change)) => {
                    let change = format!("(chmod {change} {})", path.display());
                    assert!(said.contains(&format!("(mode {mode:04o})")) && said.contains(&change), "{said}");
                }
                _ => panic!("{path:?} {mode:o}: {said:?}"),
            }
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        };
        for (mode, expected) in [
            (0o777, Some("go-w")),
            (0o1777, Some("go-w")),
            (0o702, Some("o-w")),
            (0o775, Some("g-w")),
            (0o2770, Some("g-w")),
            (0o755, None),
            (0o700, None),
        ] {
            check(&folder, mode, expected);
        }
        for (mode, expected) in [(0o777, Some("go-w")), (0o1777, None), (0o775, None), (0o755, None)] {
            check(outer.path(), mode, expected);
        }
        assert_eq!(judge(&folder.join("none")), Ok(()));
        let source = folder.join("osnl.conf");
        std::fs::write(&source, "").unwrap();
        for (mode, expected) in [(0o666, false), (0o602, false), (0o664, true), (0o640, true)] {
            std::fs::set_permissions(&source, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(judge_source(&source).is_ok(), expected, "{mode:o}");
        }

        let foreign = |asked: &Path, named: &Path| {
            let of_others = |uid| uid != own;
            let judged = judge_for(asked, Keeps::State, of_others).unwrap_err();
            assert_eq!(judged, UnsafePlace::Foreign { folder: named.to_owned(), uid: own });
        };
        foreign(&folder, &folder);
        foreign(&folder.join("none"), &folder);
        let way = outer.path().join("way");
        std::os::unix::fs::symlink("/", &way).unwrap();
        foreign(&way, &way);
        assert_eq!(judge(&way), Ok(()));

        let folder = outer;
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
        let check = |is_system: bool, variables: &[(&str, &str)], expected: Option<&str>| {
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
            assert_eq!(
                from_variables(is_system, variable).as_deref(),
                expected.map(Path::new),
                "{is_system} {variables:?}"
            );
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
