//! Where a daemon keeps what outlives it, unless the configuration says: `$STATE_DIRECTORY` (systemd's), else
//! `/var/lib/osnl` for root, else `$XDG_STATE_HOME/osnl`, else `~/.local/state/osnl`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The default folder of this process; `None` where neither home nor anything else is named. Nothing is made.
#[must_use]
pub fn default() -> Option<PathBuf> {
    // Whose process it is, said without a system call of our own.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    of(is_root, |name| std::env::var_os(name))
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
    use super::*;

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
