//! `soak`: one hostile message for each ten normal messages, against a build as in packages, with bounded memory.
//!
//! The run requires that every normal event has its effect, 99 of 100 within a second. The same daemon process must run
//! to the end. The bound is a cgroup's where possible, else of the address space.

mod bound;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::{Broker, Reply, RestartableProgram, Sink, wait_until};

use self::bound::Bound;
use crate::step;

const QUEUE: &str = "soak";
const SOON: Duration = Duration::from_secs(60);
const WANTED: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    minutes: u64,
    seed: u64,
    rate: u64,
    /// Plain bytes of the largest hostile message, except bombs.
    largest: u64,
    memory: u64,
    huge: u64,
    osnl: Option<PathBuf>,
}

type EffectTimes = Arc<Mutex<BTreeMap<u64, u128>>>;

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let wanted = match Arguments::parse(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("xtask soak: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    crate::setup::broker_only()?;
    let build = ["build", "--profile", step::DIST, "--locked", "-p", "osnl-bench"];
    let own = if wanted.osnl.is_some() { &[][..] } else { &["-p", "osnl-cli"] };
    step::run(step::cargo().args(build).args(own).stdin(Stdio::null()))?;

    let folder = step::target_dir().join("soak");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let effects = EffectTimes::default();
    let sink = target(&effects);
    let broker = Broker::start();
    let vhost = broker.vhost("soak");
    let file = folder.join("osnl.conf");
    fs::write(&file, configuration(&folder, &vhost.url(), &sink.url("/v1/role")))?;
    let program = wanted.osnl.clone().unwrap_or_else(|| step::distributed("osnl"));
    let bound = Bound::make(wanted.memory << 20)?;
    println!(
        "soak: {} minutes of {} normal messages/s and a hostile one of at most {} kB for each ten, then {} of 128 MiB, seed {}, {bound}",
        wanted.minutes,
        wanted.rate,
        wanted.largest >> 10,
        wanted.huge,
        wanted.seed
    );
    let mut daemon = RestartableProgram::start(bound.command(&program, &["run", "-c"], &file));
    wait_until(SOON, "the queue to be consumed", || {
        vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers > 0)
    });

    let numbers =
        [wanted.rate, wanted.minutes * 60, wanted.largest, wanted.seed, wanted.huge].map(|n| n.to_string());
    let mut publisher = Command::new(step::distributed("osnl-bench"));
    publisher.args(["soak", &vhost.url()]).args(numbers);
    let mut publisher = RestartableProgram::start(publisher);
    while publisher.is_running() && daemon.is_running() {
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let peak = daemon.id().and_then(peak_memory);
    if !daemon.is_running() {
        let said = daemon.output();
        let lines: Vec<&str> = said.lines().collect();
        let status = daemon.wait(SOON);
        println!(
            "the daemon has ended, {bound}, {status}:\n{}",
            lines[lines.len().saturating_sub(20)..].join("\n")
        );
        return Ok(ExitCode::FAILURE);
    }
    let said = publisher.output();
    let sent = Publications::read(&said).with_context(|| format!("the publisher said: {said:.2000}"))?;
    let all_done =
        || effects.lock().is_ok_and(|effects| sent.times.keys().all(|number| effects.contains_key(number)));
    let ended = SystemTime::now();
    let is_over = || all_done() || ended.elapsed().unwrap_or_default() > DRAIN;
    wait_until(DRAIN + SOON, "the effects", is_over);
    let is_same = daemon.is_running();
    let peak = daemon.id().and_then(peak_memory).or(peak);
    let effects = effects.lock().map(|effects| effects.clone()).unwrap_or_default();
    let report = SoakReport::new(&sent, &effects);
    println!("{report}");
    println!(
        "  the daemon's memory at its peak: {}",
        peak.map_or_else(|| "unknown".to_owned(), |mib| format!("{mib:.1} MiB"))
    );
    println!("  what it made of all messages: {}", counted(&program, &file)?);
    println!(
        "  the daemon {}",
        if is_same { "ran from the beginning to the end" } else { "ended before the end" }
    );
    daemon.signal("TERM");
    Ok(if report.holds() && is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn target(effects: &EffectTimes) -> Sink {
    let sink = Sink::start();
    let seen = effects.clone();
    sink.reply_when(move |request| {
        if let (Some(number), Ok(mut seen)) = (number_of(&request.target), seen.lock()) {
            seen.entry(number).or_insert_with(now);
        }
        Some(Reply::Status(204))
    });
    sink
}

/// Returns a configuration whose first rule also matches hostile events. The second rule writes other hostile events
/// to a file, so that payloads are rendered.
fn configuration(folder: &Path, transport_url: &str, api_url: &str) -> String {
    format!(
        "[DEFAULT]\nstate_dir = {0}\nlog_level = warn\n[journal]\nallow_volatile = yes\n\
         [listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\npool = {QUEUE}\ndeclare = create\n\
         [rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
         [rule:others]\nevent_type = ^(port\\.create|compute\\.).*$\nactions = audit\n\
         [action:roles]\ndriver = k2hr3\napi_url = {api_url}\n\
         [action:audit]\ndriver = file\npath = {0}/audit.jsonl\n",
        folder.display()
    )
}

fn number_of(target: &str) -> Option<u64> {
    let instance = target.split("cuk=").nth(1)?.split('&').next()?;
    u64::from_str_radix(instance.strip_prefix("00000000-0000-4000-8000-")?.get(..12)?, 16).ok()
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn peak_memory(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

fn counted(program: &Path, file: &Path) -> Result<String> {
    let output = Command::new(program).arg("status").arg("-c").arg(file).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Publications {
    times: BTreeMap<u64, u128>,
    hostile: u64,
    bytes: u64,
}

impl Publications {
    fn read(said: &str) -> Result<Self> {
        let (times, counts) = said.trim().rsplit_once('\n').context("no two lines")?;
        let pair = |word: &str| {
            let (number, time) = word.split_once(':')?;
            Some((number.parse().ok()?, time.parse().ok()?))
        };
        let times =
            times.split_whitespace().map(|word| pair(word).with_context(|| format!("no time: {word}")));
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[hostile, bytes] = &counts[..] else { bail!("no two counts") };
        let times: BTreeMap<u64, u128> = times.collect::<Result<_>>()?;
        ensure!(!times.is_empty(), "nothing was published");
        Ok(Self { times, hostile, bytes })
    }
}

#[derive(Debug)]
struct SoakReport {
    normal: usize,
    hostile: u64,
    bytes: u64,
    missing: Vec<u64>,
    waits: [Duration; 3],
}

impl SoakReport {
    fn new(sent: &Publications, effects: &BTreeMap<u64, u128>) -> Self {
        let mut waits = Vec::new();
        let mut missing = Vec::new();
        for (number, published) in &sent.times {
            match effects.get(number) {
                Some(at) => waits.push(u64::try_from(at.saturating_sub(*published)).unwrap_or(u64::MAX)),
                None => missing.push(*number),
            }
        }
        waits.sort_unstable();
        let quantile = |percent: usize| {
            // The nearest rank, without interpolation.
            let rank = (waits.len() * percent).div_ceil(100).max(1);
            Duration::from_nanos(waits.get(rank - 1).copied().unwrap_or_default())
        };
        let waits = [50, 99, 100].map(quantile);
        Self { normal: sent.times.len(), hostile: sent.hostile, bytes: sent.bytes, missing, waits }
    }

    fn holds(&self) -> bool {
        self.missing.is_empty() && self.waits[1] < WANTED
    }
}

impl std::fmt::Display for SoakReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, most] = self.waits.map(|wait| wait.as_secs_f64() * 1e3);
        writeln!(
            f,
            "{} normal events, {} hostile ones of {} MiB plain",
            self.normal,
            self.hostile,
            self.bytes >> 20
        )?;
        let named: Vec<String> = self.missing.iter().take(10).map(u64::to_string).collect();
        writeln!(f, "  normal events without effect: {} {}", self.missing.len(), named.join(" "))?;
        write!(
            f,
            "  from publication to effect, ms: p50 {p50:.1}, p99 {p99:.1} (wanted: below 1000), max {most:.1}"
        )
    }
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self> {
        let mut wanted =
            Self { minutes: 10, seed: 1, rate: 50, largest: 1 << 20, memory: 512, huge: 0, osnl: None };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || -> Result<u64> {
                let text = args.next().with_context(|| format!("{arg} needs a number"))?;
                let number = text.parse().ok().filter(|number| *number > 0);
                number.with_context(|| format!("{arg} {text}: not a number above 0"))
            };
            match arg.as_str() {
                "--minutes" => wanted.minutes = number()?,
                "--seed" => wanted.seed = number()?,
                "--rate" => wanted.rate = number()?,
                "--largest" => wanted.largest = number()? << 10,
                "--memory" => wanted.memory = number()?,
                "--huge" => wanted.huge = number()?,
                "--osnl" => {
                    let path = args.next().context("--osnl needs the path of a program")?;
                    wanted.osnl = Some(fs::canonicalize(path).with_context(|| format!("--osnl {path}"))?);
                }
                other => bail!(
                    "\"{other}\" is none of the options: --minutes N, --seed S, --rate N, --largest KB, --memory MIB, \
                     --huge N, --osnl PATH"
                ),
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_mistakes() {
        let check = |line: &str, expected: Result<[u64; 6], &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (Arguments::parse(&args), expected) {
                (Ok(found), Ok(expected)) => {
                    let Arguments { minutes, seed, rate, largest, memory, huge, osnl: _ } = found;
                    let found = [minutes, seed, rate, largest >> 10, memory, huge];
                    assert_eq!(found, expected, "{line}");
                }
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{error:#}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok([10, 1, 50, 1024, 512, 0]));
        let line = "--minutes 1 --seed 7 --rate 20 --largest 64 --memory 256 --huge 9";
        check(line, Ok([1, 7, 20, 64, 256, 9]));
        check("--minutes", Err("--minutes needs a number"));
        check("--rate 0", Err("--rate 0: not a number above 0"));
        check("--osnl no/such/file", Err("--osnl no/such/file"));
        check("--hours 1", Err("\"--hours\" is none"));
    }

    #[test]
    fn waits_and_what_is_missing() {
        let check = |said: &str, effects: &[(u64, u128)], missing: &[u64], p99: u64, holds: bool| {
            let report =
                SoakReport::new(&Publications::read(said).unwrap(), &effects.iter().copied().collect());
            assert_eq!(
                (&*report.missing, report.waits[1].as_nanos(), report.holds()),
                (missing, p99.into(), holds),
                "{said}"
            );
        };
        check("1:10 2:20 \n3 4000\n", &[(1, 15), (2, 90)], &[], 70, true);
        check("1:10 2:20 \n3 4000\n", &[(2, 90)], &[1], 70, false);
        check("1:10 \n0 0\n", &[(1, 1_000_000_010)], &[], 1_000_000_000, false);
        for said in ["", "1:10", "1:10\n3", "x\n3 4", "\n3 4"] {
            assert!(Publications::read(said).is_err(), "{said}");
        }
    }

    #[test]
    fn normal_events_are_known_by_their_instance() {
        let check = |target: &str, expected: Option<u64>| assert_eq!(number_of(target), expected, "{target}");
        check("/v1/role?cuk=00000000-0000-4000-8000-0000000000ff&host=x", Some(255));
        check("/v1/role?cuk=d12&host=x", None);
        check("/v1/role", None);
    }
}
