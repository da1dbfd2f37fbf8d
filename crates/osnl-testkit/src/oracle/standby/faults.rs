//! Applies one fault after the other, in an order that the seed draws; after each fault everything is
//! restored.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::breaking::millis;
use super::super::pause_until;
use super::super::program::OracleDaemon;
use super::super::publisher::Confirmations;
use super::super::settings::OracleSettings;
use super::super::target::{OracleTarget, TargetRequest};
use super::StandbyPart;
use super::held::Silence;
use super::memory::MemoryPeaks;
use crate::wait::reached;
use crate::{RabbitCluster, Reply};

const BACK: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(60);
/// By then a silent daemon has lost the queue, after 2.9 heartbeats of 10 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The bounds of a fault's duration in ms, in which a daemon's window fills up: 200 events at 150 a second.
const FULL: [u64; 2] = [4_000, 15_000];
/// RabbitMQ before 4.2 may lose a younger queue when all nodes die at once.
const OLD_ENOUGH: Duration = Duration::from_secs(75);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    ActiveKilled,
    StandbyKilled,
    BothKilled,
    ActiveTerminated,
    ActiveSilent,
    StandbySilent,
    LeaderKilled,
    ActiveNodeKilled,
    FollowerKilled,
    ActiveAndNodeKilled,
    AllNodesKilled,
    BacklogAndAllNodesKilled,
    SomeKilled,
    TargetRefuses,
    TargetHangs,
    Reload,
}

use FaultKind::*;

const KINDS: [(FaultKind, &str, usize); 16] = [
    (ActiveKilled, "active daemon killed", 3),
    (StandbyKilled, "standby killed", 1),
    (BothKilled, "both daemons killed", 1),
    (SomeKilled, "any daemons killed at random moments", 2),
    (ActiveTerminated, "active daemon terminated and started", 1),
    (ActiveSilent, "active daemon silent (SIGSTOP)", 2),
    (StandbySilent, "standby silent (SIGSTOP)", 1),
    (LeaderKilled, "leader's node killed", 2),
    (ActiveNodeKilled, "active daemon's node killed", 2),
    (FollowerKilled, "another node killed", 1),
    (ActiveAndNodeKilled, "active daemon and its node killed", 3),
    (AllNodesKilled, "all nodes killed", 1),
    (BacklogAndAllNodesKilled, "all nodes killed with a backlog", 1),
    (TargetRefuses, "target refuses connections", 1),
    (TargetHangs, "target hangs", 1),
    (Reload, "both daemons reloaded", 2),
];

impl FaultKind {
    fn concerns_one_pair(self) -> bool {
        match self {
            ActiveKilled | StandbyKilled | BothKilled | ActiveTerminated | ActiveSilent | StandbySilent => {
                true
            }
            LeaderKilled | ActiveNodeKilled | FollowerKilled | ActiveAndNodeKilled => true,
            AllNodesKilled | BacklogAndAllNodesKilled | SomeKilled => false,
            TargetRefuses | TargetHangs | Reload => false,
        }
    }

    fn concerns_all_nodes(self) -> bool {
        [AllNodesKilled, BacklogAndAllNodesKilled].contains(&self)
    }
}

#[derive(Clone, Debug)]
pub(super) struct SeenFault {
    pub(super) name: String,
    pub(super) takeover: Option<Duration>,
    pub(super) pause: Duration,
}

pub(super) struct StandbySaboteur<'a> {
    pub(super) cluster: &'a RabbitCluster,
    /// Pairs of daemons; each pair reads the queue of its part.
    pub(super) daemons: &'a [OracleDaemon],
    pub(super) parts: &'a [StandbyPart],
    pub(super) target: &'a OracleTarget,
    pub(super) publisher: &'a Confirmations,
    pub(super) declared: Instant,
    pub(super) began: Instant,
    pub(super) chance: fastrand::Rng,
    pub(super) seen: Vec<SeenFault>,
    pub(super) silences: Vec<Silence>,
    pub(super) peaks: MemoryPeaks,
    pub(super) wrong: Vec<String>,
    pub(super) story: Vec<String>,
    pub(super) print: fn(&str),
}

/// The state at the moment of a fault.
#[derive(Clone, Copy)]
struct Before {
    pair: usize,
    active: usize,
    since: Instant,
    latest: u64,
}

impl StandbySaboteur<'_> {
    pub(super) fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.back("the start");
        let mut bag = Vec::new();
        while Instant::now() < end {
            let pause = millis(&mut self.chance, 1_000, 4_000);
            pause_until(Instant::now() + pause);
            let (kind, name) = self.draw(&mut bag);
            let pair = self.chance.usize(..self.parts.len());
            let active = self.active(pair);
            let before = Before { pair, active, since: Instant::now(), latest: self.publisher.latest() };
            let name = match self.parts[pair] {
                StandbyPart::Splitter(_) if kind.concerns_one_pair() => format!("splitter: {name}"),
                StandbyPart::Shard(_) if kind.concerns_one_pair() => format!("shard: {name}"),
                StandbyPart::Whole | StandbyPart::Splitter(_) | StandbyPart::Shard(_) => name.to_owned(),
            };
            self.print(&format!("{name}; {} is active", self.daemons[active].name));
            self.apply(kind, before);
            self.back(&name);
            self.observe(name, kind, before);
        }
    }

    fn draw(&mut self, bag: &mut Vec<(FaultKind, &'static str)>) -> (FaultKind, &'static str) {
        if bag.is_empty() {
            *bag = KINDS.iter().flat_map(|(kind, name, times)| vec![(*kind, *name); *times]).collect();
            self.chance.shuffle(bag);
        }
        let is_old = self.declared.elapsed() > OLD_ENOUGH;
        let may = |(kind, _): &(FaultKind, &str)| is_old || !kind.concerns_all_nodes();
        match bag.iter().rposition(may) {
            Some(at) => bag.remove(at),
            // Only the kill of all nodes is left, and the queue is too young.
            None => (ActiveKilled, KINDS[0].1),
        }
    }

    fn active(&self, pair: usize) -> usize {
        let both = [2 * pair, 2 * pair + 1];
        if self.parts[pair].delivers() {
            return self.target.latest_of(&both).map_or(both[0], |effect| effect.daemon);
        }
        let silent_for = |daemon: usize| {
            let status = self.daemons[daemon].ask_json(&["status"])?;
            status["listeners"][0]["last_message_seconds"].as_u64()
        };
        both.into_iter().min_by_key(|daemon| silent_for(*daemon).unwrap_or(u64::MAX)).unwrap_or(both[0])
    }

    fn apply(&mut self, kind: FaultKind, before: Before) {
        let (cluster, daemons) = (self.cluster, self.daemons);
        let Before { pair, active, .. } = before;
        let queue = &*self.parts[pair].queue();
        let (daemon, standby) = (&daemons[active], &daemons[active ^ 1]);
        let down = millis(&mut self.chance, 0, 3_000);
        let wait = || pause_until(Instant::now() + down);
        match kind {
            ActiveKilled => restart(daemon, &wait),
            StandbyKilled => restart(standby, &wait),
            BothKilled => {
                [daemon, standby].into_iter().for_each(OracleDaemon::kill);
                wait();
                [daemon, standby].into_iter().for_each(OracleDaemon::start_again);
            }
            SomeKilled => {
                for _ in 0..=daemons.len() / 2 {
                    daemons[self.chance.usize(..daemons.len())].kill();
                    let pause = millis(&mut self.chance, 0, 1_500);
                    pause_until(Instant::now() + pause);
                }
                daemons.iter().filter(|daemon| daemon.id().is_none()).for_each(OracleDaemon::start_again);
            }
            ActiveTerminated => {
                daemon.signal("TERM");
                if !reached(END, &mut || daemon.id().is_none()) {
                    self.wrong.push(format!("daemon {} does not end after SIGTERM", daemon.name));
                }
                daemon.reap();
                daemon.start_again();
            }
            ActiveSilent => self.silence(active, Some(before), down),
            StandbySilent => self.silence(active ^ 1, None, down),
            LeaderKilled => self.kill_node(cluster.leader(queue), None, before, &wait),
            ActiveNodeKilled => self.kill_node(self.node_of(active), None, before, &wait),
            FollowerKilled => {
                let (leader, connected) = (cluster.leader(queue), self.node_of(active));
                let other = (0..super::NODES).find(|node| ![leader, connected].contains(&Some(*node)));
                self.kill_node(other, None, before, &wait);
            }
            ActiveAndNodeKilled => self.kill_node(self.node_of(active), Some(active), before, &wait),
            AllNodesKilled => cluster.kill9_all(down),
            BacklogAndAllNodesKilled => {
                self.target.stop();
                let lasts = millis(&mut self.chance, FULL[0], FULL[1]);
                pause_until(Instant::now() + lasts);
                let waiting: Vec<_> = self.parts.iter().map(|part| cluster.messages(&part.queue())).collect();
                self.print(&format!("messages in the queues: {waiting:?}"));
                cluster.kill9_all(down);
                self.target.restart();
            }
            TargetRefuses => {
                self.target.stop();
                let lasts = millis(&mut self.chance, FULL[0], FULL[1]);
                pause_until(Instant::now() + lasts);
                self.target.restart();
            }
            TargetHangs => {
                self.target.fail_with(Some(Reply::Hang));
                let lasts = millis(&mut self.chance, FULL[0], FULL[1]);
                pause_until(Instant::now() + lasts);
                self.target.fail_with(None);
            }
            Reload => {
                for daemon in daemons {
                    if let Some(settings) = daemon.settings().standby {
                        daemon.configure(OracleSettings::for_standby(settings.others(&mut self.chance)));
                    }
                    daemon.signal("HUP");
                }
            }
        }
    }

    /// Stops a daemon; with `before` it is the active one.
    fn silence(&mut self, daemon: usize, before: Option<Before>, further: Duration) {
        let from = Instant::now();
        self.daemons[daemon].signal("STOP");
        match before {
            Some(before) => self.await_takeover(before),
            None => pause_until(from + SILENCE * 3 / 4),
        }
        pause_until(Instant::now() + further);
        self.daemons[daemon].signal("CONT");
        self.silences.push(Silence { daemon, from, to: Instant::now() });
    }

    fn await_takeover(&mut self, before: Before) {
        let is_over = || {
            let effects = self.target.effects_since(before.since);
            effects.iter().any(|effect| self.shows_takeover(before, effect))
        };
        if !reached(SILENCE, &mut { is_over }) {
            let name = self.daemons[before.active].name;
            self.wrong
                .push(format!("{} s after daemon {name} went the other had no effect", SILENCE.as_secs()));
        }
    }

    /// Whether the effect shows that the other daemon of the pair works. A splitter has effects through the shards only,
    /// which deliver a backlog too: an event from after the fault is the proof.
    fn shows_takeover(&self, before: Before, effect: &TargetRequest) -> bool {
        match self.parts[before.pair] {
            StandbyPart::Whole | StandbyPart::Shard(_) => effect.daemon == before.active ^ 1,
            StandbyPart::Splitter(_) => effect.event > before.latest,
        }
    }

    /// Kills a node and starts it again after a while. With a daemon, the fault is the loss of a machine: both stay
    /// dead until the other daemon has taken over.
    fn kill_node(&mut self, node: Option<usize>, daemon: Option<usize>, before: Before, wait: &dyn Fn()) {
        let Some(node) = node else {
            self.wrong
                .push("no node to kill: the queue has no leader, or the daemon no connection".to_owned());
            return;
        };
        let leader = self.cluster.leader(&self.parts[before.pair].queue());
        self.print(&format!("node {node} is killed; node {leader:?} leads the queue"));
        std::thread::scope(|scope| {
            scope.spawn(|| self.cluster.kill9(node));
            if let Some(daemon) = daemon {
                self.daemons[daemon].kill();
            }
        });
        if daemon.is_some() {
            self.await_takeover(before);
        }
        wait();
        if let Some(daemon) = daemon {
            self.daemons[daemon].start_again();
        }
        self.cluster.start_again(node);
    }

    fn node_of(&self, daemon: usize) -> Option<usize> {
        let connected = peers(self.daemons[daemon].id()?);
        self.cluster.ports().iter().position(|port| connected.contains(port))
    }

    fn back(&mut self, after: &str) {
        let (began, latest) = (Instant::now(), self.publisher.latest());
        let mut missing = String::new();
        let is_back = reached(BACK, &mut || {
            self.daemons.iter().for_each(OracleDaemon::supervise);
            missing = self.missing_since(began, latest).unwrap_or_default();
            if !missing.is_empty() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            missing.is_empty()
        });
        self.target.forget();
        let daemons = self.daemons.iter().filter_map(OracleDaemon::id);
        self.peaks.note(daemons, self.cluster.process_groups().into_iter());
        if is_back {
            self.print(&format!("everything is back after {:.1} s", began.elapsed().as_secs_f64()));
            return;
        }
        let what =
            format!("at {} s: {} s after {after}: {missing}", self.began.elapsed().as_secs(), BACK.as_secs());
        self.print(&what);
        self.wrong.push(what);
    }

    fn missing_since(&self, began: Instant, latest: u64) -> Option<String> {
        let effects = self.target.effects_since(began);
        for (pair, part) in self.parts.iter().enumerate() {
            let is_fresh = |effect: &TargetRequest| effect.daemon / 2 == pair && effect.event > latest;
            if part.delivers() && !effects.iter().any(is_fresh) {
                return Some(format!("no effect of a new event in {}", part.queue()));
            }
        }
        let unconnected = (0..self.daemons.len()).find(|daemon| self.node_of(*daemon).is_none());
        if let Some(daemon) = unconnected {
            return Some(format!("daemon {} is not connected", self.daemons[daemon].name));
        }
        self.parts.iter().find_map(|part| {
            let queue = part.queue();
            let consumers = self.cluster.consumers(&queue);
            (consumers != Some(2)).then(|| {
                let messages = self.cluster.messages(&queue);
                format!("{queue} has {consumers:?} consumers instead of two, and {messages:?} messages")
            })
        })
    }

    fn observe(&mut self, name: String, kind: FaultKind, before: Before) {
        let mut effects = self.target.effects_since(before.since);
        let first = effects.iter().find(|effect| self.shows_takeover(before, effect));
        let takeover = first.filter(|_| kind.concerns_one_pair()).map(|effect| effect.at - before.since);
        if kind.concerns_one_pair() && self.parts[before.pair].delivers() {
            effects.retain(|effect| effect.daemon / 2 == before.pair);
        }
        let times = || [before.since].into_iter().chain(effects.iter().map(|effect| effect.at));
        let pause = times().zip(times().skip(1)).map(|(from, to)| to - from).max().unwrap_or_default();
        self.print(&format!(
            "the longest pause was {:.2} s{}",
            pause.as_secs_f64(),
            takeover.map_or(String::new(), |after| format!(
                "; the other daemon had an effect after {:.2} s",
                after.as_secs_f64()
            ))
        ));
        self.seen.push(SeenFault { name, takeover, pause });
    }

    fn print(&mut self, line: &str) {
        let line = format!("{:8.2} s  {line}", self.began.elapsed().as_secs_f64());
        (self.print)(&line);
        self.story.push(line);
    }
}

fn restart(daemon: &OracleDaemon, wait: &dyn Fn()) {
    daemon.kill();
    wait();
    daemon.start_again();
}

fn peers(process: u32) -> BTreeSet<u16> {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let sockets: BTreeSet<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let peer = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_open = *words.get(3)? == "01" && sockets.contains(*words.get(9)?);
        u16::from_str_radix(words.get(2)?.split_once(':')?.1, 16).ok().filter(|_| is_open)
    };
    table.lines().skip(1).filter_map(peer).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_process_is_known_by_the_ports_that_it_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!peers(std::process::id()).contains(&port));
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(peers(std::process::id()).contains(&port));
    }
}
