//! The programs that run test binaries, and the counts and times in their output.
//!
//! libtest, the default, runs one binary after the other: the tests of a binary share one Python with oslo.messaging,
//! which a process for each test would load anew. cargo-nextest (`--runner nextest`) prints the time of each test,
//! which libtest does not.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use std::{fmt, io};

use anyhow::{Result, bail};

use super::WITHOUT_KAFKA;
use crate::{setup, step};

const DEFAULT: Runner = Runner::Libtest;
/// Tests at once. With eight, tests of times fail on two cores. `.config/nextest.toml` has a number too.
const THREADS: &str = "--test-threads=4";
const SLOWEST: usize = 30;
const FAILURE_LINES: usize = 12;
const FAILURE_COLUMNS: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    Libtest,
    Nextest,
}

impl Runner {
    pub(super) fn parse(args: &mut Vec<String>) -> Result<Runner> {
        let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let named = args[..own].iter().position(|arg| arg == "--runner");
        let is_doc = args[..own].iter().any(|arg| arg == "--doc");
        let Some(at) = named else { return Ok(if is_doc { Runner::Libtest } else { DEFAULT }) };
        let name = args.get(at + 1).map_or("", String::as_str);
        let runner = match name {
            "libtest" => Runner::Libtest,
            "nextest" => Runner::Nextest,
            _ => bail!("--runner {name}: allowed are libtest, nextest"),
        };
        args.drain(at..at + 2);
        Ok(runner)
    }

    pub(super) fn command(self, args: &[String]) -> Result<Command> {
        let mut args = args.to_vec();
        let (mut command, first) = match self {
            Runner::Nextest => {
                let mut command = step::building(setup::nextest()?);
                command.current_dir(step::root()).args(["nextest", "run"]);
                (command, "--show-progress=none")
            }
            Runner::Libtest => {
                if !args.iter().any(|arg| arg == "--") {
                    args.push("--".to_owned());
                }
                args.push(THREADS.to_owned());
                let mut command = step::cargo();
                command.arg("test");
                (command, "--no-fail-fast")
            }
        };
        command.args([first, "--locked"]);
        if !names_packages(&args) {
            command.args(WITHOUT_KAFKA);
        }
        if self == Runner::Libtest && !names_targets(&args) {
            // Named targets leave out the doc tests, and also the examples, which some tests run. Another choice of
            // packages than the tests have would build most dependencies twice, with other features.
            let packages = if names_packages(&args) { &["-p", "osnl"][..] } else { &WITHOUT_KAFKA };
            step::run(step::cargo().args(["build", "--locked", "--examples"]).args(packages))?;
            command.args(["--lib", "--bins", "--tests"]);
        }
        command.args(args);
        Ok(command)
    }
}

/// Whether the arguments choose packages; `--workspace` overrides such a choice, so the two must not be combined.
pub(super) fn names_packages(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        arg.starts_with("-p") || arg.starts_with("--package") || arg.starts_with("--manifest-path")
    })
}

fn names_targets(args: &[String]) -> bool {
    let targets = ["--lib", "--bin", "--bins", "--test", "--tests", "--example", "--all-targets", "--doc"];
    args.iter().take_while(|arg| *arg != "--").any(|arg| targets.contains(&arg.as_str()))
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    lacks: Option<&'static str>,
}

impl Count {
    pub(super) fn lacking(self, tests: Option<&'static str>) -> Self {
        Self { lacks: tests, ..self }
    }

    pub(crate) fn is_whole(self) -> bool {
        self.lacks.is_none()
    }

    /// Adds a line like `ok. 3 passed; 0 failed; 1 ignored` or `4 tests run: 3 passed (1 slow), 1 timed out, 9
    /// skipped`. The tests that nextest skips are those left out by the arguments, and are not counted.
    fn add(&mut self, summary: &str) {
        let words: Vec<&str> = summary.split(|c: char| !c.is_alphanumeric()).collect();
        for pair in words.windows(2) {
            let &[number, word] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" | "timed" | "exec" => self.failed += number,
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

#[derive(Debug, Default)]
pub(super) struct TestReport {
    pub(super) count: Count,
    /// Times of tests from nextest only; libtest times no single test.
    tests: Vec<(Duration, String)>,
    binaries: BTreeMap<String, Duration>,
    current: String,
    /// nextest repeats failures after its summary.
    is_over: bool,
    /// The beginning of each failed test's output; repeated at the end, because a long log is often shown by its end alone.
    failures: String,
    failure_lines: Option<usize>,
}

impl TestReport {
    pub(super) fn pass_on(mut lines: impl io::BufRead, out: &mut impl io::Write) -> Result<Self> {
        let mut report = Self::default();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            out.write_all(&line)?;
            let text = String::from_utf8_lossy(&line);
            report.read_failure(&text);
            report.read(text.trim());
            line.clear();
        }
        Ok(report)
    }

    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.count.add(result);
            let time = result.rsplit_once("finished in ").and_then(|(_, time)| seconds(time));
            *self.binaries.entry(self.current.clone()).or_default() += time.unwrap_or_default();
        } else if let Some(binary) = line.strip_prefix("Running ") {
            let file = binary.rsplit(['/', '(']).next().unwrap_or_default();
            file.trim_end_matches(')').rsplit_once('-').unwrap_or((file, "")).0.clone_into(&mut self.current);
        } else if let Some(crate_name) = line.strip_prefix("Doc-tests ") {
            self.current = format!("{crate_name} (doc tests)");
        } else if let Some((_, summary)) =
            line.strip_prefix("Summary [").and_then(|rest| rest.split_once(']'))
        {
            self.count.add(summary);
            self.is_over = true;
        } else if let Some((time, binary, test)) = timed(line).filter(|_| !self.is_over) {
            *self.binaries.entry(binary.to_owned()).or_default() += time;
            self.tests.push((time, format!("{binary} {test}")));
        }
    }

    /// Reads libtest's block `failures:`, in which `---- NAME stdout ----` opens the output of a test.
    fn read_failure(&mut self, line: &str) {
        let end = line.trim_end();
        if end.starts_with("---- ") && end.ends_with(" stdout ----") {
            self.failure_lines = Some(0);
        } else if end == "failures:" || end.starts_with("test result: ") {
            self.failure_lines = None;
        }
        let Some(lines) = self.failure_lines.as_mut().filter(|lines| **lines < FAILURE_LINES) else { return };
        *lines += 1;
        self.failures.extend(end.chars().take(FAILURE_COLUMNS).chain(['\n']));
    }

    pub(super) fn failures(&self) -> &str {
        &self.failures
    }

    pub(super) fn times(&self) -> String {
        let mut binaries: Vec<(Duration, &str)> =
            self.binaries.iter().map(|(name, time)| (*time, name.as_str())).collect();
        binaries.sort_by(|one, other| other.cmp(one));
        let mut tests: Vec<(Duration, &str)> =
            self.tests.iter().map(|(time, name)| (*time, name.as_str())).collect();
        tests.sort_by(|one, other| other.cmp(one));
        let mut text = String::new();
        for (title, rows) in
            [("test binaries, the time of their tests", &binaries[..]), ("slowest tests", &tests)]
        {
            let most = if title == "slowest tests" { SLOWEST } else { usize::MAX };
            if !rows.is_empty() {
                text += &format!("{title}:\n");
            }
            for (time, name) in rows.iter().take(most) {
                text += &format!("{:>9.3} s  {name}\n", time.as_secs_f64());
            }
        }
        text
    }
}

fn timed(line: &str) -> Option<(Duration, &str, &str)> {
    let (status, rest) = line.split_once(" [")?;
    let is_status = status.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || " -".contains(c));
    let (time, rest) = rest.split_once(']').filter(|_| is_status)?;
    let rest = rest.split_once(')').map_or(rest, |(_, rest)| rest);
    let (binary, test) = rest.trim().split_once(' ')?;
    Some((seconds(time.trim())?, binary, test))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies to memory, because an outer run counts the summaries on standard output.
    fn read(output: &str) -> TestReport {
        let mut copy = Vec::new();
        let report = TestReport::pass_on(output.as_bytes(), &mut copy).unwrap();
        assert_eq!(copy, output.as_bytes());
        report
    }

    #[test]
    fn results_of_both_runners_are_summed() {
        let check = |output: &str, expected: &str| {
            assert_eq!(read(output).count.to_string(), expected, "{output}");
        };
        check("", "0 passed, 0 failed");
        check("running 0 tests\ntest result: ok? no\n", "0 passed, 0 failed");
        let ok = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.02s\n";
        check(ok, "12 passed, 0 failed");
        let bad = "test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out\n";
        check(&format!("{ok}noise\n{bad}"), "13 passed, 2 failed, 3 skipped");
        // A test that prints without a newline shares its line with no summary of the runner.
        check(&format!("x{ok}"), "0 passed, 0 failed");
        let next = "     Summary [   1.234s] 9/10 tests run: 6 passed (2 slow, 1 leaky), 2 failed, 1 timed out, 7 skipped\n";
        check(next, "6 passed, 3 failed");
        check("     Summary [   0.234s] 1 test run: 1 passed, 2174 skipped\n", "1 passed, 0 failed");
    }

    #[test]
    fn times_are_those_of_binaries_and_tests() {
        let next = "        PASS [   0.250s] (   1/2174) osnl-core epoch::one\n\
                    \x20       FAIL [   1.500s] (   2/2174) osnl-cli::cli tap::two\n\
                    \x20       SLOW [> 60.000s] (─────────) osnl-cli::cli tap::three\n\
                    \x20       PASS [   0.500s] (   3/2174) osnl-core epoch::four\n\
                    \x20    Summary [   2.000s] 3 tests run: 2 passed, 1 failed, 0 skipped\n\
                    \x20       FAIL [   1.500s] (   2/2174) osnl-cli::cli tap::two\n";
        let expected = "test binaries, the time of their tests:\n    1.500 s  osnl-cli::cli\n    0.750 s  osnl-core\n\
                        slowest tests:\n    1.500 s  osnl-cli::cli tap::two\n    0.500 s  osnl-core epoch::four\n    \
                        0.250 s  osnl-core epoch::one\n";
        assert_eq!(read(next).times(), expected);
        let lib = "     Running unittests src/lib.rs (target/debug/deps/osnl_core-0123456789abcdef)\n\
                   test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.75s\n\n";
        assert_eq!(read(lib).times(), "test binaries, the time of their tests:\n    0.750 s  osnl_core\n");
    }

    #[test]
    fn the_beginning_of_each_failure_is_kept() {
        let bad = "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\nnode is up\nthread 'a::b' panicked at x.rs:1:\n\n\n\
                   failures:\n    a::b\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\nnoise\n";
        let expected = "---- a::b stdout ----\nnode is up\nthread 'a::b' panicked at x.rs:1:\n\n\n";
        assert_eq!(read(bad).failures(), expected);
        let long = format!("---- a::b stdout ----\n{}", "line\n".repeat(50));
        assert_eq!(read(&long).failures().lines().count(), FAILURE_LINES);
    }

    #[test]
    fn the_runner_is_taken_out_of_the_arguments() {
        let check = |line: &str, expected: Result<(Runner, &str), &str>| {
            let mut args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Runner::parse(&mut args), expected) {
                (Ok(runner), Ok(expected)) => {
                    assert_eq!((runner, args.join(" ").as_str()), expected, "{line}")
                }
                (Err(error), Err(reason)) => assert_eq!(error.to_string(), reason, "{line}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("-p osnl name", Ok((DEFAULT, "-p osnl name")));
        check("--runner libtest -p osnl", Ok((Runner::Libtest, "-p osnl")));
        check("-p osnl --runner nextest name", Ok((Runner::Nextest, "-p osnl name")));
        check("--doc -p osnl", Ok((Runner::Libtest, "--doc -p osnl")));
        check("-- --runner x", Ok((DEFAULT, "-- --runner x")));
        check("--runner", Err("--runner : allowed are libtest, nextest"));
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
