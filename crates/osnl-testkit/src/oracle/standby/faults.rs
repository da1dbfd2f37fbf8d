//! Applies one fault after the other, in an order that the seed draws; after each fault everything is
//! restored.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::breaking::millis;
use super::super::program::OracleDaemon;
use super::super::publisher::Confirmations;
use super::super::settings::OracleSettings;
use super::super::target::OracleTarget;
use super::super::{QUEUE, pause_until};
use super::{NAMES, REJECTED, StandbySettings};
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
    TargetRefuses,
    TargetHangs,
    Reload,
}

use FaultKind::*;

const KINDS: [(FaultKind, &str, usize); 14] = [
    (ActiveKilled, "active daemon killed", 3),
    (StandbyKilled, "standby killed", 1),
    (BothKilled, "both daemons killed", 1),
    (ActiveTerminated, "active daemon terminated and started", 1),
    (ActiveSilent, "active daemon silent (SIGSTOP)", 2),
    (StandbySilent, "standby silent (SIGSTOP)", 1),
    (LeaderKilled, "leader's node killed", 2),
    (ActiveNodeKilled, "active daemon's node killed", 2),
    (FollowerKilled, "another node killed", 1),
    (ActiveAndNodeKilled, "active daemon and its node killed", 3),
    (AllNodesKilled, "all nodes killed", 1),
    (TargetRefuses, "target refuses connections", 1),
    (TargetHangs, "target hangs", 1),
    (Reload, "both daemons reloaded", 2),
];

#[derive(Clone, Copy, Debug)]
pub(super) struct SeenFault {
    pub(super) name: &'static str,
    pub(super) takeover: Option<Duration>,
    pub(super) pause: Duration,
}

pub(super) struct StandbySaboteur<'a> {
    pub(super) cluster: &'a RabbitCluster,
    pub(super) daemons: &'a [OracleDaemon],
    pub(super) target: &'a OracleTarget,
    pub(super) publisher: &'a Confirmations,
    pub(super) declared: Instant,
    pub(super) began: Instant,
    pub(super) chance: fastrand::Rng,
    pub(super) seen: Vec<SeenFault>,
    pub(super) wrong: Vec<String>,
    pub(super) story: Vec<String>,
    pub(super) print: fn(&str),
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
            let (active, since) = (self.active(), Instant::now());
            self.print(&format!("{name}; {} is active", NAMES[active]));
            self.apply(kind, active);
            self.back(name);
            self.observe(name, active, since);
        }
    }

    fn draw(&mut self, bag: &mut Vec<(FaultKind, &'static str)>) -> (FaultKind, &'static str) {
        if bag.is_empty() {
            *bag = KINDS.iter().flat_map(|(kind, name, times)| vec![(*kind, *name); *times]).collect();
            self.chance.shuffle(bag);
        }
        let is_old = self.declared.elapsed() > OLD_ENOUGH;
        let may = |(kind, _): &(FaultKind, &str)| is_old || *kind != AllNodesKilled;
        match bag.iter().rposition(may) {
            Some(at) => bag.remove(at),
            // Only the kill of all nodes is left, and the queue is too young.
            None => (ActiveKilled, KINDS[0].1),
        }
    }

    fn active(&self) -> usize {
        self.target.latest().map_or(0, |effect| effect.daemon)
    }

    fn apply(&mut self, kind: FaultKind, active: usize) {
        let (cluster, daemons) = (self.cluster, self.daemons);
        let (daemon, standby) = (&daemons[active], &daemons[1 - active]);
        let down = millis(&mut self.chance, 0, 3_000);
        let wait = || pause_until(Instant::now() + down);
        match kind {
            ActiveKilled => restart(daemon, &wait),
            StandbyKilled => restart(standby, &wait),
            BothKilled => {
                daemons.iter().for_each(OracleDaemon::kill);
                wait();
                daemons.iter().for_each(OracleDaemon::start_again);
            }
            ActiveTerminated => {
                daemon.signal("TERM");
                if !reached(END, &mut || daemon.id().is_none()) {
                    self.wrong.push(format!("daemon {} does not end after SIGTERM", daemon.name));
                }
                daemon.reap();
                daemon.start_again();
            }
            ActiveSilent => self.silence(active, true, down),
            StandbySilent => self.silence(1 - active, false, down),
            LeaderKilled => self.kill_node(cluster.leader(QUEUE), None, &wait),
            ActiveNodeKilled => self.kill_node(self.node_of(active), None, &wait),
            FollowerKilled => {
                let (leader, connected) = (cluster.leader(QUEUE), self.node_of(active));
                let other = (0..super::NODES).find(|node| ![leader, connected].contains(&Some(*node)));
                self.kill_node(other, None, &wait);
            }
            ActiveAndNodeKilled => self.kill_node(self.node_of(active), Some(active), &wait),
            AllNodesKilled => cluster.kill9_all(down),
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
                    daemon.configure(OracleSettings::of_standby(StandbySettings::others(&mut self.chance)));
                    daemon.signal("HUP");
                }
            }
        }
    }

    fn silence(&mut self, daemon: usize, is_active: bool, further: Duration) {
        let since = Instant::now();
        self.daemons[daemon].signal("STOP");
        match is_active {
            true => self.await_takeover(daemon, since),
            false => pause_until(since + SILENCE * 3 / 4),
        }
        pause_until(Instant::now() + further);
        self.daemons[daemon].signal("CONT");
    }

    fn await_takeover(&mut self, daemon: usize, since: Instant) {
        let is_over = || self.target.effects_since(since).iter().any(|effect| effect.daemon != daemon);
        if !reached(SILENCE, &mut { is_over }) {
            let name = NAMES[daemon];
            self.wrong
                .push(format!("{} s after daemon {name} went the other had no effect", SILENCE.as_secs()));
        }
    }

    /// Kills a node and starts it again after a while. With a daemon, the fault is the loss of a machine: both stay
    /// dead until the other daemon has taken over.
    fn kill_node(&mut self, node: Option<usize>, daemon: Option<usize>, wait: &dyn Fn()) {
        let Some(node) = node else {
            self.wrong
                .push("no node to kill: the queue has no leader, or the daemon no connection".to_owned());
            return;
        };
        self.print(&format!("node {node} is killed; node {:?} leads the queue", self.cluster.leader(QUEUE)));
        let since = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| self.cluster.kill9(node));
            if let Some(daemon) = daemon {
                self.daemons[daemon].kill();
            }
        });
        if let Some(daemon) = daemon {
            self.await_takeover(daemon, since);
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
        let began = Instant::now();
        let next = self.publisher.latest() + 1;
        let next = next + u64::from(next.is_multiple_of(REJECTED));
        let mut missing = "";
        let is_back = reached(BACK, &mut || {
            self.daemons.iter().for_each(OracleDaemon::supervise);
            missing = if !self.target.has_all([next].into_iter()) {
                "no effect of a new event"
            } else if (0..NAMES.len()).any(|daemon| self.node_of(daemon).is_none()) {
                "a daemon is not connected"
            } else if self.cluster.consumers(QUEUE) != Some(NAMES.len() as u64) {
                "the queue has not both consumers"
            } else {
                ""
            };
            if !missing.is_empty() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            missing.is_empty()
        });
        self.target.forget();
        if is_back {
            self.print(&format!("everything is back after {:.1} s", began.elapsed().as_secs_f64()));
            return;
        }
        let seconds = self.began.elapsed().as_secs();
        let what = format!(
            "at {seconds} s: {} s after {after}: {missing}; {:?} messages, {:?} consumers",
            BACK.as_secs(),
            self.cluster.messages(QUEUE),
            self.cluster.consumers(QUEUE),
        );
        self.print(&what);
        self.wrong.push(what);
    }

    fn observe(&mut self, name: &'static str, active: usize, since: Instant) {
        let effects = self.target.effects_since(since);
        let first = effects.iter().find(|effect| effect.daemon != active);
        let times = || [since].into_iter().chain(effects.iter().map(|effect| effect.at));
        let pause = times().zip(times().skip(1)).map(|(from, to)| to - from).max().unwrap_or_default();
        let seen = SeenFault { name, takeover: first.map(|effect| effect.at - since), pause };
        self.print(&format!(
            "the longest pause was {:.2} s{}",
            pause.as_secs_f64(),
            seen.takeover.map_or(String::new(), |after| format!(
                "; the other daemon had an effect after {:.2} s",
                after.as_secs_f64()
            ))
        ));
        self.seen.push(seen);
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
