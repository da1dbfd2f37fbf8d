use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The profile of what operators run, which is also what benchmarks measure.
pub(crate) const DIST: &str = "dist";

/// Returns the path of a program that was built with [`DIST`].
pub(crate) fn distributed(name: &str) -> PathBuf {
    target_dir().join(DIST).join(name)
}

pub(crate) fn cargo_home() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"));
    named.or_else(usual).context("neither CARGO_HOME nor HOME is set")
}

pub(crate) fn cargo() -> Command {
    let mut command = building(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Returns a command for a program that builds crates.
///
/// The command lacks the variables that cargo has set for this program. Some build scripts depend on such variables,
/// so that `cargo build` and `cargo xtask` in turn would rebuild those crates each time.
pub(crate) fn building(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of_ours| name.to_string_lossy().starts_with(of_ours))
        {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and returns standard output, which must be UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} did not write UTF-8", shown(command)))
}

/// Returns the command as typed, shortened because some contain a whole script.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let first = line.lines().next().unwrap_or_default();
    let short: String = first.chars().take(120).collect();
    format!("`{short}`")
}
