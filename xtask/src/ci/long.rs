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
    /// The further paths of the program that runs this part, if other parts have the same `paths`.
    tool: &'static [&'static str],
}

const PARTS: &[LongPart] = &[
    part("page", &["test", "-p", "osnl-cli", "--test", "browser"], PAGE),
    part("library", &["test", "--library"], LIBRARY),
    part("package", &["package", "test"], PACKAGING),
    part("wheel", &["package", "wheel-test"], WHEEL),
    part("release", &["package", "release"], RELEASE),
    candidate("release-bookworm", &["package", "test", "--candidate"], PRISTINE),
    candidate("release-trixie", &["package", "test", "--candidate", "--suite", "trixie"], PRISTINE),
    candidate("release-jammy", &["package", "test", "--candidate", "--suite", "jammy"], PRISTINE),
    candidate("release-noble", &["package", "test", "--candidate", "--suite", "noble"], PRISTINE),
    candidate("release-systemd", &["package", "systemd-test", "--candidate"], PRISTINE),
    candidate("release-ansible", &["package", "ansible-test", "--candidate"], &["xtask/src/package/ansible"]),
    candidate("release-image", &["package", "image-test", "--candidate"], &["xtask/src/package/image"]),
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
    delivery("chaos", &["chaos", "--minutes", "30"], CHAOS),
    delivery("standby", &["chaos", "--standby", "--minutes", "15"], CHAOS),
    delivery("standby-4", &["chaos", "--standby", "--broker", "4"], CHAOS),
    delivery("standby-4.3", &["chaos", "--standby", "--broker", "4.3"], CHAOS),
    delivery("shards", &["chaos", "--shards", "--minutes", "10"], CHAOS),
    delivery("outage", &["chaos", "--outage"], CHAOS),
    part("simulate", &["simulate", "--seeds", "10000"], SIMULATED),
    part("faults", &["simulate", "--faults"], SIMULATED),
    delivery("soak", &["soak", "--minutes", "10", "--huge", "200"], SOAK),
    part("fuzz", &["fuzz", "--minutes", "60"], FUZZED),
    delivery("bench", &["bench"], BENCH),
    delivery("endurance", &["bench", "endurance"], ENDURANCE),
    delivery("bench-full", &["bench", "--full", "commands", "page", "shards"], BENCH),
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
/// A release has the whole program. The scripts that try its files are apart.
const RELEASE: &[&str] = &[
    "crates",
    "packaging",
    "xtask/src/package.rs",
    "xtask/src/package/ansible.rs",
    "xtask/src/package/booted.rs",
    "xtask/src/package/image.rs",
    "xtask/src/package/licences.rs",
    "xtask/src/package/origin.rs",
    "xtask/src/package/pristine.rs",
    "xtask/src/package/release.rs",
    "xtask/src/package/stage.rs",
    "xtask/src/package/stage.sh",
    "xtask/src/package/wheel.rs",
];
const PRISTINE: &[&str] = &["xtask/src/package/pristine"];
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
/// The crates that carry a message from the broker to its targets. The tools that measure or break them are apart, so
/// that a change of one tool makes only its own parts due.
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
];
/// The faults, the publisher, and the judge, with the brokers and the target that the faults stop.
const CHAOS: &[&str] = &[
    "crates/osnl-testkit/python/oracle_publisher.py",
    "crates/osnl-testkit/src/broker",
    "crates/osnl-testkit/src/broker.rs",
    "crates/osnl-testkit/src/oracle",
    "crates/osnl-testkit/src/oracle.rs",
    "crates/osnl-testkit/src/sink",
    "crates/osnl-testkit/src/sink.rs",
    "xtask/src/chaos",
    "xtask/src/chaos.rs",
    "xtask/src/test/other_broker.rs",
];
/// The publisher of hostile messages, the target, and the judge. Most of `osnl-bench` serves benchmarks alone.
const SOAK: &[&str] = &[
    "crates/osnl-bench/src/clock.rs",
    "crates/osnl-bench/src/messages.rs",
    "crates/osnl-bench/src/queue.rs",
    "crates/osnl-bench/src/soak.rs",
    "crates/osnl-testkit/src/hostile.rs",
    "crates/osnl-testkit/src/sink",
    "crates/osnl-testkit/src/sink.rs",
    "fixtures/bench",
    "xtask/src/soak",
    "xtask/src/soak.rs",
];
/// The page and the module for Python are measured too.
const BENCH: &[&str] = &[
    "crates/osnl-admin",
    "crates/osnl-bench",
    "crates/osnl-python",
    "fixtures/bench",
    "xtask/src/bench",
    "xtask/src/bench.rs",
];
/// The section `endurance` with its modules, and the commands `fill`, `pace`, and `sink` of `osnl-bench`.
const ENDURANCE: &[&str] = &[
    "crates/osnl-bench/src/clock.rs",
    "crates/osnl-bench/src/messages.rs",
    "crates/osnl-bench/src/publish.rs",
    "crates/osnl-bench/src/queue.rs",
    "crates/osnl-bench/src/sink.rs",
    "fixtures/bench",
    "xtask/src/bench/effort.rs",
    "xtask/src/bench/endurance.rs",
    "xtask/src/bench/process.rs",
    "xtask/src/bench/sink.rs",
    "xtask/src/bench/stage.rs",
    "xtask/src/bench/table.rs",
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
    LongPart { name, args, paths, tool: &[] }
}

const fn candidate(
    name: &'static str,
    args: &'static [&'static str],
    tool: &'static [&'static str],
) -> LongPart {
    LongPart { name, args, paths: RELEASE, tool }
}

const fn delivery(
    name: &'static str,
    args: &'static [&'static str],
    tool: &'static [&'static str],
) -> LongPart {
    LongPart { name, args, paths: DELIVERY, tool }
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

    /// Returns the part's paths with its tool's, and those that each build depends on: versions, profiles, and flags.
    fn all_paths(&self) -> Vec<&str> {
        [self.paths, self.tool, &["Cargo.lock", "Cargo.toml", ".cargo"]].concat()
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
    use std::collections::BTreeSet;
    use std::path::Path;

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
            for path in part.all_paths() {
                assert!(step::root().join(path).exists(), "{}: {path}", part.name);
            }
        }
    }

    #[test]
    fn a_row_of_a_benchmark_makes_neither_chaos_nor_endurance_due() {
        let check = |changed: &str, expected: &[&str]| {
            assert!(step::root().join(changed).exists(), "{changed}");
            let is_due =
                |part: &&LongPart| part.all_paths().iter().any(|path| Path::new(changed).starts_with(path));
            let due: Vec<&str> = PARTS
                .iter()
                .filter(|part| part.paths == DELIVERY)
                .filter(is_due)
                .map(|part| part.name)
                .collect();
            assert_eq!(due, expected, "{changed}");
        };
        let chaos = ["chaos", "standby", "standby-4", "standby-4.3", "shards", "outage"];
        let bench = ["bench", "bench-full"];
        check("xtask/src/bench/page.rs", &bench);
        check("xtask/src/bench/low.rs", &bench);
        check("xtask/src/bench.rs", &bench);
        check("crates/osnl-bench/src/history.rs", &bench);
        check("xtask/src/bench/endurance.rs", &["bench", "endurance", "bench-full"]);
        check("crates/osnl-bench/src/publish.rs", &["bench", "endurance", "bench-full"]);
        check("crates/osnl-bench/src/messages.rs", &["soak", "bench", "endurance", "bench-full"]);
        check("crates/osnl-bench/src/soak.rs", &["soak", "bench", "bench-full"]);
        check("xtask/src/soak/bound.rs", &["soak"]);
        check("xtask/src/chaos/standby.rs", &chaos);
        check("crates/osnl-testkit/src/oracle/judge.rs", &chaos);
        check("xtask/src/ci/long.rs", &[]);
        let all = [&chaos[..], &["soak", "bench", "endurance", "bench-full"]].concat();
        check("crates/osnl-delivery/src/lib.rs", &all);
        check("Cargo.lock", &all);
    }

    #[test]
    fn a_script_that_tries_a_release_makes_only_its_own_parts_due() {
        let due = |changed: &Path| -> Vec<&str> {
            let is_due = |part: &&LongPart| part.all_paths().iter().any(|path| changed.starts_with(path));
            PARTS.iter().filter(|part| part.paths == RELEASE).filter(is_due).map(|part| part.name).collect()
        };
        assert_eq!(due(Path::new("xtask/src/package/image/test.sh")), ["release-image"]);
        assert_eq!(due(Path::new("xtask/src/package/ansible/test.sh")), ["release-ansible"]);
        assert_eq!(due(Path::new("xtask/src/package/pristine/systemd.sh")).len(), 5);
        for entry in fs::read_dir(step::root().join("xtask/src/package")).unwrap() {
            let path = Path::new("xtask/src/package").join(entry.unwrap().file_name());
            let is_on_ramps = ON_RAMPS.iter().any(|own| path.starts_with(own));
            assert!(is_on_ramps || !due(&path).is_empty(), "no part of a release has {}", path.display());
        }
    }

    #[test]
    fn endurance_has_the_modules_that_it_uses() {
        let folder = "xtask/src/bench";
        let modules: Vec<String> = fs::read_dir(step::root().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let (mut used, mut unread) = (BTreeSet::new(), vec!["endurance".to_owned()]);
        while let Some(module) = unread.pop() {
            let path = format!("{folder}/{module}.rs");
            let text = fs::read_to_string(step::root().join(&path)).unwrap();
            if used.insert(path) {
                let is_used = |name: &&String| {
                    [';', ':'].iter().any(|next| text.contains(&format!("super::{name}{next}")))
                };
                unread.extend(modules.iter().filter(is_used).cloned());
            }
        }
        let listed = ENDURANCE.iter().filter(|path| path.starts_with(folder));
        assert_eq!(used, listed.map(|path| (*path).to_owned()).collect());
    }
}
