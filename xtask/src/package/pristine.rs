//! `package test`: the packages in a fresh root directory of Debian, from installation to the first delivered event
//! and purge.
//!
//! The root directory is a copy of one that debootstrap made, without a running systemd. Scripts run there:
//! `pristine/deb.sh`, `pristine/rpm.sh`, and with a running systemd `pristine/systemd.sh` ([`System`]).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use osnl_testkit::Broker;

use super::booted::System;
use super::origin::{self, Origin, program_in};
use super::stage::Profile;
use crate::debian::DebianRoot;
use crate::{setup, step};

const DEB: &str = include_str!("pristine/deb.sh");
const RPM: &str = include_str!("pristine/rpm.sh");

const SYSTEMD: &str = include_str!("pristine/systemd.sh");

/// The anonymous memory in MiB of the idle released program, with Kafka, at most. About 30 MiB more are resident: pages of
/// the program's file, which the kernel drops at will.
const MOST_ANONYMOUS: u32 = 10;

pub(super) const COMMON: &str = include_str!("pristine/common.sh");

const ENTER: &str = "set -eu
    root=$1; shift
    mount -t proc proc \"$root/proc\"
    mount --rbind /dev \"$root/dev\"
    mount -t tmpfs tmpfs \"$root/run\"
    mount --bind \"$1\" \"$root/mnt\"; shift
    exec chroot \"$root\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \"$@\"";

/// The suites for the packages; the gate uses the first. Those of Ubuntu need its mirror in `OSNL_MIRROR`.
pub(super) const SUITES: &[&str] = &["bookworm", "trixie", "jammy", "noble"];

pub(super) fn options(flags: &[&str]) -> Result<(&'static str, Origin)> {
    let (origin, others) = Origin::parse(flags)?;
    let suite = match *others.as_slice() {
        [] => SUITES[0],
        ["--suite", named] => SUITES
            .iter()
            .copied()
            .find(|known| *known == named)
            .with_context(|| format!("--suite {named}: not one of: {}", SUITES.join(", ")))?,
        _ => bail!("{}: allowed are --suite SUITE, --release, --candidate", others.join(" ")),
    };
    Ok((suite, origin))
}

pub(super) fn run(flags: &[&str]) -> Result<ExitCode> {
    let (suite, origin) = options(flags)?;
    let started = Instant::now();
    let packages = origin.packages(true)?;
    let debs = origin::upgrade(&packages)?;
    let rpm = program_in(&packages, ".rpm")?.to_owned();
    println!("package: made the packages in {:.1} s", started.elapsed().as_secs_f32());

    setup::broker_only()?;
    setup::rpm()?;
    let proof = Path::new("usr/bin/systemd-analyze");
    let root = DebianRoot { suite, folder: &format!("{suite}-base"), packages: "procps,systemd", proof }
        .ensure("package test")?;
    let broker = Broker::start();
    let url = broker.url();
    let deb = match origin {
        Origin::Build(Profile::Dist) | Origin::Candidate => {
            format!("most_anonymous={MOST_ANONYMOUS}\n{DEB}")
        }
        Origin::Build(Profile::Debug) => DEB.to_owned(),
    };
    in_a_copy(&root, |copy| enter(copy, &deb, &debs, &url))?;
    in_a_copy(&root, |copy| {
        install_rpm(copy, &rpm)?;
        enter(copy, RPM, std::slice::from_ref(&rpm), &url)
    })?;
    println!("package: {suite}: all steps passed, {:.1} s with the build", started.elapsed().as_secs_f32());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn under_systemd(flags: &[&str]) -> Result<ExitCode> {
    let (suite, origin) = options(flags)?;
    let debs = origin::upgrade(&origin.packages(false)?)?;
    setup::broker_only()?;
    let broker = Broker::start();
    let started = Instant::now();
    let system = System::start(suite, parent(&debs)?, "package systemd-test")?;
    println!("package: {suite} with its systemd is up: {:.1} s", started.elapsed().as_secs_f32());
    let script = format!("{COMMON}\n{SYSTEMD}");
    let url = broker.url();
    let mut words = vec!["sh", "-c", &script, "sh", &url];
    words.extend(debs.iter().filter_map(|path| path.file_name()?.to_str()));
    step::run(&mut system.inside(&words))?;
    println!("package: {suite} with its systemd: all steps passed");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn parent(packages: &[PathBuf]) -> Result<&Path> {
    packages[0].parent().context("a package without a folder")
}

/// Installs by Debian's rpm with the root's own database, which lacks the package's dependencies.
fn install_rpm(root: &Path, package: &Path) -> Result<()> {
    let theirs = root.join("usr/bin/k2hr3-osnl");
    std::fs::write(&theirs, "#!/bin/sh\necho theirs\n")?;
    step::run(Command::new("chmod").arg("755").arg(&theirs))?;
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--install", "--nodeps", "--dbpath", "/var/lib/rpm"]);
    step::run(rpm.arg(package).stdin(Stdio::null()))
}

fn in_a_copy(root: &Path, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let copy = root.with_extension(std::process::id().to_string());
    let remove = || step::run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&copy));
    step::run(Command::new("cp").arg("-a").args([root, &copy]))?;
    let worked = work(&copy);
    remove()?;
    worked
}

fn enter(root: &Path, script: &str, packages: &[PathBuf], url: &str) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        ENTER,
        "sh",
    ]);
    command.args([root, parent(packages)?]).args(["sh", "-c", &format!("{COMMON}\n{script}"), "sh", url]);
    command.args(packages.iter().filter_map(|path| path.file_name()));
    step::run(command.stdin(Stdio::null()))
}
