//! The Python environments: with the real oslo.messaging and k2hr3-osnl, and with the services of a cloud.
//!
//! They live under `target/` and are rebuilt when the pinned versions or the interpreter change: a file in each
//! records both and is written last, so that an interrupted installation counts as none. pip runs with
//! whatever configuration the machine has: no index is named here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use osnl_testkit::{CLOUD_REQUIREMENTS, REQUIREMENTS};

use crate::step;

/// Written last.
const STAMP: &str = "requirements.stamp";
const BY_HAND: &str = "apt-get install --no-install-recommends python3 python3-venv";

/// An environment: its folder under `testenv`, its content in words, and its packages.
struct Environment {
    folder: &'static str,
    words: &'static str,
    requirements: &'static str,
}

const PEERS: Environment = Environment {
    folder: "python",
    words: "the real oslo.messaging and k2hr3-osnl",
    requirements: REQUIREMENTS,
};
const CLOUD: Environment = Environment {
    folder: "cloud",
    words: "Keystone, Neutron, and Ironic (three minutes, 700 MB)",
    requirements: CLOUD_REQUIREMENTS,
};

/// Makes sure that the environment of all tests is there and gives its folder.
pub(super) fn ensure() -> Result<PathBuf> {
    PEERS.ensure()
}

/// The same of the services of a cloud.
pub(super) fn ensure_cloud() -> Result<PathBuf> {
    CLOUD.ensure()
}

impl Environment {
    fn folder(&self) -> PathBuf {
        step::target_dir().join("testenv").join(self.folder)
    }

    fn ensure(&self) -> Result<PathBuf> {
        if !has_venv() {
            install_venv()?;
        }
        let folder = self.folder();
        let stamp = folder.join(STAMP);
        let version = step::output(Command::new("python3").arg("--version"))?;
        let wanted = format!("{version}{}", self.requirements);
        if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            println!("setup: the Python environment \"{}\" is up to date", self.folder);
            return Ok(folder);
        }

        println!("setup: building a Python environment with {}", self.words);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        step::run(Command::new("python3").args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
        let pins = folder.join("requirements.txt");
        write(&pins, self.requirements)?;
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
}

/// Its folder, if it is there and complete, in whatever versions.
pub(super) fn existing() -> Option<PathBuf> {
    let folder = PEERS.folder();
    folder.join(STAMP).exists().then_some(folder)
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
