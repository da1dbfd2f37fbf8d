//! `ci --long`: parts that take too long for the gate, each started by its name, and the record of their runs.
//!
//! A part is a command of this program, bounded by [`BOUND`]. A tree with uncommitted changes leaves no record,
//! because no commit has the tested state.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use osnl_testkit::Guard;
use serde::{Deserialize, Serialize};

use crate::step;

const FILE: &str = "docs/long-runs.toml";
const HEADER: &str = "# The last run of each part of `cargo xtask ci --long`, which writes this file.\n\n";
const BOUND: &str = "150m";
const PASSED: &str = "passed";

struct LongPart {
    name: &'static str,
    args: &'static [&'static str],
    paths: &'static [&'static str],
}

const PARTS: &[LongPart] = &[
    part("page", &["test", "-p", "osnl-cli", "--test", "browser"], PAGE),
    part("library", &["test", "--library"], LIBRARY),
    part("package", &["package", "test"], PACKAGING),
    part("wheel", &["package", "wheel-test"], WHEEL),
    part("release", &["package", "release"], RELEASE),
    part("release-bookworm", &["package", "test", "--candidate"], RELEASE),
    part("release-trixie", &["package", "test", "--candidate", "--suite", "trixie"], RELEASE),
    part("release-jammy", &["package", "test", "--candidate", "--suite", "jammy"], RELEASE),
    part("release-noble", &["package", "test", "--candidate", "--suite", "noble"], RELEASE),
    part("release-systemd", &["package", "systemd-test", "--candidate"], RELEASE),
    part("release-ansible", &["package", "ansible-test", "--candidate"], RELEASE),
    part("release-image", &["package", "image-test", "--candidate"], RELEASE),
    part("release-wheel", &["package", "wheel-test", "--candidate"], RELEASE),
    part("on-ramps", &["package", "on-ramps"], ON_RAMPS),
    part(
        "amqp1",
        &["test", "--amqp1"],
        &[
            "crates/osnl-amqp1",
            "crates/osnl-brokers",
            "crates/osnl-transport",
            "crates/osnl-engine/src/listener",
            "crates/osnl/src/native/amqp1.rs",
            "crates/osnl/src/probe",
            "crates/osnl-cli/tests/amqp1",
        ],
    ),
    part(
        "kafka",
        &["test", "--kafka"],
        &[
            "crates/osnl-kafka",
            "crates/osnl-brokers",
            "crates/osnl-transport",
            "crates/osnl-actions/src/broker",
            "crates/osnl-actions/src/broker.rs",
            "crates/osnl-engine/src/listener",
            "crates/osnl/src/native/kafka.rs",
            "crates/osnl/src/probe",
            "crates/osnl-cli/tests/kafka",
        ],
    ),
    part("broker-4", &["test", "--broker", "4"], BROKER),
    part("broker-4.3", &["test", "--broker", "4.3"], BROKER),
    part(
        "cloud",
        &["test", "--cloud"],
        &["crates/osnl-net", "crates/osnl-openstack", "crates/osnl-cli/tests/cloud"],
    ),
    part("chaos", &["chaos", "--minutes", "30"], DELIVERY),
    part("standby", &["chaos", "--standby", "--minutes", "15"], DELIVERY),
    part("standby-4", &["chaos", "--standby", "--broker", "4"], DELIVERY),
    part("standby-4.3", &["chaos", "--standby", "--broker", "4.3"], DELIVERY),
    part("shards", &["chaos", "--shards", "--minutes", "10"], DELIVERY),
    part("outage", &["chaos", "--outage"], DELIVERY),
    part("simulate", &["simulate", "--seeds", "10000"], SIMULATED),
    part("faults", &["simulate", "--faults"], SIMULATED),
    part("soak", &["soak", "--minutes", "10", "--huge", "200"], DELIVERY),
    part("fuzz", &["fuzz", "--minutes", "60"], FUZZED),
    part("bench", &["bench"], DELIVERY),
    part("endurance", &["bench", "endurance"], DELIVERY),
    part("bench-full", &["bench", "--full", "commands", "page", "shards"], DELIVERY),
];

const PAGE: &[&str] = &[
    "crates/osnl-admin/src",
    "crates/osnl-admin/templates",
    "crates/osnl-cli/tests/browser",
    "crates/osnl-testkit/src/browser.rs",
];
const LIBRARY: &[&str] = &[
    "library",
    "crates/osnl-brokers",
    "crates/osnl-config",
    "crates/osnl-model",
    "crates/osnl-net",
    "crates/osnl-transport",
    "fixtures/emission",
    "fuzz/library.rs",
];
/// The files whose change makes the gate build and install the packages.
const PACKAGING: &[&str] = &[
    "packaging",
    "crates/osnl-cli/Cargo.toml",
    "crates/osnl-python/k2hr3_osnl.data",
    "xtask/src/package",
    "xtask/src/package.rs",
];
/// The wheels, their tests, and the code under the module. Most commits touch the rest of `crates/osnl`.
const WHEEL: &[&str] = &[
    "packaging/pypi",
    "crates/osnl-python",
    "crates/osnl/src/notification_listener",
    "crates/osnl/src/notification_listener.rs",
    "crates/osnl-engine/src/listener",
    "crates/osnl-brokers",
    "crates/osnl-kafka",
    "crates/osnl-legacy",
    "crates/osnl-model",
    "crates/osnl-transport",
    "crates/osnl-cli/Cargo.toml",
    "fixtures/k2hr3/manual",
    "xtask/src/package/licences.rs",
    "xtask/src/package/wheel.rs",
    "xtask/src/package.rs",
];
/// A release has the whole program.
const RELEASE: &[&str] = &["crates", "packaging", "xtask/src/package", "xtask/src/package.rs"];
const ON_RAMPS: &[&str] = &[
    "packaging/ansible",
    "packaging/helm",
    "packaging/kolla-ansible",
    "packaging/openstack-ansible",
    "xtask/src/package/on_ramps",
    "xtask/src/package/on_ramps.rs",
    "xtask/src/setup/on-ramps-requirements.txt",
];
const BROKER: &[&str] = &["crates"];
const DELIVERY: &[&str] = &[
    "crates/osnl-model",
    "crates/osnl-net",
    "crates/osnl-config",
    "crates/osnl-transport",
    "crates/osnl-core",
    "crates/osnl-journal",
    "crates/osnl-delivery",
    "crates/osnl-action",
    "crates/osnl-engine",
    "crates/osnl-actions",
    "crates/osnl-brokers",
    "crates/osnl-openstack",
    "crates/osnl",
    "crates/osnl-legacy",
    "crates/osnl-cli/src",
    "crates/osnl-bench",
    "xtask/src/bench",
    "xtask/src/bench.rs",
    "xtask/src/chaos",
    "xtask/src/chaos.rs",
    "xtask/src/soak",
    "xtask/src/soak.rs",
];
const FUZZED: &[&str] = &[
    "fuzz",
    "crates/osnl-model",
    "crates/osnl-net",
    "crates/osnl-config",
    "crates/osnl-transport",
    "crates/osnl-journal",
    "crates/osnl-actions/src/mail",
    "crates/osnl-actions/src/mail.rs",
    "crates/osnl",
    "library/osnl-notify",
];

const SIMULATED: &[&str] = &[
    "crates/osnl-model",
    "crates/osnl-config",
    "crates/osnl-transport",
    "crates/osnl-core",
    "crates/osnl-journal",
    "crates/osnl-delivery",
    "crates/osnl-engine",
    "crates/osnl-testkit/src/simulation",
    "crates/osnl-testkit/src/simulation.rs",
    "crates/osnl-testkit/faults",
    "xtask/src/simulate.rs",
];

const fn part(name: &'static str, args: &'static [&'static str], paths: &'static [&'static str]) -> LongPart {
    LongPart { name, args, paths }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LongRun {
    date: String,
    commit: String,
    seconds: u64,
    result: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LongRuns(BTreeMap<String, LongRun>);

pub(super) fn run(names: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = names.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!("no part `{unknown}`; allowed: {}", known.join(", "));
    }
    let mut lines = Vec::new();
    let mut has_failed = false;
    for part in PARTS.iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name)) {
        println!("ci: {}: cargo xtask {}", part.name, part.args.join(" "));
        let started = Instant::now();
        let is_passed = part.run()?;
        has_failed |= !is_passed;
        let (seconds, result) = (started.elapsed().as_secs(), if is_passed { PASSED } else { "failed" });
        let line = format!("ci: {:<16} {seconds:>5} s  {result}", part.name);
        println!("{line}");
        lines.push(line);
        part.record(seconds, result)?;
    }
    println!("{}", lines.join("\n"));
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl LongPart {
    fn run(&self) -> Result<bool> {
        // `timeout` leads a process group of its own.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=60s", BOUND]).arg(std::env::current_exe()?).args(self.args);
        let mut child =
            command.stdin(Stdio::null()).process_group(0).spawn().context("cannot run timeout")?;
        let _guard = Guard::asking("TERM", &[child.id()], None);
        Ok(child.wait()?.success())
    }

    fn record(&self, seconds: u64, result: &str) -> Result<()> {
        let own = format!(":!{FILE}");
        if !git(&["status", "--porcelain", "--", ".", &own])?.is_empty() {
            println!("ci: {}: no record, because there are changes that are not committed", self.name);
            return Ok(());
        }
        let date = step::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned();
        let commit = git(&["rev-parse", "HEAD"])?;
        let mut runs = LongRuns::read()?;
        let run = LongRun { date, commit, seconds, result: result.to_owned() };
        runs.0.insert(self.name.to_owned(), run);
        fs::write(path(), runs.text()?).with_context(|| format!("cannot write {FILE}"))
    }

    /// Returns the part's paths, and those that each build depends on: versions, profiles, and flags.
    fn all_paths(&self) -> Vec<&str> {
        [self.paths, &["Cargo.lock", "Cargo.toml", ".cargo"]].concat()
    }

    fn commits_since(&self, commit: &str) -> Option<usize> {
        let range = format!("{commit}..HEAD");
        let args = [&["rev-list", "--count", range.as_str(), "--"][..], &self.all_paths()].concat();
        git(&args).ok()?.parse().ok()
    }
}

impl LongRuns {
    pub(super) fn read() -> Result<Self> {
        match fs::read_to_string(path()) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).with_context(|| format!("{FILE} is not as `ci --long` writes it"))
    }

    fn text(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string(self)?))
    }

    /// Returns the reason to skip a part in the gate; `None` if the part has not passed, or its paths have changed
    /// since.
    pub(super) fn not_due(&self, name: &str) -> Option<String> {
        let part = PARTS.iter().find(|part| part.name == name)?;
        let run = self.0.get(name).filter(|run| run.result == PASSED)?;
        let paths = part.all_paths();
        git(&[&["diff", "--quiet", run.commit.as_str(), "--"][..], &paths].concat()).ok()?;
        Some(format!("nothing under {} changed since {}", paths.join(", "), short(&run.commit)))
    }

    /// Returns a line that names the parts without a passed run of the present code; `None` if there are none.
    pub(super) fn due(&self) -> Option<String> {
        let due: Vec<&str> =
            PARTS.iter().map(|part| part.name).filter(|name| self.not_due(name).is_none()).collect();
        (!due.is_empty()).then(|| {
            format!(
                "{} of {} long runs are older than their code, or have not passed: {}; ci --long runs them",
                due.len(),
                PARTS.len(),
                due.join(", ")
            )
        })
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        PARTS.iter().map(|part| {
            let name = part.name;
            let Some(LongRun { date, commit, result, .. }) = self.0.get(name) else {
                return format!("{name:<16} no recorded run");
            };
            let since = part.commits_since(commit);
            let since = since.map_or_else(|| "an unknown number of".to_owned(), |number| number.to_string());
            format!(
                "{name:<16} {result} on {date} at {}; {since} commits have touched its paths since",
                short(commit)
            )
        })
    }
}

pub(crate) fn print_state() -> Result<()> {
    LongRuns::read()?.lines().for_each(|line| println!("tidy: ci --long {line}"));
    Ok(())
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

fn path() -> PathBuf {
    step::root().join(FILE)
}

fn git(args: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    // A checkout by another user is common in a container that runs the gate.
    git.current_dir(step::root()).args(["-c", "safe.directory=*"]).args(args).stderr(Stdio::null());
    Ok(step::output(&mut git)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_as_they_are_written() {
        let run = |result: &str| LongRun {
            date: "2026-11-25".to_owned(),
            commit: "0123456789abcdef".to_owned(),
            seconds: 61,
            result: result.to_owned(),
        };
        let runs = LongRuns([("soak".to_owned(), run(PASSED)), ("chaos".to_owned(), run("failed"))].into());
        let text = runs.text().unwrap();
        assert!(text.contains("\n[soak]\ndate = \"2026-11-25\"\n"), "{text}");
        assert_eq!(LongRuns::parse(&text).unwrap(), runs);
        assert!(LongRuns::parse("soak = 1").unwrap_err().to_string().contains(FILE));
    }

    #[test]
    fn a_part_is_due_unless_it_passed_and_nothing_changed() {
        let head = git(&["rev-parse", "HEAD"]).unwrap_or_default();
        let runs = |commit: &str, result: &str| {
            let (date, seconds) = (String::new(), 1);
            let run = LongRun { date, commit: commit.to_owned(), seconds, result: result.to_owned() };
            LongRuns([("soak".to_owned(), run)].into())
        };
        assert_eq!(LongRuns::default().not_due("soak"), None);
        assert!(LongRuns::default().due().unwrap().contains(", soak, "));
        assert_eq!(runs(&head, "failed").not_due("soak"), None);
        assert_eq!(runs("no-such-commit", PASSED).not_due("soak"), None);
        assert_eq!(runs("no-such-commit", PASSED).lines().filter(|line| line.contains("unknown")).count(), 1);
    }

    #[test]
    fn parts_have_paths_that_exist() {
        for part in PARTS {
            for path in part.paths {
                assert!(step::root().join(path).exists(), "{}: {path}", part.name);
            }
        }
    }
}
