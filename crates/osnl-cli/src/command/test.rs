//! `osnl test`: checks that the rules of a configuration match as expected. Makes no connection,
//! changes nothing.
//!
//! A test is a section of a file `*.test`, which `osnl test` looks for in the folder `tests` beside each file of the
//! configuration; [`file`] has the format.

mod args;
mod file;
mod new;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use osnl::explain::words::{verdict, would};
use osnl::explain::{Explainer, Ruling, Trace};
use osnl::native::Native;
use osnl::rule::Mode;

pub(crate) use self::args::TestArgs;
use self::file::Case;
use self::report::TestOutcome;
use super::saved_events::{self, SavedEventsRefusal};
use super::sources;
use crate::exit::Exit;

pub(crate) fn run(args: &TestArgs) -> Exit {
    if let Some(event) = &args.new {
        return new::print(args, event);
    }
    saved_events::with_configuration(&args.of, &[], None, |conf| {
        let mut cases = Vec::new();
        let mut errors = Vec::new();
        for path in files(args)? {
            match file::read(&path, conf) {
                Ok(found) => cases.extend(found),
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err((Exit::Config, errors.join("\n")));
        }
        let outcomes: Vec<TestOutcome> = cases.iter().map(|case| outcome(conf, case)).collect();
        if outcomes.is_empty() {
            let hint = "there is no test; osnl test --new EVENT prints one: save it as tests/NAME.test beside the \
                        configuration";
            saved_events::say(hint);
        }
        let passed = !outcomes.is_empty() && outcomes.iter().all(TestOutcome::passed);
        Ok(report::print(args.format, &outcomes, if passed { Exit::Done } else { Exit::Failed }))
    })
}

fn files(args: &TestArgs) -> Result<Vec<PathBuf>, SavedEventsRefusal> {
    let mut files = Vec::new();
    let failed = |path: &Path, error: std::io::Error| (Exit::Failed, format!("{}: {error}", path.display()));
    for path in &args.file {
        match path.is_dir() {
            true => files.extend(tests_in(path).map_err(|error| failed(path, error))?),
            false => files.push(path.clone()),
        }
    }
    if args.file.is_empty() {
        let sources = sources::from_args(&args.of.sources);
        let beside = sources.files.iter().chain(&args.of.k2hr3_osnl).map(|file| file.with_file_name("tests"));
        let inside = sources.folders.iter().map(|folder| folder.join("tests"));
        let folders: BTreeSet<PathBuf> = beside.chain(inside).filter(|folder| folder.is_dir()).collect();
        for folder in folders {
            files.extend(tests_in(&folder).map_err(|error| failed(&folder, error))?);
        }
    }
    Ok(files)
}

fn tests_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut found: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "test") && path.is_file());
    found.sort();
    Ok(found)
}

fn outcome<'a>(conf: &Native, case: &'a Case) -> TestOutcome<'a> {
    let mut explainer = Explainer::new(conf).with_listener(case.listener.as_deref());
    let mut problems = Vec::new();
    for event in &case.events {
        let found = differences(&explainer.trace(event.clone()), case);
        let name = if case.events.len() > 1 { format!("{}: ", event.name) } else { String::new() };
        problems.extend(found.into_iter().map(|problem| format!("{name}{problem}")));
    }
    TestOutcome { case, problems }
}

fn differences(trace: &Trace, case: &Case) -> Vec<String> {
    let mut problems = Vec::new();
    for found in &trace.rules {
        if matches!(found.ruling, Ruling::Undecided(_) | Ruling::Unreadable(_)) {
            problems.push(verdict(found));
        }
        let dead = found.ruling.effects().iter().filter(|effect| effect.dead_letter().is_some());
        problems.extend(dead.map(|effect| format!("rule {} matches {}", found.rule, would(effect))));
        match (case.rules.as_ref().map(|expected| expected.contains(&*found.rule)), found.ruling.fires()) {
            (None, _) | (Some(true), true) | (Some(false), false) => {}
            (Some(true), false) => problems.push(verdict(found)),
            (Some(false), true) => {
                problems.push(format!("{}, which the test does not expect", verdict(found)));
            }
        }
    }
    if let Some(expected) = &case.actions {
        let called = called(trace);
        let named =
            |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (missing, more) = (
            expected.difference(&called).collect::<Vec<_>>(),
            called.difference(expected).collect::<Vec<_>>(),
        );
        if !missing.is_empty() {
            problems.push(format!("does not call {}, which the test expects", named(missing)));
        }
        if !more.is_empty() {
            problems.push(format!("calls {}, which the test does not expect", named(more)));
        }
    }
    problems
}

/// Returns the actions that would be called; a rule in shadow mode only records its matches.
fn called(trace: &Trace) -> BTreeSet<String> {
    let live = trace.effects().filter(|(_, effect)| effect.mode == Mode::Live);
    live.map(|(_, effect)| effect.action.to_string()).collect()
}
