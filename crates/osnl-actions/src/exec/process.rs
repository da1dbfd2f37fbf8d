use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Dropping it kills the group; [`ProcessGroup::end`] ends the group in steps.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    child: Child,
    group: Option<Pid>,
    status: Option<ExitStatus>,
}

pub(super) type Pipes = (ChildStdin, ChildStdout, ChildStderr);

impl ProcessGroup {
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

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.child.wait().await?;
        self.status = Some(status);
        // The kill is immediate: while a member lives the group's number is taken, and a free
        // number is not reused so soon.
        self.kill();
        self.group = None;
        Ok(status)
    }

    /// Waits `patience`, sends SIGTERM to the group, waits `grace`, and kills the group; kills at
    /// once if `abort` is cancelled.
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
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn ending(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown: {error}"),
    }
}
