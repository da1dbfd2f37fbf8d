//! `package`: what operators install, from one tree of files.
//!
//! | command | makes, in `target/package` |
//! | --- | --- |
//! | `package deb` | `osnl_….deb`, and `osnl-dbgsym_….ddeb` with the line tables that backtraces are read with |
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
//! cargo-deb and cargo-generate-rpm do the work, from metadata in `crates/osnl-cli/Cargo.toml` and scripts in
//! `packaging/`; [`stage`] makes the files that they package. Times are those of the last commit, or of
//! `SOURCE_DATE_EPOCH`.

mod ansible;
mod booted;
mod image;
mod licences;
mod pristine;
mod stage;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::stage::{Profile, Stage};
use crate::{setup, step};

/// The cargo features of the program as it is released. A wheel has none of them: it can't ask for the system's OpenSSL.
const FEATURES: &str = "osnl-cli/kafka";

/// The number of this packaging of the version.
const REVISION: &str = "1";

/// The version that the workspace has now.
pub(crate) fn version() -> Result<String> {
    let text = std::fs::read_to_string(step::root().join("Cargo.toml")).context("Cargo.toml")?;
    let found =
        text.split_once("[workspace.package]\nversion = \"").and_then(|(_, rest)| rest.split_once('"'));
    Ok(found.context("Cargo.toml has no version")?.0.to_owned())
}

/// Runs one of the commands.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["deb"] => made(&Stage::make(Profile::Release)?.deb(REVISION)?),
        ["rpm"] => made(&Stage::make(Profile::Release)?.rpm()?),
        ["image"] => made(&[image::make(&Stage::make(Profile::Release)?)?]),
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

/// Makes the packages of a release and returns their paths.
pub(crate) fn of_release() -> Result<Vec<PathBuf>> {
    let stage = Stage::make(Profile::Release)?;
    Ok([stage.deb(REVISION)?, stage.rpm()?].concat())
}

/// The features and the manifest of the program, as cargo's commands take them.
pub(crate) const PROGRAM: [&str; 4] =
    ["--manifest-path", "crates/osnl-cli/Cargo.toml", "--features", "kafka"];

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
    let stage = Stage::make(Profile::Release)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--no-cfg", "--info", "--fail-on=error,warning"]);
    lintian.args(stage.deb(REVISION)?);
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.args(["--strict", "--ignore-unused-rpmlintrc", "--rpmlintrc"]);
    rpmlint.arg(step::root().join("packaging/rpm/osnl.rpmlintrc")).args(stage.rpm()?);
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
