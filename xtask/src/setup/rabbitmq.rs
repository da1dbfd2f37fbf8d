//! RabbitMQ by the distribution's package, for its scripts only: the tests start their own nodes.
//!
//! What is installed already is used as it is, and a broker that runs is not touched. A fresh installation
//! must not start anything: see `install-rabbitmq.sh`, which runs as root and undoes what it had to set up.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use osnl_testkit::SCRIPTS;

use crate::step;

const INSTALL: &str = include_str!("install-rabbitmq.sh");
const BY_HAND: &str = "apt-get install --no-install-recommends rabbitmq-server";

/// Makes sure that RabbitMQ's scripts are there.
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
