//! The oracles of the broker as the journal: `osnl_testkit::oracle::StandbyPlan` and `OutagePlan`.
//!
//! `--standby [--minutes N] [--seed S]` (5, the clock's); `--shards`, the same (10 minutes); `--outage [--minutes N] [--events N] [--alone] [--sqlite]
//! [--seed S]` (5 minutes, 50,000 events). For all: `--broker 4|4.3` (another RabbitMQ than this machine's, as for
//! `test`), `--osnl PATH` (another build). The exit status is 1 if the promise does not hold.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use osnl_testkit::oracle::{OutagePlan, StandbyPlan};

use super::oracle::{number, with_seed};
use crate::test::other_broker;
use crate::{setup, step};

const MINUTES: u64 = 5;
const SHARDS_MINUTES: u64 = 10;
/// Whether `memory://` has guards and `on_dead = hold_key`.
const IS_GUARDED: bool = true;
const EVENTS: u64 = 50_000;

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    minutes: Option<u64>,
    events: Option<u64>,
    seed: Option<u64>,
    osnl: Option<PathBuf>,
    alone: bool,
    sqlite: bool,
}

pub(super) fn run(kind: &str, args: &[String]) -> Result<ExitCode> {
    let parsed =
        other_broker::parse(args).and_then(|(release, rest)| Ok((release, Arguments::parse(kind, &rest)?)));
    let (release, wanted) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("xtask chaos {kind}: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(release) = release.filter(|_| !other_broker::is_entered()) {
        match other_broker::enter(release, &["chaos", kind], args)? {}
    }
    if let Some(ended) = setup::with_peers(&["chaos", kind], args)? {
        return Ok(ended);
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed = wanted.seed.unwrap_or(clock);
    let is_sharded = kind == "--shards";
    let usual = if is_sharded { SHARDS_MINUTES } else { MINUTES };
    let (osnl, minutes) = (wanted.program()?, wanted.minutes.unwrap_or(usual));
    let time = Duration::from_secs(60 * minutes);
    let logs = step::target_dir().join(format!("chaos{}", &kind[1..])).join(seed.to_string());
    let print: fn(&str) = |line| println!("{line}");
    let holds = if kind != "--outage" {
        let cast =
            if is_sharded { "a splitter and four shards, each with a standby," } else { "two daemons" };
        println!("chaos: {cast} on a cluster of three nodes for {minutes} minutes, seed {seed}");
        let (sharded, guarded) = (is_sharded, IS_GUARDED);
        let report = StandbyPlan { osnl, time, sharded, guarded, seed, logs, print }.run();
        print!("{report}");
        report.holds()
    } else {
        let events = wanted.events.unwrap_or(EVENTS);
        println!(
            "chaos: a target that is away for {minutes} minutes while {events} messages wait, seed {seed}"
        );
        let (standby, file) = (!wanted.alone, wanted.sqlite);
        let report = OutagePlan { osnl, held: time, events, standby, file, seed, logs, print }.run();
        print!("{report}");
        report.holds()
    };
    println!("again with: cargo xtask chaos {kind} {}", with_seed(args, seed));
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn parse(kind: &str, args: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        let is_outage = kind == "--outage";
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => wanted.minutes = Some(number(arg, args.next())?),
                "--seed" => wanted.seed = Some(number(arg, args.next())?),
                "--osnl" => wanted.osnl = Some(super::program(arg, args.next())?),
                "--events" if is_outage => wanted.events = Some(number(arg, args.next())?),
                "--alone" if is_outage => wanted.alone = true,
                "--sqlite" if is_outage => wanted.sqlite = true,
                other => bail!(
                    "\"{other}\" is none of the options: --broker VERSION, --minutes N, --seed S, --osnl PATH; of --outage \
                     also --events N, --alone, --sqlite"
                ),
            }
        }
        Ok(wanted)
    }

    fn program(&self) -> Result<PathBuf> {
        if let Some(path) = &self.osnl {
            return Ok(path.clone());
        }
        step::run(step::cargo().args(["build", "--locked", "-p", "osnl-cli"]).stdin(Stdio::null()))
            .context("osnl cannot be built")?;
        Ok(step::target_dir().join("debug/osnl"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_mistakes() {
        let check = |line: &str, expected: Result<(Option<u64>, Option<u64>, bool), &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args[0], &args[1..]), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!((found.minutes, found.events, found.alone), expected, "{line}");
                }
                (Err(error), Err(reason)) => assert!(format!("{error:#}").contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("--standby", Ok((None, None, false)));
        check("--standby --minutes 15 --seed 7 --osnl .", Ok((Some(15), None, false)));
        check("--outage --events 9 --alone --sqlite", Ok((None, Some(9), true)));
        check("--shards --minutes 2 --seed 7", Ok((Some(2), None, false)));
        check("--shards --events 9", Err("\"--events\" is none"));
        check("--standby --alone", Err("\"--alone\" is none"));
        check("--outage --minutes 0", Err("no number above 0"));
        check("--standby --osnl no/such/file", Err("--osnl no/such/file"));
    }
}
