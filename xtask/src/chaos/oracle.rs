//! The long form of the oracle, described in `osnl_testkit::oracle`.
//!
//! `--minutes N` (2), `--seed S` (the clock's), `--upstream` (k2hr3_osnl 1.0.8 in osnl's place, for 25 seconds),
//! `--dist`, `--osnl PATH` (another build). Between the faults an operator sends commands, reloads and renames
//! queues, and a second daemon stands by; `--alone` omits the daemon, `--plain` both.
//! A failure prints the seed and the end of the program's log, with exit status 1. Upstream loses events, so that its
//! status is always 0.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use osnl_testkit::oracle::{OraclePlan, OracleProgram};

use crate::{setup, step};

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    time: Duration,
    seed: Option<u64>,
    upstream: bool,
    dist: bool,
    osnl: Option<PathBuf>,
    operations: bool,
    standby: bool,
}

pub(super) fn run(args: &[String]) -> Result<ExitCode> {
    let wanted = match Arguments::parse(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("xtask chaos: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(ended) = setup::with_peers(&["chaos"], args)? {
        return Ok(ended);
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let plan = OraclePlan {
        time: wanted.time,
        operations: wanted.operations,
        standby: wanted.standby,
        ..OraclePlan::new(wanted.program()?, wanted.seed.unwrap_or(clock))
    };
    println!(
        "chaos: {:.0} s of at most {} events/s about {} resources, {}{}, seed {}",
        plan.time.as_secs_f32(),
        plan.rate,
        plan.keys,
        if plan.standby { "two daemons" } else { "one daemon" },
        if plan.operations { " and their operator" } else { "" },
        plan.seed
    );
    let report = plan.run();
    print!("{report}");
    if wanted.upstream || report.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "again with: cargo xtask chaos {}\nthe program's last words:\n{}",
        with_seed(args, plan.seed),
        report.log()
    );
    Ok(ExitCode::FAILURE)
}

pub(super) fn with_seed(args: &[String], seed: u64) -> String {
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seed" {
            args.next();
        } else {
            words.push(arg.clone());
        }
    }
    words.extend(["--seed".to_owned(), seed.to_string()]);
    words.join(" ")
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self> {
        let (mut minutes, mut seed, mut upstream, mut dist) = (None, None, false, false);
        let (mut osnl, mut operations, mut standby) = (None, true, true);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => minutes = Some(number(arg, args.next())?),
                "--seed" => seed = Some(number(arg, args.next())?),
                "--upstream" => upstream = true,
                "--dist" => dist = true,
                "--alone" => standby = false,
                "--plain" => (operations, standby) = (false, false),
                "--osnl" => osnl = Some(super::program(arg, args.next())?),
                other => bail!(
                    "\"{other}\" is none of the options: --minutes N, --seed S, --dist, --osnl PATH, --alone, \
                     --plain, --upstream"
                ),
            }
        }
        let time = match minutes {
            Some(minutes) => Duration::from_secs(60 * minutes),
            None if upstream => Duration::from_secs(25),
            None => Duration::from_secs(120),
        };
        let (operations, standby) = (operations && !upstream, standby && !upstream);
        Ok(Self { time, seed, upstream, dist, osnl, operations, standby })
    }

    fn program(&self) -> Result<OracleProgram> {
        if self.upstream {
            return Ok(OracleProgram::Upstream);
        }
        if let Some(path) = &self.osnl {
            return Ok(OracleProgram::Osnl(path.clone()));
        }
        let profile = if self.dist { step::DIST } else { "dev" };
        let build = ["build", "--locked", "-p", "osnl-cli", "--profile", profile];
        step::run(step::cargo().args(build).stdin(Stdio::null()))?;
        let folder = if self.dist { step::DIST } else { "debug" };
        Ok(OracleProgram::Osnl(step::target_dir().join(folder).join("osnl")))
    }
}

pub(super) fn number(option: &str, text: Option<&String>) -> Result<u64> {
    let text = text.with_context(|| format!("{option} needs a number"))?;
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .with_context(|| format!("{option} {text}: no number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_mistakes() {
        let check = |line: &str, expected: Result<(u64, Option<u64>, &str), &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args), expected) {
                (Ok(found), Ok(expected)) => {
                    let kinds = [(found.upstream, "u"), (found.operations, "o"), (found.standby, "s")];
                    let kinds: String = kinds.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
                    assert_eq!((found.time.as_secs(), found.seed, &*kinds), expected, "{line}");
                }
                (Err(error), Err(reason)) => assert!(format!("{error:#}").contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok((120, None, "os")));
        check("--minutes 5 --seed 7", Ok((300, Some(7), "os")));
        check("--alone", Ok((120, None, "o")));
        check("--plain --dist", Ok((120, None, "")));
        check("--upstream", Ok((25, None, "u")));
        check("--upstream --minutes 1", Ok((60, None, "u")));
        check("--osnl .", Ok((120, None, "os")));
        check("--osnl", Err("path of a program"));
        check("--osnl no/such/file", Err("--osnl no/such/file"));
        check("--minutes", Err("--minutes needs a number"));
        check("--minutes 0", Err("no number above 0"));
        check("--seed x", Err("--seed x"));
        check("--hours 1", Err("\"--hours\" is none"));
    }

    #[test]
    fn a_run_is_repeated_with_its_seed() {
        let check = |line: &str, expected: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(with_seed(&args, 7), expected);
        };
        check("", "--seed 7");
        check("--minutes 7 --seed 3 --alone", "--minutes 7 --alone --seed 7");
    }
}
