//! `test`: runs the tests with all their peers, and prints times and, as the last line, the count of tests.
//!
//! The tests find their peers in their environment. All peers, and the runner ([`runner`]), end with this process,
//! also after a kill: a guard outside of our process group ends them.
//!
//! Without an installable browser, `test` skips the tests of the page, and prints so at its beginning and its end.
//!
//! | option | tests |
//! | --- | --- |
//! | `--amqp1` | the reader of AMQP 1.0 on RabbitMQ, and the program with the last oslo.messaging that publishes so |
//! | `--kafka` | the Kafka transport and the program on Kafka, with the client library's mock cluster and with tansu |
//! | `--mock-kafka` | the same on the mock cluster alone, as in the gate |
//! | `--library` | the library for services, a workspace of its own |
//! | `--spine` | the crates of [`SPINE`] alone, which need no browser |
//! | `--cloud` | Keystone, Neutron and Ironic from PyPI, nothing else |
//! | `--broker 4` or `4.3` | tests that need a broker, with that version: [`other_broker`] |

pub(crate) mod other_broker;
mod runner;

use std::io::{self, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use osnl_testkit::{BROKER_VARIABLE, Broker, CLOUD_VARIABLE, Guard, PYTHON_VARIABLE, TANSU_VARIABLE};

pub(crate) use self::runner::Count;
use self::runner::{Runner, TestReport, names_packages};
use crate::setup::{self, LeftOut};
use crate::spine::SPINE;
use crate::step;

/// All crates but the one with a client library in C, which has tests of its own (`--kafka`, `--mock-kafka`).
pub(crate) const WITHOUT_KAFKA: [&str; 3] = ["--workspace", "--exclude", "osnl-kafka"];

const WITH_BROKER: &[&str] = &[
    "-p",
    "osnl",
    "-p",
    "osnl-amqp1",
    "-p",
    "osnl-transport",
    "-p",
    "osnl-cli",
    "--test",
    "it",
    "--test",
    "cli",
];

const WITH_CLOUD: &[&str] = &["-p", "osnl-cli", "--features", "cloud", "--test", "cloud"];

const WITH_AMQP1: &str = "-p osnl-amqp1 -p osnl-cli --features osnl-cli/amqp1 --lib --test it --test amqp1";

/// Both, so that the gate builds the program with all its brokers once.
pub(crate) const KAFKA_FEATURES: &str = "osnl-cli/kafka,osnl-cli/amqp1";

const WITH_KAFKA: &[&str] = &[
    "-p",
    "osnl-kafka",
    "-p",
    "osnl-cli",
    "--features",
    KAFKA_FEATURES,
    "--lib",
    "--test",
    "it",
    "--test",
    "kafka",
];
const ON_MOCK_KAFKA: &[&str] = &["--", "--skip", "tansu"];

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let first = args.first().map_or("", String::as_str);
    let run = match other_broker::parse(args) {
        _ if first == "--amqp1" => run_with_amqp1(&args[1..]),
        _ if first == "--kafka" => run_with_kafka(&args[1..]),
        _ if first == "--mock-kafka" => run_with_mock_kafka(&args[1..]),
        _ if first == "--library" => run_library(&args[1..]),
        _ if first == "--spine" => run_spine(&args[1..]),
        _ if first == "--cloud" => run_with_cloud(&args[1..]),
        Ok((None, args)) => run_and_count(&args),
        Ok((Some(_), rest)) if other_broker::is_entered() => run_against(rest),
        Ok((Some(release), _)) => match other_broker::enter(release, &["test"], args)? {},
        Err(error) => {
            eprintln!("xtask test: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let (count, status) = run?;
    println!("{count}");
    Ok(match status.code() {
        Some(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        None => ExitCode::FAILURE,
    })
}

fn run_with_amqp1(args: &[String]) -> Result<(Count, ExitStatus)> {
    let with: Vec<&str> = WITH_AMQP1.split(' ').collect();
    run_and_count_in(&joined(&[&with], args), &[(PYTHON_VARIABLE, setup::amqp1_peer()?)])
}

pub(crate) fn run_with_kafka(args: &[String]) -> Result<(Count, ExitStatus)> {
    setup::kafka()?;
    let tansu = setup::tansu().context("the tests on tansu are not left out: --kafka needs it")?;
    let python = setup::kafka_peer()?;
    run_and_count_in(&joined(&[WITH_KAFKA], args), &[(PYTHON_VARIABLE, python), (TANSU_VARIABLE, tansu)])
}

pub(crate) fn run_with_mock_kafka(args: &[String]) -> Result<(Count, ExitStatus)> {
    setup::kafka()?;
    let about = if args.is_empty() { ON_MOCK_KAFKA } else { &[] };
    run_and_count_in(&joined(&[WITH_KAFKA, about], args), &[(PYTHON_VARIABLE, setup::kafka_peer()?)])
}

pub(crate) fn run_library(args: &[String]) -> Result<(Count, ExitStatus)> {
    let known: &[&str] = &["--manifest-path", "library/Cargo.toml", "--workspace"];
    let mut examples = step::cargo();
    examples.args(["build", "--locked", "--examples"]).args(known);
    step::run(examples.env("CARGO_TARGET_DIR", step::target_dir().join("library")))?;
    run_and_count_in(&joined(&[known], args), &[("CARGO_TARGET_DIR", step::target_dir().join("library"))])
}

fn run_spine(args: &[String]) -> Result<(Count, ExitStatus)> {
    let packages = SPINE.iter().flat_map(|name| ["-p", name]);
    let known: Vec<&str> = packages.chain(["--lib", "--tests"]).collect();
    run_and_count_in(&joined(&[&known], args), &[])
}

pub(crate) fn run_with_cloud(args: &[String]) -> Result<(Count, ExitStatus)> {
    let cloud = setup::cloud()?;
    let mut all = joined(&[WITH_CLOUD], args);
    if !all.iter().any(|arg| arg == "--") {
        all.push("--".to_owned());
    }
    // The plays of the cloud tests print their numbers.
    all.push("--nocapture".to_owned());
    run_and_count_in(&all, &[(CLOUD_VARIABLE, cloud)])
}

fn run_against(args: Vec<String>) -> Result<(Count, ExitStatus)> {
    // Some tests run the examples, and a choice of tests does not build them.
    step::run(step::cargo().args(["build", "--locked", "-p", "osnl", "--examples"]))?;
    let known = if names_packages(&args) { &[] } else { WITH_BROKER };
    run_and_count(&joined(&[known], &args))
}

fn joined(known: &[&[&str]], args: &[String]) -> Vec<String> {
    known.concat().into_iter().map(str::to_owned).chain(args.iter().cloned()).collect()
}

pub(crate) fn run_and_count(args: &[String]) -> Result<(Count, ExitStatus)> {
    run_and_count_in(args, &[])
}

pub(crate) fn run_and_count_in(
    args: &[String],
    variables: &[(&str, PathBuf)],
) -> Result<(Count, ExitStatus)> {
    let mut args = args.to_vec();
    let runner = Runner::parse(&mut args)?;
    let (found, left_out) = setup::run()?;
    let left_out = left_out.as_ref();
    let args = left_out.map_or_else(|| args.clone(), |left_out| without(&args, left_out));
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

    let mut command = runner.command(&args)?;
    command.env(BROKER_VARIABLE, broker.folder()).envs(found);
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    let (output, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn().context("cannot run the tests")?;
    // The command holds the writing end of the pipe, and reading would not end.
    drop(command);
    // nextest's tests have their own process groups, which nextest ends on SIGTERM.
    let _guard = Guard::asking("TERM", &[child.id()], None);
    let report = TestReport::pass_on(BufReader::new(output), &mut io::stdout())?;
    let status = child.wait().context("cannot wait for the tests")?;
    print!("{}{}", report.times(), report.failures());
    not_run();
    Ok((report.count.lacking(left_out.map(|left_out| left_out.tests)), status))
}

pub(crate) fn run_for_gate(left_out: &[&str]) -> Result<(Count, ExitStatus)> {
    run_and_count(&joined(&[left_out], &[]))
}

fn without(args: &[String], left_out: &LeftOut) -> Vec<String> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg == "--") {
        args.push("--".to_owned());
    }
    args.extend(["--skip".to_owned(), left_out.tests.to_owned()]);
    args
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let count = Count::default().lacking(Some(left_out.tests));
        assert_eq!(count.to_string(), "0 passed, 0 failed; in_a_browser::* not run");
        assert!(!count.is_whole() && Count::default().is_whole());
    }
}
