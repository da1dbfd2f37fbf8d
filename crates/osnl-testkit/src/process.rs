//! Children that end with us, whatever happens to us.
//!
//! Ended are only processes that were started here, by their ids. A child is reaped only after it was
//! killed, so its id cannot have passed to a stranger.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child that leads a process group of its own.
#[derive(Debug)]
pub(crate) struct ChildGroup {
    child: Child,
}

impl ChildGroup {
    /// Starts `command` as the leader of a new process group: a Ctrl-C in the terminal does not reach it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, by its name without `SIG`, to the leader alone.
    pub(crate) fn signal(&self, name: &str) {
        send(name, &self.id().to_string());
    }

    /// SIGKILL to the whole group, then the leader is reaped.
    pub(crate) fn kill(&mut self) {
        if self.is_running() {
            send("KILL", &format!("-{}", self.id()));
        }
        // It may have ended by itself: reaping is all that is left to do.
        let _ = self.child.wait();
    }
}

impl Drop for ChildGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a process a signal by its name without `SIG`.
///
/// # Panics
/// When it cannot be sent, such as when there is no such process.
#[track_caller]
pub fn signal(process: u32, name: &str) {
    assert!(send(name, &process.to_string()), "cannot send {name} to process {process}");
}

/// Runs the shell's own `kill`: the standard library has no signals, and this crate no unsafe code. Returns whether it was sent.
pub(crate) fn send(signal: &str, target: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, target])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Ends process groups when *this* process is gone, however it went.
///
/// A shell holds the reading end of a pipe from us. A killed process cannot clean up, but its pipe closes.
/// Dropping the guard calls it off. A file system that is mounted at `disk` in the folder goes with it.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Watches over the process groups led by `leaders`; with `folder`, removes that folder too.
    ///
    /// # Panics
    /// When no shell can be started.
    #[must_use]
    pub fn over(leaders: &[u32], folder: Option<&Path>) -> Self {
        Self::asking("KILL", leaders, folder)
    }

    /// The same by another signal.
    ///
    /// # Panics
    /// When no shell can be started.
    #[must_use]
    pub fn asking(signal: &str, leaders: &[u32], folder: Option<&Path>) -> Self {
        let script = "signal=$1; folder=$2; shift 2
            while read -r _; do :; done
            for leader; do kill -s \"$signal\" -- \"-$leader\"; done
            [ ! -d \"$folder/disk\" ] || umount -l \"$folder/disk\"
            [ -z \"$folder\" ] || rm -rf \"$folder\" || { sleep 1; rm -rf \"$folder\"; }";
        let shell = Command::new("sh")
            .args(["-c", script, "osnl-test-guard", signal])
            .arg(folder.unwrap_or_else(|| Path::new("")))
            .args(leaders.iter().map(u32::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start sh: {error}"));
        Self { shell }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Killed before its pipe closes: the groups are somebody else's concern from here on.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;

    /// A shell and its child `cat`, which live until they are killed: `cat` reads a pipe that we hold open. By way
    /// of descriptor 3, because the shell gives what runs in its background an empty standard input.
    fn victim() -> ChildGroup {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0; cat <&3 & wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        ChildGroup::spawn(&mut command)
    }

    #[test]
    fn a_group_is_killed_with_its_children() {
        let mut group = victim();
        let mut output = group.child().stdout.take().unwrap();
        // Held, so that the inner `cat` does not end because its input does when the leader is reaped.
        let _input = group.child().stdin.take();
        group.kill();
        let mut text = String::new();
        // The end of the file comes only when the inner `cat` is gone too.
        output.read_to_string(&mut text).unwrap();
        assert!(!group.is_running());
    }

    #[test]
    fn a_guard_acts_when_its_owner_is_gone() {
        let mut group = victim();
        let mut guard = Guard::over(&[group.id()], None);
        assert!(group.is_running());
        drop(guard.shell.stdin.take());
        crate::wait_until(Duration::from_secs(10), "the guard to end the group", || !group.is_running());
    }

    #[test]
    fn a_dropped_guard_leaves_the_group_alone() {
        let mut group = victim();
        drop(Guard::over(&[group.id()], None));
        // Whoever was killed does not answer any more.
        let (input, output) = (group.child.stdin.as_mut().unwrap(), group.child.stdout.as_mut().unwrap());
        input.write_all(b"?").unwrap();
        let mut answer = [0];
        output.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"?");
    }
}
