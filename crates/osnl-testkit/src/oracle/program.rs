//! Daemons under test, each on its own folder: start, kill, restart, configuration, commands.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::SOON;
use super::judge::JournalRow;
use super::settings::OracleSettings;
use crate::process::{self, ChildGroup, Guard};
use crate::wait::reached;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OracleProgram {
    Osnl(PathBuf),
    /// k2hr3-osnl 1.0.8 with `requeue_on_error`. Its queue is transient, so that the run leaves the broker alone.
    Upstream,
}

impl OracleProgram {
    pub(super) fn has_durable_queue(&self) -> bool {
        match self {
            Self::Osnl(_) => true,
            Self::Upstream => false,
        }
    }
}

const UNAVAILABLE: i32 = 69;
const LONGEST_COMMAND: Duration = Duration::from_secs(90);

pub(super) struct OracleDaemon {
    pub(super) name: &'static str,
    program: OracleProgram,
    transport_url: String,
    api_url: String,
    home: TempDir,
    running: Mutex<Option<(ChildGroup, Guard)>>,
    settings: Mutex<OracleSettings>,
    /// Held by an operation that a kill must not interrupt.
    unkilled: Mutex<()>,
    ended: Mutex<Vec<String>>,
}

#[derive(Debug)]
pub(super) struct ProgramResult {
    pub(super) status: Option<i32>,
    pub(super) out: String,
}

/// Runs a command to its end, or kills it after [`LONGEST_COMMAND`].
fn bounded_output(command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    let (process, (done, ended)) = (child.id().to_string(), mpsc::channel());
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = ended.recv_timeout(LONGEST_COMMAND).or_else(|_| {
        process::send("KILL", &process);
        ended.recv()
    });
    output.unwrap().unwrap()
}

impl OracleDaemon {
    pub(super) fn start(
        name: &'static str,
        program: OracleProgram,
        [transport_url, api_url]: [&str; 2],
        settings: OracleSettings,
    ) -> Self {
        let daemon = Self {
            name,
            program,
            transport_url: transport_url.to_owned(),
            api_url: api_url.to_owned(),
            home: tempfile::tempdir().unwrap(),
            running: Mutex::new(None),
            settings: Mutex::new(settings.clone()),
            unkilled: Mutex::default(),
            ended: Mutex::default(),
        };
        daemon.configure(settings);
        daemon.start_again();
        daemon
    }

    /// Writes the configuration and replaces the file at once, so that no start reads half of it.
    pub(super) fn configure(&self, settings: OracleSettings) {
        let text = match self.program {
            OracleProgram::Osnl(_) => settings.text(self.home.path(), &self.transport_url, &self.api_url),
            OracleProgram::Upstream => format!(
                "[oslo_messaging_notifications]\ntransport_url = {}\nallow_requeue = True\n\
                 [k2hr3]\napi_url = {}\nrequeue_on_error = True\ntimeout_seconds = 1\n\
                 retry_interval_seconds = 1\n",
                self.transport_url, self.api_url
            ),
        };
        let file = self.home.path().join("a.conf");
        fs::write(file.with_extension("new"), text).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
        *self.settings.lock().unwrap() = settings;
    }

    pub(super) fn settings(&self) -> OracleSettings {
        self.settings.lock().unwrap().clone()
    }

    pub(super) fn ask(&self, words: &[&str]) -> ProgramResult {
        let OracleProgram::Osnl(path) = &self.program else { panic!("{:?} takes no commands", self.program) };
        let mut command = Command::new(path);
        command.env_clear().args(words).args(["-c", "a.conf"]);
        command.env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        let output = bounded_output(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let out = text(&output.stdout) + &text(&output.stderr);
        // A verb of an earlier command line would make an operator that does nothing.
        assert!(!out.starts_with("error: un"), "osnl {words:?}: {out}");
        ProgramResult { status: output.status.code(), out }
    }

    pub(super) fn ask_json(&self, words: &[&str]) -> Option<Value> {
        serde_json::from_str(&self.ask(&[words, &["--format", "json"]].concat()).out).ok()
    }

    pub(super) fn open(&self) -> Option<u64> {
        let list = self.ask_json(&["deliveries", "list", "--state", "open", "--limit", "1"])?;
        list["totals"]["all"].as_u64()
    }

    pub(super) fn spare(&self) -> MutexGuard<'_, ()> {
        self.unkilled.lock().unwrap()
    }

    fn command(&self) -> Command {
        match &self.program {
            OracleProgram::Osnl(path) => {
                let mut command = Command::new(path);
                command.env_clear().arg("run");
                command
            }
            OracleProgram::Upstream => crate::peer::python_program("k2hr3-osnl"),
        }
    }

    fn log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.home.path().join("log")).unwrap()
    }

    pub(super) fn start_again(&self) {
        let mut command = self.command();
        command.args(["-c", "a.conf"]).env("HOME", self.home.path()).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log());
        let group = ChildGroup::spawn(&mut command);
        let guard = Guard::over(&[group.id()], None);
        *self.running.lock().unwrap() = Some((group, guard));
    }

    pub(super) fn kill(&self) {
        let _alone = self.spare();
        if let Some((mut group, _guard)) = self.running.lock().unwrap().take() {
            if !group.is_running() {
                self.note_end(&mut group);
            }
            group.kill();
        }
    }

    pub(super) fn id(&self) -> Option<u32> {
        let mut running = self.running.lock().unwrap();
        let (group, _) = running.as_mut()?;
        group.is_running().then(|| group.id())
    }

    pub(super) fn signal(&self, name: &str) {
        if let Some((group, _)) = self.running.lock().unwrap().as_ref() {
            group.signal(name);
        }
    }

    pub(super) fn reap(&self) {
        self.running.lock().unwrap().take();
    }

    pub(super) fn supervise(&self) {
        let mut running = self.running.lock().unwrap();
        let Some((group, _)) = running.as_mut() else { return };
        if group.is_running() {
            return;
        }
        self.note_end(group);
        drop(running);
        self.start_again();
    }

    fn note_end(&self, group: &mut ChildGroup) {
        let Ok(status) = group.child().wait() else { return };
        if status.code() != Some(UNAVAILABLE) {
            self.ended.lock().unwrap().push(format!("the {} ended by itself: {status}", self.name));
        }
    }

    pub(super) fn ended(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }

    pub(super) fn stop(&self) -> String {
        if let Some((mut group, _guard)) = self.running.lock().unwrap().take() {
            group.signal("TERM");
            reached(SOON, &mut || !group.is_running());
            group.kill();
        }
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Returns the rows of the journal, read by Python's SQLite instead of the program under test, and the problem
    /// with the file.
    pub(super) fn journal(&self) -> (Vec<JournalRow>, Option<String>) {
        let script = "import json, sqlite3, sys\n\
            database = sqlite3.connect(sys.stdin.read())\n\
            select = lambda text: database.execute(text).fetchall()\n\
            counted = 'SELECT action, state, count(*) FROM delivery GROUP BY 1, 2'\n\
            kept = 'SELECT action, state, count FROM tally WHERE count <> 0'\n\
            differ = 'SELECT * FROM (%s) EXCEPT SELECT * FROM (%s)'\n\
            print(json.dumps([select('PRAGMA integrity_check')[0][0],\n\
            \x20   select(differ % (counted, kept)), select(differ % (kept, counted))]))\n\
            for row in select('SELECT e.message_id, d.id, d.state, e.queue, d.reason '\n\
            \x20       'FROM event e JOIN delivery d ON d.id >> 16 = e.id'):\n\
            \x20   print(json.dumps(row))\n";
        let file = self.home.path().join("journal.db");
        let said = crate::python(script, &file.to_string_lossy());
        let mut lines = said.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
        let state = lines.next().unwrap_or_default();
        let (name, nothing) = (self.name, Value::Array(Vec::new()));
        let wrong = if state[0] != "ok" {
            Some(format!("the journal of the {name} is damaged: {}", state[0]))
        } else if state[1] != nothing || state[2] != nothing {
            let (there, kept) = (&state[1], &state[2]);
            Some(format!(
                "the journal of the {name} counts {kept}, and there are {there} (action, state, deliveries)"
            ))
        } else {
            None
        };
        (lines.map(|row| JournalRow::read(&row)).collect(), wrong)
    }
}
