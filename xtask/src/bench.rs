//! `bench`: the cost of a message, beside a consumer that only acknowledges and beside k2hr3_osnl.
//!
//! | section | measurement |
//! | --- | --- |
//! | `low` | 10, 100, and 300 messages per second, as clouds send them: CPU, latency, bytes to the disk, system calls |
//! | `a` | a queue of 4 kB messages of which one in a hundred matches: messages per second, CPU, peak memory |
//! | `b` | a queue of which all match, against a fast target: requests per second, CPU, peak memory |
//! | `latency` | from publishing to the request, at a pace |
//! | `durable` | as `latency`, by way of the journal, beside the disk's own `fdatasync` |
//! | `retries` | a backlog with failing keys: the delay of the other keys; with `--full` of a million |
//! | `commands` | commands on a million deliveries: the time for which the journal stops |
//! | `python` | the Python library k2hr3_osnl, with its endpoint and with one written in Python, beside the original |
//! | `page` | searches of the page in a journal with a million deliveries, to the first byte |
//! | `endurance` | only if named: two hours at 200 messages per second with a journal that prunes and a target that is away at times |
//! | `shards` | only if named: one, two, and four shards behind a splitter, and the splitter's CPU beside a raw client's |
//!
//! Rounds of builds as in packages alternate on a private RabbitMQ node. k2hr3_osnl takes part if `cargo xtask setup` or
//! `test` has installed it; `--against PATH` adds another build of osnl.

mod against;
mod commands;
mod effort;
mod endurance;
mod journal;
mod low;
mod page;
mod process;
mod python;
mod retries;
mod sections;
mod shards;
mod sink;
mod stage;
mod table;
mod traced;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use self::effort::Effort;
use self::stage::Stage;
use crate::step;

type Section = fn(&Stage, Effort) -> Result<()>;

const SECTIONS: &[(&str, Section)] = &[
    ("low", low::rates),
    ("a", sections::one_percent),
    ("b", sections::all_match),
    ("latency", sections::latency),
    ("durable", journal::latency),
    ("retries", retries::backlog),
    ("commands", commands::stops),
    ("python", python::library),
    ("page", page::searches),
];

/// Sections that run only if they are named, because each takes minutes.
const NAMED: &[(&str, Section)] = &[("shards", shards::scaling), ("endurance", endurance::run)];

#[derive(Debug)]
struct Arguments {
    effort: Effort,
    other: Option<PathBuf>,
    sections: Vec<String>,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let Arguments { effort, other, sections } = match Arguments::parse(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("xtask bench: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    crate::setup::broker_only()?;
    let mut cargo = step::cargo();
    cargo.args(["build", "--profile", step::DIST, "--locked", "-p", "osnl-cli", "-p", "osnl-bench"]);
    step::run(cargo.stdin(Stdio::null()))?;
    let stage = Stage::new(other)?;
    let command = [&["cargo xtask bench".to_owned()], args].concat().join(" ");
    println!("\n`{command}`: {}\n", machine(&stage)?);
    let is_named = |name: &str| sections.iter().any(|wanted| wanted == name);
    let usual = SECTIONS.iter().filter(|(name, _)| sections.is_empty() || is_named(name));
    for (name, section) in usual.chain(NAMED.iter().filter(|(name, _)| is_named(name))) {
        section(&stage, effort).with_context(|| format!("section {name}"))?;
    }
    println!("Load of the machine at the end (1, 5, 15 minutes): {}", load());
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self> {
        let mut wanted = Self { effort: Effort::FULL, other: None, sections: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => wanted.effort = Effort::QUICK,
                "--full" => (wanted.effort.backlog, wanted.effort.history) = (Effort::LONG, Effort::LONG),
                "--against" => {
                    let path = args.next().context("--against needs the path of another osnl")?;
                    let path = std::fs::canonicalize(path).with_context(|| format!("--against {path}"))?;
                    wanted.other = Some(path);
                }
                name if named().any(|section| section == name) => {
                    wanted.sections.push(name.to_owned());
                }
                other => {
                    bail!(
                        "\"{other}\" is neither an option (--quick, --full, --against PATH) nor a section ({})",
                        named().collect::<Vec<_>>().join(", ")
                    )
                }
            }
        }
        Ok(wanted)
    }
}

fn named() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().chain(NAMED).map(|(name, _)| *name)
}

fn machine(stage: &Stage) -> Result<String> {
    let date = step::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let kernel = step::output(Command::new("uname").arg("-sr"))?;
    let cores = std::thread::available_parallelism()?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    Ok(format!(
        "{}, {cores} cores{}, {}, RabbitMQ {}, load before {}",
        date.trim(),
        cpu.split_once(':').map(|(_, name)| format!(" ({})", name.trim())).unwrap_or_default(),
        kernel.trim(),
        stage.broker_version(),
        load()
    ))
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_options_are_told_from_mistakes() {
        let check = |line: &str, expected: Result<&[&str], &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args), expected) {
                (Ok(wanted), Ok(sections)) => assert_eq!(wanted.sections, sections, "{line}"),
                (Err(error), Err(reason)) => assert!(format!("{error:#}").contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok(&[]));
        check("--quick", Ok(&[]));
        check("retries --full", Ok(&["retries"]));
        check("latency --quick a", Ok(&["latency", "a"]));
        check("shards --quick", Ok(&["shards"]));
        check("--against . b", Ok(&["b"]));
        check("--against", Err("path of another osnl"));
        check("--against no/such/file", Err("--against no/such/file"));
        check("e", Err("\"e\" is neither"));
        check("--fast", Err("\"--fast\" is neither"));
    }
}
