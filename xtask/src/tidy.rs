//! `tidy`: rules about files that no compiler checks. Each violation says file, line, rule, and what to do.
//!
//! Looked at are the files that git tracks or would track (`git ls-files` with untracked ones that are not
//! ignored). Recordings under `fixtures/` are not ours to format; they must only be text.

mod pictures;
mod rules;

use std::fmt;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::step;

/// A rule that a line of a file breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// The file's path from the root of the repository.
    path: String,
    /// From 1; 0 when it is about the file as a whole.
    line: usize,
    /// What is wrong, and what to do.
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line.max(1), self.text)
    }
}

/// Checks all files; fails when one breaks a rule.
pub(crate) fn run() -> Result<ExitCode> {
    let paths = files()?;
    let mut violations = Vec::new();
    for path in &paths {
        let full = step::root().join(path);
        // A symbolic link's target is checked under its own name; a deleted file is still listed until staged.
        let Ok(kind) = full.symlink_metadata() else { continue };
        if kind.is_file() {
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
            violations.extend(rules::check(path, &bytes));
        }
    }
    violations.extend(pictures::check(&step::root(), &paths)?);
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

fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // A checkout by another user is common where a container runs the gate.
    git.current_dir(step::root()).args(["-c", "safe.directory=*"]);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<String> = step::output(&mut git)?.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
