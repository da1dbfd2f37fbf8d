//! groff by the distribution's package: tests read the manual pages with it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::step;

const BY_HAND: &str = "apt-get install --no-install-recommends groff-base";

/// The lists of packages are only brought up to date where that is needed.
const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install() { apt-get install -y -q --no-install-recommends groff-base; }
    install || { apt-get update -q && install; }";

/// Makes sure that it is there.
pub(super) fn ensure() -> Result<()> {
    let there = Command::new("groff").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("setup: installing groff by package");
    let mut install = super::as_root("sh", BY_HAND)?;
    install.args(["-c", INSTALL]).stdin(Stdio::null());
    step::run(&mut install).with_context(|| format!("groff could not be installed; by hand: {BY_HAND}"))
}
