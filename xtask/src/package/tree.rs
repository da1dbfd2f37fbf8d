//! The files of a package, below a root directory: one table for both families.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::binary::Binary;
use super::{licences, sh};
use crate::step;

/// A family of distributions, where it has places of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DistributionFamily {
    Debian,
    RedHat,
}

/// Files of `packaging/`, their places, and their modes.
const FILES: &[(&str, &str, u32)] = &[
    ("systemd/osnl.service", "usr/lib/systemd/system/osnl.service", 0o644),
    ("systemd/osnl@.service", "usr/lib/systemd/system/osnl@.service", 0o644),
    ("systemd/k2hr3_osnl.service", "usr/lib/systemd/system/k2hr3_osnl.service", 0o644),
    ("sysusers.d/osnl.conf", "usr/lib/sysusers.d/osnl.conf", 0o644),
    ("sysusers.d/k2hr3_osnl.conf", "usr/lib/sysusers.d/k2hr3_osnl.conf", 0o644),
    ("prometheus/osnl.rules.yml", "usr/share/osnl/prometheus/osnl.rules.yml", 0o644),
    ("grafana/osnl.json", "usr/share/osnl/grafana/osnl.json", 0o644),
    ("../docs/monitoring.md", "usr/share/doc/osnl/monitoring.md", 0o644),
    ("logrotate/osnl", "etc/logrotate.d/osnl", 0o644),
    (CONFIGURATION, "etc/osnl/osnl.conf", 0o640),
];
const CONFIGURATION: &str = "etc/osnl.conf";

/// Files of an operator's own, which an upgrade leaves alone.
pub(super) const KEPT: &[&str] = &["etc/logrotate.d/osnl", "etc/osnl/osnl.conf"];

/// The names that links are made of, and the pages that would clash with those of the programs replaced.
pub(super) const REPLACED: &[&str] = &["k2hr3-osnl", "oss-watcher"];
const NAMES: &[&str] = &["osnl", "k2hr3-osnl", "k2hr3_osnl", "oss-watcher", "oss_watcher"];

impl DistributionFamily {
    fn zsh(self) -> &'static str {
        match self {
            Self::Debian => "usr/share/zsh/vendor-completions",
            Self::RedHat => "usr/share/zsh/site-functions",
        }
    }

    fn licences(self) -> &'static str {
        match self {
            Self::Debian => "usr/share/doc/osnl",
            Self::RedHat => "usr/share/licenses/osnl",
        }
    }
}

/// Writes all files of the package into an empty folder.
pub(super) fn write(root: &Path, binary: &Binary, family: DistributionFamily) -> Result<()> {
    let _ = fs::remove_dir_all(root);
    copy(&binary.program, &root.join("usr/bin/osnl"), 0o755)?;
    let packaging = step::root().join("packaging");
    for (source, place, mode) in FILES {
        copy(&packaging.join(source), &root.join(place), *mode)?;
    }
    folder(&root.join("etc/osnl/conf.d"))?;
    manual_pages(root)?;
    completions(root, family)?;
    let licences = root.join(family.licences());
    file(&licences.join("THIRD-PARTY.txt"), &licences::text()?)?;
    if family == DistributionFamily::RedHat {
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            copy(&step::root().join(name), &licences.join(name), 0o644)?;
        }
    }
    let examples = root.join("usr/share/doc/osnl/examples");
    folder(&examples)?;
    sh(&step::root().join("examples"), "cp -R . \"$1\"; chmod -R u=rwX,go=rX \"$1\"", &[&shown(&examples)])?;
    sh(root, "gzip -9n usr/share/man/man*/* \"$1/THIRD-PARTY.txt\"", &[family.licences()])
}

/// Writes the package of the line tables into an empty folder.
pub(super) fn write_lines(root: &Path, binary: &Binary) -> Result<()> {
    let _ = fs::remove_dir_all(root);
    copy(&binary.lines, &root.join("usr/lib/debug/.build-id").join(&binary.build_id_path), 0o644)
}

/// The pages of the replaced programs have names of their own: the links lead to them.
fn manual_pages(root: &Path) -> Result<()> {
    let man = root.join("usr/share/man");
    let (first, fifth) = (man.join("man1"), man.join("man5"));
    folder(&first)?;
    folder(&fifth)?;
    ask(root, &["man", "--output-dir", &shown(&first)])?;
    fs::rename(first.join("osnl.conf.5"), fifth.join("osnl.conf.5")).context("the page osnl.conf")?;
    for name in REPLACED {
        fs::rename(first.join(format!("{name}.1")), first.join(format!("osnl-{name}.1")))
            .with_context(|| format!("the page {name}"))?;
    }
    Ok(())
}

fn completions(root: &Path, family: DistributionFamily) -> Result<()> {
    for name in NAMES {
        let script = |shell: &str| ask(root, &["completions", shell, "--program", name]);
        file(&root.join("usr/share/bash-completion/completions").join(name), &script("bash")?)?;
        file(&root.join(family.zsh()).join(format!("_{name}")), &script("zsh")?)?;
        file(
            &root.join("usr/share/fish/vendor_completions.d").join(format!("{name}.fish")),
            &script("fish")?,
        )?;
    }
    Ok(())
}

/// Returns what the packaged program prints.
fn ask(root: &Path, args: &[&str]) -> Result<String> {
    step::output(Command::new(root.join("usr/bin/osnl")).args(args))
}

/// Copies a file; folders on its way are made.
pub(super) fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    folder(to.parent().unwrap_or(Path::new("/")))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode)).with_context(|| shown(to))
}

/// Writes a file; folders on its way are made.
pub(super) fn file(path: &Path, text: &str) -> Result<()> {
    folder(path.parent().unwrap_or(Path::new("/")))?;
    fs::write(path, text).with_context(|| shown(path))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).with_context(|| shown(path))
}

/// Makes a folder and those above it, readable for everyone whatever the umask.
fn folder(path: &Path) -> Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut above = Some(path);
    while let Some(folder) = above.filter(|folder| !folder.exists()) {
        missing.push(folder.to_owned());
        above = folder.parent();
    }
    for folder in missing.iter().rev() {
        fs::create_dir(folder).with_context(|| shown(folder))?;
        fs::set_permissions(folder, Permissions::from_mode(0o755)).with_context(|| shown(folder))?;
    }
    Ok(())
}

/// A link as packages have it: relative, made anew.
pub(super) fn link(target: &str, place: &Path) -> Result<()> {
    folder(place.parent().unwrap_or(Path::new("/")))?;
    symlink(target, place).with_context(|| shown(place))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
