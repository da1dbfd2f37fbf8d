//! `simulate`: plays stories under a seed (`osnl_testkit::simulation`), and shows that planted faults are found.
//!
//! With `--faults`, each patch of `crates/osnl-testkit/faults` is applied to a copy of the tree in turn. The table has the
//! number of stories until the first broken promise, and the length of its shortest story. A fault that 200 stories do
//! not find is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::step;

pub(crate) const FAULTS: &str = "crates/osnl-testkit/faults";
const PLAYS: &str = "run --quiet --locked -p osnl-engine --example simulate --";

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args.split_first() {
        Some((first, names)) if first == "--faults" => find_faults(names),
        _ => {
            let status =
                step::cargo().args(PLAYS.split(' ')).args(args).status().context("cannot run cargo")?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

fn find_faults(names: &[String]) -> Result<ExitCode> {
    let faults = faults()?;
    if let Some(name) = names.iter().find(|name| faults.iter().all(|(known, _)| known != *name)) {
        bail!("{FAULTS} has no {name}.patch");
    }
    let tree = Scratch::new()?;
    let mut all_found = true;
    println!("| fault | stories | broken promise | steps | lines |\n| --- | --- | --- | --- | --- |");
    for (name, patch) in faults {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let row = tree.find(&patch).with_context(|| format!("the fault {name}"))?;
        all_found &= row.is_some();
        println!("| {name} | {} |", row.as_deref().unwrap_or("not found | | |"));
    }
    Ok(if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn faults() -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(step::root().join(FAULTS)).with_context(|| format!("cannot read {FAULTS}"))? {
        let path = entry?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "patch") {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A copy of the tree, with a target folder of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = step::target_dir().join("simulate");
        let tree = folder.join("tree");
        let _ = fs::remove_dir_all(&tree);
        let listed = step::output(Command::new("git").arg("ls-files").current_dir(step::root()))?;
        for file in listed.lines().map(Path::new) {
            let to = tree.join(file);
            fs::create_dir_all(to.parent().unwrap_or(&tree))?;
            // `cp` keeps the times, so that nothing is built without need.
            step::run(Command::new("cp").arg("-p").arg(step::root().join(file)).arg(to))?;
        }
        // `git apply` takes the paths of a repository.
        step::run(Command::new("git").args(["init", "--quiet"]).current_dir(&tree))?;
        Ok(Self(folder))
    }

    /// Returns the rest of a row of the table; `None` if no story breaks a promise.
    fn find(&self, patch: &Path) -> Result<Option<String>> {
        let tree = self.0.join("tree");
        let apply = |args: &[&str]| {
            step::run(Command::new("git").arg("apply").args(args).arg(patch).current_dir(&tree))
        };
        apply(&[])?;
        let mut plays = step::cargo();
        plays.args(PLAYS.split(' ')).arg("--first").current_dir(&tree);
        let said = step::output(plays.env("CARGO_TARGET_DIR", self.0.join("target")));
        apply(&["--reverse"])?;
        let said = said?;
        match said.lines().find_map(|line| line.strip_prefix("first: ")) {
            Some("none") => Ok(None),
            Some(row) => Ok(Some(row.to_owned())),
            None => bail!("the stories said nothing: {said}"),
        }
    }
}
