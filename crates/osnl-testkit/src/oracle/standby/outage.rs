//! The held outage: a broker with a short consumer time-out, a target that is away for longer, and far more messages
//! than a daemon's window.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::program::OracleDaemon;
use super::super::publisher::Confirmations;
use super::super::{QUEUE, SOON, pause_until};
use super::judge::{StandbyVerdict, buried};
use super::memory::{MOST_OF_DAEMON, peak};
use super::report::write_verdict;
use super::{KEYS, NAMES, StandbySettings, drain, panics, start};
use crate::wait::reached;
use crate::{Broker, Reply};

/// The longest time for which a message may be unacknowledged at the broker; the default is half an hour.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(60);
const RATE: u64 = 20_000;
const PUBLISHING: Duration = Duration::from_secs(900);
const SAID: usize = 12;

#[derive(Clone, Debug)]
pub struct OutagePlan {
    pub osnl: PathBuf,
    pub held: Duration,
    pub events: u64,
    pub standby: bool,
    pub file: bool,
    pub seed: u64,
    pub logs: PathBuf,
    pub print: fn(&str),
}

#[derive(Debug)]
pub struct OutageReport {
    version: String,
    confirmed: usize,
    drained: Option<Duration>,
    memory: Vec<f64>,
    verdict: StandbyVerdict,
    wrong: Vec<String>,
    said: Vec<(usize, String)>,
    logs: PathBuf,
}

impl OutagePlan {
    #[must_use]
    pub fn run(&self) -> OutageReport {
        let _ = fs::remove_dir_all(&self.logs);
        fs::create_dir_all(&self.logs).unwrap();
        let broker = Broker::start();
        broker.set("consumer_timeout", &CONSUMER_TIMEOUT.as_millis().to_string());
        let vhost = broker.vhost("outage");
        let version = broker.root().greeting()[1].clone();
        let settings = match self.file {
            true => StandbySettings { journal: "", ..StandbySettings::default() },
            false => StandbySettings::default(),
        };
        let names = if self.standby { 2 } else { 1 };
        let cast: Vec<_> = NAMES.into_iter().take(names).map(|name| (name, settings.clone())).collect();
        let (target, daemons) = start(&self.osnl, &vhost.url(), cast);
        let queue = || vhost.list_queues().into_iter().find(|queue| queue.name == QUEUE);
        let is_consumed = || queue().is_some_and(|queue| queue.consumers == names as u64);
        let mut wrong = Vec::new();
        if !reached(SOON, &mut { is_consumed }) {
            wrong.push("the queue has not all consumers".to_owned());
        }

        let began = Instant::now();
        let print = |line: &str| (self.print)(&format!("{:8.2} s  {line}", began.elapsed().as_secs_f64()));
        target.stop();
        let publisher = Confirmations::start(&[broker.port()], vhost.name(), [RATE, KEYS, self.seed], 0);
        if !reached(PUBLISHING, &mut || publisher.latest() >= self.events) {
            wrong.push(format!("only {} messages within {} s", publisher.latest(), PUBLISHING.as_secs()));
        }
        let confirmed = publisher.stop();
        print(&format!("{} messages are confirmed", confirmed.len()));
        // The target refuses connections for half of the time, and hangs for the other half.
        let full = Instant::now();
        pause_until(full + self.held / 2);
        target.fail_with(Some(Reply::Hang));
        target.restart();
        print("the target hangs from now on, and refuses no more");
        pause_until(full + self.held);
        let waiting = queue().map(|queue| (queue.ready, queue.unacked));
        print(&format!("the target is well; messages ready and unacknowledged: {waiting:?}"));
        target.fail_with(None);
        let messages = || queue().map(|queue| queue.ready + queue.unacked);
        let drained = drain(&target, &daemons, &confirmed, messages);
        if drained.is_none() {
            wrong.push(format!("not drained: the queue has {:?} messages", messages()));
        }

        let memory: Vec<f64> = daemons.iter().filter_map(OracleDaemon::id).filter_map(peak).collect();
        if memory.len() < daemons.len() || memory.iter().any(|mib| *mib > MOST_OF_DAEMON) {
            wrong.push(format!("memory of the daemons in MiB: {memory:.1?}, at most {MOST_OF_DAEMON}"));
        }
        let output: Vec<String> = daemons.iter().map(OracleDaemon::stop).collect();
        wrong.extend(daemons.iter().flat_map(OracleDaemon::ended));
        wrong.extend(panics(&output));
        for (daemon, text) in daemons.iter().zip(&output) {
            fs::write(self.logs.join(format!("{}.log", daemon.name)), text).unwrap();
        }
        let dead = match self.file {
            true => {
                let rows = daemons.iter().flat_map(|daemon| daemon.journal().0);
                rows.filter(|row| row.has_ended_without_effect()).map(|row| row.event).collect()
            }
            false => output.iter().flat_map(|text| buried(text)).collect(),
        };
        let verdict = StandbyVerdict::new(&confirmed, &target.requests(), &dead, None);
        let (confirmed, logs) = (confirmed.len(), self.logs.clone());
        OutageReport { version, confirmed, drained, memory, verdict, wrong, said: said(&output), logs }
    }
}

impl OutageReport {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.verdict.holds()
    }
}

impl fmt::Display for OutageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RabbitMQ {}, consumer time-out {} s", self.version, CONSUMER_TIMEOUT.as_secs())?;
        write_verdict(f, self.confirmed, self.drained, &self.verdict, &self.wrong)?;
        writeln!(f, "  most memory of each daemon in MiB: {:.1?}", self.memory)?;
        writeln!(f, "  the daemons said:")?;
        self.said.iter().try_for_each(|(times, line)| writeln!(f, "  {times:>6} × {line}"))?;
        writeln!(f, "logs: {}", self.logs.display())
    }
}

fn said(output: &[String]) -> Vec<(usize, String)> {
    let mut counts: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let lines = output.iter().flat_map(|text| text.lines());
    let lines = lines.filter(|line| line.contains("WARN") || line.contains("ERROR"));
    for line in lines.filter(|line| !line.contains("delivery.id") && !line.contains("dead_letter")) {
        let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).take(160).collect();
        let (count, _) = counts.entry(kind).or_insert_with(|| (0, line.chars().take(400).collect()));
        *count += 1;
    }
    let mut counts: Vec<(usize, String)> = counts.into_values().collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts.truncate(SAID);
    counts
}
