//! Random faults, at most one of each daemon, of its network to the target, of the database's server, of the broker,
//! and of the target.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::member::OracleMember;
use super::servers::OracleServers;
use super::target::SharedTarget;
use super::window::FaultWindow;
use crate::oracle::breaking::millis;
use crate::oracle::pause_until;
use crate::wait::reached;
use crate::{Broker, NetworkFault, Reply};

const AT_ONCE: usize = 3;
const SIGTERM: i32 = 15;
const FURTHEST: i64 = 6 * 3600;
const READ_ONLY: &str = "default_transaction_read_only";
const TICK: Duration = Duration::from_millis(20);
const UNDER_WAY: Duration = Duration::from_millis(300);
const DRAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    Kill,
    Stop,
    StopInRequest,
    Terminate,
    ChangeVersion,
    CutDatabase,
    CutInRequest,
    SilentDatabase,
    SlowDatabase,
    LoseCommit,
    BreakAgain,
    CutBroker,
    SilentBroker,
    SilentTarget,
    DatabaseKilled,
    DatabaseRestarted,
    DatabaseReadOnly,
    DatabaseSlow,
    DatabaseLosesCommits,
    DatabaseFailsOver,
    DatabaseFull,
    BrokerKilled,
    ClockSet,
    CommitsSlow,
    CommitsWait,
    TargetRefuses,
    TargetSlow,
    TargetFails,
    TargetSilent,
}

use FaultKind::*;

const KINDS: [(FaultKind, &str, u32, [u64; 2]); 29] = [
    (Kill, "daemon killed with SIGKILL", 4, [1, 2_000]),
    (Stop, "daemon stopped and continued", 4, [500, 12_000]),
    (StopInRequest, "daemon stopped with a request under way", 5, [3_000, 10_000]),
    (Terminate, "daemon terminated and started", 3, [60_000, 60_001]),
    (ChangeVersion, "daemon started as another version, or back", 2, [60_000, 60_001]),
    (CutDatabase, "daemon cut off from the database", 4, [300, 12_000]),
    (CutInRequest, "daemon cut off from the database, its requests delayed", 3, [4_000, 9_000]),
    (SilentDatabase, "database silent for a daemon", 4, [300, 20_000]),
    (SlowDatabase, "database slow for a daemon", 2, [1_000, 8_000]),
    (LoseCommit, "answers of COMMIT lost", 5, [300, 5_000]),
    (BreakAgain, "connections to the database break again and again", 3, [300, 5_000]),
    (CutBroker, "daemon cut off from the broker", 3, [100, 8_000]),
    (SilentBroker, "broker silent for a daemon", 3, [500, 12_000]),
    (SilentTarget, "requests of a daemon delayed", 4, [500, 9_000]),
    (DatabaseKilled, "database killed with SIGKILL", 1, [1, 3_000]),
    (DatabaseRestarted, "database restarted", 1, [1, 3_000]),
    (DatabaseReadOnly, "database read-only", 1, [1_000, 6_000]),
    (DatabaseSlow, "database slow for all", 1, [1_000, 8_000]),
    (DatabaseLosesCommits, "answers of COMMIT lost for all", 1, [300, 4_000]),
    (DatabaseFailsOver, "database killed for good: its standby takes over", 2, [100, 3_000]),
    (DatabaseFull, "disk of the database full", 1, [1_000, 8_000]),
    (BrokerKilled, "broker killed with SIGKILL and started", 1, [1, 3_000]),
    (ClockSet, "clock of a daemon set by hours", 2, [1_000, 15_000]),
    (CommitsSlow, "commits take up to three seconds: standby slow", 1, [3_000, 10_000]),
    (CommitsWait, "commits wait: standby silent", 1, [500, 8_000]),
    (TargetRefuses, "target refuses connections", 1, [500, 4_000]),
    (TargetSlow, "target slow", 3, [1_000, 6_000]),
    (TargetFails, "target answers with errors", 2, [500, 4_000]),
    (TargetSilent, "target silent", 1, [500, 4_000]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultSubject {
    Member(usize),
    /// The network between a daemon and the target, which combines with any fault of the daemon.
    Path(usize),
    Clock(usize),
    Server,
    Broker,
    Target,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    kind: FaultKind,
    subject: FaultSubject,
    since: Instant,
    until: Instant,
    delay: Duration,
}

pub(super) struct SharedSaboteur<'a> {
    pub(super) members: Vec<OracleMember>,
    pub(super) servers: OracleServers,
    silent: Option<usize>,
    impossible: Vec<FaultKind>,
    broker: Arc<Broker>,
    starting: Option<JoinHandle<()>>,
    target: &'a SharedTarget,
    chance: fastrand::Rng,
    began: Instant,
    active: Vec<Active>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) windows: Vec<FaultWindow>,
    pub(super) wrong: Vec<String>,
    pub(super) story: Vec<String>,
}

impl<'a> SharedSaboteur<'a> {
    pub(super) fn new(
        members: Vec<OracleMember>,
        servers: OracleServers,
        (broker, impossible): (Arc<Broker>, Vec<FaultKind>),
        target: &'a SharedTarget,
        seed: u64,
    ) -> Self {
        let chance = fastrand::Rng::with_seed(seed.wrapping_add(1));
        Self {
            members,
            servers,
            silent: None,
            impossible,
            broker,
            starting: None,
            target,
            chance,
            began: Instant::now(),
            active: Vec::new(),
            counts: BTreeMap::new(),
            windows: Vec::new(),
            wrong: Vec::new(),
            story: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut next = Instant::now() + millis(&mut self.chance, 1_000, 3_000);
        while Instant::now() < end {
            self.tick();
            if Instant::now() >= next {
                next = Instant::now() + millis(&mut self.chance, 100, 2_500);
                self.begin_one();
            }
            pause_until(Instant::now() + TICK);
        }
        while !self.active.is_empty() {
            for active in &mut self.active {
                // A drain has no fixed length, so that the run waits for its end.
                if !matches!(active.kind, Terminate | ChangeVersion) {
                    active.until = active.until.min(Instant::now());
                }
            }
            self.tick();
            pause_until(Instant::now() + TICK);
        }
    }

    pub(super) fn tick(&mut self) {
        self.target.forget();
        let (over, active) =
            std::mem::take(&mut self.active).into_iter().partition(|active| self.is_over(active));
        self.active = active;
        let over: Vec<Active> = over;
        over.iter().for_each(|active| self.end(active));
        for n in 0..self.members.len() {
            let is_asked = self.active.iter().any(|active| {
                active.subject == FaultSubject::Member(n)
                    && matches!(active.kind, Terminate | ChangeVersion | Kill)
            });
            if !is_asked && let Some(status) = self.members[n].ended() {
                let what = format!("daemon {} ended by itself: {status}", self.members[n].name);
                self.note(&what);
                self.wrong.push(what);
                self.members[n].start_again();
            }
        }
    }

    fn is_over(&mut self, active: &Active) -> bool {
        match (active.kind, active.subject) {
            (Terminate | ChangeVersion, FaultSubject::Member(n)) => {
                self.members[n].ended().is_some() || Instant::now() >= active.since + DRAIN
            }
            (DatabaseFailsOver, _) => self.servers.is_whole(),
            (BrokerKilled, _) => self.starting.as_ref().is_none_or(JoinHandle::is_finished),
            _ => Instant::now() >= active.until,
        }
    }

    fn begin_one(&mut self) {
        if self.active.len() == AT_ONCE {
            return;
        }
        let possible = || KINDS.iter().filter(|(kind, ..)| !self.impossible.contains(kind));
        let all: u32 = possible().map(|(_, _, weight, _)| weight).sum();
        let mut place = self.chance.u32(..all);
        let chosen = possible().find(|(_, _, weight, _)| {
            let is_it = place < *weight;
            place = place.saturating_sub(*weight);
            is_it
        });
        let Some((kind, name, _, [shortest, longest])) = chosen else { return };
        let subject = match kind {
            Kill | Stop | StopInRequest | Terminate | ChangeVersion | CutDatabase | CutInRequest
            | SilentDatabase | SlowDatabase | LoseCommit | BreakAgain | CutBroker | SilentBroker => {
                FaultSubject::Member(self.chance.usize(..self.members.len()))
            }
            ClockSet => FaultSubject::Clock(self.chance.usize(..self.members.len())),
            SilentTarget => FaultSubject::Path(self.chance.usize(..self.members.len())),
            DatabaseKilled | DatabaseRestarted | DatabaseReadOnly | DatabaseSlow | DatabaseLosesCommits
            | DatabaseFailsOver | DatabaseFull | CommitsSlow | CommitsWait => FaultSubject::Server,
            BrokerKilled => FaultSubject::Broker,
            TargetRefuses | TargetSlow | TargetFails | TargetSilent => FaultSubject::Target,
        };
        if self.active.iter().any(|active| active.subject == subject) {
            return;
        }
        let since = Instant::now();
        let until = since + millis(&mut self.chance, *shortest, *longest);
        let delay = millis(&mut self.chance, 20, 400);
        let active = Active { kind: *kind, subject, since, until, delay };
        *self.counts.entry(*name).or_default() += 1;
        let whose = match subject {
            FaultSubject::Member(n) | FaultSubject::Path(n) | FaultSubject::Clock(n) => {
                format!(" ({})", self.members[n].name)
            }
            FaultSubject::Server | FaultSubject::Broker | FaultSubject::Target => String::new(),
        };
        self.note(&format!("{name}{whose}, for {:.1} s", (until - since).as_secs_f64()));
        self.active.push(active);
        self.begin(&active);
    }

    fn begin(&mut self, active: &Active) {
        match (active.kind, active.subject) {
            (Kill, FaultSubject::Member(n)) => self.members[n].kill(),
            (Stop, FaultSubject::Member(n)) => self.members[n].signal("STOP"),
            (StopInRequest, FaultSubject::Member(n)) => {
                self.target.slow_down(n, true);
                let before = self.target.requests(n);
                reached(Duration::from_secs(1), &mut || self.target.requests(n) > before);
                self.members[n].signal("STOP");
                self.target.slow_down(n, false);
            }
            (Terminate | ChangeVersion, FaultSubject::Member(n)) => self.members[n].signal("TERM"),
            (CutInRequest, FaultSubject::Member(n)) => {
                self.target.reach(n, NetworkFault::Stall);
                pause_until(Instant::now() + UNDER_WAY);
                self.set_networks();
            }
            (ClockSet, FaultSubject::Clock(n)) => {
                let seconds = self.chance.i64(1..=FURTHEST) * if self.chance.bool() { 1 } else { -1 };
                self.members[n].set_clock(seconds);
            }
            (SilentTarget, FaultSubject::Path(n)) => self.target.reach(n, NetworkFault::Stall),
            (DatabaseKilled, _) => self.servers.primary_mut().kill9(),
            (DatabaseRestarted, _) => self.servers.primary_mut().shutdown(),
            (DatabaseReadOnly, _) => self.servers.primary().set(READ_ONLY, Some("on")),
            (DatabaseFailsOver, _) => {
                self.silent = self.chance.bool().then(|| self.servers.place());
                if self.silent.is_some() {
                    self.note("the lost server is silent");
                }
                self.set_networks();
                self.servers.lose_primary(active.until - active.since);
            }
            (DatabaseFull, _) => self.servers.primary().fill_disk(),
            (BrokerKilled, _) => self.kill_broker(active.until),
            (CommitsSlow, _) => self.servers.reach_standby(NetworkFault::Delay(active.delay * 4)),
            (CommitsWait, _) => self.servers.reach_standby(NetworkFault::Stall),
            (TargetRefuses, _) => self.target.refuse(),
            (TargetSlow, _) => {
                let pause = millis(&mut self.chance, 100, 3_500);
                self.target.fail_with(Some(Reply::After(pause, Box::new(Reply::Status(204)))));
            }
            (TargetFails, _) => {
                let replies = [
                    Reply::Status(500),
                    Reply::Status(503),
                    Reply::Status(429),
                    Reply::Reset,
                    Reply::CloseWithoutReply,
                ];
                self.target.fail_with(Some(replies[self.chance.usize(..replies.len())].clone()));
            }
            (TargetSilent, _) => self.target.fail_with(Some(Reply::Hang)),
            _ => self.set_networks(),
        }
    }

    fn end(&mut self, active: &Active) {
        match (active.kind, active.subject) {
            (Kill, FaultSubject::Member(n)) => self.members[n].start_again(),
            (Stop | StopInRequest, FaultSubject::Member(n)) => self.members[n].signal("CONT"),
            (CutInRequest, FaultSubject::Member(n)) => {
                self.target.reach(n, NetworkFault::None);
                self.set_networks();
            }
            (ChangeVersion, FaultSubject::Member(n)) => {
                self.members[n].change_version();
                self.has_terminated(n);
            }
            (Terminate, FaultSubject::Member(n)) => self.has_terminated(n),
            (ClockSet, FaultSubject::Clock(n)) => self.members[n].set_clock(0),
            (SilentTarget, FaultSubject::Path(n)) => self.target.reach(n, NetworkFault::None),
            (DatabaseKilled | DatabaseRestarted, _) => self.servers.primary_mut().start_again(),
            (DatabaseReadOnly, _) => self.servers.primary().set(READ_ONLY, None),
            (DatabaseFailsOver, _) => {
                self.silent = None;
                self.set_networks();
            }
            (DatabaseFull, _) => self.servers.primary_mut().free_disk(),
            (CommitsSlow | CommitsWait, _) => self.servers.reach_standby(NetworkFault::None),
            (BrokerKilled, _) => {
                if let Some(starting) = self.starting.take() {
                    starting.join().expect("the broker starts again");
                }
            }
            (TargetRefuses, _) => self.target.accept(),
            (TargetSlow | TargetFails | TargetSilent, _) => self.target.fail_with(None),
            _ => self.set_networks(),
        }
        let daemon = match active.subject {
            FaultSubject::Member(n) => Some(n),
            FaultSubject::Server => None,
            FaultSubject::Path(_) | FaultSubject::Clock(_) | FaultSubject::Broker | FaultSubject::Target => {
                return;
            }
        };
        self.windows.push(FaultWindow { daemon, from: active.since, until: Instant::now() });
    }

    fn kill_broker(&mut self, until: Instant) {
        self.broker.kill9();
        let broker = self.broker.clone();
        self.starting = Some(std::thread::spawn(move || {
            pause_until(until);
            broker.start_again();
        }));
    }

    fn has_terminated(&mut self, n: usize) {
        let name = self.members[n].name.clone();
        match self.members[n].ended() {
            Some(status) if status.success() => {}
            // The daemon had just started, and did not handle the signal yet.
            Some(status) if status.signal() == Some(SIGTERM) => {}
            Some(status) => self.wrong.push(format!("daemon {name} ended after SIGTERM with {status}")),
            None => {
                self.wrong.push(format!("daemon {name} did not end within {DRAIN:?} after SIGTERM"));
                self.members[n].kill();
            }
        }
        self.members[n].start_again();
    }

    fn set_networks(&mut self) {
        for n in 0..self.members.len() {
            let own = self.active.iter().find(|active| active.subject == FaultSubject::Member(n));
            let (kind, delay) = own.map_or((None, Duration::ZERO), |own| (Some(own.kind), own.delay));
            let of_all = self.active.iter().find(|active| active.subject == FaultSubject::Server);
            let of_all = match of_all.map(|active| (active.kind, active.delay)) {
                Some((DatabaseSlow, delay)) => NetworkFault::Delay(delay),
                Some((DatabaseLosesCommits, _)) => NetworkFault::LoseCommit,
                _ => NetworkFault::None,
            };
            let at_database = match kind {
                Some(CutDatabase | CutInRequest) => NetworkFault::Refuse,
                Some(SilentDatabase) => NetworkFault::Stall,
                Some(SlowDatabase) => NetworkFault::Delay(delay),
                Some(LoseCommit) => NetworkFault::LoseCommit,
                // A transaction takes some kilobytes, and a new connection more.
                Some(BreakAgain) => NetworkFault::CutAfter(delay.as_millis() as u64 * 40),
                _ => of_all,
            };
            let mut at_databases = [at_database; 2];
            if let Some(silent) = self.silent {
                at_databases[silent] = NetworkFault::Stall;
            }
            self.members[n].reach_database(at_databases);
            self.members[n].reach_broker(match kind {
                Some(CutBroker) => NetworkFault::Refuse,
                Some(SilentBroker) => NetworkFault::Stall,
                _ => NetworkFault::None,
            });
        }
    }

    pub(super) fn effects(&self) -> usize {
        self.target.count()
    }

    pub(super) fn note(&mut self, what: &str) {
        self.story.push(format!("{:8.2} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}
