//! `package ansible-test`: the role of `packaging/ansible` by the real ansible, on a host with its own systemd.
//!
//! The host is a root directory that systemd-nspawn booted ([`System`]). ansible reaches it by its chroot connection,
//! whose `chroot` is nsenter here. ansible-lint checks the role first.

use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use osnl_testkit::Broker;

use super::booted::System;
use super::{folder, origin, pristine};
use crate::{setup, step};

const TEST: &str = include_str!("ansible/test.sh");

pub(super) fn test(flags: &[&str]) -> Result<ExitCode> {
    let (suite, origin) = pristine::options(flags)?;
    let python = setup::packaging()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", python.join("bin").display());
    let ansible = step::root().join("packaging/ansible");
    let work = folder()?.join("ansible");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let with = |command: &mut Command| {
        command.env("PATH", &path).env("ANSIBLE_HOME", work.join("home")).env("ANSIBLE_NOCOLOR", "1");
        command.env("ANSIBLE_LOCALHOST_WARNING", "0").env("ANSIBLE_ROLES_PATH", ansible.join("roles"));
        command.env("LC_ALL", "C.UTF-8").env_remove("ANSIBLE_CONFIG").stdin(Stdio::null());
    };

    let started = Instant::now();
    let mut lint = Command::new("ansible-lint");
    with(lint.args(["--offline", "--nocolor", "--profile", "production"]).arg(".").current_dir(&ansible));
    step::run(&mut lint)?;
    println!("package: ansible-lint: {:.1} s", started.elapsed().as_secs_f32());

    let debs = origin::upgrade(&origin.packages(false)?)?;
    let [old, new] = &debs;
    setup::broker_only()?;
    let broker = Broker::start();
    let host = System::start(suite, pristine::parent(&debs)?, "package ansible-test")?;
    let mut script = Command::new("sh");
    script.args(["-c", &format!("{}\n{TEST}", pristine::COMMON), "sh", &broker.url()]);
    script.args([new, old]).arg(host.root()).arg(host.leader().to_string()).current_dir(&work);
    with(&mut script);
    step::run(&mut script)?;
    println!("package: the role on {suite}: all steps passed");
    Ok(ExitCode::SUCCESS)
}
