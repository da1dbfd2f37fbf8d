use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use osnl_testkit::{
    Broker, Notice, OsloPublisher, PublisherOptions, RestartableProgram, Sink, Vhost, wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const QUEUE: &str = "osnl";

const CONF: &str = r#"[DEFAULT]
state_dir = HOME/NAME
[journal]
connection = DATABASE
lease = 3s
allow_volatile = true
[listener:neutron]
transport_url = URL
exchange = neutron
declare = create
pool = osnl
prefetch = 10
[rule:gone]
event_type = ^port\.delete\.end$
actions = hook
[action:hook]
driver = http
url = TARGET
body = {"port": "{{ payload.port.id }}", "n": {{ payload.n | default(0) }}}
retry_interval = 1s
"#;

pub(crate) struct Stage {
    pub(crate) vhost: Vhost,
    pub(crate) sink: Sink,
    publisher: OsloPublisher,
    database: String,
    home: TempDir,
}

impl Stage {
    pub(crate) fn new(name: &str, database: &str) -> Self {
        let vhost = Broker::shared().vhost(&format!("shared-{name}"));
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let home = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir();
        Self { vhost, sink: Sink::start(), publisher, database: database.to_owned(), home: home.unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn configure(&self, name: &str, edits: &[(&str, &str)]) {
        let mut text = CONF.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let home = self.home.path().display().to_string();
        let (url, target) = (self.vhost.url(), self.sink.url("/hook"));
        for (from, to) in [
            ("DATABASE", &*self.database),
            ("HOME", &home),
            ("NAME", name),
            ("URL", &url),
            ("TARGET", &target),
        ] {
            text = text.replace(from, to);
        }
        let file = self.path(&format!("{name}.conf"));
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn start(&self, name: &str) -> RestartableProgram {
        RestartableProgram::start(self.command(name, &["run"]))
    }

    pub(crate) fn daemon(&self, name: &str) -> RestartableProgram {
        self.daemon_with(name, &[])
    }

    #[track_caller]
    pub(crate) fn daemon_with(&self, name: &str, edits: &[(&str, &str)]) -> RestartableProgram {
        self.configure(name, edits);
        let (code, said) = self.run(name, &["check"]);
        assert_eq!(code, Some(0), "{said}");
        let daemon = self.start(name);
        daemon.wait_for("listening at", 1, SOON);
        daemon
    }

    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.args(args).arg("-c").arg(self.path(&format!("{name}.conf"))).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, name: &str, args: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(name, args).output().unwrap();
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    pub(crate) fn json(&self, name: &str, args: &[&str]) -> Value {
        let (_, text) = self.run(name, &[args, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.json(name, &["status"])
    }

    pub(crate) fn publish(&mut self, numbers: std::ops::Range<u64>) {
        let notice = |n: u64| Notice {
            payload: json!({"n": n, "port": {"id": format!("port-{}", n % 4)}}),
            ..Notice::default()
        };
        self.publisher.notify_all(&numbers.map(notice).collect::<Vec<_>>());
    }

    pub(crate) fn notify(&mut self, notices: &[Notice]) {
        self.publisher.notify_all(notices);
    }

    pub(crate) fn publish_long(&mut self, n: u64) {
        let port = json!({"id": format!("port-{}", n % 4)});
        let payload = json!({"n": n, "port": port, "padding": "x".repeat(5000)});
        self.publisher.notify_all(&[Notice { payload, ..Notice::default() }]);
    }

    pub(crate) fn publish_unmatched(&mut self) {
        let event_type = "port.create.end".into();
        self.publisher.notify_all(&[Notice { event_type, ..Notice::default() }]);
    }

    pub(crate) fn delivered(&self) -> Vec<Vec<u64>> {
        let mut ports = vec![Vec::new(); 4];
        for request in self.sink.requests() {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let n = body["n"].as_u64().unwrap();
            ports[usize::try_from(n % 4).unwrap()].push(n);
        }
        ports
    }

    #[track_caller]
    pub(crate) fn wait_for_all(&self, numbers: std::ops::Range<u64>) {
        let got = || self.delivered().concat();
        wait_until(SOON, &format!("{numbers:?} to be delivered"), || {
            let got = got();
            numbers.clone().all(|n| got.contains(&n))
        });
    }

    #[track_caller]
    pub(crate) fn wait_for_queue(&self, expected: u64) {
        wait_until(SOON, &format!("the queue to hold {expected}"), || {
            self.vhost.queue_depth(QUEUE).map(|(ready, unsettled)| ready + unsettled) == Some(expected)
        });
    }

    #[track_caller]
    pub(crate) fn wait_for_halves(&self, name: &str) {
        wait_until(SOON, "each to have half of the partitions", || {
            let members = self.status(name)["journal"]["members"].as_array().unwrap().clone();
            members.len() == 2 && members.iter().all(|member| member["partitions"] == 32)
        });
    }

    #[track_caller]
    pub(crate) fn wait_for_journal(&self, name: &str, expected: &str) {
        wait_until(SOON, &format!("the journal to be {expected}"), || {
            self.status(name)["journal"]["state"] == expected
        });
    }
}
