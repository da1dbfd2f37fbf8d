//! `package`: what operators install, from one tree of files.
//!
//! | command | makes, in `target/package` |
//! | --- | --- |
//! | `package deb` | `osnl_….deb`, and `osnl-dbgsym_….deb` with the line tables that backtraces are read with |
//! | `package rpm` | `osnl-….rpm` and `osnl-debuginfo-….rpm` |
//! | `package lint` | the Debian packages, and what lintian says about them |
//! | `package test [--suite trixie] [--release]` | the packages again, installed, upgraded, removed, and purged in a fresh root directory of Debian |
//!
//! dpkg-deb and rpmbuild do the work, from metadata in `packaging/`: both are there in seconds, where cargo's own
//! packagers are built for minutes, and the files of both families come from one table ([`tree`]).
//!
//! Two runs give the same bytes: times are those of the last commit, or of `SOURCE_DATE_EPOCH`.

mod binary;
mod deb;
mod licences;
mod pristine;
mod rpm;
mod tree;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use self::binary::{Binary, Profile};
use crate::{setup, step};

/// The version of the packages, and how often it was packaged.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
const REVISION: &str = "1";

/// Runs one of the commands.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["deb"] => made(&deb::make(&Binary::build(Profile::Release)?, REVISION, deb::Compression::Small)?),
        ["rpm"] => made(&rpm::make(&Binary::build(Profile::Release)?, REVISION)?),
        ["lint"] => lint(),
        ["test", ref flags @ ..] => pristine::run(flags),
        _ => bail!("{}: allowed are deb, rpm, lint, test [--suite SUITE] [--release]", args.join(" ")),
    }
}

/// The gate's part: the packages of the debug build, which is there already.
pub(crate) fn gate() -> Result<()> {
    if pristine::run(&[])? != ExitCode::SUCCESS {
        bail!("a step failed");
    }
    Ok(())
}

fn made(packages: &[PathBuf]) -> Result<ExitCode> {
    for package in packages {
        let size = std::fs::metadata(package)?.len();
        println!("{}: {}.{} MB", package.display(), size / 1_000_000, size / 100_000 % 10);
    }
    Ok(ExitCode::SUCCESS)
}

fn lint() -> Result<ExitCode> {
    setup::lintian()?;
    let packages = deb::make(&Binary::build(Profile::Release)?, REVISION, deb::Compression::Small)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--no-cfg", "--info", "--fail-on=error,warning"]).args(&packages);
    let status = lintian.status().context("cannot run lintian")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of the packages.
fn folder() -> Result<PathBuf> {
    let folder = step::target_dir().join("package");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The time that files in packages have, in seconds since 1970.
fn moment() -> Result<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(moment) => Ok(moment),
        Err(_) => {
            let mut git = Command::new("git");
            git.args(["log", "-1", "--format=%ct"]).current_dir(step::root());
            Ok(step::output(&mut git)?.trim().to_owned())
        }
    }
}

/// Runs a line of shell in a folder, with words as `$1` and so on.
fn sh(folder: &std::path::Path, line: &str, words: &[&str]) -> Result<()> {
    let mut sh = Command::new("sh");
    sh.args(["-euc", line, "sh"]).args(words).current_dir(folder);
    step::run(sh.env("SOURCE_DATE_EPOCH", moment()?).env("LC_ALL", "C").env("TZ", "UTC"))
}
