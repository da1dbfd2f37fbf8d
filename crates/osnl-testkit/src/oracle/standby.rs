//! The oracle of the broker as the journal: daemons with `memory://` on quorum queues with a single active consumer, on
//! three nodes: one daemon and its standby, or a splitter and shards, each with a standby.
//!
//! After each fault everything is restored: all daemons read, all nodes run, and a fresh event of each queue has an
//! effect. So each fault has times of its own:
//!
//! | time | from | to |
//! | --- | --- | --- |
//! | take-over | the fault | the first effect by the other daemon; for a splitter, of an event from after the fault |
//! | pause | – | the longest time without any effect until the restoration; for a shard, without an effect of its own |
//!
//! With [`StandbyPlan::guarded`] the action has a guard that bursts of events trip, and `on_dead = hold_key`. An
//! operator ends the waits.

mod faults;
mod held;
mod judge;
mod memory;
mod operator;
mod outage;
mod report;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::faults::StandbySaboteur;
use self::held::HeldEvidence;
use self::judge::{StandbyVerdict, buried};
use self::memory::MemoryPeaks;
use self::operator::{StandbyOperator, dead_letters};
pub use self::outage::{OutagePlan, OutageReport};
pub use self::report::StandbyReport;
use super::SOON;
use super::program::{OracleDaemon, OracleProgram};
use super::publisher::Confirmations;
use super::settings::OracleSettings;
use super::standby_settings::{StandbyPart, StandbySettings};
use super::target::OracleTarget;
use crate::RabbitCluster;
use crate::wait::reached;

const NAMES: [&str; 2] = ["a", "b"];
const SHARDED: [&str; 2 * (SHARDS + 1)] = [
    "splitter-a",
    "splitter-b",
    "shard-0-a",
    "shard-0-b",
    "shard-1-a",
    "shard-1-b",
    "shard-2-a",
    "shard-2-b",
    "shard-3-a",
    "shard-3-b",
];
const SHARDS: usize = 4;
const NODES: usize = 3;
const RATE: u64 = 60;
/// Each event passes the broker twice.
const SHARDED_RATE: u64 = 60;
const KEYS: u64 = 40;
/// The number of resources of bursts.
const OTHERS: u64 = 120;
/// The most resources within the window of the guard: all usual ones, and half of a burst.
const GUARD: u64 = KEYS + OTHERS / 2;
/// One event in this number becomes a dead letter, because the target rejects it for good.
const REJECTED: u64 = 499;
/// After this time without a request, the run is over. A silent node of RabbitMQ 4.3 costs a minute by default.
const QUIET: Duration = Duration::from_secs(100);
/// The bound of the drain, because a trickle of requests would extend it without end.
const LONGEST_DRAIN: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub struct StandbyPlan {
    pub osnl: PathBuf,
    pub time: Duration,
    pub sharded: bool,
    pub guarded: bool,
    pub seed: u64,
    pub logs: PathBuf,
    pub print: fn(&str),
}

/// The evidence of the run before the daemons end.
struct StandbyRun {
    published: Duration,
    confirmed: Vec<(u64, Instant)>,
    drained: Option<Duration>,
    seen: Vec<faults::SeenFault>,
    held: HeldEvidence,
    peaks: MemoryPeaks,
    wrong: Vec<String>,
    story: Vec<String>,
}

/// Ends the operator's work with the run, also with one that panics: the scope waits for the operator.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl StandbyPlan {
    #[must_use]
    pub fn run(&self) -> StandbyReport {
        let _ = fs::remove_dir_all(&self.logs);
        fs::create_dir_all(&self.logs).unwrap();
        let cluster = RabbitCluster::start(NODES);
        let parts = self.parts();
        let (target, daemons) = start(&self.osnl, &cluster.url(), self.cast(&parts));
        let declared = Instant::now();
        for part in &parts {
            let queue = part.queue();
            assert!(
                reached(SOON, &mut || cluster.consumers(&queue) == Some(2)),
                "the queue {queue} has no two consumers: {}",
                daemons.iter().map(OracleDaemon::stop).collect::<String>()
            );
        }

        let began = Instant::now();
        let mut run = self.play(&cluster, &target, &daemons, &parts, declared);
        let dead = self.dead(&daemons, &parts, &mut run);
        let output: Vec<String> = daemons.iter().map(OracleDaemon::stop).collect();
        let mut wrong = run.wrong;
        wrong.extend(daemons.iter().flat_map(OracleDaemon::ended));
        wrong.extend(panics(&output));
        wrong.extend(run.peaks.beyond());
        let requests = target.requests();
        let effects: BTreeSet<u64> =
            requests.iter().filter(|request| request.effect).map(|request| request.event).collect();
        let buried = output.iter().flat_map(|text| buried(text));
        let gone: BTreeSet<u64> =
            buried.filter(|event| !dead.contains(event) && !effects.contains(event)).collect();
        if !gone.is_empty() {
            wrong.push(format!("dead letters of the log that no queue has: {gone:?}"));
        }
        let held = run.held.held().len();
        if self.guarded && held == 0 {
            wrong.push("the guard held nothing: the run shows nothing about it".to_owned());
        }
        let verdict =
            StandbyVerdict::new(&run.confirmed, &requests, &dead, self.guarded.then_some(&run.held));
        let write = |name: &str, text: String| fs::write(self.logs.join(name), text).unwrap();
        daemons.iter().zip(output).for_each(|(daemon, text)| write(&format!("{}.log", daemon.name), text));
        write("story.txt", run.story.join("\n"));
        let mut effects = String::new();
        for request in requests.iter().filter(|request| request.effect || request.rejected) {
            let at = request.at.saturating_duration_since(began).as_secs_f64();
            let (event, key, name) = (request.event, request.key, daemons[request.daemon].name);
            let rejected = if request.rejected { " rejected" } else { "" };
            _ = writeln!(effects, "{at:8.2} s  event {event} of resource {key} by {name}{rejected}");
        }
        write("effects.txt", effects);
        write("operator.txt", run.held.text(began));
        StandbyReport {
            seed: self.seed,
            version: cluster.version(),
            published: run.published,
            confirmed: run.confirmed.len(),
            drained: run.drained,
            seen: run.seen,
            held: self.guarded.then_some(run.held),
            peaks: run.peaks,
            verdict,
            wrong,
            logs: self.logs.clone(),
        }
    }

    fn parts(&self) -> Vec<StandbyPart> {
        match self.sharded {
            true => [StandbyPart::Splitter(SHARDS)]
                .into_iter()
                .chain((0..SHARDS).map(StandbyPart::Shard))
                .collect(),
            false => vec![StandbyPart::Whole],
        }
    }

    fn cast(&self, parts: &[StandbyPart]) -> Vec<(&'static str, StandbySettings)> {
        let names: &[&'static str] = if self.sharded { &SHARDED } else { &NAMES };
        // A guard of a shard counts the resources of that shard.
        let most = if self.sharded { GUARD / SHARDS as u64 } else { GUARD };
        let guard = self.guarded.then_some(most);
        let settings = |n: usize| StandbySettings { part: parts[n / 2], guard, ..StandbySettings::default() };
        names.iter().enumerate().map(|(n, name)| (*name, settings(n))).collect()
    }

    fn play(
        &self,
        cluster: &RabbitCluster,
        target: &OracleTarget,
        daemons: &[OracleDaemon],
        parts: &[StandbyPart],
        declared: Instant,
    ) -> StandbyRun {
        let began = Instant::now();
        let rate = if self.sharded { SHARDED_RATE } else { RATE };
        let others = if self.guarded { OTHERS } else { 0 };
        let publisher = Confirmations::start(&cluster.ports(), "/", [rate, KEYS, self.seed], others);
        let operator = StandbyOperator {
            daemons,
            pairs: daemons.chunks(2).zip(parts).filter(|(_, part)| part.delivers()).map(|(p, _)| p).collect(),
            target,
            chance: fastrand::Rng::with_seed(self.seed.wrapping_add(3)),
            evidence: HeldEvidence::default(),
            wrong: Vec::new(),
        };
        let is_over = AtomicBool::new(false);
        let messages = || parts.iter().try_fold(0, |sum, part| Some(sum + cluster.messages(&part.queue())?));
        std::thread::scope(|scope| {
            let over = Over(&is_over);
            let operator = self.guarded.then(|| scope.spawn(|| operator.run(&is_over)));
            let mut saboteur = StandbySaboteur {
                cluster,
                daemons,
                parts,
                target,
                publisher: &publisher,
                declared,
                began,
                chance: fastrand::Rng::with_seed(self.seed),
                seen: Vec::new(),
                silences: Vec::new(),
                peaks: MemoryPeaks::default(),
                wrong: Vec::new(),
                story: Vec::new(),
                print: self.print,
            };
            saboteur.run(self.time);
            let StandbySaboteur { seen, silences, peaks, mut wrong, story, .. } = saboteur;
            let confirmed = publisher.stop();
            let published = began.elapsed();
            let mut drained = drain(target, daemons, &confirmed, messages);
            drop(over);
            let operated = operator.map(|operator| operator.join().unwrap());
            let (mut held, unmended) = operated.unwrap_or_default();
            wrong.extend(unmended);
            held.silences = silences;
            // The last commands put messages back.
            if drained.is_none() || !reached(SOON, &mut || messages() == Some(0)) {
                wrong.push(format!("not drained: the queues have {:?} messages", messages()));
                drained = None;
            }
            StandbyRun { published, confirmed, drained, seen, held, peaks, wrong, story }
        })
    }

    /// Returns the events that are dead letters at the end, and those that the operator discarded.
    fn dead(&self, daemons: &[OracleDaemon], parts: &[StandbyPart], run: &mut StandbyRun) -> BTreeSet<u64> {
        let mut dead = if self.guarded { run.held.discarded() } else { BTreeSet::new() };
        for (pair, part) in daemons.chunks(2).zip(parts) {
            let mut found = None;
            reached(SOON, &mut || {
                found = dead_letters(&pair[0]);
                found.is_some()
            });
            match found {
                Some(found) if part.delivers() || found.is_empty() => dead.extend(found),
                Some(found) => run.wrong.push(format!("dead letters of the splitter: {found:?}")),
                None => run.wrong.push(format!("the dead letters of {} cannot be listed", part.queue())),
            }
        }
        dead
    }
}

fn start(
    osnl: &Path,
    transport_url: &str,
    cast: Vec<(&'static str, StandbySettings)>,
) -> (OracleTarget, Vec<OracleDaemon>) {
    let target = OracleTarget::start(cast.len());
    target.reject_one_in(REJECTED);
    let start = |(n, (name, settings)): (usize, (&'static str, StandbySettings))| {
        let program = OracleProgram::Osnl(osnl.to_owned());
        OracleDaemon::start(
            name,
            program,
            [transport_url, &target.url(n)],
            OracleSettings::for_standby(settings),
        )
    };
    let daemons = cast.into_iter().enumerate().map(start).collect();
    (target, daemons)
}

fn drain(
    target: &OracleTarget,
    daemons: &[OracleDaemon],
    confirmed: &[(u64, Instant)],
    messages: impl Fn() -> Option<u64>,
) -> Option<Duration> {
    let began = Instant::now();
    let mut last = (0, began);
    loop {
        daemons.iter().for_each(OracleDaemon::supervise);
        target.forget();
        let accepted = confirmed.iter().map(|(event, _)| *event).filter(|n| !n.is_multiple_of(REJECTED));
        if target.has_all(accepted) && messages() == Some(0) {
            return Some(began.elapsed());
        }
        let requests = target.count();
        if requests != last.0 {
            last = (requests, Instant::now());
        }
        if last.1.elapsed() > QUIET || began.elapsed() > LONGEST_DRAIN {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn panics(output: &[String]) -> Vec<String> {
    let lines = output.iter().flat_map(|text| text.lines());
    lines.filter(|line| line.contains("panicked")).map(str::to_owned).collect()
}
