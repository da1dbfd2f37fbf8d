//! RPM packages: the tree, by rpmbuild and `packaging/rpm/osnl.spec`.
//!
//! rpm finds by itself what the program needs of glibc and OpenSSL. What Debian's rpm would do to files (strip, compress) is off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::binary::Binary;
use super::tree::{self, DistributionFamily};
use super::{folder, moment, moment_as, sh, version};
use crate::{setup, step};

/// Makes `osnl` and `osnl-debuginfo`, and returns their paths.
pub(super) fn make(binary: &Binary, revision: &str) -> Result<Vec<PathBuf>> {
    setup::rpm()?;
    let work = folder()?.join("rpm");
    let root = work.join("osnl");
    tree::write(&root, binary, DistributionFamily::RedHat)?;
    let lines = work.join("lines");
    tree::write_lines(&lines, binary)?;
    // Times are in the package: those of the last commit.
    sh(&work, "find osnl lines -exec touch -hd \"@$1\" '{}' +", &[&moment()?])?;

    let top = work.join("top");
    let _ = fs::remove_dir_all(&top);
    let spec = work.join("osnl.spec");
    let text = fs::read_to_string(step::root().join("packaging/rpm/osnl.spec")).context("osnl.spec")?;
    let text = text.replace("@FILES@", &files(&root)?).replace("@LINES@", &binary.build_id_path);
    fs::write(&spec, text)?;
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.arg("-bb").arg("--quiet").arg(&spec);
    let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
    for (name, value) in [
        ("_topdir", top.display().to_string()),
        ("osnl_tree", root.display().to_string()),
        ("osnl_lines", lines.display().to_string()),
        ("osnl_version", version()?),
        ("osnl_release", revision.to_owned()),
        ("osnl_date", moment_as("+%a %b %d %Y")?),
        ("_buildhost", "localhost".to_owned()),
        ("use_source_date_epoch_as_buildtime", "1".to_owned()),
        ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
    ] {
        rpmbuild.args(define(name, &value));
    }
    step::run(rpmbuild.env("SOURCE_DATE_EPOCH", moment()?))?;
    let mut packages = Vec::new();
    for entry in fs::read_dir(top.join("RPMS"))?.flatten() {
        for package in fs::read_dir(entry.path())?.flatten() {
            let to = folder()?.join(package.file_name());
            fs::copy(package.path(), &to)?;
            packages.push(to);
        }
    }
    packages.sort();
    Ok(packages)
}

/// The list of files: everything in the tree, with what rpm must know about some.
fn files(root: &Path) -> Result<String> {
    let mut found = Vec::new();
    walk(root, &mut found)?;
    found.sort();
    let lines = found.iter().map(|path| {
        let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let before = if path == "etc/osnl/osnl.conf" {
            "%config(noreplace) %attr(0640,root,osnl) "
        } else if tree::KEPT.contains(&path.as_str()) {
            "%config(noreplace) "
        } else if path.starts_with("usr/share/licenses/") {
            "%license "
        } else if path.starts_with("usr/share/doc/") {
            "%doc "
        } else {
            ""
        };
        format!("{before}/{path}\n")
    });
    Ok(lines.collect())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}
