//! The oracle of a journal that daemons share, described in `osnl_testkit::oracle::SharedPlan`.
//!
//! `--minutes N` (30), `--seed S` (the clock's), `--osnl PATH` (another build, with PostgreSQL), `--other PATH` (a
//! build of another version, for daemons by turns). If the promise does not hold, the exit status is 1, and the
//! report names the events and the folder of the logs.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use osnl_testkit::oracle::SharedPlan;

use super::oracle::number;
use super::program;
use crate::{setup, step};

const DRAIN: Duration = Duration::from_secs(120);

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    minutes: Option<u64>,
    seed: Option<u64>,
    osnl: Option<PathBuf>,
    other: Option<PathBuf>,
}

pub(super) fn run(args: &[String]) -> Result<ExitCode> {
    let wanted = match Arguments::parse(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("xtask chaos --shared: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(ended) = setup::with_peers(&["chaos", "--shared"], args)? {
        return Ok(ended);
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed = wanted.seed.unwrap_or(clock);
    let plan = SharedPlan {
        osnl: wanted.program()?,
        other: wanted.other,
        faketime: Some(setup::faketime()?),
        time: Duration::from_secs(60 * wanted.minutes.unwrap_or(30)),
        drain: DRAIN,
        seed,
        logs: step::target_dir().join("chaos-shared").join(seed.to_string()),
    };
    println!("chaos: four daemons on a PostgreSQL with a standby for {} s, seed {seed}", plan.time.as_secs());
    let report = plan.run();
    print!("{report}");
    if report.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    let minutes = plan.time.as_secs() / 60;
    println!("again with: cargo xtask chaos --shared --minutes {minutes} --seed {seed}");
    Ok(ExitCode::FAILURE)
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => wanted.minutes = Some(number(arg, args.next())?),
                "--seed" => wanted.seed = Some(number(arg, args.next())?),
                "--osnl" => wanted.osnl = Some(program(arg, args.next())?),
                "--other" => wanted.other = Some(program(arg, args.next())?),
                other => {
                    bail!(
                        "\"{other}\" is none of the options: --minutes N, --seed S, --osnl PATH, --other PATH"
                    )
                }
            }
        }
        Ok(wanted)
    }

    fn program(&self) -> Result<PathBuf> {
        if let Some(path) = &self.osnl {
            return Ok(path.clone());
        }
        let build = ["build", "--locked", "-p", "osnl-cli"];
        step::run(step::cargo().args(build).stdin(Stdio::null()))?;
        Ok(step::target_dir().join("debug/osnl"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_mistakes() {
        let check = |line: &str, expected: Result<(Option<u64>, Option<u64>), &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args), expected) {
                (Ok(found), Ok(expected)) => assert_eq!((found.minutes, found.seed), expected, "{line}"),
                (Err(error), Err(reason)) => assert!(format!("{error:#}").contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok((None, None)));
        check("--minutes 5 --seed 7 --osnl .", Ok((Some(5), Some(7))));
        check("--minutes", Err("--minutes needs a number"));
        check("--osnl no/such/file", Err("--osnl no/such/file"));
        check("--osnl . --other . --minutes 1", Ok((Some(1), None)));
        check("--other", Err("--other needs the path"));
        check("--alone", Err("\"--alone\" is none"));
    }
}
