//! The kill harness: any child, killed or stopped at chosen moments, and started again. [`Broker`](crate::Broker) has
//! the same functions for a broker's node.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

#[derive(Debug)]
pub struct RestartableProgram {
    command: Command,
    running: Option<RunningProcess>,
    folder: TempDir,
}

/// Fields drop in this order: the guard is called off last.
#[derive(Debug)]
struct RunningProcess {
    group: ChildGroup,
    _guard: Guard,
}

impl RestartableProgram {
    /// Starts without input; both outputs go to one file, which [`RestartableProgram::output`] reads.
    #[must_use]
    pub fn start(command: Command) -> Self {
        let folder = tempfile::Builder::new().prefix("osnl-program-").tempdir().unwrap();
        let mut program = Self { command, running: None, folder };
        program.start_again();
        program
    }

    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "it still runs");
        let path = self.log();
        let log = || File::options().create(true).append(true).open(&path).unwrap();
        self.command.stdin(Stdio::null()).stdout(log()).stderr(log());
        let group = ChildGroup::spawn(&mut self.command);
        let guard = Guard::over(&[group.id()], Some(self.folder.path()));
        self.running = Some(RunningProcess { group, _guard: guard });
    }

    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.group.id())
    }

    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.group.is_running())
    }

    /// Kills the program and its children with SIGKILL, and waits for their end. Nothing is flushed.
    pub fn kill9(&mut self) {
        self.running = None;
    }

    pub fn signal(&self, name: &str) {
        if let Some(running) = &self.running {
            running.group.signal(name);
        }
    }

    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = reached(deadline, &mut || !self.is_running());
        assert!(ended, "not ended after {deadline:?}:\n{}", self.output());
        let running = self.running.as_mut().unwrap();
        running.group.child().wait().unwrap()
    }

    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str, count: usize, deadline: Duration) {
        let found = reached(deadline, &mut || self.output().matches(text).count() >= count);
        assert!(found, "waited {deadline:?} for {count} times {text:?} in\n{}", self.output());
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("output")
    }
}
