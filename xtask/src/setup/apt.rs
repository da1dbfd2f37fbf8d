use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::step;

pub(super) struct RequiredProgram {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) shows: &'static str,
}

pub(super) const GROFF: RequiredProgram =
    RequiredProgram { name: "groff", package: "groff-base", shows: "--version" };
pub(super) const STRACE: RequiredProgram = RequiredProgram { name: "strace", package: "strace", shows: "-V" };
pub(super) const SYSTEMD: RequiredProgram =
    RequiredProgram { name: "systemd-analyze", package: "systemd", shows: "--version" };
pub(super) const MAKE: RequiredProgram =
    RequiredProgram { name: "make", package: "make", shows: "--version" };
pub(super) const PKG_CONFIG: RequiredProgram =
    RequiredProgram { name: "pkg-config", package: "pkgconf", shows: "--version" };
pub(super) const LIBSSL: RequiredProgram =
    RequiredProgram { name: "pkg-config", package: "libssl-dev", shows: "libssl" };
pub(super) const DEBOOTSTRAP: RequiredProgram =
    RequiredProgram { name: "debootstrap", package: "debootstrap", shows: "--version" };
pub(super) const RPM: RequiredProgram = RequiredProgram { name: "rpm", package: "rpm", shows: "--version" };
pub(super) const NSPAWN: RequiredProgram =
    RequiredProgram { name: "systemd-nspawn", package: "systemd-container", shows: "--version" };
pub(super) const PODMAN: RequiredProgram =
    RequiredProgram { name: "podman", package: "podman", shows: "--version" };
pub(super) const CRUN: RequiredProgram =
    RequiredProgram { name: "crun", package: "crun", shows: "--version" };
pub(super) const LINTIAN: RequiredProgram =
    RequiredProgram { name: "lintian", package: "lintian", shows: "--version" };

pub(super) const RPMLINT: RequiredProgram =
    RequiredProgram { name: "rpmlint", package: "rpmlint", shows: "--version" };

/// The lists of packages are only updated if the installation fails without.
const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install() { apt-get install -y -q --no-install-recommends \"$0\"; }
    install || { apt-get update -q && install; }";

/// Installs a package whose services must not start, by a `policy-rc.d`; an existing one is the administrator's
/// choice.
const INSTALL_UNSTARTED: &str = r#"export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    policy=/usr/sbin/policy-rc.d
    if (set -C; printf '#!/bin/sh\n# Temporary: cargo xtask setup installs packages and nothing may start.\nexit 101\n' >"$policy") 2>/dev/null; then
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    install() { apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold "$0"; }
    install || { apt-get update -q && install; } || exit 1
    if command -v systemctl >/dev/null; then
        systemctl disable $1 >/dev/null 2>&1 || true
    fi"#;

pub(super) fn install_unstarted(name: &str, package: &str, units: &str, by_hand: &str) -> Result<()> {
    let mut install = super::as_root("sh", by_hand)?;
    install.args(["-c", INSTALL_UNSTARTED, package, units]).stdin(Stdio::null());
    step::run(&mut install).with_context(|| format!("{name} could not be installed; by hand: {by_hand}"))
}

impl RequiredProgram {
    pub(super) fn is_there(&self) -> bool {
        let mut command = Command::new(self.name);
        let shown = command.arg(self.shows).stdout(Stdio::null()).stderr(Stdio::null()).status();
        shown.is_ok_and(|status| status.success())
    }

    pub(super) fn ensure(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let Self { name, package, .. } = self;
        println!("setup: installing {name} by package");
        let by_hand = format!("apt-get install --no-install-recommends {package}");
        let mut install = super::as_root("sh", &by_hand)?;
        install.args(["-c", INSTALL, package]).stdin(Stdio::null());
        step::run(&mut install).with_context(|| format!("{name} could not be installed; by hand: {by_hand}"))
    }
}
