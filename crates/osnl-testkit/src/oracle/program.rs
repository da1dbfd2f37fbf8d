//! Who is under test: started, killed, started again, on the same folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::SOON;
use crate::process::{Group, Guard};
use crate::wait::reached;

/// Who consumes the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This `osnl`, by `osnl run` with its journal.
    Osnl(PathBuf),
    /// k2hr3-osnl 1.0.8 with `requeue_on_error`. Its queue is transient, so its broker is left alone.
    Upstream,
}

impl Program {
    pub(super) fn has_durable_queue(&self) -> bool {
        match self {
            Self::Osnl(_) => true,
            Self::Upstream => false,
        }
    }
}

/// The number of the state of each event's delivery, by the event's message id.
pub(super) type Journal = BTreeMap<String, i64>;

pub(super) struct Daemon {
    program: Program,
    home: TempDir,
    running: Mutex<Option<(Group, Guard)>>,
}

impl Daemon {
    pub(super) fn start(program: Program, transport_url: &str, api_url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let text = match program {
            // A refused request is tried again without end: what is dead after six tries has no effect.
            Program::Osnl(_) => format!(
                "[DEFAULT]\nstate_dir = {}\nlog_level = warn\n[journal]\nallow_volatile = yes\n\
                 [listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\npool = {}\ndeclare = create\n\
                 [rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
                 [action:roles]\ndriver = k2hr3\napi_url = {api_url}\ntimeout = 1s\nretry_interval = 1s\n\
                 max_attempts = 1000\n",
                home.path().display(),
                super::QUEUE,
            ),
            Program::Upstream => format!(
                "[oslo_messaging_notifications]\ntransport_url = {transport_url}\nallow_requeue = True\n\
                 [k2hr3]\napi_url = {api_url}\nrequeue_on_error = True\ntimeout_seconds = 1\n\
                 retry_interval_seconds = 1\n"
            ),
        };
        fs::write(home.path().join("a.conf"), text).unwrap();
        let daemon = Self { program, home, running: Mutex::new(None) };
        daemon.start_again();
        daemon
    }

    fn command(&self) -> Command {
        match &self.program {
            Program::Osnl(path) => {
                let mut command = Command::new(path);
                command.env_clear().arg("run");
                command
            }
            Program::Upstream => crate::peer::python_program("k2hr3-osnl"),
        }
    }

    fn log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.home.path().join("log")).unwrap()
    }

    pub(super) fn start_again(&self) {
        let mut command = self.command();
        command.args(["-c", "a.conf"]).env("HOME", self.home.path()).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log());
        let group = Group::spawn(&mut command);
        let guard = Guard::over(&[group.id()], None);
        *self.running.lock().unwrap() = Some((group, guard));
    }

    /// SIGKILL: nothing is said, finished or closed.
    pub(super) fn kill(&self) {
        if let Some((mut group, _guard)) = self.running.lock().unwrap().take() {
            group.kill();
        }
    }

    /// In good order, and gives what it has said.
    pub(super) fn stop(&self) -> String {
        if let Some((mut group, _guard)) = self.running.lock().unwrap().take() {
            group.signal("TERM");
            reached(SOON, &mut || !group.is_running());
            group.kill();
        }
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// What the journal has, read by Python's SQLite: not by the program that is under test.
    pub(super) fn journal(&self) -> Journal {
        let script = "import sqlite3, sys\n\
            database = sqlite3.connect(sys.stdin.read())\n\
            print(database.execute('PRAGMA integrity_check').fetchone()[0], -1)\n\
            for row in database.execute('SELECT e.message_id, d.state FROM event e JOIN delivery d ON d.id >> 16 = e.id'):\n\
            \x20   print(*row)\n";
        let file = self.home.path().join("journal.db");
        let lines = crate::python(script, &file.to_string_lossy());
        let pair = |line: &str| {
            let (id, state) = line.rsplit_once(' ')?;
            Some((id.to_owned(), state.parse().ok()?))
        };
        lines.lines().filter_map(pair).collect()
    }
}
