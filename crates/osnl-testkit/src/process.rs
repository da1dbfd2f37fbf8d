//! Children that end with this process, however it ends, and programs for tests to start.
//!
//! Only processes that were started here are ended, by their ids. A child is reaped only after its kill, so that its
//! id cannot belong to another process.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[derive(Debug)]
pub(crate) struct ChildGroup {
    child: Child,
}

impl ChildGroup {
    /// Starts `command` as the leader of a new process group, so that a Ctrl-C in the terminal does not reach it.
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

    pub(crate) fn signal(&self, name: &str) {
        send(name, &self.id().to_string());
    }

    pub(crate) fn kill(&mut self) {
        if self.is_running() {
            send("KILL", &format!("-{}", self.id()));
        }
        let _ = self.child.wait();
    }
}

impl Drop for ChildGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[track_caller]
pub fn signal(process: u32, name: &str) {
    assert!(send(name, &process.to_string()), "cannot send {name} to process {process}");
}

/// Runs the shell's own `kill`, because the standard library has no signals, and this crate no unsafe code. Returns
/// whether the signal was sent.
pub(crate) fn send(signal: &str, target: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, target])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A guard that ends process groups when *this* process ends, however it ends.
///
/// A shell reads a pipe from this process, which closes also after a kill. Dropping the guard calls it off. The guard
/// also unmounts a file system at `disk` in the folder.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    #[must_use]
    pub fn over(leaders: &[u32], folder: Option<&Path>) -> Self {
        Self::asking("KILL", leaders, folder)
    }

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
        // The kill precedes the closing of the pipe, so that the shell ends no group.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Writes an executable file by another process. A child of another test would inherit a file that is open for writing
/// here, and the kernel then refuses to execute the file ("Text file busy").
pub fn executable(path: &Path, text: &str) {
    let mut install = Command::new("install");
    let mut install =
        install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success(), "{}", path.display());
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;

    /// Starts a shell and its child `cat`, which reads a pipe that we hold open. The pipe is descriptor 3, because a
    /// shell gives its background jobs an empty standard input.
    fn victim() -> ChildGroup {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0; cat <&3 & wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        ChildGroup::spawn(&mut command)
    }

    #[test]
    fn a_group_is_killed_with_its_children() {
        let mut group = victim();
        let mut output = group.child().stdout.take().unwrap();
        let _input = group.child().stdin.take();
        group.kill();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert!(!group.is_running());
    }

    #[test]
    fn a_guard_acts_when_its_owner_is_gone() {
        let mut group = victim();
        let mut guard = Guard::over(&[group.id()], None);
        assert!(group.is_running());
        drop(guard.shell.stdin.take());
        crate::wait_until(Duration::from_secs(60), "the guard to end the group", || !group.is_running());
    }

    #[test]
    fn a_dropped_guard_leaves_the_group_alone() {
        let mut group = victim();
        drop(Guard::over(&[group.id()], None));
        let (input, output) = (group.child.stdin.as_mut().unwrap(), group.child.stdout.as_mut().unwrap());
        input.write_all(b"?").unwrap();
        let mut answer = [0];
        output.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"?");
    }
}
