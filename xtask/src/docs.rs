//! `docs`: writes the pages that are made from the code. Tests of the crates say when one is not current.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::step;

const PATH: &str = "docs/reference/configuration.md";

/// Writes the pages.
pub(crate) fn run() -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut reference = Command::new(cargo);
    reference.current_dir(step::root()).args(["run", "--quiet", "--locked", "-p", "osnl-cli", "--"]);
    let page = step::output(reference.args(["config", "reference", "--format", "markdown"]))?;
    let path = step::root().join(PATH);
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    std::fs::write(&path, &page).with_context(|| format!("cannot write {PATH}"))?;
    println!("{PATH}: {} lines", page.lines().count());
    Ok(ExitCode::SUCCESS)
}
