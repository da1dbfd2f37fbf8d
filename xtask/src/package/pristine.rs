//! `package test`: the packages in a fresh root directory of Debian, from installation to the first delivered event
//! and purge.
//!
//! The root directory is a copy of one that debootstrap made, without a running systemd. Scripts run there:
//! `pristine/deb.sh`, `pristine/rpm.sh`, and with a running systemd `pristine/systemd.sh` ([`System`]). Without
//! `--release` the packages have the debug build, which exists already.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use osnl_testkit::Broker;

use super::booted::System;
use super::stage::{Profile, Stage, program_in};
use crate::debian::DebianRoot;
use crate::{setup, step};

const DEB: &str = include_str!("pristine/deb.sh");
const RPM: &str = include_str!("pristine/rpm.sh");

const SYSTEMD: &str = include_str!("pristine/systemd.sh");

/// The resident memory in MiB of the idle released program, with Kafka, at most.
const MOST_RESIDENT: u32 = 24;

pub(super) const COMMON: &str = include_str!("pristine/common.sh");

const ENTER: &str = "set -eu
    root=$1; shift
    mount -t proc proc \"$root/proc\"
    mount --rbind /dev \"$root/dev\"
    mount -t tmpfs tmpfs \"$root/run\"
    mount --bind \"$1\" \"$root/mnt\"; shift
    exec chroot \"$root\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \"$@\"";

/// The revision of the older version; "~" sorts before everything.
const OLDER: &str = "0~old";

/// The suites for the packages; the gate uses the first. Ubuntu's need its mirror in `OSNL_MIRROR`.
pub(super) const SUITES: &[&str] = &["bookworm", "trixie", "jammy"];

fn options(flags: &[&str]) -> Result<(&'static str, Profile)> {
    let (mut suite, mut profile) = (SUITES[0], Profile::Debug);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match *flag {
            "--release" => profile = Profile::Release,
            "--suite" => {
                let named = flags.next().copied().unwrap_or_default();
                let Some(known) = SUITES.iter().find(|known| **known == named) else {
                    bail!("--suite {named}: not one of: {}", SUITES.join(", "));
                };
                suite = known;
            }
            other => bail!("unknown argument {other}; allowed: --suite, --release"),
        }
    }
    Ok((suite, profile))
}

pub(super) fn run(flags: &[&str]) -> Result<ExitCode> {
    let (suite, profile) = options(flags)?;
    let started = Instant::now();
    let stage = Stage::make(profile)?;
    let debs = both(&stage)?;
    let rpms = stage.rpm()?;
    println!("package: made the packages in {:.1} s", started.elapsed().as_secs_f32());

    setup::broker_only()?;
    setup::rpm()?;
    let proof = Path::new("usr/bin/systemd-analyze");
    let root = DebianRoot { suite, folder: &format!("{suite}-base"), packages: "procps,systemd", proof }
        .ensure("package test")?;
    let broker = Broker::start();
    let url = broker.url();
    let deb = match profile {
        Profile::Release => format!("most_resident={MOST_RESIDENT}\n{DEB}"),
        Profile::Debug => DEB.to_owned(),
    };
    in_a_copy(&root, |copy| enter(copy, &deb, &debs, &url))?;
    in_a_copy(&root, |copy| {
        install_rpm(copy, &rpms)?;
        enter(copy, RPM, &rpms, &url)
    })?;
    println!("package: {suite}: all steps passed, {:.1} s with the build", started.elapsed().as_secs_f32());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn under_systemd(flags: &[&str]) -> Result<ExitCode> {
    let (suite, profile) = options(flags)?;
    let packages = both(&Stage::make(profile)?)?;
    setup::broker_only()?;
    let broker = Broker::start();
    let started = Instant::now();
    let system = System::start(suite, &super::folder()?, "package systemd-test")?;
    println!("package: {suite} with its systemd is up: {:.1} s", started.elapsed().as_secs_f32());
    let script = format!("{COMMON}\n{SYSTEMD}");
    let url = broker.url();
    let mut words = vec!["sh", "-c", &script, "sh", &url];
    words.extend(packages.iter().filter_map(|path| path.file_name()?.to_str()));
    step::run(&mut system.inside(&words))?;
    println!("package: {suite} with its systemd: all steps passed");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn both(stage: &Stage) -> Result<[PathBuf; 2]> {
    let program = |revision| Ok(program_in(&stage.deb(revision)?)?.to_owned());
    let older: Result<PathBuf> = program(OLDER);
    Ok([older?, program(super::REVISION)?])
}

/// Installs by Debian's rpm with the root's own database, which lacks the package's dependencies.
fn install_rpm(root: &Path, packages: &[PathBuf]) -> Result<()> {
    let theirs = root.join("usr/bin/k2hr3-osnl");
    std::fs::write(&theirs, "#!/bin/sh\necho theirs\n")?;
    step::run(Command::new("chmod").arg("755").arg(&theirs))?;
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--install", "--nodeps", "--dbpath", "/var/lib/rpm"]);
    step::run(rpm.arg(program_in(packages)?).stdin(Stdio::null()))
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
    let folder = packages[0].parent().context("a package without a folder")?;
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
    command.args([root, folder]).args(["sh", "-c", &format!("{COMMON}\n{script}"), "sh", url]);
    command.args(packages.iter().filter_map(|path| path.file_name()));
    step::run(command.stdin(Stdio::null()))
}
