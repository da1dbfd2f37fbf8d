use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, Vhost, signal};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) home: TempDir,
    pub(crate) vhost: Vhost,
    pub(crate) sink: Sink,
    pub(crate) publisher: OsloPublisher,
    pub(crate) daemon: Option<Child>,
}

pub(crate) const LISTENER: &str =
    "[listener:neutron]\ntransport_url = URL\nexchange = neutron\ndeclare = create\npool = osnl\n";
pub(crate) const RULE: &str = "[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n";
pub(crate) const ACTION: &str = "[action:roles]\ndriver = k2hr3\napi_url = SINK\nretry_interval = 1s\n";

impl Rig {
    pub(crate) fn start(name: &str) -> Self {
        Self::with(name, &[LISTENER, RULE, ACTION])
    }

    pub(crate) fn with(name: &str, sections: &[&str]) -> Self {
        let (home, sink) = (crate::private_folder().unwrap(), Sink::start());
        let vhost = Broker::shared().vhost(name);
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let mut rig = Self { home, vhost, sink, publisher, daemon: None };
        rig.write(sections);
        rig.run();
        rig
    }

    pub(crate) fn write(&self, sections: &[&str]) {
        let head =
            "[DEFAULT]\nstate_dir = HOME/state\nlog_file = HOME/log\n[journal]\nallow_volatile = yes\n";
        let text = format!("{head}{}", sections.concat());
        let text = text.replace("HOME", &self.home.path().display().to_string());
        let text = text.replace("URL", &self.vhost.url()).replace("SINK", &self.sink.url("/v1/role"));
        fs::write(self.home.path().join("a.conf"), text).unwrap();
    }

    pub(crate) fn run(&mut self) {
        let mut command = self.command(&["run", "-c", "a.conf"]);
        let stderr = File::options().create(true).append(true).open(self.home.path().join("stderr")).unwrap();
        self.daemon = Some(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
        self.listening("neutron");
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        command.args(args);
        command
    }

    pub(crate) fn ask(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(&[args, &["-c", "a.conf"]].concat()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    #[track_caller]
    pub(crate) fn check(&self, table: &[(&str, i32, &str)]) {
        for (line, code, part) in table {
            let has_place = ["-c ", "--journal", "--state-dir"].iter().any(|flag| line.contains(flag));
            let place: &[&str] = if has_place { &[] } else { &["-c", "a.conf"] };
            let args: Vec<&str> = line.split(' ').chain(place.iter().copied()).collect();
            let output = self.command(&args).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(*code), "{line}: {said}");
            assert!(said.contains(part), "{line}: {part:?} in\n{said}");
        }
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let args: Vec<&str> = line.split(' ').chain(["--format", "json"]).collect();
        let (code, told, failed) = self.ask(&args);
        assert_eq!(code, Some(0), "{line}: {told}{failed}");
        serde_json::from_str(&told).unwrap()
    }

    #[track_caller]
    pub(crate) fn reload(&self, expected: i32) -> String {
        let (code, stdout, stderr) = self.ask(&["reload"]);
        assert_eq!(code, Some(expected), "{stdout}{stderr}");
        stdout + &stderr
    }

    #[track_caller]
    pub(crate) fn apply(&self, sections: &[&str]) -> String {
        self.write(sections);
        self.reload(0)
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["status", "--format", "json"]).1).unwrap_or_default()
    }

    pub(crate) fn listener(&self, name: &str) -> Value {
        let status = self.status();
        let mut listeners = status["listeners"].as_array().into_iter().flatten();
        listeners.find(|listener| listener["name"] == name).cloned().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn listening(&self, name: &str) {
        let end = Instant::now() + SOON;
        while self.listener(name)["state"] != "listening" {
            assert!(
                Instant::now() < end,
                "{name} does not listen: {}\n{}\n{}",
                self.status(),
                self.log(),
                self.condition()
            );
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    pub(crate) fn target(&self, name: &str) -> Value {
        let status = self.status();
        let mut targets = status["targets"].as_array().into_iter().flatten();
        targets.find(|target| target["action"] == name).cloned().unwrap_or_default()
    }

    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = (usize, usize)>) {
        let notices: Vec<Notice> = events.into_iter().map(|(key, event)| notice(key, event)).collect();
        self.publisher.notify_all(&notices);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Returns the daemon's stderr, and where each of its threads waits, for a test that fails before its first line.
    fn condition(&self) -> String {
        let stderr = fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default();
        let pid = self.daemon.as_ref().map_or(0, Child::id);
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let waits = threads.map(|thread| {
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            format!("{} waits in {}", read("stat"), read("wchan"))
        });
        format!("stderr: {stderr}\n{}", waits.collect::<Vec<_>>().join("\n"))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.daemon.as_ref().unwrap().id(), name);
    }

    pub(crate) fn end(&mut self, signal: &str) {
        self.signal(signal);
        self.daemon.take().unwrap().wait().unwrap();
    }

    /// A new connection to the broker has another name.
    pub(crate) fn connections(&self) -> Vec<String> {
        self.vhost.connections_of_osnl()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

pub(crate) fn notice(key: usize, event: usize) -> Notice {
    let address = format!("10.{}.{}.{}", event >> 16, event >> 8 & 255, event & 255);
    Notice {
        payload: json!({"port": {"device_id": instance(key), "device_owner": "compute:nova",
                                 "fixed_ips": [{"ip_address": address}]}}),
        ..Notice::default()
    }
}

pub(crate) fn instance(key: usize) -> String {
    format!("12345678-1234-5678-1234-{key:012}")
}

pub(crate) fn asked(sink: &Sink, counts: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<usize>> {
    let mut asked: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for request in sink.requests().into_iter().filter(|request| counts(&request.target)) {
        let key = request.target.split_once("cuk=").unwrap().1[..36].to_owned();
        let host = request.target.split_once("host=").unwrap().1.split_once("10.").unwrap().1;
        let host: String = host.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let event = host.split('.').fold(0, |sum, part| sum * 256 + part.parse::<usize>().unwrap());
        asked.entry(key).or_default().push(event);
    }
    asked
}

/// Returns what `asked` does if events 0 to `events` went to as many instances in turn.
pub(crate) fn dealt(instances: usize, events: usize) -> BTreeMap<String, Vec<usize>> {
    (0..instances).map(|key| (instance(key), (key..events).step_by(instances).collect())).collect()
}
