//! A running child and everything that it has started in its process group.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Dropped, it kills the group; [`ProcessGroup::end`] is the friendlier way.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    child: Child,
    /// The group's number; `None` once the group is gone.
    group: Option<Pid>,
    status: Option<ExitStatus>,
}

/// The three ends of its pipes.
pub(super) type Pipes = (ChildStdin, ChildStdout, ChildStderr);

impl ProcessGroup {
    /// `command` has a pipe for each, and a process group of its own.
    pub(super) fn start(mut command: Command) -> io::Result<(Self, Pipes)> {
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child, group, status: None };
        match pipes {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, (stdin, stdout, stderr))),
            _ => Err(io::Error::other("a pipe is missing")),
        }
    }

    /// Its number; `None` once it has been waited for.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end, and ends what it has left behind in its group. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.child.wait().await?;
        self.status = Some(status);
        // At once: while one of the group lives its number is taken, and if none does, it is not given away so soon.
        self.kill();
        self.group = None;
        Ok(status)
    }

    /// Waits `patience` for its end, asks the group with SIGTERM, waits `grace`, and kills the group. At once, if
    /// `abort` is cancelled.
    pub(super) async fn end(
        &mut self,
        patience: Duration,
        grace: Duration,
        abort: &CancellationToken,
    ) -> io::Result<ExitStatus> {
        tokio::select! {
            biased;
            () = abort.cancelled() => {}
            ended = self.wait_or_ask(patience, grace) => if let Some(status) = ended {
                return Ok(status);
            }
        }
        self.kill();
        self.wait().await
    }

    async fn wait_or_ask(&mut self, patience: Duration, grace: Duration) -> Option<ExitStatus> {
        if let Ok(status) = timeout(patience, self.wait()).await {
            return status.ok();
        }
        self.signal(Signal::TERM);
        timeout(grace, self.wait()).await.ok()?.ok()
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // That it is gone already is what is wanted.
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    /// The client library of processes reaps it later.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Describes the end of a process, for people.
pub(super) fn ending(status: io::Result<ExitStatus>) -> String {
    match status {
        // "exit status: 1", "signal: 9 (SIGKILL)"
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown: {error}"),
    }
}
