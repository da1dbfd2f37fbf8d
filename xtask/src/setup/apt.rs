//! Programs that are one package of the distribution.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::step;

/// A program, its package, and the argument by which it shows that it is there.
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
    shows: &'static str,
}

/// Reads the manual pages in tests.
pub(super) const GROFF: Program = Program { name: "groff", package: "groff-base", shows: "--version" };
/// Traces the daemon in a test where that is allowed.
pub(super) const STRACE: Program = Program { name: "strace", package: "strace", shows: "-V" };
/// Makes root directories of Debian.
pub(super) const DEBOOTSTRAP: Program =
    Program { name: "debootstrap", package: "debootstrap", shows: "--version" };
/// Makes packages of the other family.
pub(super) const RPM: Program = Program { name: "rpmbuild", package: "rpm", shows: "--version" };
/// Finds faults of Debian packages.
pub(super) const LINTIAN: Program = Program { name: "lintian", package: "lintian", shows: "--version" };

/// The lists of packages are only brought up to date where that is needed.
const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install() { apt-get install -y -q --no-install-recommends \"$0\"; }
    install || { apt-get update -q && install; }";

impl Program {
    /// Installs the package unless the program is there.
    pub(super) fn ensure(&self) -> Result<()> {
        let Self { name, package, shows } = self;
        let shown = Command::new(name).arg(shows).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if shown.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        println!("setup: installing {name} by package");
        let by_hand = format!("apt-get install --no-install-recommends {package}");
        let mut install = super::as_root("sh", &by_hand)?;
        install.args(["-c", INSTALL, package]).stdin(Stdio::null());
        step::run(&mut install).with_context(|| format!("{name} could not be installed; by hand: {by_hand}"))
    }
}
