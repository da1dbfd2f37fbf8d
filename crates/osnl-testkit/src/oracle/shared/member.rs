//! A daemon on the shared journal: its process, a proxy before each server of the database, and one before the broker.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::target::SharedTarget;
use super::{CONCURRENCY, DATABASE, GONE, HOOK, LEASE, QUEUES, SPARE};
use crate::process::{ChildGroup, Guard};
use crate::{FaultyProxy, NetworkFault};

pub(super) struct OracleMember {
    pub(super) name: String,
    programs: Programs,
    /// It runs the other version.
    is_other: bool,
    home: PathBuf,
    database: [FaultyProxy; 2],
    broker: FaultyProxy,
    at_database: [NetworkFault; 2],
    at_broker: NetworkFault,
    running: Option<(ChildGroup, Guard)>,
}

/// The file from which faketime reads.
const CLOCK: &str = "clock";
/// Small bounds, which pauses and outages reach.
const MAX_PENDING: u32 = 80;
const MAX_DEAD: u32 = 30;

/// The programs of a member.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) osnl: PathBuf,
    pub(super) other: Option<PathBuf>,
    pub(super) faketime: Option<PathBuf>,
}

/// The addresses of a member.
pub(super) struct MemberAddresses<'a> {
    pub(super) databases: [u16; 2],
    pub(super) broker: u16,
    /// The broker's URL by way of a port.
    pub(super) transport_url: &'a dyn Fn(u16) -> String,
}

impl OracleMember {
    /// Configures and starts a daemon in a folder of its own.
    pub(super) fn start(
        (number, name): (usize, &str),
        programs: &Programs,
        folder: &Path,
        addresses: &MemberAddresses<'_>,
        target: &SharedTarget,
    ) -> Self {
        let home = folder.join(name);
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let (database, broker) =
            (addresses.databases.map(FaultyProxy::before), FaultyProxy::before(addresses.broker));
        let mut text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = postgresql://osnl@127.0.0.1:{},127.0.0.1:{}/{DATABASE}\n\
             lease = {}s\n\
             max_pending = {MAX_PENDING}\nmax_dead = {MAX_DEAD}\n\
             [rule:gone]\nevent_type = {GONE}\nactions = hook\n",
            home.display(),
            database[0].port(),
            database[1].port(),
            LEASE.as_secs(),
        );
        for (action, path, options) in
            [("hook", HOOK, "max_attempts = 2\non_failure = spare\n"), ("spare", SPARE, "")]
        {
            text += &format!(
                "[action:{action}]\ndriver = http\nurl = {}\ntimeout = 2s\nretry_interval = 1s\nconcurrency = {CONCURRENCY}\n\
                 body = {{\"n\": {{{{ payload.chaos }}}}, \"port\": \"{{{{ payload.port.id }}}}\"}}\n{options}",
                target.url(number, path),
            );
        }
        let url = (addresses.transport_url)(broker.port());
        for queue in QUEUES {
            text += &format!(
                "[listener:{queue}]\ntransport_url = {url}\nexchange = {queue}\ndeclare = create\npool = osnl-{queue}\n\
                 prefetch = 30\nheartbeat_timeout_threshold = 4\n",
            );
        }
        let file = home.join("osnl.conf");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut member = Self {
            name: name.to_owned(),
            programs: programs.clone(),
            is_other: false,
            home,
            database,
            broker,
            at_database: [NetworkFault::None; 2],
            at_broker: NetworkFault::None,
            running: None,
        };
        member.set_clock(0);
        member.start_again();
        member
    }

    pub(super) fn start_again(&mut self) {
        let log = || File::options().create(true).append(true).open(self.log()).unwrap();
        let Programs { osnl, other, faketime } = &self.programs;
        let mut command = Command::new(other.as_ref().filter(|_| self.is_other).unwrap_or(osnl));
        command.env_clear().env("HOME", &self.home).current_dir(&self.home);
        if let Some(library) = faketime {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.home.join(CLOCK));
            // The file counts at once; clocks that cannot be set, and times of files, stay.
            for variable in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
                command.env(variable, "1");
            }
        }
        command.args(["run", "-c", "osnl.conf"]).stdin(Stdio::null()).stdout(log()).stderr(log());
        let group = ChildGroup::spawn(&mut command);
        let guard = Guard::over(&[group.id()], None);
        self.running = Some((group, guard));
    }

    /// Returns the folder of its configuration.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Sets the clock of its machine so many seconds forward from the real time, or back.
    pub(super) fn set_clock(&self, seconds: i64) {
        let (file, new) = (self.home.join(CLOCK), self.home.join("clock.new"));
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// From its next start on it is the other version, or again the first.
    pub(super) fn change_version(&mut self) {
        self.is_other = !self.is_other;
    }

    /// SIGKILL: nothing is written, finished or closed.
    pub(super) fn kill(&mut self) {
        self.running = None;
    }

    /// Sends a signal by its name without `SIG`.
    pub(super) fn signal(&self, name: &str) {
        if let Some((group, _)) = &self.running {
            group.signal(name);
        }
    }

    /// Returns the status of a process that has ended by itself, or after SIGTERM.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let (group, _) = self.running.as_mut()?;
        group.child().try_wait().ok().flatten()
    }

    /// The networks between it and both servers of the database from now on; one that refuses cuts what is open.
    pub(super) fn reach_database(&mut self, faults: [NetworkFault; 2]) {
        for ((proxy, now), fault) in self.database.iter().zip(&mut self.at_database).zip(faults) {
            change(proxy, now, fault);
        }
    }

    /// The network between it and the broker from now on.
    pub(super) fn reach_broker(&mut self, fault: NetworkFault) {
        change(&self.broker, &mut self.at_broker, fault);
    }

    /// Returns all that it has written.
    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// Returns the dead letters that have left the journal, a line each.
    pub(super) fn buried(&self) -> String {
        let of = |name: &str| fs::read_to_string(self.home.join(name)).unwrap_or_default();
        of("shared-journal.dead.jsonl.1") + &of("shared-journal.dead.jsonl")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }
}

fn change(proxy: &FaultyProxy, now: &mut NetworkFault, fault: NetworkFault) {
    if *now == fault {
        return;
    }
    proxy.set(fault);
    if fault == NetworkFault::Refuse {
        proxy.cut();
    }
    *now = fault;
}
