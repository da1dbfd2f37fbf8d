//! `package release [--sign KEY]`: the files of a release, made from a clean tree.
//!
//! `cargo xtask release` has prepared the commit. `target/release-X.Y.Z` gets the packages, the wheels with their
//! sources, the image, a bill of materials by cargo-cyclonedx, `SHA256SUMS`, and with a key a signature of each file.
//! Tests of packages take these files with `--candidate`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::origin::{SUMS, release_folder};
use super::stage::{Profile, Stage};
use super::{FEATURES, image, source_date, version, wheel};
use crate::{release, setup, step};

const PROGRAM: [&str; 4] = ["--manifest-path", "crates/osnl-cli/Cargo.toml", "--features", FEATURES];

const NEXT: &str = "\
package: next, as root:
  cargo xtask package test --candidate             Debian 12; --suite trixie, jammy, noble
  cargo xtask package systemd-test --candidate
  cargo xtask package ansible-test --candidate
  cargo xtask package wheel-test --candidate
  cargo xtask package image-test --candidate
then, as CONTRIBUTING.md says: tag the commit, push it, publish the crates, and upload the files";

pub(super) fn make(flags: &[&str]) -> Result<ExitCode> {
    let key = match *flags {
        [] => None,
        ["--sign", key] => Some(key),
        _ => bail!("{}: allowed is --sign KEY", flags.join(" ")),
    };
    release::ensure_clean()?;
    release::ensure_prepared(&version()?)?;
    let stage = Stage::make(Profile::Dist)?;
    stage.ensure_glibc()?;
    let made = [stage.deb()?, stage.rpm()?, wheel::for_pypi()?, vec![image::archive(&image::make(&stage)?)?]];
    let folder = release_folder()?;
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for file in made.iter().flatten() {
        let name = file.file_name().context("a package without a name")?;
        ensure!(name.to_string_lossy().contains(&version()?), "{} has another version", file.display());
        fs::copy(file, folder.join(name)).with_context(|| file.display().to_string())?;
    }
    bill_of_materials(&folder.join(format!("osnl-{}.cdx.json", version()?)))?;
    let sums = checksums(&folder)?;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").context("a line of sha256sum")?;
        println!("{:>11} bytes  {sum}  {name}", fs::metadata(folder.join(name))?.len());
        key.map_or(Ok(()), |key| sign(&folder.join(name), key))?;
    }
    key.map_or(Ok(()), |key| sign(&folder.join(SUMS), key))?;
    println!("package: these files and {SUMS} are in {}\n{NEXT}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the program's bill of materials, and removes cargo-cyclonedx's files for the other crates.
fn bill_of_materials(path: &Path) -> Result<()> {
    let mut cyclonedx = Command::new(setup::cargo_cyclonedx()?);
    cyclonedx.args(["cyclonedx", "--format", "json", "--spec-version", "1.5"]);
    cyclonedx.args(["--override-filename", "osnl.cdx"]).args(PROGRAM);
    cyclonedx.env("SOURCE_DATE_EPOCH", source_date()?).env("CARGO_NET_OFFLINE", "true");
    step::run(cyclonedx.current_dir(step::root()).stdin(Stdio::null()))?;
    // References to our own crates contain this machine's path.
    let kept = "sed \"s|file://$PWD|file:///usr/src/osnl|\" crates/osnl-cli/osnl.cdx.json > \"$1\" && rm -f crates/*/osnl.cdx.json xtask/osnl.cdx.json";
    step::run(Command::new("sh").args(["-euc", kept, "sh"]).arg(path).current_dir(step::root()))
}

fn checksums(folder: &Path) -> Result<String> {
    let mut names: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let sums = step::output(Command::new("sha256sum").args(names).current_dir(folder))?;
    fs::write(folder.join(SUMS), &sums)?;
    Ok(sums)
}

fn sign(file: &Path, key: &str) -> Result<()> {
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--yes", "--armor", "--detach-sign", "--local-user", key]).arg(file);
    step::run(gpg.stdin(Stdio::null()))
}
