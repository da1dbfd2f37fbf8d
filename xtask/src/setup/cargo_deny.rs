//! cargo-deny, installed from cargo's registry into `target/tools`, where it stays.
//!
//! It is built without optimisation, since that is what most of a build is spent on: 89 s of CPU (50 s on two idle cores) once,
//! and 2 s for a check. As a release it links for minutes.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::step;

const VERSION: &str = "0.20.2";

/// Makes sure that it is there in this version, and gives its path.
pub(super) fn ensure() -> Result<PathBuf> {
    let root = step::target_dir().join("tools");
    let program = root.join("bin/cargo-deny");
    let version = step::output(std::process::Command::new(&program).arg("--version"));
    if version.is_ok_and(|said| said.trim().ends_with(VERSION)) {
        return Ok(program);
    }
    println!("setup: installing cargo-deny {VERSION} into {}", root.display());
    let build = root.join("build");
    let mut cargo = step::cargo();
    cargo.args(["install", "--locked", "--debug", "--force", "--version", VERSION, "cargo-deny", "--root"]);
    cargo.arg(&root).env("CARGO_TARGET_DIR", &build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let installed = step::run(cargo.stdin(Stdio::null()));
    installed.context("cargo-deny could not be installed; cargo's own configuration says from where")?;
    // A gigabyte that nothing needs any more; what cannot be removed does no harm.
    let _ = std::fs::remove_dir_all(build);
    Ok(program)
}
