//! Prometheus by the distribution's package: tests check metrics and alert rules with `promtool`, and a private server
//! scrapes a daemon. A fresh installation must not start the package's own server.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::step;

const BY_HAND: &str = "apt-get install --no-install-recommends prometheus";
/// `policy-rc.d` keeps the package from starting its server; a file that exists is the administrator's choice.
const INSTALL: &str = r#"export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    policy=/usr/sbin/policy-rc.d
    if (set -C; printf '#!/bin/sh\n# Temporary: cargo xtask setup installs packages and nothing may start.\nexit 101\n' >"$policy") 2>/dev/null; then
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    install() { apt-get install -y -q --no-install-recommends prometheus; }
    install || { apt-get update -q && install; } || exit 1
    if command -v systemctl >/dev/null; then
        systemctl disable prometheus.service prometheus-node-exporter.service >/dev/null 2>&1 || true
    fi"#;

/// Makes sure that both programs are there.
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
    let mut install = super::as_root("sh", BY_HAND)?;
    install.args(["-c", INSTALL]).stdin(Stdio::null());
    step::run(&mut install).with_context(|| format!("Prometheus could not be installed; by hand: {BY_HAND}"))
}
