//! The binary as a child process, which is killed by its own id on drop.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use osnl_testkit::{Guard, Notice, Vhost, signal, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);
/// The limit of an end without delay. A drain until its deadline takes longer.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(20);
pub(crate) const QUEUE: &str = "k2hr3_osnl";

/// Opens the program, which any user can then execute without its path: root's home may be closed
/// to other users.
pub(crate) fn osnl_of_any_user() -> Command {
    static PROGRAM: OnceLock<File> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| File::open(env!("CARGO_BIN_EXE_osnl")).unwrap());
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0("osnl");
    command
}

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(crate::private_folder().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn osnl(&self, args: &[&str]) -> Osnl {
        let args: Vec<&str> = ["k2hr3-osnl"].iter().chain(args).copied().collect();
        self.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args)
    }

    pub(crate) fn run(&self, program: &Path, args: &[&str]) -> Osnl {
        let mut command = Command::new(program);
        // The environment of the test's caller, such as a proxy or a log filter, must not affect
        // the program.
        for name in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "RUST_LOG",
            "RUST_BACKTRACE",
            "COLUMNS",
        ] {
            command.env_remove(name);
        }
        // As root, daemons without a state_dir would share the machine's folder and its leftovers.
        // Commands that only read a configuration show the default.
        if !args.first().is_some_and(|command| ["check", "config", "init"].contains(command)) {
            command.env("STATE_DIRECTORY", self.0.path().join("state"));
        }
        Osnl::start(command.args(args).current_dir(self.0.path()))
    }

    pub(crate) fn daemon(&self, name: &str, text: &str) -> Osnl {
        let file = format!("{name}.conf");
        self.write(&file, text);
        self.osnl(&["-c", &file])
    }
}

pub(crate) fn conf(transport_url: &str, api_url: &str, more: &str) -> String {
    format!(
        "[oslo_messaging_notifications]\ntransport_url = {transport_url}\n[k2hr3]\napi_url = {api_url}\n{more}\n"
    )
}

pub(crate) struct Osnl {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    _guard: Guard,
}

impl Osnl {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let guard = Guard::over(&[child.id()], None);
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr, _guard: guard }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let end = Instant::now() + SOON;
        while !self.stderr.contains(text) {
            assert!(Instant::now() < end, "no {text:?} in\n{}", self.stderr());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub(crate) fn listening(self) -> Self {
        self.wait_for("listening at");
        self
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        while self.is_running() {
            assert!(Instant::now() < end, "not ended after {deadline:?}:\n{}", self.stderr());
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.stdout.finish();
        self.stderr.finish();
        self.child.wait().unwrap()
    }

    #[track_caller]
    pub(crate) fn refused(&mut self) -> (Option<i32>, String) {
        let status = self.wait(PROMPTLY);
        (status.code(), self.stderr())
    }

    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait(PROMPTLY);
        assert_eq!(status.code(), Some(0), "{}", self.stderr());
        self.stderr()
    }
}

impl Drop for Osnl {
    fn drop(&mut self) {
        // The child was not reaped, so its id cannot belong to another process.
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

struct Stream {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let gathered = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
                gathered.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn contains(&self, part: &str) -> bool {
        self.text.lock().unwrap().contains(part)
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

pub(crate) fn instance(n: usize) -> String {
    format!("12345678-1234-5678-1234-{n:012}")
}

pub(crate) fn port_deleted(n: usize) -> Value {
    json!({"port": {"device_id": instance(n), "fixed_ips": [{"ip_address": "10.0.0.1"}]}})
}

pub(crate) fn notices(numbers: std::ops::Range<usize>) -> Vec<Notice> {
    numbers.map(|n| Notice { payload: port_deleted(n), ..Notice::default() }).collect()
}

#[track_caller]
pub(crate) fn settled(vhost: &Vhost, queue: &str) {
    depth(vhost, queue, (0, 0));
}

#[track_caller]
pub(crate) fn depth(vhost: &Vhost, queue: &str, expected: (u64, u64)) {
    wait_until(SOON, &format!("queue {queue} to hold {expected:?}"), || {
        vhost.queue_depth(queue) == Some(expected)
    });
}

pub(crate) fn incidents(status: &str) -> Vec<String> {
    let of_block = |block: &str| -> Vec<String> {
        block.lines().map(|line| line.get(5..).unwrap_or_default().to_owned()).collect()
    };
    status
        .split("\n\n")
        .filter(|block| block.starts_with('!'))
        .map(|block| of_block(block).join("; "))
        .collect()
}
