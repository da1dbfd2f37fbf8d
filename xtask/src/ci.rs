//! `ci`: the gate. Runs everything that must hold before a change lands, cheapest first; stops at the first failure.
//!
//! A step with a part of `ci --long` ([`long`]) runs only if the part's paths have changed since its last passed
//! commit in `docs/long-runs.toml`.

pub(crate) mod long;

use std::io::{self, IsTerminal as _};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::long::LongRuns;
use crate::{deny, package, setup, step, test, tidy};

struct CiStep {
    name: &'static str,
    run: fn(&mut CiOutcome) -> Result<()>,
    advice: &'static str,
    /// The paths of the part decide whether the step runs; `None` always runs.
    part: Option<&'static str>,
}

impl CiStep {
    const fn new(name: &'static str, run: fn(&mut CiOutcome) -> Result<()>, advice: &'static str) -> Self {
        Self { name, run, advice, part: None }
    }

    const fn when_due(mut self, part: &'static str) -> Self {
        self.part = Some(part);
        self
    }
}

const STEPS: &[CiStep] = &[
    CiStep::new(
        "format",
        |_| formatted(),
        "run `cargo fmt --all`, also with `--manifest-path library/Cargo.toml`",
    ),
    CiStep::new("tidy", |_| passed(tidy::run(&[])), "each line above says what to do"),
    CiStep::new("deny", |_| passed(deny::run()), "each line above says what to do"),
    CiStep::new(
        "clippy",
        |_| clippy(&test::WITHOUT_KAFKA),
        "mend what clippy says; an exception is `#[expect(…, reason = …)]`",
    ),
    CiStep::new("test", tests, "run `cargo xtask test -p CRATE NAME` for one test alone"),
    CiStep::new(
        "examples",
        |_| doc_tests(),
        "run `cargo xtask test --doc -p CRATE NAME` for one example alone",
    ),
    CiStep::new("kafka", |_| kafka(), "run `cargo xtask test --mock-kafka NAME` for one test alone"),
    CiStep::new("library", |_| library(), "run `cargo xtask test --library NAME` for one test alone")
        .when_due("library"),
    CiStep::new("package", |_| package::gate(), "run `cargo xtask package test` alone").when_due("package"),
    CiStep::new("wheel", |_| package::wheel_gate(), "run `cargo xtask package wheel-test` alone")
        .when_due("wheel"),
    CiStep::new("on-ramps", |_| package::on_ramps_gate(), "run `cargo xtask package on-ramps NAME` alone")
        .when_due("on-ramps"),
    CiStep::new("docs", |_| docs(), "mend what rustdoc says"),
];

#[derive(Default)]
struct CiOutcome {
    count: Option<test::Count>,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [] => gate(),
        [flag, parts @ ..] if flag == "--long" => long::run(parts),
        _ => bail!("the only argument is --long [PART…]"),
    }
}

fn gate() -> Result<ExitCode> {
    let runs = LongRuns::read()?;
    let mut outcome = CiOutcome::default();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for CiStep { name, run, advice, part } in STEPS {
        if let Some(reason) = part.and_then(|part| runs.not_due(part)) {
            println!("ci: {name}: not run, {reason}; ci --long runs it");
            continue;
        }
        println!("ci: {name}");
        let started = Instant::now();
        let result = run(&mut outcome);
        times.push((name, started.elapsed()));
        if let Err(error) = result {
            report(&times, &runs, &outcome);
            return Err(error.context(format!("the step `{name}` failed; {advice}")));
        }
    }
    report(&times, &runs, &outcome);
    Ok(ExitCode::SUCCESS)
}

fn report(times: &[(&str, Duration)], runs: &LongRuns, outcome: &CiOutcome) {
    for (name, time) in times {
        println!("ci: {name:<8} {:>7.1} s", time.as_secs_f32());
    }
    if let Some(due) = runs.due() {
        let (red, end) = if io::stdout().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        println!("ci: {red}{due}{end}");
    }
    if let Some(count) = outcome.count {
        println!("{count}");
    }
}

fn cargo(args: &[&str]) -> Result<()> {
    step::run(step::cargo().args(args).stdin(Stdio::null()))
}

/// Looks at both workspaces: the library's is formatted in less than a second, and its own step runs half an hour later.
fn formatted() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--all", "--check", "--manifest-path", "library/Cargo.toml"])
}

fn clippy(packages: &[&str]) -> Result<()> {
    cargo(&[&["clippy"], packages, &["--all-targets", "--locked", "--", "-D", "warnings"]].concat())
}

fn kafka() -> Result<()> {
    setup::kafka()?;
    clippy(&["-p", "osnl-kafka", "-p", "osnl-cli", "--features", test::KAFKA_FEATURES])?;
    succeeded(test::run_with_mock_kafka(&[])?)
}

/// Runs the examples in documentation comments.
///
/// They need no broker, and link what the step `test` has built.
fn doc_tests() -> Result<()> {
    cargo(&[&["test", "--doc", "--locked", "--quiet"], &test::WITHOUT_KAFKA[..]].concat())
}

fn library() -> Result<()> {
    let manifest = ["--manifest-path", "library/Cargo.toml"];
    let run = |args: &[&str], more: &[&str]| {
        let mut cargo = step::cargo();
        cargo
            .args(args)
            .args(manifest)
            .args(more)
            .env("CARGO_TARGET_DIR", step::target_dir().join("library"));
        step::run(cargo.env("RUSTDOCFLAGS", "-D warnings").stdin(Stdio::null()))
    };
    run(&["clippy", "--workspace", "--all-targets", "--locked"], &["--", "-D", "warnings"])?;
    run(&["doc", "--workspace", "--no-deps", "--locked"], &[])?;
    succeeded(test::run_library(&[])?)
}

fn succeeded((_, status): (test::Count, ExitStatus)) -> Result<()> {
    if !status.success() {
        bail!("the tests ended with {status}");
    }
    Ok(())
}

fn docs() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--locked"];
    step::run(step::cargo().args(args).env("RUSTDOCFLAGS", "-D warnings").stdin(Stdio::null()))
}

fn tests(outcome: &mut CiOutcome) -> Result<()> {
    let runs = LongRuns::read()?;
    let is_left_out = |part: &str| {
        let reason = runs.not_due(part);
        reason.map(|reason| println!("ci: test: without {part}, {reason}; ci --long runs it")).is_some()
    };
    let mut left_out = Vec::new();
    if is_left_out("page") {
        left_out.extend(["--", "--skip", setup::PAGE]);
    }
    let (count, status) = test::run_for_gate(&left_out).context("the tests could not be run")?;
    outcome.count = Some(count);
    succeeded((count, status))?;
    if !count.is_whole() {
        bail!("some tests cannot run here: see NOT RUN above");
    }
    Ok(())
}

fn passed(result: Result<ExitCode>) -> Result<()> {
    if result? != ExitCode::SUCCESS {
        bail!("violations were found");
    }
    Ok(())
}
