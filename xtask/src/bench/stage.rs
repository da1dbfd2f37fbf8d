use std::cell::{RefCell, RefMut};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use osnl_testkit::{Broker, Vhost, free_port, wait_until};

use super::process::Process;
use super::sink::Sink;
use crate::{setup, step};

const QUEUE: &str = "k2hr3_osnl";
const IN_MEMORY: &str = "connection = memory://";
pub(super) const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Raw,
    C,
    RawPost,
    Osnl,
    Other,
    Memory,
    OtherMemory,
    Journal,
    OtherJournal,
    Upstream,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw consumer (lapin, acknowledges only)"),
            Self::C => f.write_str("raw consumer (C, librabbitmq)"),
            Self::RawPost => f.write_str("raw consumer (lapin) with a raw POST"),
            Self::Osnl => f.write_str("osnl"),
            Self::Other => f.write_str("osnl, the other build"),
            Self::Memory => f.write_str("osnl run, `memory://`"),
            Self::OtherMemory => f.write_str("osnl run, `memory://`, the other build"),
            Self::Journal => f.write_str("osnl run, journal on disk"),
            Self::OtherJournal => f.write_str("osnl run, journal on disk, the other build"),
            Self::Upstream => f.write_str("k2hr3_osnl 1.0.8"),
        }
    }
}

pub(super) struct Stage {
    broker: Broker,
    sink: RefCell<Sink>,
    other: Option<PathBuf>,
    upstream: Option<PathBuf>,
    c: Option<PathBuf>,
}

pub(super) struct Queue<'a> {
    stage: &'a Stage,
    vhost: Vhost,
    folder: PathBuf,
}

impl Stage {
    pub(super) fn new(other: Option<PathBuf>) -> Result<Self> {
        let sink = Sink::new(Process::start(built("osnl-bench").arg("sink"))?)?;
        let upstream = setup::python_if_there().map(|python| python.join("bin").join("k2hr3-osnl"));
        if upstream.is_none() {
            println!("bench: without k2hr3_osnl, which `cargo xtask setup` would install");
        }
        let c = c_consumer()?;
        Ok(Self { broker: Broker::start(), sink: RefCell::new(sink), other, upstream, c })
    }

    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.broker.folder().join(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    pub(super) fn broker_version(&self) -> String {
        self.broker.ctl(&["version"]).trim().to_owned()
    }

    pub(super) fn cast(&self, programs: &[Program]) -> Vec<Program> {
        let is_there = |program: &Program| match program {
            Program::Raw | Program::RawPost | Program::Osnl | Program::Memory | Program::Journal => true,
            Program::C => self.c.is_some(),
            Program::Other | Program::OtherMemory | Program::OtherJournal => self.other.is_some(),
            Program::Upstream => self.upstream.is_some(),
        };
        programs.iter().copied().filter(is_there).collect()
    }

    fn other(&self) -> Result<Command> {
        Ok(Command::new(self.other.as_ref().context("no other build")?))
    }

    pub(super) fn sink(&self) -> RefMut<'_, Sink> {
        self.sink.borrow_mut()
    }

    pub(super) fn queue(&self) -> Result<Queue<'_>> {
        let vhost = self.broker.vhost("bench");
        let folder = self.broker.folder().join(vhost.name());
        std::fs::create_dir(&folder)?;
        let configuration = format!(
            "[DEFAULT]\nlog_file = {}\n[oslo_messaging_notifications]\ntransport_url = {}\n\
             [k2hr3]\napi_url = http://127.0.0.1:{}/v1/role\n",
            folder.join("log").display(),
            vhost.url(),
            self.sink().port()
        );
        std::fs::write(folder.join("k2hr3_osnl.conf"), configuration)?;
        self.sink().reset()?;
        Ok(Queue { stage: self, vhost, folder })
    }
}

impl Queue<'_> {
    pub(super) fn fill(&self, count: u64, every: u64, size: u64) -> Result<()> {
        let numbers = [count, every, size].map(|number| number.to_string());
        step::run(built("osnl-bench").args(["fill", &self.vhost.url()]).args(numbers))
    }

    pub(super) fn pace(&self, rate: u64, count: u64) -> Result<String> {
        step::output(&mut self.publisher(rate, count, 1))
    }

    /// Returns a publisher as a command, with numbers from `from` on, because a journal recognises a repeated
    /// message.
    pub(super) fn publisher(&self, rate: u64, count: u64, from: u64) -> Command {
        let mut command = built("osnl-bench");
        command.args(["pace", &self.vhost.url()]).args([rate, count, from].map(|number| number.to_string()));
        command
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = built("osnl");
        command.args(words).arg("-c").arg(self.folder.join("osnl.conf")).stdin(Stdio::null());
        command
    }

    pub(super) fn consume(&self, program: Program, count: u64) -> Result<Process> {
        let mut command = match program {
            Program::Raw => {
                let mut command = built("osnl-bench");
                command.args(["raw", &self.vhost.url(), &count.to_string()]);
                command
            }
            Program::RawPost => {
                let mut command = built("osnl-bench");
                command.args(["post", &self.vhost.url(), &self.stage.sink().port().to_string()]);
                command
            }
            Program::C => {
                let mut command = Command::new(self.stage.c.as_ref().context("no consumer in C")?);
                let port = self.stage.broker.port().to_string();
                command.args([&port, self.vhost.name(), QUEUE, &count.to_string()]);
                command
            }
            Program::Memory => self.run_as(built("osnl"), IN_MEMORY)?,
            Program::OtherMemory => self.run_as(self.stage.other()?, IN_MEMORY)?,
            Program::Journal => return self.consume_with(&self.folder),
            Program::OtherJournal => self.run_as(self.stage.other()?, &on_disk(&self.folder))?,
            Program::Osnl => self.configured(built("osnl"), &["k2hr3-osnl"]),
            Program::Other => self.configured(self.stage.other()?, &["k2hr3-osnl"]),
            Program::Upstream => {
                let upstream = self.stage.upstream.as_ref().context("no k2hr3_osnl")?;
                self.configured(Command::new(upstream), &[])
            }
        };
        Process::start(command.current_dir(&self.folder).stderr(Stdio::null()))
    }

    pub(super) fn consume_in_python(&self, python: &Path, script: &str, count: u64) -> Result<Process> {
        let mut command = Command::new(python);
        command.args(["-c", script, &count.to_string()]).env("HOME", &self.folder);
        Process::start(command.current_dir(&self.folder).stderr(Stdio::null()))
    }

    pub(super) fn consume_with(&self, state_dir: &Path) -> Result<Process> {
        self.start(&self.native(&on_disk(state_dir)))
    }

    /// Starts `osnl run` with a further option of the journal.
    pub(super) fn consume_pruning(&self, state_dir: &Path, option: &str) -> Result<Process> {
        self.start(&self.native(&format!("{}\n{option}", on_disk(state_dir))))
    }

    /// Starts `osnl run` with the further action `earlier`, whose deliveries wait in a queue of their own.
    pub(super) fn consume_beside(&self, state_dir: &Path) -> Result<Process> {
        self.start(&(self.native(&on_disk(state_dir)) + &self.action("earlier")))
    }

    pub(super) fn consume_with_page(&self, state_dir: &Path, token: &str) -> Result<(Process, u16)> {
        let port = free_port();
        let admin = format!("[admin]\nlisten = 127.0.0.1:{port}\ntoken = {token}\n");
        Ok((self.start(&(self.native(&on_disk(state_dir)) + &admin))?, port))
    }

    pub(super) fn url(&self) -> String {
        self.vhost.url()
    }

    pub(super) fn messages(&self, name: &str) -> u64 {
        self.vhost.queue_depth(name).map_or(0, |(ready, unacked)| ready + unacked)
    }

    /// Starts `osnl run` with `memory://` and a folder of its own.
    pub(super) fn start_part(&self, part: &str, listener: &str, action: &str) -> Result<Process> {
        let folder = self.folder.join(part);
        std::fs::create_dir(&folder)?;
        let text = format!(
            "[DEFAULT]\nstate_dir = {0}\nlog_file = {0}/log\n[journal]\nconnection = memory://\n\
             [listener:neutron]\n{listener}\
             [action:work]\n{action}\
             [rule:deleted]\nevent_type = ^port\\.delete\\.end$\npublisher_id = ^network.*$\nactions = work\n",
            folder.display(),
        );
        start(&folder, &text)
    }

    /// Returns the driver of an action that calls the target.
    pub(super) fn roles(&self) -> String {
        format!("driver = k2hr3\napi_url = http://127.0.0.1:{}/v1/role\n", self.stage.sink().port())
    }

    fn start(&self, text: &str) -> Result<Process> {
        start(&self.folder, text)
    }

    fn action(&self, name: &str) -> String {
        format!("[action:{name}]\n{}", self.roles())
    }

    fn run_as(&self, mut command: Command, journal: &str) -> Result<Command> {
        let file = self.folder.join("osnl.conf");
        std::fs::write(&file, self.native(journal))?;
        command.arg("run").arg("-c").arg(file);
        Ok(command)
    }

    /// Adds the arguments and an empty home: k2hr3_osnl would read `~/k2hr3-osnl.conf.d`.
    fn configured(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).arg("-c").arg(self.folder.join("k2hr3_osnl.conf")).env("HOME", &self.folder);
        command
    }

    fn native(&self, journal: &str) -> String {
        format!(
            "[DEFAULT]\nstate_dir = {0}\nlog_file = {0}/log\n[journal]\n{journal}\n\
             [listener:neutron]\n{1}{2}\
             [rule:deleted]\nevent_type = ^port\\.delete\\.end$\npublisher_id = ^network.*$\nactions = roles\n",
            self.folder.display(),
            self.listener(),
            self.action("roles"),
        )
    }

    pub(super) fn listener(&self) -> String {
        format!(
            "exchange = neutron\npriorities = info\ntransport_url = {}\npool = {QUEUE}\ndeclare = create\n\
             durable = false\nsingle_active_consumer = false\n",
            self.url()
        )
    }

    pub(super) fn wait_for_end(&self) {
        wait_until(SOON, "the queue to be empty", || self.vhost.queue_depth(QUEUE) == Some((0, 0)));
    }

    pub(super) fn wait_for_consumer(&self) {
        let consumed =
            || self.vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers > 0);
        wait_until(SOON, "a consumer", consumed);
    }
}

fn start(folder: &Path, text: &str) -> Result<Process> {
    let file = folder.join("osnl.conf");
    std::fs::write(&file, text)?;
    let mut command = built("osnl");
    command.arg("run").arg("-c").arg(file).current_dir(folder).stderr(Stdio::null());
    Process::start(&mut command)
}

/// Returns the options of a journal in this folder, also on a file system that osnl does not trust. Dead letters of a
/// long history stay.
fn on_disk(state_dir: &Path) -> String {
    let path = state_dir.display();
    format!("connection = sqlite://{path}/journal.db\nallow_volatile = yes\nmax_dead = 1000000")
}

/// Builds the consumer in C if a compiler and librabbitmq's headers are installed; it only shows the cost of another
/// client library.
fn c_consumer() -> Result<Option<PathBuf>> {
    let source = step::root().join("crates/osnl-bench/c/consume.c");
    let program = step::distributed("osnl-bench-c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"]).arg(&program).arg(source).arg("-lrabbitmq").stderr(Stdio::null());
    let built = cc.status().is_ok_and(|status| status.success());
    if !built {
        println!("bench: without the consumer in C, which needs cc and the package librabbitmq-dev");
    }
    Ok(built.then_some(program))
}

pub(super) fn built(name: &str) -> Command {
    Command::new(step::distributed(name))
}
