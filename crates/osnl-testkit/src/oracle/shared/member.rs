//! A daemon on the shared journal: its process, and a proxy before the database and one before the broker.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::target::Target;
use super::{CONCURRENCY, HOOK, LEASE, QUEUES, SPARE};
use crate::process::{Group, Guard};
use crate::{Fault, Proxy};

pub(super) struct Member {
    pub(super) name: String,
    osnl: PathBuf,
    home: PathBuf,
    pub(super) database: Proxy,
    pub(super) broker: Proxy,
    at_database: Fault,
    at_broker: Fault,
    running: Option<(Group, Guard)>,
}

/// Small bounds, which pauses and outages reach.
const MAX_PENDING: u32 = 80;
const MAX_DEAD: u32 = 30;

/// The addresses of a member.
pub(super) struct Addresses<'a> {
    pub(super) database: u16,
    pub(super) broker: u16,
    /// The broker's URL by way of a port.
    pub(super) transport_url: &'a dyn Fn(u16) -> String,
}

impl Member {
    /// Configures and starts a daemon in a folder of its own.
    pub(super) fn start(
        (number, name): (usize, &str),
        osnl: &Path,
        folder: &Path,
        addresses: &Addresses<'_>,
        target: &Target,
    ) -> Self {
        let home = folder.join(name);
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let (database, broker) = (Proxy::before(addresses.database), Proxy::before(addresses.broker));
        let mut text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = postgresql://osnl@127.0.0.1:{}/test0\nlease = {}s\n\
             max_pending = {MAX_PENDING}\nmax_dead = {MAX_DEAD}\n\
             [rule:gone]\nevent_type = ^port\\.delete\\.end$\nactions = hook\n",
            home.display(),
            database.port(),
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
            osnl: osnl.to_owned(),
            home,
            database,
            broker,
            at_database: Fault::None,
            at_broker: Fault::None,
            running: None,
        };
        member.start_again();
        member
    }

    pub(super) fn start_again(&mut self) {
        let log = || File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(&self.osnl);
        command.env_clear().env("HOME", &self.home).current_dir(&self.home);
        command.args(["run", "-c", "osnl.conf"]).stdin(Stdio::null()).stdout(log()).stderr(log());
        let group = Group::spawn(&mut command);
        let guard = Guard::over(&[group.id()], None);
        self.running = Some((group, guard));
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

    /// The network between it and the database from now on; one that refuses cuts what is open.
    pub(super) fn reach_database(&mut self, fault: Fault) {
        change(&self.database, &mut self.at_database, fault);
    }

    /// The network between it and the broker from now on.
    pub(super) fn reach_broker(&mut self, fault: Fault) {
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

fn change(proxy: &Proxy, now: &mut Fault, fault: Fault) {
    if *now == fault {
        return;
    }
    proxy.set(fault);
    if fault == Fault::Refuse {
        proxy.cut();
    }
    *now = fault;
}
