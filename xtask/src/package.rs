//! `package`: what operators install, from one tree of files.
//!
//! | command | makes, in `target/package` |
//! | --- | --- |
//! | `package deb` | `osnl_….deb`, and `osnl-dbgsym_….deb` with the line tables that backtraces are read with |
//! | `package rpm` | `osnl-….rpm` and `osnl-debuginfo-….rpm` |
//! | `package image` | the folder that a container's image is built of |
//! | `package image-test [--release]` | the image, as a container; the manifests for Kubernetes, judged |
//! | `package lint` | the packages, and what lintian and rpmlint say about them |
//! | `package test [--suite trixie] [--release]` | the packages again, installed, upgraded, removed, and purged in a fresh root directory of Debian |
//! | `package wheel` | the wheels `osnl` and `osnl-k2hr3`, for glibc 2.28 or newer |
//! | `package wheel-test [--python PROGRAM] [--release]` | the wheels of the debug build, tried in a fresh environment of Python |
//! | `package systemd-test [--suite trixie] [--release]` | the same under a systemd of its own: enabled, reloaded, restarted by an upgrade |
//! | `package ansible-test [--suite trixie]` | the role of `packaging/ansible` on such a host |
//!
//! dpkg-deb and rpmbuild do the work, from metadata in `packaging/`: both are there in seconds, where cargo's own
//! packagers are built for minutes, and the files of both families come from one table ([`tree`]).
//!
//! Two runs give the same bytes: times are those of the last commit, or of `SOURCE_DATE_EPOCH`.

mod ansible;
mod binary;
mod booted;
mod deb;
mod image;
mod licences;
mod pristine;
mod rpm;
mod tree;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::binary::{Binary, Profile};
pub(crate) use self::licences::{Materials, materials};
use crate::release::present as version;
use crate::{setup, step};

/// The cargo features of the program as it is released. A wheel has none of them: it can't ask for the system's OpenSSL.
pub(crate) const FEATURES: &str = "osnl-cli/kafka";

/// The number of this packaging of the version.
const REVISION: &str = "1";

/// Runs one of the commands.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["deb"] => made(&deb::make(&Binary::build(Profile::Release)?, REVISION, deb::DebCompression::Small)?),
        ["rpm"] => made(&rpm::make(&Binary::build(Profile::Release)?, REVISION)?),
        ["image"] => made(&[image::make(&Binary::build(Profile::Release)?)?]),
        ["image-test", ref flags @ ..] => image::test(flags),
        ["wheel"] => made(&wheel::make(Profile::Release)?),
        ["wheel-test", ref flags @ ..] => wheel::test(flags),
        ["lint"] => lint(),
        ["test", ref flags @ ..] => pristine::run(flags),
        ["systemd-test", ref flags @ ..] => pristine::under_systemd(flags),
        ["ansible-test", ref flags @ ..] => ansible::test(flags),
        _ => bail!(
            "{}: allowed are deb, rpm, wheel, image, lint, image-test, wheel-test [--python PROGRAM] [--release], and, with --suite SUITE, test, systemd-test, ansible-test",
            args.join(" ")
        ),
    }
}

/// The longest that the gate waits for its part, on a busy machine that has no root directory yet.
const BOUND: Duration = Duration::from_secs(20 * 60);

/// The gate's part: the packages of the debug build, which is there already. It ends with an error after [`BOUND`].
pub(crate) fn gate() -> Result<()> {
    let (_running, ended) = mpsc::channel::<()>();
    // Children end with this process: each has a guard.
    thread::spawn(move || {
        if ended.recv_timeout(BOUND) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("package: FAILED: not done after {} min", BOUND.as_secs() / 60);
            std::process::exit(1);
        }
    });
    if pristine::run(&[])? != ExitCode::SUCCESS || wheel::test(&[])? != ExitCode::SUCCESS {
        bail!("a step failed");
    }
    Ok(())
}

/// The packages of a program that was built elsewhere, split into `out`.
pub(crate) fn of_program(program: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let binary = Binary::split(program, out)?;
    Ok([deb::make(&binary, REVISION, deb::DebCompression::Small)?, rpm::make(&binary, REVISION)?].concat())
}

/// Makes an environment of Python with the wheels of the release build, and returns its folder.
pub(crate) fn environment_for_benchmarks() -> Result<PathBuf> {
    let folder = folder()?.join("venv-bench");
    let _ = std::fs::remove_dir_all(&folder);
    wheel::install(&folder, "python3", &wheel::make(Profile::Release)?)?;
    Ok(folder)
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
    setup::rpmlint()?;
    let binary = Binary::build(Profile::Release)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--no-cfg", "--info", "--fail-on=error,warning"]);
    lintian.args(deb::make(&binary, REVISION, deb::DebCompression::Small)?);
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.args(["--strict", "--ignore-unused-rpmlintrc", "--rpmlintrc"]);
    rpmlint.arg(step::root().join("packaging/rpm/osnl.rpmlintrc")).args(rpm::make(&binary, REVISION)?);
    // Both speak, even if the first one finds something.
    let found =
        [lintian.status().context("cannot run lintian")?, rpmlint.status().context("cannot run rpmlint")?];
    Ok(if found.iter().all(ExitStatus::success) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of the packages.
fn folder() -> Result<PathBuf> {
    let folder = step::target_dir().join("package");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The time that files in packages have, in seconds since 1970.
pub(crate) fn moment() -> Result<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(moment) => Ok(moment),
        Err(_) => {
            let mut git = Command::new("git");
            git.args(["log", "-1", "--format=%ct"]).current_dir(step::root());
            Ok(step::output(&mut git)?.trim().to_owned())
        }
    }
}

/// The same time in UTC, by a format of date(1).
pub(crate) fn moment_as(format: &str) -> Result<String> {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{}", moment()?), format]).env("LC_ALL", "C");
    Ok(step::output(&mut date)?.trim().to_owned())
}

/// Runs a line of shell in a folder, with words as `$1` and so on.
fn sh(folder: &Path, line: &str, words: &[&str]) -> Result<()> {
    let mut sh = Command::new("sh");
    sh.args(["-euc", line, "sh"]).args(words).current_dir(folder);
    step::run(sh.env("SOURCE_DATE_EPOCH", moment()?).env("LC_ALL", "C").env("TZ", "UTC"))
}
