//! The kill harness: any child, killed or asked to stop at moments of one's choice, and started again.
//!
//! A moment is chosen by waiting for what happens elsewhere ([`wait_until`](crate::wait_until), a line of its own
//! output, a request at a [`Sink`](crate::Sink)) and then acting. The same for a broker's node is
//! [`Broker`](crate::Broker): `kill9`, `shutdown`, `start_again`.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

/// A program that can be started any number of times. What runs is killed when dropped, and when we are.
#[derive(Debug)]
pub struct RestartableProgram {
    command: Command,
    running: Option<RunningProcess>,
    folder: TempDir,
}

/// The order matters: the guard is called off last.
#[derive(Debug)]
struct RunningProcess {
    group: ChildGroup,
    _guard: Guard,
}

impl RestartableProgram {
    /// Starts `command`; its two outputs go to one file, which [`RestartableProgram::output`] reads. It has no input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: Command) -> Self {
        let folder = tempfile::Builder::new().prefix("osnl-program-").tempdir().unwrap();
        let mut program = Self { command, running: None, folder };
        program.start_again();
        program
    }

    /// Starts it once more, after its end. What it wrote before stays.
    ///
    /// # Panics
    /// When it still runs, or cannot be started.
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "it still runs");
        let path = self.log();
        let log = || File::options().create(true).append(true).open(&path).unwrap();
        self.command.stdin(Stdio::null()).stdout(log()).stderr(log());
        let group = ChildGroup::spawn(&mut self.command);
        let guard = Guard::over(&[group.id()], None);
        self.running = Some(RunningProcess { group, _guard: guard });
    }

    /// The process id of what was started last.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.group.id())
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.group.is_running())
    }

    /// SIGKILL to it and its children; returns when it is gone. Nothing of it is flushed or said.
    pub fn kill9(&mut self) {
        self.running = None;
    }

    /// Sends a signal by its name without `SIG`, such as `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        if let Some(running) = &self.running {
            running.group.signal(name);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended by `deadline` from now; the message has what it wrote.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = reached(deadline, &mut || !self.is_running());
        assert!(ended, "not ended after {deadline:?}:\n{}", self.output());
        let running = self.running.as_mut().unwrap();
        running.group.child().wait().unwrap()
    }

    /// Returns both outputs so far, earlier lives included.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// Waits until it has written `text` `count` times.
    ///
    /// # Panics
    /// When it has not by `deadline` from now; the message has what it wrote instead.
    #[track_caller]
    pub fn wait_for(&self, text: &str, count: usize, deadline: Duration) {
        let found = reached(deadline, &mut || self.output().matches(text).count() >= count);
        assert!(found, "waited {deadline:?} for {count} times {text:?} in\n{}", self.output());
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("output")
    }
}
