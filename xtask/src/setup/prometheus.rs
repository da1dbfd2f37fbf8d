//! Prometheus by the distribution's package: tests check metrics and alert rules with `promtool`, and a private
//! server scrapes a daemon. A fresh installation must not start the package's own server.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::apt;

const BY_HAND: &str = "apt-get install --no-install-recommends prometheus";
const UNITS: &str = "prometheus.service prometheus-node-exporter.service";

pub(super) fn ensure() -> Result<()> {
    let there = |program: &str| {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    if there("promtool") && there("prometheus") {
        return Ok(());
    }
    println!("setup: installing Prometheus by package (no server is started)");
    apt::install_unstarted("Prometheus", "prometheus", UNITS, BY_HAND)
}
