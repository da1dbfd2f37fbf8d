//! `package on-ramps`: the files for deployers, run by the deployer's own programs from PyPI, or against recorded shapes.
//!
//! The doc of each script in `on_ramps/` names the real parts, the recorded shapes, and the stand-ins. All have one
//! node of RabbitMQ with the users and virtual hosts that a deployer's role would make.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use osnl_testkit::Broker;

use super::folder;
use crate::{setup, step};

const NAMES: [&str; 3] = ["helm", "openstack-ansible", "kolla"];
/// The on-ramps that take seconds.
pub(super) const QUICK: &[&str] = &["helm", "openstack-ansible"];
const RIGHTS: [&str; 3] = [".*", ".*", ".*"];

pub(super) fn test(names: &[&str]) -> Result<ExitCode> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
        bail!("no on-ramp `{unknown}`; allowed: {}", NAMES.join(", "));
    }
    let python = setup::on_ramps()?.join("bin");
    setup::broker_only()?;
    step::run(step::cargo().args(["build", "--locked", "-p", "osnl-cli"]).stdin(Stdio::null()))?;
    let work = folder()?.join("on-ramps");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let broker = Broker::start();
    broker.ctl(&["add_user", "osnl", "osnl-secret"]);
    for vhost in ["/", "nova", "neutron"] {
        if vhost != "/" {
            broker.ctl(&["add_vhost", vhost]);
        }
        for user in ["osnl", "guest"] {
            broker.ctl(&[&["set_permissions", "-p", vhost, user], &RIGHTS[..]].concat());
        }
    }
    let path = format!("{}:{}", python.display(), std::env::var("PATH").unwrap_or_default());
    for name in NAMES.iter().filter(|name| names.is_empty() || names.contains(*name)) {
        let script = format!("xtask/src/package/on_ramps/{}.py", name.replace('-', "_"));
        let mut run = Command::new(python.join("python"));
        run.arg(step::root().join(script)).arg(&work).arg(step::root()).stdin(Stdio::null());
        run.env("OSNL", step::target_dir().join("debug/osnl")).env("BROKER_URL", broker.url());
        run.env("BROKER_PORT", broker.port().to_string()).env("PATH", &path);
        step::run(run.env("PYTHONDONTWRITEBYTECODE", "1"))?;
    }
    println!("package: the on-ramps: all steps passed");
    Ok(ExitCode::SUCCESS)
}
