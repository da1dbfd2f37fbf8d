use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use osnl_testkit::{BrokerObjects, Notice, OsloListener, OsloPublisher, PublisherOptions, Vhost, wait_until};
use serde_json::{Value, json};

use super::operator::{edited, monitor};
use super::{Mend, Service, Trouble, words};
use crate::harness::{Osnl, Place, SOON, incidents};
use crate::management::node;

pub(super) const USUAL: &str = "exchange = nova\npool = osnl\npriorities = info, error";
pub(super) const DRIVER: &str =
    "set [oslo_messaging_notifications] driver = messagingv2 in /etc/nova/nova.conf";

/// Each look starts the program. Six stages that look without a pause take both cores from the daemons and the broker
/// that they wait for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Users of the virtual hosts are dropped before the virtual hosts.
pub(super) struct Stage {
    flood: Option<Flood>,
    daemon: Option<Osnl>,
    pub(super) vhost: Vhost,
    pub(super) other: Vhost,
    pub(super) rival: Option<OsloListener>,
    pub(super) second: Option<Osnl>,
    place: Place,
    options: String,
    api: String,
    services: HashMap<String, Service>,
    maker: OsloPublisher,
}

struct Flood(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

impl Stage {
    pub(super) fn new(trouble: &Trouble, n: usize) -> Self {
        let (broker, _) = node();
        let [vhost, other] = ["doctor", "elsewhere"].map(|name| broker.vhost(&format!("{name}-{n}")));
        let maker = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let api = monitor(&[&vhost, &other]);
        let mut stage = Self {
            vhost,
            other,
            rival: None,
            second: None,
            place: Place::new(),
            options: trouble.options.to_owned(),
            api,
            daemon: None,
            services: HashMap::new(),
            maker,
            flood: None,
        };
        stage.write();
        (trouble.prepare)(&mut stage);
        stage
    }

    fn write(&self) {
        self.write_as("osnl.conf", "state", "^none$");
    }

    fn write_as(&self, file: &str, state: &str, pattern: &str) {
        let url = if self.options.contains("transport_url") {
            String::new()
        } else {
            format!("transport_url = {}\n", self.vhost.url())
        };
        self.place.write(
            file,
            format!(
                "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n[listener:l]\n{url}silent_after = 1s\n\
                 management_url = http://{}/\n{}\n[rule:r]\nevent_type = {pattern}\nactions = a\n\
                 [action:a]\ndriver = dump\n",
                self.place.path(state).display(),
                self.api,
                self.options
            ),
        );
    }

    pub(super) fn configure(&mut self, options: &str) {
        options.clone_into(&mut self.options);
        self.write();
    }

    pub(super) fn set(&mut self, from: &str, to: &str) {
        assert!(self.options.contains(from), "{}", self.options);
        self.configure(&self.options.replace(from, to));
    }

    pub(super) fn log_in(&mut self, url: &str) {
        self.configure(&format!("{USUAL}\ntransport_url = {url}"));
    }

    fn service(&mut self, exchange: &str) -> &mut Service {
        let (url, folder) = (self.vhost.url(), self.place.path(""));
        let new = || Service::new(exchange, &url, &folder);
        self.services.entry(exchange.to_owned()).or_insert_with(new)
    }

    pub(super) fn notify(&mut self, exchange: &str) {
        self.service(exchange).notify(&Notice::default());
    }

    pub(super) fn publish(&mut self, exchange: &str) {
        self.service(exchange).set(&DRIVER.replace("nova", exchange));
        self.notify(exchange);
    }

    pub(super) fn flood(&mut self) {
        self.publish("nova");
        let (is_over, url) = (Arc::new(AtomicBool::new(false)), self.vhost.url());
        let told = is_over.clone();
        let publishing = std::thread::spawn(move || {
            let mut nova = OsloPublisher::start(&url, PublisherOptions::default());
            let notice = Notice { exchange: "nova".to_owned(), ..Notice::default() };
            while !told.load(Ordering::Relaxed) {
                nova.notify(&notice);
            }
        });
        self.flood = Some(Flood(is_over, Some(publishing)));
    }

    pub(super) fn make(&mut self, objects: &BrokerObjects) {
        self.maker.prepare(objects);
    }

    pub(super) fn run(&mut self) {
        self.daemon = Some(self.start("osnl.conf").listening());
    }

    pub(super) fn run_and_stop(&mut self) {
        self.run();
        self.stop();
    }

    pub(super) fn stop(&mut self) {
        self.daemon.take();
        let is_read = || self.vhost.list_queues().iter().any(|one| one.consumers > 0);
        wait_until(SOON, "nothing reads the queue", || !is_read());
    }

    pub(super) fn run_matching(&mut self) {
        self.daemon.take();
        self.write_as("osnl.conf", "state", "^port");
        self.run();
    }

    pub(super) fn run_second(&mut self) {
        self.write_as("other.conf", "other", "^other$");
        self.second = Some(self.start("other.conf").listening());
        self.run();
    }

    fn start(&self, file: &str) -> Osnl {
        self.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &["run", "-c", file])
    }

    fn osnl(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", self.place.path("")).current_dir(self.place.path(""));
        let output = command.args(args).args(["-c", "osnl.conf"]).stdin(Stdio::null()).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("M0N1TOR"), "{text}");
        (output.status.code(), text)
    }

    fn findings(&self) -> (Option<i32>, Vec<Value>) {
        let (code, text) = self.osnl(&["queues", "--pause", "300ms", "--format", "json"]);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (code, report["findings"].as_array().unwrap().clone())
    }

    #[track_caller]
    fn found(&self, Trouble { name, finding: (kind, seen, command), .. }: &Trouble) -> (Option<i32>, Value) {
        let mut last = (None, Vec::new());
        let is_it = |one: &&Value| {
            one["kind"] == *kind && said(one, "seen").contains(seen) && said(one, "command").contains(command)
        };
        let is_seen = |(_, all): &(Option<i32>, Vec<Value>)| all.iter().find(is_it).cloned();
        // The broker gathers the statistics of a queue seconds after its creation.
        let end = Instant::now() + SOON;
        while is_seen(&last).is_none() {
            assert!(Instant::now() < end, "{name}: no {kind} with {seen:?}, {command:?} in {:#?}", last.1);
            last = self.findings();
            if is_seen(&last).is_none() {
                std::thread::park_timeout(BETWEEN_LOOKS);
            }
        }
        (last.0, is_seen(&last).unwrap())
    }

    pub(super) fn play(mut self, trouble: &Trouble) -> String {
        let Trouble { name, finding: (kind, ..), check, status, mend, .. } = trouble;
        let (code, finding) = self.found(trouble);
        let command = said(&finding, "command");
        assert!(!said(&finding, "consequence").is_empty(), "{finding:#}");
        let is_note = finding["severity"] == "note";
        let expected = if *kind == "unreachable" { 69 } else { 1 };
        assert!(is_note || code == Some(expected), "{name}: {code:?}: {finding:#}");
        let (_, text) = self.osnl(&["queues", "--pause", "100ms"]);
        assert!(text.contains(&format!("          -> {command}\n")), "{name}: {text}");

        let checked = self.checked(name, check);
        let shown = self.shown(name, status);
        if !status.is_empty() {
            self.found(trouble);
        }
        match mend {
            Mend::Run(then) => {
                self.execute(&command);
                then(&mut self);
            }
            Mend::Follow(effect) => effect(&mut self),
        }
        let mut left = Vec::new();
        let is_mended = || {
            left = self.findings().1;
            !left.iter().any(|one| one["kind"] == *kind && one["subject"] == finding["subject"])
        };
        wait_until(SOON, &format!("{name} to be mended"), is_mended);
        let left: Vec<String> = left.iter().map(|one| said(one, "kind")).collect();
        let after = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
        let how = if matches!(mend, Mend::Run(_)) { "executed" } else { "followed" };
        let queues = format!("{kind} ({}): {}", said(&finding, "severity"), said(&finding, "seen"));
        let cells = [*name, &*queues, &*checked, &*shown, &*format!("{how}: {command}"), &*after];
        let cells = cells.map(|cell| self.plain(cell));
        format!("| {} |", cells.join(" | "))
    }

    fn plain(&self, cell: &str) -> String {
        let (broker, _) = node();
        let cell = cell.replace(self.vhost.name(), "cloud").replace(self.other.name(), "elsewhere");
        let cell = cell.replace(&format!("127.0.0.1:{}", broker.port()), "mq1:5672").replace('|', "\\|");
        if cell.is_empty() { "-".to_owned() } else { cell }
    }

    #[track_caller]
    fn checked(&self, name: &str, expected: &str) -> String {
        let (_, text) = self.osnl(&["check", "--connect"]);
        let is_bad = |line: &&str| line.starts_with("warning ") || line.starts_with("failed ");
        let mut of_listener = text.lines().filter(is_bad).filter(|line| line.contains("[listener:l]"));
        if expected.is_empty() {
            return String::new();
        }
        let line = of_listener.find(|line| line.contains(expected));
        let line = line.unwrap_or_else(|| panic!("{name}: check --connect: no {expected:?} in\n{text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ").replacen("[listener:l] ", "", 1)
    }

    /// Waits for an incident of a daemon, which runs for that alone unless it is part of the trouble.
    #[track_caller]
    fn shown(&mut self, name: &str, expected: &str) -> String {
        if expected.is_empty() {
            return String::new();
        }
        let own = if self.daemon.is_none() { Some(self.start("osnl.conf")) } else { None };
        let (mut text, mut line) = (String::new(), None);
        let end = Instant::now() + SOON;
        while line.is_none() {
            assert!(Instant::now() < end, "{name}: status: no {expected:?} in\n{text}");
            text = self.osnl(&["status"]).1;
            line = incidents(&text).into_iter().find(|line| line.contains(expected));
            if line.is_none() {
                std::thread::park_timeout(BETWEEN_LOOKS);
            }
        }
        if own.is_some() {
            drop(own);
            self.stop();
        }
        line.unwrap_or_default()
    }

    pub(super) fn execute(&mut self, command: &str) {
        if let Some(options) = edited(&self.options, command) {
            return self.configure(&options);
        }
        if command.starts_with("set [") {
            let file = command.split_once(" in ").unwrap().1.split(',').next().unwrap();
            return self.service(Path::new(file).file_stem().unwrap().to_str().unwrap()).set(command);
        }
        let line = words(command);
        let (program, rest) = line.split_first().unwrap();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match program.as_str() {
            "rabbitmqctl" => drop(node().0.ctl(&rest)),
            "osnl" if rest.contains(&"--apply") => {
                let (code, text) = self.osnl(&rest);
                assert_eq!(code, Some(2), "nothing asks without a terminal: {text}");
                let (code, text) = self.osnl(&[&rest[..], &["--yes"]].concat());
                let is_applied = text.contains("to apply:\n") && text.ends_with("applied\n");
                assert!(code == Some(0) && is_applied, "{text}");
            }
            "osnl" => {
                let (code, text) = self.osnl(&rest);
                assert_eq!(code, Some(0), "{command}: {text}");
            }
            _ => panic!("no command: {command}"),
        }
    }

    pub(super) fn cluster(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (login, real) = self.api.split_once('@').unwrap();
        let (login, real) = (login.to_owned(), real.to_owned());
        self.api = format!("{login}@{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let _ = pass_on(client, &real);
            }
        });
        self.write();
    }
}

fn pass_on(mut client: TcpStream, real: &str) -> std::io::Result<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(client.try_clone()?));
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    if head.starts_with("GET /api/nodes") {
        let nodes =
            json!([{"name": "rabbit@mq1"}, {"name": "rabbit@mq2"}, {"name": "rabbit@mq3"}]).to_string();
        return write!(
            client,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{nodes}",
            nodes.len()
        );
    }
    let mut server = TcpStream::connect(real)?;
    server.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    client.write_all(&reply)
}

pub(super) fn said(finding: &Value, member: &str) -> String {
    finding[member].as_str().unwrap_or_default().to_owned()
}
