//! The oracle of the broker as the journal: two daemons on `memory://` and a quorum queue with a single active
//! consumer on three nodes.
//!
//! After each fault everything is restored: both daemons read, all nodes run, and a fresh event has an effect. So
//! each fault has times of its own:
//!
//! | time | from | to |
//! | --- | --- | --- |
//! | take-over | the fault | the first effect by the standby daemon |
//! | pause | – | the longest time without any effect until the restoration |

mod faults;
mod judge;
mod outage;
mod report;
mod settings;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::faults::StandbySaboteur;
use self::judge::{StandbyVerdict, buried};
pub use self::outage::{OutagePlan, OutageReport};
pub use self::report::StandbyReport;
pub(super) use self::settings::StandbySettings;
use super::program::{OracleDaemon, OracleProgram};
use super::publisher::Confirmations;
use super::settings::OracleSettings;
use super::target::OracleTarget;
use super::{QUEUE, SOON};
use crate::RabbitCluster;
use crate::wait::reached;

const NAMES: [&str; 2] = ["a", "b"];
const NODES: usize = 3;
const RATE: u64 = 150;
const KEYS: u64 = 40;
const DEAD: &str = "k2hr3_osnl.dead";
/// One event in this number becomes a dead letter, because the target rejects it for good.
const REJECTED: u64 = 97;
/// After this time without an effect, the run is over. A silent node of RabbitMQ 4.3 costs a minute by default.
const QUIET: Duration = Duration::from_secs(100);

#[derive(Clone, Debug)]
pub struct StandbyPlan {
    pub osnl: PathBuf,
    pub time: Duration,
    pub seed: u64,
    pub logs: PathBuf,
    pub print: fn(&str),
}

impl StandbyPlan {
    #[must_use]
    pub fn run(&self) -> StandbyReport {
        let _ = fs::remove_dir_all(&self.logs);
        fs::create_dir_all(&self.logs).unwrap();
        let cluster = RabbitCluster::start(NODES);
        let (target, daemons) = start(&self.osnl, &cluster.url(), NAMES.len(), &StandbySettings::default());
        let declared = Instant::now();
        let all = NAMES.len() as u64;
        assert!(
            reached(SOON, &mut || cluster.consumers(QUEUE) == Some(all)),
            "the queue has no {all} consumers: {}",
            daemons.iter().map(OracleDaemon::stop).collect::<String>()
        );

        let began = Instant::now();
        let publisher = Confirmations::start(&cluster.ports(), "/", [RATE, KEYS, self.seed]);
        let mut saboteur = StandbySaboteur {
            cluster: &cluster,
            daemons: &daemons,
            target: &target,
            publisher: &publisher,
            declared,
            began,
            chance: fastrand::Rng::with_seed(self.seed),
            seen: Vec::new(),
            wrong: Vec::new(),
            story: Vec::new(),
            print: self.print,
        };
        saboteur.run(self.time);
        let StandbySaboteur { seen, mut wrong, story, .. } = saboteur;
        let confirmed: Vec<u64> = publisher.stop().into_iter().map(|(number, _)| number).collect();
        let published = began.elapsed();
        let drained = drain(&target, &daemons, &confirmed, || cluster.messages(QUEUE));
        if drained.is_none() {
            wrong.push(format!("not drained: the queue has {:?} messages", cluster.messages(QUEUE)));
        }
        let kept = cluster.messages(DEAD).unwrap_or(0);
        let output: Vec<String> = daemons.iter().map(OracleDaemon::stop).collect();
        wrong.extend(daemons.iter().flat_map(OracleDaemon::ended));
        wrong.extend(panics(&output));
        let dead: BTreeSet<u64> = output.iter().flat_map(|text| buried(text)).collect();
        let requests = target.requests();
        let verdict = StandbyVerdict::of(&confirmed, &requests, &dead);
        if kept < dead.len() as u64 {
            wrong.push(format!("{DEAD} has {kept} messages, and the logs {} dead letters", dead.len()));
        }
        let write = |name: &str, text: String| fs::write(self.logs.join(name), text).unwrap();
        NAMES.iter().zip(output).for_each(|(name, text)| write(&format!("{name}.log"), text));
        write("story.txt", story.join("\n"));
        let mut effects = String::new();
        for effect in requests.iter().filter(|request| request.effect) {
            let at = effect.at.saturating_duration_since(began).as_secs_f64();
            let (event, key, name) = (effect.event, effect.key, NAMES[effect.daemon]);
            _ = writeln!(effects, "{at:8.2} s  event {event} of resource {key} by {name}");
        }
        write("effects.txt", effects);
        StandbyReport {
            seed: self.seed,
            version: cluster.version(),
            published,
            confirmed: confirmed.len(),
            drained,
            seen,
            verdict,
            wrong,
            logs: self.logs.clone(),
        }
    }
}

fn start(
    osnl: &Path,
    transport_url: &str,
    daemons: usize,
    settings: &StandbySettings,
) -> (OracleTarget, Vec<OracleDaemon>) {
    let target = OracleTarget::start(daemons);
    target.reject_one_in(REJECTED);
    let settings = OracleSettings::of_standby(settings.clone());
    let start = |(n, name): (usize, &'static str)| {
        let program = OracleProgram::Osnl(osnl.to_owned());
        OracleDaemon::start(name, program, [transport_url, &target.url(n)], settings.clone())
    };
    let daemons = NAMES.into_iter().take(daemons).enumerate().map(start).collect();
    (target, daemons)
}

fn drain(
    target: &OracleTarget,
    daemons: &[OracleDaemon],
    confirmed: &[u64],
    messages: impl Fn() -> Option<u64>,
) -> Option<Duration> {
    let began = Instant::now();
    let mut last = (0, began);
    loop {
        daemons.iter().for_each(OracleDaemon::supervise);
        target.forget();
        let accepted = confirmed.iter().filter(|event| !event.is_multiple_of(REJECTED));
        if target.has_all(accepted.copied()) && messages() == Some(0) {
            return Some(began.elapsed());
        }
        let requests = target.count();
        if requests != last.0 {
            last = (requests, Instant::now());
        }
        if last.1.elapsed() > QUIET {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn panics(output: &[String]) -> Vec<String> {
    let lines = output.iter().flat_map(|text| text.lines());
    lines.filter(|line| line.contains("panicked")).map(str::to_owned).collect()
}
