//! `package`: makes the packages that operators install, from one tree of files.
//!
//! | command | makes, in `target/package` |
//! | --- | --- |
//! | `package deb` | `osnl_….deb`, and `osnl-dbgsym_….ddeb` with the line tables that backtraces are read with |
//! | `package rpm` | `osnl-….rpm` and `osnl-debuginfo-….rpm` |
//! | `package image` | the folder for building a container's image |
//! | `package release [--sign KEY]` | all of a release, from a clean tree, in `target/release-X.Y.Z`: [`release`] |
//! | `package image-test` | the image, as a container, by itself and as the Helm chart runs it |
//! | `package on-ramps [NAME…]` | the files for Kolla-Ansible, OpenStack-Ansible, and Helm, run |
//! | `package lint` | the packages, checked by lintian and rpmlint, and the workflow of `.github`, by zizmor |
//! | `package test [--suite trixie]` | the packages again, installed, upgraded, removed, and purged in a fresh root directory of Debian |
//! | `package wheel` | the wheels `osnl` and `osnl-k2hr3`, for glibc 2.28 or newer |
//! | `package wheel-test [--python PROGRAM]` | the wheels, tried in a fresh environment of Python |
//! | `package systemd-test [--suite trixie]` | the same under a systemd of its own: enabled, reloaded, restarted by an upgrade |
//! | `package ansible-test [--suite trixie]` | the role of `packaging/ansible` on such a host |
//!
//! Tests build with the debug profile, with `--release` as released, and with `--candidate` they take the files of
//! `package release`.
//!
//! cargo-deb and cargo-generate-rpm make the packages, from metadata in `crates/osnl-cli/Cargo.toml` and scripts in
//! `packaging/`; [`stage`] makes the files that they package. Times are those of the last commit, or of
//! `SOURCE_DATE_EPOCH`.

mod ansible;
mod booted;
mod image;
mod licences;
mod on_ramps;
mod origin;
mod pristine;
mod release;
mod stage;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::stage::{Profile, Stage};
use crate::release::{source_date, source_date_as, version};
use crate::{setup, step};

/// The cargo features of the program in packages and the image. A released wheel has OpenSSL inside.
const FEATURES: &str = "amqp1,kafka";
const FEATURES_OF_WHEEL: &str = "amqp1,kafka-static";

/// The package of the program.
const PROGRAM: &str = "osnl-cli";

const REVISION: &str = "1";

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["deb"] => made(&Stage::make(Profile::Dist)?.deb()?),
        ["rpm"] => made(&Stage::make(Profile::Dist)?.rpm()?),
        ["image"] => made(&[image::make(&Stage::make(Profile::Dist)?)?]),
        ["release", ref flags @ ..] => release::make(flags),
        ["image-test", ref flags @ ..] => image::test(flags),
        ["on-ramps", ref names @ ..] => on_ramps::test(names),
        ["wheel"] => made(&wheel::make(Profile::Dist)?),
        ["wheel-test", ref flags @ ..] => wheel::test(flags),
        ["lint"] => lint(),
        ["test", ref flags @ ..] => pristine::run(flags),
        ["systemd-test", ref flags @ ..] => pristine::under_systemd(flags),
        ["ansible-test", ref flags @ ..] => ansible::test(flags),
        _ => bail!(
            "{}: allowed are deb, rpm, wheel, image, release [--sign KEY], lint, on-ramps [NAME…], and with --release or --candidate, image-test, wheel-test [--python PROGRAM], and with --suite SUITE too, test, systemd-test, ansible-test",
            args.join(" ")
        ),
    }
}

/// The longest run of a part in the gate, on a busy machine without a root directory yet.
const BOUND: Duration = Duration::from_secs(20 * 60);

pub(crate) fn gate() -> Result<()> {
    bounded(|| pristine::run(&[]))
}

pub(crate) fn wheel_gate() -> Result<()> {
    bounded(|| wheel::test(&[]))
}

fn bounded(part: fn() -> Result<ExitCode>) -> Result<()> {
    let (_running, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(BOUND) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("package: FAILED: not done after {} min", BOUND.as_secs() / 60);
            std::process::exit(1);
        }
    });
    if part()? != ExitCode::SUCCESS {
        bail!("a step failed");
    }
    Ok(())
}

pub(crate) fn on_ramps_gate() -> Result<()> {
    on_ramps::test(on_ramps::QUICK).map(|_| ())
}

pub(crate) fn environment_for_benchmarks() -> Result<PathBuf> {
    let folder = folder()?.join("venv-bench");
    let _ = std::fs::remove_dir_all(&folder);
    wheel::install(&folder, "python3", &wheel::make(Profile::Dist)?)?;
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
    let mut zizmor = Command::new(setup::zizmor()?);
    // Its other audits ask the forge, and this repository is on none.
    zizmor.args(["--offline", "--no-progress", "--strict-collection"]);
    zizmor.arg(step::root().join(".github/workflows"));
    let stage = Stage::make(Profile::Dist)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--no-cfg", "--info", "--display-info", "--pedantic"]);
    // Until `publish --maintainer` names an address, no package has one, and that of line tables has no overrides. An
    // address takes the reason of two overrides away.
    lintian.arg("--suppress-tags=unused-override,malformed-contact");
    lintian.arg("--fail-on=error,warning,info,pedantic").args(stage.deb()?);
    let mut rpmlint = Command::new("rpmlint");
    // `publish` takes the reason of one exception away.
    rpmlint.args(["--strict", "--ignore-unused-rpmlintrc", "--rpmlintrc"]);
    rpmlint.arg(step::root().join("packaging/rpm/osnl.rpmlintrc")).args(stage.rpm()?);
    // All programs print their findings, even if the first fails.
    let found = [
        zizmor.status().context("cannot run zizmor")?,
        lintian.status().context("cannot run lintian")?,
        rpmlint.status().context("cannot run rpmlint")?,
    ];
    Ok(if found.iter().all(ExitStatus::success) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn folder() -> Result<PathBuf> {
    let folder = step::target_dir().join("package");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn sh(folder: &Path, line: &str, words: &[&str]) -> Result<()> {
    let mut sh = Command::new("sh");
    sh.args(["-euc", line, "sh"]).args(words).current_dir(folder);
    step::run(sh.env("SOURCE_DATE_EPOCH", source_date()?).env("LC_ALL", "C").env("TZ", "UTC"))
}
