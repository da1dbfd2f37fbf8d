//! `deny` and `advisories`: cargo-deny over the dependencies, by `deny.toml`.
//!
//! | command | checks | network |
//! | --- | --- | --- |
//! | `deny`, in the gate | licences, versions, origins, and how many packages the program has | fetches crates that this machine lacks, of other platforms too |
//! | `advisories` | advisories against the versions in `Cargo.lock` | fetches the RustSec database |
//!
//! `advisories` prints the date of its database, and fails without a database.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{setup, step};

/// The most foreign packages of the program without features, on Linux, build scripts and derives included. The number
/// only falls.
const MOST_PACKAGES: usize = 214;

pub(crate) fn run() -> Result<ExitCode> {
    let mut deny = cargo_deny(&["check", "--hide-inclusion-graph", "-D", "unnecessary-skip"])?;
    let mut all_pass = verdict(deny.args(["licenses", "bans", "sources"]))? == ExitCode::SUCCESS;
    // The library is a workspace with a lock of its own, and is published.
    let library = ["--manifest-path", "library/Cargo.toml", "--config", "deny.toml"];
    step::run(step::cargo().args(["fetch", "--locked", "--quiet"]).args(&library[..2]))?;
    let mut deny = cargo_deny(&library)?;
    // It has fewer packages than `deny.toml` allows for.
    deny.args([
        "check",
        "--hide-inclusion-graph",
        "-A",
        "license-not-encountered",
        "licenses",
        "bans",
        "sources",
    ]);
    all_pass &= verdict(&mut deny)? == ExitCode::SUCCESS;
    let mut tree = step::cargo();
    tree.args(["tree", "--locked", "--offline", "--package", "osnl-cli", "--edges", "normal,build"]);
    tree.args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--format", "{p}"]);
    ensure_few(&foreign(&step::output(&mut tree)?), MOST_PACKAGES)?;
    Ok(if all_pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the packages that are not of this repository, whose lines have a path.
fn foreign(tree: &str) -> BTreeSet<&str> {
    let foreign = tree.lines().filter(|line| !line.contains(" (/"));
    foreign.filter_map(|line| line.split(" (").next()).collect()
}

fn ensure_few(packages: &BTreeSet<&str>, most: usize) -> Result<()> {
    let is = packages.len();
    ensure!(
        is <= most,
        "the program has {is} foreign packages, at most {most} are allowed: do without one, or say in `Cargo.toml` what \
         it is for and raise MOST_PACKAGES in xtask/src/deny.rs; `cargo tree -p osnl-cli -e normal,build` shows them"
    );
    println!("deny: the program has {is} foreign packages, at most {most} are allowed");
    Ok(())
}

pub(crate) fn advisories() -> Result<ExitCode> {
    let fetched = step::run(Command::new(setup::deny()?).args(["fetch", "db"]).current_dir(step::root()));
    if let Err(error) = &fetched {
        println!("advisories: the database could not be fetched: {error:#}");
    }
    let Some((folder, date)) = database(&step::cargo_home()?) else {
        bail!(
            "there is no database of advisories on this machine, so nothing is known about the dependencies"
        );
    };
    let how = if fetched.is_ok() { "fetched now" } else { "fetched earlier" };
    println!("advisories: the database is of {date}, {how}: {}", folder.display());
    // cargo-deny itself fails for a database older than 90 days.
    verdict(cargo_deny(&["check", "--disable-fetch"])?.arg("advisories"))
}

fn cargo_deny(args: &[&str]) -> Result<Command> {
    step::run(step::cargo().args(["fetch", "--locked", "--quiet"]))?;
    let mut command = Command::new(setup::deny()?);
    command.args(["--offline", "--locked"]).args(args).current_dir(step::root()).stdin(Stdio::null());
    Ok(command)
}

fn verdict(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().context("cannot run cargo-deny")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn database(cargo_home: &Path) -> Option<(PathBuf, String)> {
    let folders = std::fs::read_dir(cargo_home.join("advisory-dbs")).ok()?;
    let dated = folders.filter_map(|folder| {
        let folder = folder.ok()?.path();
        let mut git = Command::new("git");
        git.arg("-C").arg(&folder).args(["log", "-1", "--format=%cI"]).stdin(Stdio::null());
        let date = step::output(&mut git).ok()?.trim().to_owned();
        (folder.join(".git").exists() && !date.is_empty()).then_some((folder, date))
    });
    dated.max_by(|(_, a), (_, b)| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_packages_are_counted_once_and_bounded() {
        let tree = "osnl-cli v0.1.0 (/x/crates/osnl-cli)\nserde v1.0.229\nosnl v0.1.0 (/x/crates/osnl)\n\
                    serde v1.0.229 (*)\nclap_derive v4.6.7 (proc-macro)\nsyn v2.0.119\nsyn v3.0.9\n";
        let packages = foreign(tree);
        assert_eq!(
            Vec::from_iter(&packages),
            [&"clap_derive v4.6.7", &"serde v1.0.229", &"syn v2.0.119", &"syn v3.0.9"]
        );
        ensure_few(&packages, 4).unwrap();
        let error = ensure_few(&packages, 3).unwrap_err().to_string();
        assert!(error.starts_with("the program has 4 foreign packages, at most 3 are allowed: "), "{error}");
    }

    #[test]
    fn without_a_database_there_is_no_date() {
        let home = std::env::temp_dir().join(format!("osnl-advisories-{}", std::process::id()));
        assert_eq!(database(&home), None);
        let folder = home.join("advisory-dbs/advisory-db-1");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(database(&home), None, "an empty folder is none");
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C")
                .arg(&folder)
                .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
                .args(args);
            step::output(git.env("GIT_COMMITTER_DATE", "2026-11-01T00:00:00Z")).unwrap();
        };
        git(&["init", "--quiet"]);
        git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        let (found, date) = database(&home).unwrap();
        assert_eq!((found, &date[..10]), (folder, "2026-11-01"));
        std::fs::remove_dir_all(home).unwrap();
    }
}
