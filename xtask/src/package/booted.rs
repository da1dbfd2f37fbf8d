//! A root directory with its own systemd running: a copy of one that debootstrap made, booted by systemd-nspawn.
//!
//! The system shares the machine's network, and so the private RabbitMQ. Units, their sandbox, `Type=notify`,
//! reloads, and the restart by a package's scripts are real; the kernel is the machine's.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use osnl_testkit::{Guard, wait_until};

use crate::debian::DebianRoot;
use crate::{setup, step};

const BOOT: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
    nspawn: Child,
    leader: u32,
    guard: Guard,
}

impl System {
    pub(super) fn start(suite: &str, packages: &Path, purpose: &str) -> Result<Self> {
        setup::nspawn()?;
        let root = DebianRoot {
            suite,
            folder: &format!("{suite}-booted"),
            packages: "procps,systemd,systemd-sysv,dbus,python3,python3-apt",
            proof: Path::new("usr/lib/python3/dist-packages/apt/__init__.py"),
        };
        let base = root.ensure(purpose)?;
        let root = base.with_extension(std::process::id().to_string());
        step::run(Command::new("cp").arg("-a").args([&base, &root]))?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory"]);
        nspawn
            .arg(&root)
            .arg(format!("--machine=osnl-{}", std::process::id()))
            .arg(format!("--bind-ro={}:/mnt", packages.display()));
        nspawn.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let nspawn = nspawn.spawn().context("cannot run systemd-nspawn")?;
        let guard = Guard::over(&[nspawn.id()], Some(&root));
        let mut booted = Self { root, nspawn, leader: 0, guard };
        wait_until(BOOT, "systemd-nspawn starts the first process", || {
            booted.leader = booted.child().unwrap_or_default();
            // The first child only makes that process, in another namespace than its own, and ends.
            let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/pid")).ok();
            namespace(&booted.leader.to_string()).is_some_and(|its| Some(its) != namespace("self"))
        });
        // The leader outlives a killed systemd-nspawn; everything inside ends with the leader.
        booted.guard = Guard::over(&[booted.leader, booted.nspawn.id()], Some(&booted.root));
        wait_until(BOOT, "systemd has started everything", || {
            let state = booted.inside(&["systemctl", "is-system-running"]).output();
            state.is_ok_and(|state| state.stdout == b"running\n" || state.stdout == b"degraded\n")
        });
        Ok(booted)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn leader(&self) -> u32 {
        self.leader
    }

    pub(super) fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string(), "--"]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]);
        command.args(["LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]).args(words).stdin(Stdio::null());
        command
    }

    fn child(&self) -> Option<u32> {
        let id = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.leader != 0 {
            let _ = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.root).status();
    }
}
