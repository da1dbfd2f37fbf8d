//! The origin of the files that a test of packages installs: a build for the test, or `package release`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::stage::{Profile, Stage};
use super::{folder, sh, version};
use crate::step;

/// Makes an older version of a package beside a copy of it, with the same files: "~" sorts before everything.
const OLDER: &str = "cp \"$1\" .
    dpkg-deb --raw-extract \"$1\" older
    sed -i 's/^\\(Version: .*\\)-/\\1~old-/' older/DEBIAN/control
    dpkg-deb -Zgzip -z1 --build older older.deb > /dev/null
    rm -r older";

pub(super) const SUMS: &str = "SHA256SUMS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Build(Profile),
    Candidate,
}

impl Origin {
    pub(super) fn parse<'a>(flags: &[&'a str]) -> Result<(Self, Vec<&'a str>)> {
        let (own, others): (Vec<&str>, Vec<&str>) =
            flags.iter().copied().partition(|flag| ["--release", "--candidate"].contains(flag));
        let origin = match *own.as_slice() {
            [] => Self::Build(Profile::Debug),
            ["--release"] => Self::Build(Profile::Dist),
            ["--candidate"] => Self::Candidate,
            _ => bail!("{}: allowed is one of --release and --candidate", own.join(" ")),
        };
        Ok((origin, others))
    }

    pub(super) fn packages(self, with_rpm: bool) -> Result<Vec<PathBuf>> {
        match self {
            Self::Build(profile) => {
                let stage = Stage::make(profile)?;
                if profile == Profile::Dist {
                    stage.ensure_glibc()?;
                }
                let rpms = if with_rpm { stage.rpm()? } else { Vec::new() };
                Ok([stage.deb()?, rpms].concat())
            }
            Self::Candidate => released(),
        }
    }
}

pub(super) fn program_in<'a>(packages: &'a [PathBuf], ending: &str) -> Result<&'a Path> {
    let is_program = |path: &&PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(ending) && !["dbgsym", "debuginfo"].iter().any(|part| name.contains(part))
    };
    packages
        .iter()
        .find(is_program)
        .map(PathBuf::as_path)
        .with_context(|| format!("no {ending} of the program was made"))
}

pub(super) fn upgrade(packages: &[PathBuf]) -> Result<[PathBuf; 2]> {
    let folder = folder()?.join("upgrade");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let new = program_in(packages, ".deb")?;
    sh(&folder, OLDER, &[&new.display().to_string()])?;
    let name = new.file_name().context("a package without a name")?;
    Ok([folder.join("older.deb"), folder.join(name)])
}

pub(super) fn released() -> Result<Vec<PathBuf>> {
    let folder = release_folder()?;
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "--quiet", SUMS]).current_dir(&folder);
    step::run(check.stdin(Stdio::null())).context("run `cargo xtask package release` first")?;
    let sums = fs::read_to_string(folder.join(SUMS))?;
    Ok(sums.lines().filter_map(|line| Some(folder.join(line.split_once("  ")?.1))).collect())
}

pub(super) fn release_folder() -> Result<PathBuf> {
    Ok(step::target_dir().join(format!("release-{}", version()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_named_once_among_the_flags() {
        let check = |words: &str, expected: (Origin, Vec<&str>)| {
            let flags: Vec<&str> = words.split_whitespace().collect();
            assert_eq!(Origin::parse(&flags).unwrap(), expected, "{words}");
        };
        check("", (Origin::Build(Profile::Debug), vec![]));
        check("--suite trixie --release", (Origin::Build(Profile::Dist), vec!["--suite", "trixie"]));
        check("--candidate --suite trixie", (Origin::Candidate, vec!["--suite", "trixie"]));
        let error = Origin::parse(&["--candidate", "--release"]).unwrap_err().to_string();
        assert_eq!(error, "--candidate --release: allowed is one of --release and --candidate");
    }

    #[test]
    fn the_program_is_told_from_its_line_tables() {
        let files = ["osnl-dbgsym_1_amd64.ddeb", "osnl-debuginfo-1.rpm", "osnl-1.rpm", "osnl_1_amd64.deb"];
        let files = files.map(PathBuf::from);
        assert_eq!(program_in(&files, ".deb").unwrap(), Path::new("osnl_1_amd64.deb"));
        assert_eq!(program_in(&files, ".rpm").unwrap(), Path::new("osnl-1.rpm"));
        assert!(program_in(&files[..3], ".deb").is_err(), "a .ddeb is no .deb");
    }
}
