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
    is_other: bool,
    home: PathBuf,
    database: [FaultyProxy; 2],
    broker: FaultyProxy,
    at_database: [NetworkFault; 2],
    at_broker: NetworkFault,
    running: Option<(ChildGroup, Guard)>,
}

const CLOCK: &str = "clock";
/// Small bounds, so that pauses and outages reach them.
const MAX_PENDING: u32 = 80;
const MAX_DEAD: u32 = 30;

#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) osnl: PathBuf,
    pub(super) other: Option<PathBuf>,
    pub(super) faketime: Option<PathBuf>,
}

pub(super) struct MemberAddresses<'a> {
    pub(super) databases: [u16; 2],
    pub(super) broker: u16,
    pub(super) transport_url: &'a dyn Fn(u16) -> String,
}

impl OracleMember {
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
            // faketime re-reads the file at once, and leaves the monotonic clock and the times of files alone.
            for variable in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
                command.env(variable, "1");
            }
        }
        command.args(["run", "-c", "osnl.conf"]).stdin(Stdio::null()).stdout(log()).stderr(log());
        let group = ChildGroup::spawn(&mut command);
        let guard = Guard::over(&[group.id()], None);
        self.running = Some((group, guard));
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn set_clock(&self, seconds: i64) {
        let (file, new) = (self.home.join(CLOCK), self.home.join("clock.new"));
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    pub(super) fn change_version(&mut self) {
        self.is_other = !self.is_other;
    }

    pub(super) fn kill(&mut self) {
        self.running = None;
    }

    pub(super) fn signal(&self, name: &str) {
        if let Some((group, _)) = &self.running {
            group.signal(name);
        }
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let (group, _) = self.running.as_mut()?;
        group.child().try_wait().ok().flatten()
    }

    pub(super) fn reach_database(&mut self, faults: [NetworkFault; 2]) {
        for ((proxy, now), fault) in self.database.iter().zip(&mut self.at_database).zip(faults) {
            change(proxy, now, fault);
        }
    }

    pub(super) fn reach_broker(&mut self, fault: NetworkFault) {
        change(&self.broker, &mut self.at_broker, fault);
    }

    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

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
