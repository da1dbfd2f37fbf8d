//! Random faults, a bounded number at a time: at most one of each daemon, of its
//! network to the target, of the server, of the target.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use super::member::Member;
use super::target::Target;
use crate::oracle::breaking::millis;
use crate::oracle::pause_until;
use crate::wait::reached;
use crate::{Fault, Postgres, Reply};

/// Faults at the same time.
const AT_ONCE: usize = 3;
const SIGTERM: i32 = 15;
const TICK: Duration = Duration::from_millis(20);
/// A daemon finishes what is under way within half a minute.
const DRAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Kill,
    Stop,
    StopInRequest,
    Terminate,
    CutDatabase,
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
    TargetRefuses,
    TargetSlow,
    TargetFails,
    TargetSilent,
}

use Kind::*;

/// Kind, name, weight, and the shortest and the longest time in milliseconds.
const KINDS: [(Kind, &str, u32, [u64; 2]); 21] = [
    (Kill, "daemon killed with SIGKILL", 4, [1, 2_000]),
    (Stop, "daemon stopped and continued", 4, [500, 12_000]),
    (StopInRequest, "daemon stopped with a request under way", 5, [3_000, 10_000]),
    (Terminate, "daemon terminated and started", 3, [60_000, 60_001]),
    (CutDatabase, "daemon cut off from the database", 4, [300, 12_000]),
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
    (TargetRefuses, "target refuses connections", 1, [500, 4_000]),
    (TargetSlow, "target slow", 3, [1_000, 6_000]),
    (TargetFails, "target answers with errors", 2, [500, 4_000]),
    (TargetSilent, "target silent", 1, [500, 4_000]),
];

/// The part that a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Member(usize),
    /// The network between a daemon and the target: what else happens to the daemon meets it.
    Path(usize),
    Server,
    Target,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    kind: Kind,
    subject: Subject,
    since: Instant,
    until: Instant,
    delay: Duration,
}

/// A time in which a daemon may have lost its partitions; `None` is all daemons.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) daemon: Option<usize>,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

pub(super) struct Saboteur<'a> {
    pub(super) members: Vec<Member>,
    pub(super) server: Postgres,
    target: &'a Target,
    chance: fastrand::Rng,
    began: Instant,
    active: Vec<Active>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) windows: Vec<Window>,
    /// Violations that no fault explains.
    pub(super) wrong: Vec<String>,
    /// Each fault and its time, for a reader of the logs.
    pub(super) story: Vec<String>,
}

impl<'a> Saboteur<'a> {
    pub(super) fn new(members: Vec<Member>, server: Postgres, target: &'a Target, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed.wrapping_add(1));
        Self {
            members,
            server,
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

    /// Breaks until the time is over, then mends all.
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
                if active.kind != Terminate {
                    active.until = active.until.min(Instant::now());
                }
            }
            self.tick();
            pause_until(Instant::now() + TICK);
        }
    }

    /// Ends what is over, and starts daemons again that have ended by themselves.
    pub(super) fn tick(&mut self) {
        self.target.forget();
        let (over, active) =
            std::mem::take(&mut self.active).into_iter().partition(|active| self.is_over(active));
        self.active = active;
        let over: Vec<Active> = over;
        over.iter().for_each(|active| self.end(active));
        for n in 0..self.members.len() {
            let is_asked = self.active.iter().any(|active| {
                active.subject == Subject::Member(n) && matches!(active.kind, Terminate | Kill)
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
            (Terminate, Subject::Member(n)) => {
                self.members[n].ended().is_some() || Instant::now() >= active.since + DRAIN
            }
            _ => Instant::now() >= active.until,
        }
    }

    fn begin_one(&mut self) {
        if self.active.len() == AT_ONCE {
            return;
        }
        let all: u32 = KINDS.iter().map(|(_, _, weight, _)| weight).sum();
        let mut place = self.chance.u32(..all);
        let chosen = KINDS.iter().find(|(_, _, weight, _)| {
            let is_it = place < *weight;
            place = place.saturating_sub(*weight);
            is_it
        });
        let Some((kind, name, _, [shortest, longest])) = chosen else { return };
        let subject = match kind {
            Kill | Stop | StopInRequest | Terminate | CutDatabase | SilentDatabase | SlowDatabase
            | LoseCommit | BreakAgain | CutBroker | SilentBroker => {
                Subject::Member(self.chance.usize(..self.members.len()))
            }
            SilentTarget => Subject::Path(self.chance.usize(..self.members.len())),
            DatabaseKilled | DatabaseRestarted | DatabaseReadOnly | DatabaseSlow | DatabaseLosesCommits => {
                Subject::Server
            }
            TargetRefuses | TargetSlow | TargetFails | TargetSilent => Subject::Target,
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
            Subject::Member(n) | Subject::Path(n) => format!(" ({})", self.members[n].name),
            Subject::Server | Subject::Target => String::new(),
        };
        self.note(&format!("{name}{whose}, for {:.1} s", (until - since).as_secs_f64()));
        self.active.push(active);
        self.begin(&active);
    }

    fn begin(&mut self, active: &Active) {
        match (active.kind, active.subject) {
            (Kill, Subject::Member(n)) => self.members[n].kill(),
            (Stop, Subject::Member(n)) => self.members[n].signal("STOP"),
            (StopInRequest, Subject::Member(n)) => {
                self.target.slow_down(n, true);
                let before = self.target.requests(n);
                reached(Duration::from_secs(1), &mut || self.target.requests(n) > before);
                self.members[n].signal("STOP");
                self.target.slow_down(n, false);
            }
            (Terminate, Subject::Member(n)) => self.members[n].signal("TERM"),
            (SilentTarget, Subject::Path(n)) => self.target.reach(n, Fault::Stall),
            (DatabaseKilled, _) => self.server.kill9(),
            (DatabaseRestarted, _) => self.server.shutdown(),
            (DatabaseReadOnly, _) => self.set_read_only("SET default_transaction_read_only = on"),
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
            (Kill, Subject::Member(n)) => self.members[n].start_again(),
            (Stop | StopInRequest, Subject::Member(n)) => self.members[n].signal("CONT"),
            (Terminate, Subject::Member(n)) => self.has_terminated(n),
            (SilentTarget, Subject::Path(n)) => self.target.reach(n, Fault::None),
            (DatabaseKilled | DatabaseRestarted, _) => self.server.start_again(),
            (DatabaseReadOnly, _) => self.set_read_only("RESET default_transaction_read_only"),
            (TargetRefuses, _) => self.target.accept(),
            (TargetSlow | TargetFails | TargetSilent, _) => self.target.fail_with(None),
            _ => self.set_networks(),
        }
        let daemon = match active.subject {
            Subject::Member(n) => Some(n),
            Subject::Server => None,
            // It costs no lease.
            Subject::Path(_) | Subject::Target => return,
        };
        self.windows.push(Window { daemon, from: active.since, until: Instant::now() });
    }

    fn has_terminated(&mut self, n: usize) {
        let name = self.members[n].name.clone();
        match self.members[n].ended() {
            Some(status) if status.success() => {}
            // It had just been started, and did not know the signal yet.
            Some(status) if status.signal() == Some(SIGTERM) => {}
            Some(status) => self.wrong.push(format!("daemon {name} ended after SIGTERM with {status}")),
            None => {
                self.wrong.push(format!("daemon {name} did not end within {DRAIN:?} after SIGTERM"));
                self.members[n].kill();
            }
        }
        self.members[n].start_again();
    }

    fn set_read_only(&self, setting: &str) {
        self.server.sql("postgres", &format!("ALTER SYSTEM {setting}"));
        self.server.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Sets the networks of all daemons to what the active faults say.
    fn set_networks(&mut self) {
        for n in 0..self.members.len() {
            let own = self.active.iter().find(|active| active.subject == Subject::Member(n));
            let (kind, delay) = own.map_or((None, Duration::ZERO), |own| (Some(own.kind), own.delay));
            let of_all = self.active.iter().find(|active| active.subject == Subject::Server);
            let of_all = match of_all.map(|active| (active.kind, active.delay)) {
                Some((DatabaseSlow, delay)) => Fault::Delay(delay),
                Some((DatabaseLosesCommits, _)) => Fault::LoseCommit,
                _ => Fault::None,
            };
            self.members[n].reach_database(match kind {
                Some(CutDatabase) => Fault::Refuse,
                Some(SilentDatabase) => Fault::Stall,
                Some(SlowDatabase) => Fault::Delay(delay),
                Some(LoseCommit) => Fault::LoseCommit,
                // A transaction has some kilobytes; a connection that begins has more.
                Some(BreakAgain) => Fault::CutAfter(delay.as_millis() as u64 * 40),
                _ => of_all,
            });
            self.members[n].reach_broker(match kind {
                Some(CutBroker) => Fault::Refuse,
                Some(SilentBroker) => Fault::Stall,
                _ => Fault::None,
            });
        }
    }

    /// Returns the number of effects so far.
    pub(super) fn effects(&self) -> usize {
        self.target.count()
    }

    pub(super) fn note(&mut self, what: &str) {
        self.story.push(format!("{:8.2} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}
