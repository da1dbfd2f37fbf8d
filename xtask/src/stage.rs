//! `stage night [--plain]`: a daemon after a bad night, for whoever judges its screens: real oslo.messaging, six actions,
//! eight faults. The stage stays until Ctrl-C, publishes an event a second, and prints how to reach page and commands.
//!
//! With `--plain`, for pictures, no text is hostile, and the page only reads.
//!
//! | fault | made by |
//! | --- | --- |
//! | three resources of `cmdb` fail | their requests get 503 |
//! | `billing` has four dead letters | their requests get 409, and one attempt is allowed |
//! | `ticket` refuses everything | 400 `no such field: tags` |
//! | `backup-catalog` refuses connections | nothing listens at its port |
//! | `pager` fails | 500 |
//! | `dns` is paused | `osnl actions pause dns` |
//! | a guard has tripped | more deletions of instances within a minute than `guard` allows |
//! | three messages are in quarantine | bodies that are no notifications |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::{
    Broker, Notice, OsloPublisher, PublisherOptions, RawMessage, Reply, RestartableProgram, Sink,
};
use osnl_testkit::{SinkRequest, Vhost, wait_until};
use serde_json::{Value, json};

use crate::{setup, step};

const SOON: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(300);
const EVENTS: u64 = 9_000;
const GUARDED: u64 = 300;
const HELD: u64 = 11;
const TOKEN: &str = "night-0123456789abcdef";
const PLAIN: &str = "the record is locked by a legal hold";
/// A name that acts as markup, as a terminal's control, or by bidirectional characters where a screen does not escape.
const HOSTILE: &str =
    "<script>window.hacked=1</script>\"><img src=x onerror=window.hacked=1>\u{202e}evil\u{1b}[2J{{7*7}}";

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let is_plain = args.iter().any(|arg| arg == "--plain");
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--plain").collect();
    let events = match words[..] {
        ["night"] => EVENTS,
        ["night", "--events", count] => {
            count.parse().with_context(|| format!("--events {count}: not a whole number"))?
        }
        _ => {
            eprintln!("xtask stage: usage: cargo xtask stage night [--events N] [--plain]");
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(ended) = setup::with_peers(&["stage"], args)? {
        return Ok(ended);
    }
    step::run(step::cargo().args(["build", "--locked", "-p", "osnl-cli"]).stdin(Stdio::null()))?;
    let broker = Broker::start();
    let vhost = broker.vhost("night");
    let mut night = Night::prepare(&vhost, is_plain)?;
    night.publish(events);
    night.wait(events)?;
    println!("{}", night.invitation()?);
    loop {
        std::thread::park_timeout(Duration::from_secs(1));
        ensure!(night.osnl.is_running(), "osnl has ended: {}", night.osnl.output());
        night.publisher.notify(&deleted_port(night.published, night.is_plain));
        night.published += 1;
    }
}

struct Night {
    folder: PathBuf,
    file: PathBuf,
    osnl: RestartableProgram,
    publisher: OsloPublisher,
    published: u64,
    is_plain: bool,
    _targets: Sink,
}

impl Night {
    fn prepare(vhost: &Vhost, is_plain: bool) -> Result<Self> {
        let folder = step::target_dir().join("stage-night");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let targets = Sink::start();
        targets.reply_when(move |request| answer(request, is_plain));
        let closed = Sink::start();
        closed.stop();
        let file = folder.join("osnl.conf");
        let mut text = configuration(&folder, &vhost.url(), &targets.url(""), &closed.url("/catalog"));
        if is_plain {
            text = text.replace("allow_changes = yes\n", "");
        }
        fs::write(&file, text)?;
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        // osnl binds its queues to exchanges that exist; a service creates its exchange with its first notification.
        publisher.notify_all(&[deleted_port(0, is_plain), deleted_instance(0, is_plain)]);
        let mut command = osnl();
        command.args(["run", "-c"]).arg(&file);
        let osnl = RestartableProgram::start(command);
        wait_until(SOON, "the queues to be consumed", || {
            vhost.list_queues().iter().filter(|queue| queue.consumers > 0).count() == 2
        });
        let night = Self { folder, file, osnl, publisher, published: 0, is_plain, _targets: targets };
        night.ask(&["actions", "pause", "dns"])?;
        Ok(night)
    }

    fn publish(&mut self, events: u64) {
        let ports: Vec<_> = (0..events).map(|number| deleted_port(number, self.is_plain)).collect();
        self.publisher.notify_all(&ports);
        let instances: Vec<_> =
            (0..GUARDED + HELD).map(|number| deleted_instance(number, self.is_plain)).collect();
        self.publisher.notify_all(&instances);
        for body in ["not JSON", "[1, 2, 3]", "{\"oslo.version\": \"9.0\"}"] {
            self.publisher.raw(&RawMessage { body: body.into(), ..RawMessage::default() });
        }
        self.published = events;
    }

    fn wait(&self, events: u64) -> Result<()> {
        let mut status = Value::Null;
        let is_there = || {
            status = self.status().unwrap_or_default();
            let target = |action: &str, key: &str| {
                let targets = status["targets"].as_array().into_iter().flatten();
                targets
                    .into_iter()
                    .find(|target| target["action"] == action)
                    .and_then(|t| t[key].as_u64())
                    .unwrap_or(0)
            };
            status["journal"]["quarantined"] == 3
                && target("billing", "dead") == 4
                && target("ticket", "for_release") >= HELD
                && target("cmdb", "done") + 10 > events
        };
        wait_until(DRAIN, "all eight faults", is_there);
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask(&["status", "--format", "json"])?)?)
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let output = osnl().args(args).arg("-c").arg(&self.file).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0 | 1) => Ok(said),
            _ => bail!("osnl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn invitation(&self) -> Result<String> {
        let log = self.osnl.output();
        let port = log
            .split("the admin endpoint listens")
            .nth(1)
            .and_then(|rest| rest.split("127.0.0.1:").nth(1))
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
            .with_context(|| format!("no address of the admin endpoint in {log}"))?;
        let program = osnl().get_program().to_string_lossy().into_owned();
        let file = self.file.display();
        Ok(format!(
            "\nThe night has begun; Ctrl-C ends it.\n\n  page      http://127.0.0.1:{port}/   token {TOKEN}\n  terminal  \
             {program} status -c {file}\n            {program} deliveries list -c {file}\n  files     {}",
            self.folder.display()
        ))
    }
}

fn osnl() -> Command {
    Command::new(step::target_dir().join("debug/osnl"))
}

fn configuration(folder: &Path, broker: &str, targets: &str, closed: &str) -> String {
    let folder = folder.display();
    let http = |name: &str, url: &str, more: &str| {
        format!("[action:{name}]\ndriver = http\nurl = {url}\nretry_interval = 5s\n{more}")
    };
    let at = |name: &str| format!("{targets}/{name}/{{{{ resource.id }}}}");
    [
        format!(
            "[DEFAULT]\nstate_dir = {folder}/state\nattention_age = 1m\n[journal]\nallow_volatile = yes\n\
             [admin]\nlisten = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes\n\
             [listener:neutron]\ntransport_url = {broker}\nexchange = neutron\npool = osnl\n\
             [listener:nova]\ntransport_url = {broker}\nexchange = nova\npool = osnl-nova\n\
             [rule:deleted-ports]\nlisteners = neutron\nevent_type = ^port\\.delete\\.end$\n\
             actions = cmdb, billing, backup-catalog, pager, dns\n\
             [rule:deleted-instances]\nlisteners = nova\nevent_type = ^compute\\.instance\\.delete\\.end$\n\
             guard = {GUARDED} per 1h\nactions = ticket\n"
        ),
        http("cmdb", &at("cmdb"), ""),
        http("billing", &at("billing"), "max_attempts = 1\n"),
        http("ticket", &at("ticket"), ""),
        http("backup-catalog", closed, ""),
        http("pager", &at("pager"), ""),
        http("dns", &at("dns"), ""),
    ]
    .concat()
}

fn answer(request: &SinkRequest, is_plain: bool) -> Option<Reply> {
    let mut parts = request.target.trim_start_matches('/').splitn(2, '/');
    let (action, id) = (parts.next()?, parts.next().unwrap_or_default());
    let number = u64::from_str_radix(id.rsplit('-').next()?, 16).ok();
    let reason = |status, text: &str| {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Some(Reply::StatusWith { status, headers, body: json!({ "error": text }).to_string().into_bytes() })
    };
    match (action, number) {
        ("cmdb", Some(10..=12)) => reason(503, "this object is locked"),
        ("billing", Some(20..=23)) => reason(409, if is_plain { PLAIN } else { HOSTILE }),
        ("ticket", _) => reason(400, "no such field: tags"),
        ("pager", _) => reason(500, "internal error"),
        _ => Some(Reply::Status(204)),
    }
}

fn id(kind: u64, number: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn name(number: u64, is_plain: bool) -> String {
    match number % 50 {
        _ if is_plain => format!("web-{number}"),
        7 => HOSTILE.to_owned(),
        11 => "database-replica-of-the-billing-department.internal.example.org".repeat(3),
        _ => format!("web-{number}"),
    }
}

fn deleted_port(number: u64, is_plain: bool) -> Notice {
    let payload = json!({"port_id": id(1, number), "port": {
        "id": id(1, number), "name": name(number, is_plain), "device_id": id(2, number), "device_owner": "compute:nova",
        "fixed_ips": [{"ip_address": "192.0.2.7", "subnet_id": id(3, 1)}],
    }});
    Notice { event_type: "port.delete.end".to_owned(), payload, ..Notice::default() }
}

fn deleted_instance(number: u64, is_plain: bool) -> Notice {
    Notice {
        exchange: "nova".to_owned(),
        publisher_id: "compute.node1".to_owned(),
        event_type: "compute.instance.delete.end".to_owned(),
        payload: json!({"instance_id": id(2, number), "display_name": name(number, is_plain), "state": "deleted"}),
        ..Notice::default()
    }
}
