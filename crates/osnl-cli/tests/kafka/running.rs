use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use osnl_testkit::{Guard, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const TOPIC: &str = "notifications.info";

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let folder =
            tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.args(args).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    /// Returns the metrics of the daemon whose admin address is the socket `admin.sock`.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = UnixStream::connect(self.path("admin.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn start(&self, args: &[&str]) -> OsnlProcess {
        let log = self.path("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(args);
        command.process_group(0).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        OsnlProcess { child, log, _guard: guard }
    }
}

pub(crate) struct OsnlProcess {
    child: Child,
    log: PathBuf,
    _guard: Guard,
}

impl OsnlProcess {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let (description, log) = (format!("\"{text}\" in the log"), || self.log());
        wait_until(SOON, &description, || log().contains(text));
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.log()
    }
}

impl Drop for OsnlProcess {
    #[expect(clippy::print_stderr, reason = "the log belongs to the report of the test that failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
