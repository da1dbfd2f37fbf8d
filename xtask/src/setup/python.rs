//! The Python environment with the real oslo.messaging and k2hr3-osnl.
//!
//! It lives under `target/` and is rebuilt when the pinned versions or the interpreter change: a file in it
//! records both and is written last, so that an interrupted installation counts as none. pip runs with
//! whatever configuration the machine has: no index is named here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use osnl_testkit::REQUIREMENTS;

use crate::step;

/// Written last.
const STAMP: &str = "requirements.stamp";
const BY_HAND: &str = "apt-get install --no-install-recommends python3 python3-venv";

/// Makes sure that the environment is there and gives its folder.
pub(super) fn ensure() -> Result<PathBuf> {
    if !has_venv() {
        install_venv()?;
    }
    let folder = folder();
    let stamp = folder.join(STAMP);
    let version = step::output(Command::new("python3").arg("--version"))?;
    let wanted = format!("{version}{REQUIREMENTS}");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        println!("setup: the Python environment is up to date");
        return Ok(folder);
    }

    println!("setup: building a Python environment with the real oslo.messaging and k2hr3-osnl");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    step::run(Command::new("python3").args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
    let pins = folder.join("requirements.txt");
    write(&pins, REQUIREMENTS)?;
    step::run(
        Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"])
            .arg(&pins)
            .stdin(Stdio::null()),
    )
    .context("the Python packages could not be installed; pip's own configuration says from where")?;
    write(&stamp, &wanted)?;
    Ok(folder)
}

/// Its folder, if it is there and complete, in whatever versions.
pub(super) fn existing() -> Option<PathBuf> {
    let folder = folder();
    folder.join(STAMP).exists().then_some(folder)
}

fn folder() -> PathBuf {
    step::target_dir().join("testenv").join("python")
}

/// Whether this machine can make environments: Debian ships `ensurepip` apart from the interpreter.
fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn install_venv() -> Result<()> {
    println!("setup: installing python3-venv by package (the tests talk to the real oslo.messaging)");
    let script = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
        lock='-o DPkg::Lock::Timeout=300'
        apt-get $lock -q update && apt-get $lock -q -y install --no-install-recommends python3 python3-venv";
    step::run(super::as_root("sh", BY_HAND)?.args(["-c", script]).stdin(Stdio::null()))
        .with_context(|| format!("python3-venv could not be installed; by hand: {BY_HAND}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
