//! RabbitMQ by the distribution's package, for its scripts only: the tests start their own nodes.
//!
//! An existing installation and a running broker stay as they are. A fresh installation must start nothing:
//! `install-rabbitmq.sh`, which runs as root, prevents the start and undoes its own changes.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use osnl_testkit::SCRIPTS;

use crate::step;

const INSTALL: &str = include_str!("install-rabbitmq.sh");
const BY_HAND: &str = "apt-get install --no-install-recommends rabbitmq-server";

pub(super) fn ensure() -> Result<()> {
    let server = Path::new(SCRIPTS).join("rabbitmq-server");
    if server.exists() {
        println!("setup: RabbitMQ is installed");
        return Ok(());
    }
    println!(
        "setup: installing RabbitMQ by package (the tests start private nodes; no system node is started)"
    );
    step::run(super::as_root("sh", BY_HAND)?.args(["-c", INSTALL]).stdin(std::process::Stdio::null()))
        .with_context(|| format!("RabbitMQ could not be installed; by hand: {BY_HAND}"))?;
    if !server.exists() {
        bail!("the package rabbitmq-server brought no {}; the tests need that script", server.display());
    }
    Ok(())
}
