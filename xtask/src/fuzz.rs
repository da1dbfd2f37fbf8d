//! `fuzz`: runs every target of `fuzz/*.rs` for a share of the time, and prints the findings.
//!
//! libFuzzer guides mutations by coverage, which needs a C++ compiler; flags of a stable rustc switch on the
//! compiler's own coverage pass. The corpus begins with recorded messages, configurations and answers ([`seeds`]) and
//! grows under `target/fuzz/corpus`. Inputs that break an assertion are saved under `target/fuzz/findings`, and the
//! exit status is 1.
//!
//! cargo-fuzz would pass the same flags to a stable rustc (`--sanitizer none`), and takes minutes to build. The shares
//! of time, the seeds, and the table would still be this module's.

#[path = "../../fuzz/driver/scan.rs"]
mod scan;
mod seeds;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::Guard;

use crate::step;

const COVERAGE: &str = "-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=3 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

const SLOWEST: u64 = 10;
const MEMORY: u64 = 2048;
/// The longest input in bytes; the largest recorded message has 15 kB.
const LONGEST: u64 = 20_000;

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    time: Duration,
    targets: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct FuzzOutcome {
    executions: u64,
    reached: Option<u64>,
    findings: Vec<PathBuf>,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let all = targets()?;
    let wanted = match Arguments::parse(args, &all) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("xtask fuzz: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let driver = FuzzRunner::build()?;
    let each = wanted.time / u32::try_from(wanted.targets.len())?;
    println!("fuzz: {} targets, {:.0} s each", wanted.targets.len(), each.as_secs_f32());
    let mut table =
        String::from("| target | executions | places reached | findings |\n| --- | --- | --- | --- |\n");
    let mut found = Vec::new();
    for target in &wanted.targets {
        let outcome = driver.run(target, each).with_context(|| format!("the target {target}"))?;
        let reached = outcome.reached.map_or_else(|| "-".to_owned(), |places| places.to_string());
        let line = format!("| {target} | {} | {reached} | {} |", outcome.executions, outcome.findings.len());
        println!("{line}");
        writeln!(table, "{line}")?;
        found.extend(outcome.findings.into_iter().map(|file| (target, file)));
    }
    println!("\n{table}");
    for (target, file) in &found {
        println!("{target}: OSNL_FUZZ_TARGET={target} {} {}", driver.program.display(), file.display());
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in scan::FILES {
        let path = step::root().join("fuzz").join(file).with_extension("rs");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        names.extend(scan::targets(&text));
    }
    Ok(names)
}

struct FuzzRunner {
    program: PathBuf,
    folder: PathBuf,
}

impl FuzzRunner {
    fn build() -> Result<Self> {
        let folder = step::target_dir().join("fuzz");
        let lock = step::root().join("fuzz/Cargo.lock");
        if !lock.exists() {
            fs::copy(step::root().join("Cargo.lock"), &lock)?;
        }
        ensure!(
            ["c++", "g++", "clang++"].iter().any(|compiler| answers(compiler)),
            "libFuzzer needs a C++ compiler: install g++"
        );
        // With an explicit target, build scripts and macros are built without the flags.
        let host = host()?;
        let mut cargo = step::cargo();
        cargo
            .args([
                "build",
                "--release",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--bin",
                "coverage",
                "--target",
                &host,
            ])
            .env("CARGO_TARGET_DIR", folder.join("build"))
            .env("RUSTFLAGS", COVERAGE)
            .stdin(Stdio::null());
        step::run(&mut cargo)?;
        let program = folder.join("build").join(host).join("release").join("coverage");
        Ok(Self { program, folder })
    }

    fn run(&self, target: &str, time: Duration) -> Result<FuzzOutcome> {
        let corpus = self.folder.join("corpus").join(target);
        let findings = self.folder.join("findings");
        fs::create_dir_all(&findings)?;
        seeds::write(target, &corpus)?;
        let prefix = format!("{}/{target}-", findings.display());
        let before = files_with(&findings, target)?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-max_total_time={}", time.as_secs().max(1)))
            .arg(format!("-timeout={SLOWEST}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-artifact_prefix={prefix}"))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(&corpus)
            .env("OSNL_FUZZ_TARGET", target)
            // Journals are made there; the syncs of a disk would dominate the time.
            .env(
                "TMPDIR",
                if Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() },
            )
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let _guard = Guard::over(&[child.id()], None);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut outcome = FuzzOutcome::read(&said);
        outcome.findings =
            files_with(&findings, target)?.into_iter().filter(|file| !before.contains(file)).collect();
        if !output.status.success() {
            let log = findings.join(format!("{target}.log"));
            fs::write(&log, &said)?;
            if outcome.findings.is_empty() {
                let lines: Vec<&str> = said.lines().collect();
                bail!(
                    "the driver ended with {}:\n{}",
                    output.status,
                    lines[lines.len().saturating_sub(15)..].join("\n")
                );
            }
            println!("{target}: what it said is in {}", log.display());
        }
        Ok(outcome)
    }
}

fn files_with(folder: &Path, target: &str) -> Result<Vec<PathBuf>> {
    let prefixes = ["crash", "timeout", "oom", "slow-unit", "leak"].map(|kind| format!("{target}-{kind}-"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

impl FuzzOutcome {
    fn read(said: &str) -> Self {
        let last = |word: &str| {
            let found = said.lines().rev().find_map(|line| line.split_once(word).map(|(_, rest)| rest));
            found.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        };
        // A line of progress: `#4096 pulse cov: 812 ft: 1024 …`
        let progress = said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok());
        let executions = last("stat::number_of_executed_units:").or(progress).unwrap_or_default();
        Self { executions, reached: last(" cov: "), findings: Vec::new() }
    }
}

impl Arguments {
    fn parse(args: &[String], all: &[String]) -> Result<Self> {
        let (mut minutes, mut targets) = (10, Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => {
                    let text = args.next().context("--minutes needs a number")?;
                    let number = text.parse().ok().filter(|number: &u64| *number > 0);
                    minutes = number.with_context(|| format!("--minutes {text}: not a number above 0"))?;
                }
                name if all.iter().any(|target| target == name) => targets.push(name.to_owned()),
                other => bail!("\"{other}\" is neither --minutes N nor a target ({})", all.join(", ")),
            }
        }
        if targets.is_empty() {
            targets = all.to_vec();
        }
        Ok(Self { time: Duration::from_secs(60 * minutes), targets })
    }
}

fn answers(compiler: &str) -> bool {
    let mut command = Command::new(compiler);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = step::output(Command::new(rustc).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_options_are_told_from_mistakes() {
        let all = ["envelope".to_owned(), "ini".to_owned()];
        let check = |line: &str, expected: Result<(u64, &[&str]), &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args, &all), expected) {
                (Ok(found), Ok((minutes, targets))) => {
                    assert_eq!(found.time, Duration::from_secs(60 * minutes), "{line}");
                    assert_eq!(found.targets, targets, "{line}");
                }
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok((10, &["envelope", "ini"])));
        check("--minutes 60", Ok((60, &["envelope", "ini"])));
        check("ini --minutes 1", Ok((1, &["ini"])));
        check("--minutes", Err("--minutes needs a number"));
        check("--minutes 0", Err("--minutes 0: not a number above 0"));
        check("header", Err("\"header\" is neither --minutes N nor a target (envelope, ini)"));
    }

    #[test]
    fn figures_are_the_drivers_last() {
        let check = |said: &str, executions: u64, reached: Option<u64>| {
            assert_eq!(
                FuzzOutcome::read(said),
                FuzzOutcome { executions, reached, findings: Vec::new() },
                "{said}"
            );
        };
        check("", 0, None);
        check(
            "#2\tINITED cov: 40 ft: 41 corp: 1/1b\n#2048\tpulse  cov: 55 ft: 60\n==1== ERROR: libFuzzer\n",
            2048,
            Some(55),
        );
        check(
            "#8\tDONE   cov: 55 ft: 60\nstat::number_of_executed_units: 812\nstat::average: 3\n",
            812,
            Some(55),
        );
        check("stat::number_of_executed_units: 7\n", 7, None);
    }

    #[test]
    fn each_target_is_found_and_has_seeds() {
        let mut all = targets().unwrap();
        assert!(all.len() >= 14, "{all:?}");
        let found = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), found, "two targets have one name: {all:?}");
        for target in all {
            let seeds = seeds::for_target(&target).unwrap();
            assert!(
                !seeds.is_empty(),
                "{target} begins with nothing: add what it reads to xtask/src/fuzz/seeds.rs"
            );
        }
    }
}
