//! Where the programs meet: the broker, the target, and a virtual host with a queue for each run.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use osnl_testkit::{Broker, Vhost, wait_until};

use super::process::Process;
use super::sink::Sink;
use crate::{setup, step};

const QUEUE: &str = "k2hr3_osnl";
const SOON: Duration = Duration::from_secs(60);

/// Who consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Acknowledges and does nothing else.
    Raw,
    /// Ours.
    Osnl,
    /// Another build of ours, to compare with.
    Other,
    /// What ours replaces.
    Upstream,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw consumer (lapin, acknowledges only)",
            Self::Osnl => "osnl",
            Self::Other => "osnl, the other build",
            Self::Upstream => "k2hr3_osnl 1.0.8",
        })
    }
}

/// What all runs share.
pub(super) struct Stage {
    broker: Broker,
    sink: RefCell<Sink>,
    other: Option<PathBuf>,
    upstream: Option<PathBuf>,
}

/// One virtual host with its queue.
pub(super) struct Queue<'a> {
    stage: &'a Stage,
    vhost: Vhost,
    folder: PathBuf,
}

impl Stage {
    /// `other` is another build of osnl.
    pub(super) fn new(other: Option<PathBuf>) -> Result<Self> {
        let sink = Sink::new(Process::start(built("osnl-bench").arg("sink"))?)?;
        let upstream = setup::python_if_there().map(|python| python.join("bin").join("k2hr3-osnl"));
        if upstream.is_none() {
            println!("bench: without k2hr3_osnl, which `cargo xtask setup` would install");
        }
        Ok(Self { broker: Broker::start(), sink: RefCell::new(sink), other, upstream })
    }

    pub(super) fn broker_version(&self) -> String {
        self.broker.ctl(&["version"]).trim().to_owned()
    }

    /// Those of the programs that are there.
    pub(super) fn cast(&self, programs: &[Program]) -> Vec<Program> {
        let is_there = |program: &Program| match program {
            Program::Raw | Program::Osnl => true,
            Program::Other => self.other.is_some(),
            Program::Upstream => self.upstream.is_some(),
        };
        programs.iter().copied().filter(is_there).collect()
    }

    pub(super) fn sink(&self) -> RefMut<'_, Sink> {
        self.sink.borrow_mut()
    }

    /// An empty queue.
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
    /// Publishes `count` messages, of which each `every`th matches, and waits until they are in the queue.
    pub(super) fn fill(&self, count: u64, every: u64) -> Result<()> {
        let numbers = [count.to_string(), every.to_string()];
        step::run(built("osnl-bench").args(["fill", &self.vhost.url()]).args(numbers))
    }

    /// A publisher of `count` matching messages at `rate` per second.
    pub(super) fn pace(&self, rate: u64, count: u64) -> Result<String> {
        let numbers = [rate.to_string(), count.to_string()];
        step::output(built("osnl-bench").args(["pace", &self.vhost.url()]).args(numbers))
    }

    /// Starts a consumer; the raw one stops after `count` messages.
    pub(super) fn consume(&self, program: Program, count: u64) -> Result<Process> {
        let mut command = match program {
            Program::Raw => {
                let mut command = built("osnl-bench");
                command.args(["raw", &self.vhost.url(), &count.to_string()]);
                command
            }
            Program::Osnl => self.configured(built("osnl"), &["k2hr3-osnl"]),
            Program::Other => {
                let other = self.stage.other.as_ref().context("no other build")?;
                self.configured(Command::new(other), &["k2hr3-osnl"])
            }
            Program::Upstream => {
                let upstream = self.stage.upstream.as_ref().context("no k2hr3_osnl")?;
                self.configured(Command::new(upstream), &[])
            }
        };
        Process::start(command.current_dir(&self.folder).stderr(Stdio::null()))
    }

    /// In an empty home: k2hr3_osnl would read `~/k2hr3-osnl.conf.d`.
    fn configured(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).arg("-c").arg(self.folder.join("k2hr3_osnl.conf")).env("HOME", &self.folder);
        command
    }

    /// Waits until nothing is left in the queue, nor unacknowledged.
    pub(super) fn wait_for_end(&self) {
        wait_until(SOON, "the queue to be empty", || self.vhost.queue_depth(QUEUE) == Some((0, 0)));
    }

    /// Waits until somebody consumes.
    pub(super) fn wait_for_consumer(&self) {
        let consumed =
            || self.vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers > 0);
        wait_until(SOON, "a consumer", consumed);
    }
}

fn built(name: &str) -> Command {
    Command::new(step::target_dir().join("release").join(name))
}
