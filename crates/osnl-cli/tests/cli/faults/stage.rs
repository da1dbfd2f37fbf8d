use std::fs;
use std::process::{Child, Command, Stdio};

use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{
    Authority, Broker, BrokerObjects, Notice, OsloPublisher, Protocols, PublisherOptions, ServerIdentity,
    SharedBroker, Sink, TlsSink, Vhost, closed_port, wait_until,
};
use serde_json::json;
use tempfile::TempDir;

use super::{Fault, Part};
use crate::harness::{SOON, incidents};
use crate::snapshot::look_until;

/// Lines that appear later, or never, depending on the machine's speed.
const LATER: [&str; 3] = ["the target is still down", "neutron: blocked", "the listener is blocked"];

const USUAL: &str = r#"[DEFAULT]
state_dir = HOME/state
[journal]
allow_volatile = yes
[listener:neutron]
transport_url = URL
exchange = neutron
declare = create
pool = osnl
[rule:gone]
event_type = ^port\.delete\.end$
actions = hook
[action:hook]
driver = http
url = TARGET/hook
body = {"id": "{{ payload.port.id }}"}
max_attempts = 2
retry_interval = 1s
"#;

pub(super) struct Stage<'a> {
    fault: &'a Fault,
    home: TempDir,
    vhost: Vhost,
    cloud: Openstack,
    daemons: Vec<Child>,
    names: Vec<(String, &'static str)>,
    _parts: Parts,
}

struct Parts {
    sink: Sink,
    authorities: Vec<Authority>,
    servers: Vec<TlsSink>,
}

impl Parts {
    fn with_tls(
        &mut self,
        text: &str,
        broker: &SharedBroker,
        names: &mut Vec<(String, &'static str)>,
    ) -> String {
        let (authority, other) = (Authority::named("own CA"), Authority::named("other CA"));
        let untrusted = TlsSink::start(&other.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
        let not_yet = TlsSink::start(&authority.issue(&ServerIdentity::NotYet), Protocols::Tls12And13);
        let secure = broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None);
        let files = [&authority, &other].map(|authority| authority.file().display().to_string());
        let text = text
            .replace("SECURE", &format!("127.0.0.1:{secure}"))
            .replace("TLSPORT", &untrusted.port().to_string())
            .replace("NOTYET", &not_yet.port().to_string())
            .replace("CAFILE", &files[0])
            .replace("OTHERCA", &files[1]);
        names.extend(files.map(|file| (file, "CA")));
        names.extend([
            (format!("localhost:{}", untrusted.port()), "TARGET"),
            (format!("localhost:{}", not_yet.port()), "TARGET"),
            (format!("127.0.0.1:{secure}"), "BROKER"),
            (format!(":{secure}"), ":PORT"),
        ]);
        self.authorities.extend([authority, other]);
        self.servers.extend([untrusted, not_yet]);
        text
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(fault: &'a Fault, number: usize) -> Self {
        let (home, sink, cloud) = (crate::private_folder().unwrap(), Sink::start(), Openstack::start());
        let broker = Broker::shared();
        let vhost = broker.vhost(&format!("fault-{number}"));
        let user = format!("{}-narrow", vhost.name());
        let mut text = USUAL.to_owned();
        for (from, to) in fault.edits {
            assert!(text.contains(from), "{}: {from:?}", fault.name);
            text = text.replace(from, to);
        }
        if text.contains("NARROW") {
            vhost.set_password(&user, "S3CRET");
            vhost.set_permissions(&user, ["^$", "^$", ".*"]);
            text = text.replace("NARROW", &vhost.url_for(&user, "S3CRET"));
        }
        let mut names = Vec::new();
        let mut parts = Parts { sink, authorities: Vec::new(), servers: Vec::new() };
        if ["SECURE", "TLSPORT", "NOTYET", "OTHERCA"].iter().any(|word| text.contains(word)) {
            text = parts.with_tls(&text, broker, &mut names);
        }
        match &fault.part {
            Part::Target(reply) => parts.sink.reply_with(reply.clone()),
            Part::Cloud(path, reply) => cloud.fail(path, reply.clone()),
            Part::NoCloud => cloud.sink().stop(),
            Part::QueueOfOthers | Part::SecondReader => {
                OsloPublisher::start(&vhost.url(), PublisherOptions::default()).prepare(&BrokerObjects {
                    exchange: String::new(),
                    routing_keys: Vec::new(),
                    queue: "osnl".to_owned(),
                    auto_delete: matches!(fault.part, Part::QueueOfOthers),
                    ..BrokerObjects::default()
                });
            }
            Part::AsUsual | Part::SecondDaemon => {}
        }
        let closed = closed_port();
        let address = vhost.url().rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
        let login = format!("username = {USER}\npassword = {PASSWORD}\nproject_name = oss");
        let places = [
            ("URL", vhost.url()),
            ("TARGET", parts.sink.url("").trim_end_matches('/').to_owned()),
            ("CLOUD", format!("auth_url = {}\n{login}", cloud.auth_url())),
            ("BROKER", address.clone()),
            ("VHOST", vhost.name().to_owned()),
            ("ADDRESS", format!("127.0.0.1:{}", parts.sink.port())),
            ("CLOSED", closed.to_string()),
            ("HOME", home.path().display().to_string()),
        ];
        let text = places.iter().fold(text, |text, (name, value)| text.replace(name, value));
        fs::write(home.path().join("a.conf"), &text).unwrap();
        names.extend([
            ("REFUSED - configure access".to_owned(), "REFUSED - access"),
            (user, "USER"),
            (vhost.name().to_owned(), "VHOST"),
            (home.path().display().to_string(), "HOME"),
            (cloud.auth_url().replace("http://", "").replace("/v3", ""), "CLOUD"),
            (format!("127.0.0.1:{}", parts.sink.port()), "TARGET"),
            (format!("127.0.0.1:{closed}"), "CLOSED"),
            (address.clone(), "BROKER"),
            (address.replace("127.0.0.1", ""), ":PORT"),
            (format!(":{closed}"), ":PORT"),
            (format!(":{}", parts.sink.port()), ":PORT"),
        ]);
        Self { fault, home, vhost, cloud, daemons: Vec::new(), names, _parts: parts }
    }

    fn osnl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        command.args(args);
        command
    }

    fn say(&self, args: &[&str]) -> String {
        let output = self.osnl(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn run(&mut self, conf: &str) {
        let log = fs::File::create(self.home.path().join(format!("{conf}.log"))).unwrap();
        let mut command = self.osnl(&["run", "-c", conf]);
        self.daemons.push(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn status(&self) -> String {
        self.say(&["status", "-c", "a.conf"])
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("a.conf.log")).unwrap_or_default()
    }

    /// Plays the fault until `is_as_kept` holds of the lines of each command.
    pub(super) fn play(mut self, is_as_kept: impl Fn(&[Vec<String>; 4]) -> bool) -> [Vec<String>; 4] {
        let text = fs::read_to_string(self.home.path().join("a.conf")).unwrap();
        let text = match self.fault.part {
            Part::SecondDaemon => Some(text),
            Part::SecondReader => Some(text.replace("/state\n", "/other\n")),
            Part::AsUsual | Part::Target(_) | Part::QueueOfOthers | Part::Cloud(..) | Part::NoCloud => None,
        };
        if let Some(text) = text {
            fs::write(self.home.path().join("b.conf"), text).unwrap();
            self.run("b.conf");
            let listens = || self.say(&["status", "-c", "b.conf"]).contains("listening");
            wait_until(SOON, "the other daemon listens", listens);
        }
        let check = self.say(&["check", "-c", "a.conf"]);
        let connect = self.say(&["check", "-c", "a.conf", "--connect"]);
        self.run("a.conf");
        if self.fault.events > 0 {
            let reads = |status: &str| ["listening", "standby"].iter().any(|state| status.contains(state));
            wait_until(SOON, "it listens", || reads(&self.status()));
            self.publish();
        }
        let [in_status, in_log] = self.fault.shows;
        let look = || {
            let (status, log) = (self.status(), self.log());
            let is_shown = status.contains(in_status) && log.contains(in_log);
            (self.said(&check, &connect, &status, &log), is_shown)
        };
        // A fault that does not show stays in the picture as such, so that the other faults are compared too.
        look_until(look, |(said, is_shown)| *is_shown && is_as_kept(said)).0
    }

    fn said(&self, check: &str, connect: &str, status: &str, log: &str) -> [Vec<String>; 4] {
        let keep = |text: &str, keep: &dyn Fn(&str) -> bool| {
            let mut lines: Vec<String> = Vec::new();
            let early = text.lines().filter(|line| !LATER.iter().any(|later| line.contains(later)));
            for line in early.filter(|line| keep(line)).map(|line| self.named(line)) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            lines
        };
        let is_error = |line: &str| line.starts_with("osnl: error: ") || line.starts_with("osnl: ");
        let mut of_status = keep(status, &|line| is_error(line));
        // A listener is blocked once a message comes after the last that had room.
        let incidents = incidents(status).join("\n").replace("; listener neutron reads nothing", "");
        of_status.extend(keep(&incidents, &|_| true));
        [
            keep(check, &|line| is_error(line) || line.starts_with("warning: ")),
            keep(connect, &|line| {
                is_error(line) || ["failed ", "warning  ["].iter().any(|begin| line.starts_with(begin))
            }),
            of_status,
            keep(log, &|line| is_error(line) || line.contains(" WARNING ") || line.contains(" ERROR ")),
        ]
    }

    fn publish(&self) {
        // Two megabytes each fill a small journal.
        let text = if self.fault.events > 10 { "x".repeat(1_000_000) } else { String::new() };
        let notices: Vec<Notice> = (0..self.fault.events)
            .map(|n| {
                let id = if n == 0 { Openstack::id("port").to_owned() } else { format!("p-{n}") };
                let port = json!({"id": id, "device_id": format!("web-{n}"), "device_owner": "compute:nova", "text": text});
                Notice { payload: json!({"port": port}), ..Notice::default() }
            })
            .collect();
        OsloPublisher::start(&self.vhost.url(), PublisherOptions::default()).notify_all(&notices);
    }

    fn named(&self, line: &str) -> String {
        let is_logged = line.starts_with("20") && line.contains(" osnl");
        let line = if is_logged {
            let (level, rest) = line.splitn(3, ' ').nth(2).unwrap().split_once(' ').unwrap();
            format!("{level} {}", rest.split_once(' ').unwrap().1)
        } else {
            line.to_owned()
        };
        let line = self.names.iter().fold(line, |line, (text, name)| line.replace(text, name));
        let words: Vec<&str> = line.split(' ').collect();
        let mut named: Vec<String> = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let next = words.get(n + 1).map_or("", |next| next.trim_end_matches([',', ';', '"', ':', ')']));
            let (begin, number) = word.rfind(['=', '"', '(']).map_or(("", *word), |at| word.split_at(at + 1));
            let is_pid = n > 0 && words[n - 1].trim_start_matches('(') == "process";
            let digits = number.trim_end_matches([',', ';', ':', ')']);
            let is_unit = ["s", "ms", "min", "h", "MiB", "attempts", "attempt"].contains(&next);
            let is_number = number.parse::<f64>().is_ok();
            named.push(match begin {
                _ if is_pid && digits.parse::<u32>().is_ok() => word.replace(digits, "N"),
                _ if is_number && is_unit => format!("{begin}N"),
                "attempt=" if is_number => "attempt=N".to_owned(),
                "message.id=" => "message.id=ID".to_owned(),
                // Which of two concurrent deliveries fails first is chance.
                "delivery.id=" => "delivery.id=ID".to_owned(),
                "resource.id=" if number.starts_with("web-") => "resource.id=web-N".to_owned(),
                _ => (*word).to_owned(),
            });
        }
        // A delivery may come in the second in which its target fails, or before.
        named.join(" ").replace("N attempt,", "N attempts,").replace(", the oldest N s", "")
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let _ = &self.cloud;
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
