//! `test`: the whole test run with everything it needs, and the count of tests as its last line.
//!
//! The tests find the broker and the Python peer in their environment. Both, and cargo itself, end with this
//! process, also when it is interrupted or killed: a guard outside of our process group sees to that.
//!
//! If no browser can be installed, `test` does not run the tests of the page, and says so at its beginning and its end.
//!
//! With `--kafka` the tests of the Kafka transport and of the program on Kafka run, against the mock cluster of its client
//! library and against tansu, which is built once; further arguments choose among them.
//! With `--postgresql` the tests of the program with a journal that daemons share run, on PostgreSQL.
//! With `--cloud` the tests against Keystone, Neutron and Ironic from PyPI run, and nothing else.
//!
//! With `--broker 4` or `4.3` only tests that need a broker run, against that version: [`other_broker`]. What that version has
//! removed is data: [`removed`].

mod other_broker;
mod removed;

use std::io::BufReader;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Instant;
use std::{fmt, io};

use anyhow::{Context as _, Result};
use osnl_testkit::{BROKER_VARIABLE, Broker, CLOUD_VARIABLE, Guard, PYTHON_VARIABLE, TANSU_VARIABLE};

use self::other_broker::Release;
use self::removed::REMOVED;

use crate::setup::{self, LeftOut};
use crate::step;

/// The sum of all `test result:` lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// The tests that cannot run here, by the beginning of their names.
    lacks: Option<&'static str>,
}

/// The tests that need a broker.
const WITH_BROKER: &[&str] = &[
    "-p",
    "osnl",
    "-p",
    "osnl-transport",
    "-p",
    "osnl-cli",
    "-p",
    "osnl-testkit",
    "--test",
    "it",
    "--test",
    "cli",
    "--test",
    "broker",
];

/// The tests against real services of a cloud.
const WITH_CLOUD: &[&str] = &["-p", "osnl-cli", "--features", "cloud", "--test", "cloud"];

/// The tests of the transport that is not in the default build, and of the program with it.
const WITH_KAFKA: &[&str] = &[
    "-p",
    "osnl-transport",
    "-p",
    "osnl-cli",
    "--features",
    "osnl-transport/kafka-tests,osnl-cli/kafka,osnl-cli/postgresql",
    "--lib",
    "--test",
    "it",
    "--test",
    "kafka",
];
/// The names of those among them that are about Kafka, or run the program on it.
const ABOUT_KAFKA: &[&str] = &["--", "kafka"];

/// The tests of the program with a journal that daemons share.
const WITH_POSTGRESQL: &[&str] =
    &["-p", "osnl-cli", "--features", "osnl-cli/postgresql", "--test", "shared_journal"];

/// Runs the tests with further arguments for `cargo test` and ends with its status.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let with_postgresql = args.first().is_some_and(|arg| arg == "--postgresql");
    let with_cloud = args.first().is_some_and(|arg| arg == "--cloud");
    let with_kafka = args.first().is_some_and(|arg| arg == "--kafka");
    let (count, status) = match other_broker::parse(args) {
        _ if with_kafka => run_with_kafka(&args[1..])?,
        _ if with_postgresql => run_with_postgresql(&args[1..])?,
        _ if with_cloud => run_with_cloud(&args[1..])?,
        Ok((None, args)) => run_and_count(&args)?,
        Ok((Some(release), rest)) if other_broker::is_entered() => run_against(release, rest)?,
        Ok((Some(release), _)) => match other_broker::enter(release, args)? {},
        Err(error) => {
            eprintln!("xtask test: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    println!("{count}");
    Ok(match status.code() {
        Some(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        None => ExitCode::FAILURE,
    })
}

fn run_with_kafka(args: &[String]) -> Result<(Count, ExitStatus)> {
    setup::kafka()?;
    let tansu = setup::tansu().context("the tests on tansu are not left out: --kafka needs it")?;
    let python = setup::kafka_peer()?;
    let about = if args.is_empty() { ABOUT_KAFKA } else { &[] };
    let known = WITH_KAFKA.iter().chain(about).map(|arg| (*arg).to_owned());
    run_and_count_in(
        &known.chain(args.iter().cloned()).collect::<Vec<String>>(),
        &[(PYTHON_VARIABLE, python), (TANSU_VARIABLE, tansu)],
    )
}

/// Runs the tests of the program with a journal that daemons share.
pub(crate) fn run_with_postgresql(args: &[String]) -> Result<(Count, ExitStatus)> {
    let known = WITH_POSTGRESQL.iter().map(|arg| (*arg).to_owned());
    run_and_count(&known.chain(args.iter().cloned()).collect::<Vec<String>>())
}

fn run_with_cloud(args: &[String]) -> Result<(Count, ExitStatus)> {
    let cloud = setup::cloud()?;
    let mut all: Vec<String> = WITH_CLOUD.iter().map(|word| (*word).to_owned()).collect();
    all.extend_from_slice(args);
    if !all.iter().any(|arg| arg == "--") {
        all.push("--".to_owned());
    }
    // The plays print their numbers.
    all.push("--nocapture".to_owned());
    run_and_count_in(&all, &[(CLOUD_VARIABLE, cloud)])
}

/// Those that need a broker, but for those that are about what the release has removed.
fn run_against(release: Release, mut args: Vec<String>) -> Result<(Count, ExitStatus)> {
    if !names_packages(&args) {
        args.splice(0..0, WITH_BROKER.iter().map(|word| (*word).to_owned()));
    }
    if !args.iter().any(|arg| arg == "--") {
        args.push("--".to_owned());
    }
    // Some tests run them, and `cargo test` builds none for a choice of tests.
    step::run(step::cargo().args(["build", "--locked", "-p", "osnl", "--examples"]))?;
    let removed: Vec<_> = REMOVED.iter().filter(|removed| removed.is_from(release.version)).collect();
    args.extend(removed.iter().flat_map(|removed| ["--skip".to_owned(), removed.test.to_owned()]));
    let result = run_and_count(&args);
    println!(
        "left out, because RabbitMQ {} has removed what they are about: {}",
        release.version,
        removed.len()
    );
    removed.iter().for_each(|removed| println!("  {}: {}", removed.test, removed.why));
    result
}

/// Runs the tests; their output passes through, the count is left to the caller to print.
pub(crate) fn run_and_count(args: &[String]) -> Result<(Count, ExitStatus)> {
    run_and_count_in(args, &[])
}

/// Adds what leaves tests out.
fn without(args: &[String], left_out: &LeftOut) -> Vec<String> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg == "--") {
        args.push("--".to_owned());
    }
    args.extend(["--skip".to_owned(), left_out.tests.to_owned()]);
    args
}

/// The same with further environment variables.
pub(crate) fn run_and_count_in(
    args: &[String],
    variables: &[(&str, PathBuf)],
) -> Result<(Count, ExitStatus)> {
    let (found, left_out) = setup::run()?;
    let left_out = left_out.as_ref();
    let args = left_out.map_or_else(|| args.to_vec(), |left_out| without(args, left_out));
    let not_run =
        || left_out.map(|LeftOut { tests, why }| println!("NOT RUN: the tests {tests}* are left out: {why}"));
    not_run();
    let started = Instant::now();
    let broker = Broker::start();
    println!(
        "test: a private RabbitMQ {} listens on port {} after {:.1} s",
        broker.root().greeting()[1],
        broker.port(),
        started.elapsed().as_secs_f32()
    );

    let mut cargo = step::cargo();
    cargo.arg("test").args(["--locked", "--no-fail-fast"]);
    if !names_packages(&args) {
        cargo.arg("--workspace");
    }
    cargo.args(&args).env(BROKER_VARIABLE, broker.folder()).envs(found);
    cargo.envs(variables.iter().map(|(name, value)| (*name, value)));
    let mut cargo = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run cargo")?;
    let _guard = Guard::over(&[cargo.id()], None);
    let output = cargo.stdout.take().context("cargo has no output")?;
    let count = pass_on(BufReader::new(output), &mut io::stdout())?;
    let status = cargo.wait().context("cannot wait for cargo")?;
    not_run();
    Ok((Count { lacks: left_out.map(|left_out| left_out.tests), ..count }, status))
}

/// Copies lines and counts what they say.
fn pass_on(mut lines: impl io::BufRead, out: &mut impl io::Write) -> Result<Count> {
    let mut count = Count::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        count.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(count)
}

/// `--workspace` wins over a choice of packages, so it must not stand beside one.
fn names_packages(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        arg.starts_with("-p") || arg.starts_with("--package") || arg.starts_with("--manifest-path")
    })
}

impl Count {
    /// Whether all tests ran that there are.
    pub(crate) fn is_whole(self) -> bool {
        self.lacks.is_none()
    }

    /// Adds what a line `test result: ok. 3 passed; 0 failed; 1 ignored; …` says; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let words: Vec<&str> = result.split(|c: char| !c.is_alphanumeric()).collect();
        for pair in words.windows(2) {
            let &[number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        if let Some(tests) = self.lacks {
            write!(f, "; {tests}* not run")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let check = |output: &str, expected: &str| {
            // Not to standard output: the run that this test is part of counts what stands there.
            let mut copy = Vec::new();
            assert_eq!(pass_on(output.as_bytes(), &mut copy).unwrap().to_string(), expected, "{output}");
            assert_eq!(copy, output.as_bytes());
        };
        check("", "0 passed, 0 failed");
        check("running 0 tests\ntest result: ok? no\n", "0 passed, 0 failed");
        let ok = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.02s\n";
        check(ok, "12 passed, 0 failed");
        let bad = "test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out\n";
        check(&format!("{ok}noise\n{bad}"), "13 passed, 2 failed, 3 skipped");
        // A test that prints without a newline shares its line with nothing of ours.
        check(&format!("x{ok}"), "0 passed, 0 failed");
    }

    #[test]
    fn tests_that_cannot_run_here_are_skipped_and_named() {
        let left_out = LeftOut { tests: "in_a_browser::", why: "no browser" };
        let check = |args: &str, expected: &str| {
            let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
            assert_eq!(without(&args, &left_out).join(" "), expected);
        };
        check("", "-- --skip in_a_browser::");
        check("-p osnl-cli", "-p osnl-cli -- --skip in_a_browser::");
        check("-- name", "-- name --skip in_a_browser::");
        let count = Count { passed: 2, lacks: Some(left_out.tests), ..Count::default() };
        assert_eq!(count.to_string(), "2 passed, 0 failed; in_a_browser::* not run");
        assert!(!count.is_whole() && Count::default().is_whole());
    }

    #[test]
    fn packages_are_seen_before_the_dashes_only() {
        let check = |args: &[&str], expected: bool| {
            let owned: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(names_packages(&owned), expected, "{args:?}");
        };
        check(&[], false);
        check(&["sink"], false);
        check(&["-p", "xtask"], true);
        check(&["-pxtask"], true);
        check(&["--package=xtask"], true);
        check(&["--", "-p"], false);
    }
}
