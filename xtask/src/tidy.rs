//! `tidy`: rules about files that no compiler checks. Each violation names file, line, rule, and remedy.
//!
//! The rules apply to files that git tracks or would track (`git ls-files` with untracked ones that are not ignored).
//! Recordings under `fixtures/` keep their format; they must only be text.

mod budget;
mod graph;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use self::budget::{BudgetRow, TidyBudget};
use self::graph::Graph;
use crate::simulate::FAULTS;
use crate::{ci, spine, step};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line.max(1), self.text)
    }
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let is_graph = match args {
        [] => false,
        [flag] if flag == "--graph" => true,
        _ => bail!("the only argument is --graph"),
    };
    let paths = files()?;
    let mut violations = Vec::new();
    let mut measured = BTreeMap::new();
    for path in &paths {
        let full = step::root().join(path);
        // A symbolic link's target is checked under its own name; a deleted file is still listed until staged.
        let Ok(kind) = full.symlink_metadata() else { continue };
        if kind.is_file() {
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
            violations.extend(rules::check(path, &bytes));
        }
    }
    modules(&paths, &mut measured, &mut violations, is_graph)?;
    if is_graph {
        println!("{}", budget::table(&measured));
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(step::root().join(budget::FILE))?;
    violations.extend(TidyBudget::parse(&text)?.check(&measured));
    for (path, edge) in spine::named_edges(&step::root())? {
        let text = format!("the spine names {edge}: it builds without the edges");
        violations.push(Violation { path, line: 1, text });
    }
    for path in paths.iter().filter(|path| path.starts_with(FAULTS) && step::root().join(path).exists()) {
        let mut git = Command::new("git");
        git.args(["apply", "--check", path]).current_dir(step::root());
        if step::output(&mut git).is_err() {
            let text = "the planted fault fits the code no longer: write it anew".to_owned();
            violations.push(Violation { path: path.clone(), line: 1, text });
        }
    }
    ci::long::print_state()?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        println!("tidy: {} files are fine", paths.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} violations", violations.len());
    Ok(ExitCode::FAILURE)
}

fn folder(path: &str) -> Option<&str> {
    let depth = if path.starts_with("crates/") || path.starts_with("library/") { 2 } else { 1 };
    path.match_indices('/').nth(depth - 1).map(|(at, _)| &path[..at])
}

fn modules(
    paths: &[String],
    measured: &mut BTreeMap<String, BudgetRow>,
    violations: &mut Vec<Violation>,
    is_printed: bool,
) -> Result<()> {
    for path in paths {
        let Some(folder) = folder(path) else { continue };
        let root = ["lib.rs", "main.rs"].into_iter().find(|root| *path == format!("{folder}/src/{root}"));
        let Some(root) = root.filter(|_| step::root().join(path).exists()) else { continue };
        let graph = Graph::read(&step::root().join(folder).join("src"), root)?;
        for module in graph.misplaced() {
            let text = format!("the order of modules and the modules differ by `{module}`");
            violations.push(Violation { path: path.clone(), line: 1, text });
        }
        let (cycles, upward) = (graph.cycles(), graph.upward());
        let row = measured.entry(folder.to_owned()).or_default();
        row[0] += cycles.iter().map(|cycle| cycle.rooms.len()).sum::<usize>();
        row[1] += upward.len();
        if is_printed {
            for cycle in cycles {
                println!("{folder}/src: a cycle of {}", cycle.rooms.join(", "));
                cycle.imports.iter().for_each(|arrow| println!("  {arrow}"));
            }
            upward.iter().for_each(|arrow| println!("{folder}/src: upward: {arrow}"));
        }
    }
    Ok(())
}

fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // A checkout by another user is common in a container that runs the gate.
    git.current_dir(step::root()).args(["-c", "safe.directory=*"]);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<String> = step::output(&mut git)?.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
