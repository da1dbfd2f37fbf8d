//! `ci`: the gate. Everything that must hold before a change lands, cheapest first; stops at what fails.
//!
//! Needs no terminal, asks nothing, and ends with the time of each step and the count of tests.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{deny, package, setup, step, test, tidy};

/// A step: its name, what it does, and what to do when it fails.
type CiStep = (&'static str, fn(&mut CiOutcome) -> Result<()>, &'static str);

const STEPS: [CiStep; 9] = [
    ("format", |_| cargo(&["fmt", "--all", "--check"]), "run `cargo fmt --all`"),
    ("tidy", |_| passed(tidy::run(&[])), "each line above says what to do"),
    ("deny", |_| passed(deny::run()), "each line above says what to do"),
    (
        "clippy",
        |_| cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        "mend what clippy says; an exception is `#[expect(…, reason = …)]`",
    ),
    ("test", tests, "run `cargo xtask test -p CRATE NAME` for one test alone"),
    (
        "kafka",
        |_| kafka(),
        "run `cargo test -p osnl-transport --features kafka --lib kafka::NAME` for one test alone",
    ),
    ("shared", |_| shared_journal(), "run `cargo xtask test --postgresql NAME` for one test alone"),
    ("package", |_| package::gate(), "run `cargo xtask package test` alone"),
    ("docs", |_| docs(), "mend what rustdoc says"),
];

#[derive(Default)]
struct CiOutcome {
    count: Option<test::Count>,
}

/// Runs all steps.
pub(crate) fn run() -> Result<ExitCode> {
    let mut outcome = CiOutcome::default();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, run, advice) in STEPS {
        println!("ci: {name}");
        let started = Instant::now();
        let result = run(&mut outcome);
        times.push((name, started.elapsed()));
        if let Err(error) = result {
            report(&times, &outcome);
            return Err(error.context(format!("the step `{name}` failed; {advice}")));
        }
    }
    report(&times, &outcome);
    Ok(ExitCode::SUCCESS)
}

fn report(times: &[(&str, Duration)], outcome: &CiOutcome) {
    for (name, time) in times {
        println!("ci: {name:<8} {:>7.1} s", time.as_secs_f32());
    }
    if let Some(count) = outcome.count {
        println!("{count}");
    }
}

fn cargo(args: &[&str]) -> Result<()> {
    step::run(step::cargo().args(args).stdin(Stdio::null()))
}

/// The transport that is not in the default build: lints, those of its benchmark too, and the tests that need no broker.
fn kafka() -> Result<()> {
    setup::kafka()?;
    let of = ["-p", "osnl-transport", "--features", "osnl-transport/kafka-tests", "--locked"];
    let bench = ["-p", "osnl-bench", "--features", "osnl-bench/kafka"];
    let lint = ["--all-targets", "--", "-D", "warnings"];
    cargo(&[&["clippy"], &of[..], &bench[..], &lint[..]].concat())?;
    cargo(&[&["test"], &of[..], &["--lib", "kafka::"]].concat())
}

/// The journal that daemons share, which is not in the default build: lints, and the program on PostgreSQL.
fn shared_journal() -> Result<()> {
    let of = ["-p", "osnl-cli", "--features", "postgresql", "--locked"];
    cargo(&[&["clippy"], &of[..], &["--all-targets", "--", "-D", "warnings"]].concat())?;
    let (_, status) = test::run_with_postgresql(&[])?;
    if !status.success() {
        bail!("cargo test ended with {status}");
    }
    Ok(())
}

fn docs() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--locked"];
    step::run(step::cargo().args(args).env("RUSTDOCFLAGS", "-D warnings").stdin(Stdio::null()))
}

fn tests(outcome: &mut CiOutcome) -> Result<()> {
    let (count, status) = test::run_and_count(&[]).context("the tests could not be run")?;
    outcome.count = Some(count);
    if !status.success() {
        bail!("cargo test ended with {status}");
    }
    if !count.is_whole() {
        bail!("some tests cannot run here: see NOT RUN above");
    }
    Ok(())
}

/// `tidy` and `deny` print what they found and end with a status.
fn passed(result: Result<ExitCode>) -> Result<()> {
    if result? != ExitCode::SUCCESS {
        bail!("violations were found");
    }
    Ok(())
}
