//! Programs of cargo's registry, installed into `target/tools`, where they stay.
//!
//! The build has no optimisation, which would take most of the time: a release build links for minutes.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::step;

pub(super) struct Tool {
    name: &'static str,
    version: &'static str,
    options: &'static [&'static str],
}

/// Options for tools that hash and compress 100 MB.
const OPTIMISED: &[&str] = &["--config", "profile.dev.opt-level=1"];
pub(super) const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", options: OPTIMISED };
pub(super) const CARGO_GENERATE_RPM: Tool =
    Tool { name: "cargo-generate-rpm", version: "0.21.1", options: OPTIMISED };
pub(super) const CARGO_CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9", options: &[] };
pub(super) const MDBOOK: Tool =
    Tool { name: "mdbook", version: "0.5.4", options: &["--no-default-features", "--features", "search"] };

/// A broker that speaks Kafka's protocol; 15 minutes of CPU once. Its features are its storage: in memory, and in a
/// file of SQLite.
pub(super) const TANSU: Tool =
    Tool { name: "tansu", version: "0.6.0", options: &["--features", "dynostore,libsql"] };

impl Tool {
    pub(super) fn ensure(&self) -> Result<PathBuf> {
        let Self { name, version, options } = self;
        let root = step::target_dir().join("tools");
        let program = root.join("bin").join(name);
        let installed = std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        if program.exists() && installed.contains(&format!("\"{name} {version} (")) {
            return Ok(program);
        }
        println!("setup: installing {name} {version} into {}", root.display());
        let build = root.join("build");
        let mut cargo = step::cargo();
        cargo.args(["install", "--locked", "--debug", "--force", "--version", version, name]).args(*options);
        cargo.arg("--root").arg(&root);
        cargo.env("CARGO_TARGET_DIR", &build).env("CARGO_PROFILE_DEV_DEBUG", "0");
        let installed = step::run(cargo.stdin(Stdio::null()));
        installed.with_context(|| {
            format!("{name} could not be installed; cargo's own configuration says from where")
        })?;
        // The build takes a gigabyte and is no longer needed; a failed removal does no harm.
        let _ = std::fs::remove_dir_all(build);
        Ok(program)
    }
}
