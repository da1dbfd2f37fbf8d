//! strace by the distribution's package: a test traces the daemon where that is allowed.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::step;

const BY_HAND: &str = "apt-get install --no-install-recommends strace";

/// The lists of packages are only brought up to date where that is needed.
const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install() { apt-get install -y -q --no-install-recommends strace; }
    install || { apt-get update -q && install; }";

/// Makes sure that it is there.
pub(super) fn ensure() -> Result<()> {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("setup: installing strace by package");
    let mut install = super::as_root("sh", BY_HAND)?;
    install.args(["-c", INSTALL]).stdin(Stdio::null());
    step::run(&mut install).with_context(|| format!("strace could not be installed; by hand: {BY_HAND}"))
}
