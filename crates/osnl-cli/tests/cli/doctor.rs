//! `osnl queues` on a real broker in each of its troubles: the finding, the command that mends it, and that the command's
//! effect ends the finding.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use osnl_testkit::{BrokerObjects, Notice, OsloListener, OsloPublisher, PublisherOptions, Vhost, wait_until};
use serde_json::{Value, json};

use crate::harness::{Osnl, Place, SOON};
use crate::management::node;
use Mend::{Apply, Ctl, Effect};

struct Stage {
    vhost: Vhost,
    other: Vhost,
    place: Place,
    more: String,
    daemon: Option<Osnl>,
    publisher: OsloPublisher,
    rival: Option<OsloListener>,
    second: Option<Osnl>,
}

enum Mend {
    /// The finding's rabbitmqctl command is run.
    Ctl,
    /// `osnl queues --apply --yes` mends.
    Apply,
    /// The command's effect where another program than osnl or rabbitmqctl has it.
    Effect(fn(&mut Stage)),
}

type Trouble = (&'static str, &'static str, fn(&mut Stage), &'static str, &'static str, Mend);

const USUAL: &str = "exchange = nova\npool = osnl\npriorities = info, error";

impl Stage {
    fn new((_, more, prepare, ..): &Trouble) -> Self {
        let (broker, _) = node();
        let [vhost, other] = ["doctor", "doctor-other"].map(|name| {
            let vhost = broker.vhost(name);
            vhost.ctl(&["set_permissions", "monitor", "^$", "^$", "^$"]);
            vhost
        });
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let mut stage = Self {
            vhost,
            other,
            place: Place::new(),
            more: (*more).to_owned(),
            daemon: None,
            publisher,
            rival: None,
            second: None,
        };
        stage.write();
        prepare(&mut stage);
        stage
    }

    fn write(&self) {
        self.write_as("osnl.conf", "state", "^none$");
    }

    fn write_as(&self, file: &str, state: &str, pattern: &str) {
        let (_, port) = node();
        let url = if self.more.contains("transport_url") {
            String::new()
        } else {
            format!("transport_url = {}\n", self.vhost.url())
        };
        self.place.write(
            file,
            format!(
                "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n[listener:l]\n{url}\
                 management_url = http://monitor:m0n%3A%40%2F@127.0.0.1:{port}/\n{}\n[rule:r]\nevent_type = {pattern}\n\
                 actions = a\n[action:a]\ndriver = dump\n",
                self.place.path(state).display(),
                self.more
            ),
        );
    }

    fn set(&mut self, from: &str, to: &str) {
        assert!(self.more.contains(from), "{}", self.more);
        self.more = self.more.replace(from, to);
        self.write();
    }

    fn notify(&mut self, exchange: &str) {
        let notice = Notice { exchange: exchange.to_owned(), ..Notice::default() };
        self.publisher.notify(&notice);
    }

    fn prepare(&mut self, objects: BrokerObjects) {
        self.publisher.prepare(&objects);
    }

    fn run(&mut self) {
        self.run_as("osnl.conf");
    }

    fn run_as(&mut self, file: &str) {
        self.daemon = Some(self.start(file));
    }

    fn start(&self, file: &str) -> Osnl {
        self.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &["run", "-c", file]).listening()
    }

    fn osnl(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command
            .env_clear()
            .env("HOME", self.place.path(""))
            .current_dir(self.place.path(""))
            .stdin(Stdio::null());
        let output = command.args(args).args(["-c", "osnl.conf"]).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("m0n"), "{text}");
        (output.status.code(), text)
    }

    fn findings(&self) -> (Option<i32>, Vec<Value>) {
        let (code, text) = self.osnl(&["queues", "--pause", "300ms", "--format", "json"]);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (code, report["findings"].as_array().unwrap().clone())
    }

    fn log_in(&mut self, url: &str) {
        self.more = format!("{USUAL}\ntransport_url = {url}");
        self.write();
    }

    fn play(&mut self, (kind, _, _, seen, command, mend): &Trouble) {
        let found = |stage: &Self| {
            let (code, findings) = stage.findings();
            let is_it = |one: &&Value| one["kind"] == *kind && said(one, "seen").contains(seen);
            (code, findings.iter().find(is_it).cloned())
        };
        let mut last = (None, None);
        // The broker gathers the statistics of a queue seconds after its creation.
        wait_until(SOON, &format!("{kind}: {seen}"), || {
            last = found(self);
            last.1.is_some()
        });
        let (code, finding) = last;
        let finding = finding.unwrap();
        let told = said(&finding, "command");
        assert!(
            told.contains(command) && !said(&finding, "consequence").is_empty(),
            "{command}: {finding:#}"
        );
        let is_note = finding["severity"] == "note";
        let expected = if *kind == "unreachable" { 69 } else { 1 };
        assert!(is_note || code == Some(expected), "{code:?}: {finding:#}");
        let (_, text) = self.osnl(&["queues", "--pause", "100ms"]);
        assert!(text.contains(&format!("          -> {told}\n")), "{text}");
        match mend {
            Ctl => self.ctl(&told),
            Apply => {
                let (code, text) = self.osnl(&["queues", "--pause", "100ms", "--apply"]);
                assert_eq!(code, Some(2), "nothing asks without a terminal: {text}");
                let (code, text) = self.osnl(&["queues", "--pause", "100ms", "--apply", "--yes"]);
                assert!(
                    code == Some(0) && text.contains("to apply:\n") && text.ends_with("applied\n"),
                    "{text}"
                );
            }
            Effect(effect) => effect(self),
        }
        wait_until(SOON, &format!("{kind} to be mended"), || found(self).1.is_none());
    }

    fn ctl(&self, command: &str) {
        let script = format!("set -- {command}\nprintf '%s\\n' \"$@\"");
        let words = Command::new("sh").args(["-c", &script]).output().unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        let words: Vec<&str> = words.lines().collect();
        assert_eq!(words[0], "rabbitmqctl", "{command}");
        node().0.ctl(&words[1..]);
    }
}

fn said(finding: &Value, member: &str) -> String {
    finding[member].as_str().unwrap_or_default().to_owned()
}

fn exchange(name: &str) -> BrokerObjects {
    BrokerObjects { exchange: name.to_owned(), durable: false, ..BrokerObjects::default() }
}

/// Returns a queue as osnl declares it, bound with a key.
fn queue(exchange: &str, keys: &[&str]) -> BrokerObjects {
    BrokerObjects {
        exchange: exchange.to_owned(),
        queue: "osnl".to_owned(),
        routing_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        durable: true,
        arguments: json!({"x-single-active-consumer": true}),
        ..BrokerObjects::default()
    }
}

const DRIVER: &str = "crudini --set /etc/nova/nova.conf oslo_messaging_notifications driver messagingv2";

fn nothing(_: &mut Stage) {}

fn nova(stage: &mut Stage) {
    stage.notify("nova");
}

fn nova_exchange(stage: &mut Stage) {
    stage.prepare(exchange("nova"));
}

fn usual(stage: &mut Stage) {
    stage.more = USUAL.to_owned();
    stage.write();
}

fn run_and_stop(stage: &mut Stage) {
    stage.run();
    stage.daemon.take();
    let is_read = |stage: &Stage| stage.vhost.list_queues().iter().any(|one| one.consumers > 0);
    wait_until(SOON, "nothing reads the queue", || !is_read(stage));
}

fn lossy(stage: &mut Stage, command: &str, definition: &str) {
    if stage.vhost.list_queues().is_empty() {
        stage.prepare(queue("", &[]));
    }
    stage.vhost.ctl(&[command, "p", "^osnl$", definition, "--apply-to", "queues"]);
}

fn elsewhere(stage: &mut Stage) {
    OsloPublisher::start(&stage.other.url(), PublisherOptions::default()).prepare(&exchange("nova"));
}

fn filled(stage: &mut Stage) {
    nova(stage);
    run_and_stop(stage);
    nova(stage);
}

fn rival(stage: &mut Stage) {
    nova(stage);
    stage.rival =
        Some(OsloListener::start(&stage.vhost.url(), &[("nova", "notifications")], Some("osnl"), false));
    wait_until(SOON, "the rival reads", || {
        stage.vhost.list_queues().iter().any(|one| one.name == "osnl" && one.consumers == 1)
    });
    stage.run();
}

fn other_rules(stage: &mut Stage) {
    stage.write_as("other.conf", "other", "^other$");
    stage.second = Some(stage.start("other.conf"));
    stage.run();
}

fn durable(stage: &mut Stage) {
    stage.vhost.delete_queue("notifications.info");
    stage.vhost.delete_exchange("nova");
    let mut publisher = OsloPublisher::start(&stage.vhost.url(), PublisherOptions { durable: true });
    publisher.notify(&Notice { exchange: "nova".to_owned(), ..Notice::default() });
}

fn forbidden(stage: &mut Stage) {
    let user = format!("{}-user", stage.vhost.name());
    stage.vhost.set_password(&user, "S3CRET");
    stage.vhost.ctl(&["set_permissions", &user, "^$", "^$", "^$"]);
    stage.log_in(&stage.vhost.url_for(&user, "S3CRET"));
}

fn unmatched(stage: &mut Stage) {
    nova_exchange(stage);
    stage.run();
    nova(stage);
}

fn matched(stage: &mut Stage) {
    stage.daemon.take();
    stage.write_as("osnl.conf", "state", "^port");
    stage.run();
    nova(stage);
}

const TOPIC: &str = "exchange = nova\npool = osnl\ntopics = versioned_notifications";
const PRIORITY: &str = "exchange = nova\npool = osnl\npriorities = error";
const OSLO: &str = "exchange = nova\npool = osnl\npriorities = info\nsingle_active_consumer = false\noslo_arguments = true\n\
                    durable = false";

/// The kind, options of the listener, preparation, evidence, command, and the end of the trouble.
#[rustfmt::skip]
const TROUBLES: &[Trouble] = &[
    ("exchange-missing", USUAL, nothing, "no service has published", DRIVER, Effect(nova)),
    ("exchange-missing", USUAL, |stage| stage.notify("neutron"), "notifications come here by exchange neutron", DRIVER, Effect(nova)),
    ("exchange-missing", USUAL, elsewhere, "exists in virtual host doctor-other", "in transport_url", Effect(|stage| stage.log_in(&stage.other.url()))),
    ("never-published", USUAL, nova_exchange, "the driver is empty (the default) or noop", DRIVER, Effect(nova)),
    ("wrong-topic", TOPIC, nova, "publish to topic notifications (queue notifications.info)", "topics = notifications in [listener:l]", Effect(usual)),
    ("wrong-priority", PRIORITY, nova, "another priority (queue notifications.info)", "remove priorities", Effect(usual)),
    ("other-exchange", USUAL, |stage| { nova_exchange(stage); stage.notify("openstack"); }, "bound to exchange openstack only", DRIVER, Effect(nova)),
    ("exchange-type", "exchange = amq.fanout\npool = osnl", nothing, "its type is fanout", "control_exchange", Effect(usual)),
    ("not-bound", USUAL, |stage| { nova(stage); stage.prepare(queue("", &[])); }, "notifications.info of nova", "osnl queues --apply", Apply),
    ("same-pool", USUAL, |stage| { nova(stage); stage.prepare(queue("theirs", &["x.info"])); }, "x.info of theirs too", "another pool", Effect(|stage| stage.set("pool = osnl", "pool = mine"))),
    ("unread", USUAL, nova, "1 message, no consumer", "rabbitmqctl set_policy -p doctor-", Ctl),
    ("growing", USUAL, filled, "1 message, no consumer", "systemctl start osnl", Effect(Stage::run)),
    ("rival", OSLO, rival, "1 consumer is not of this configuration's daemon", "a pool of its own", Effect(|stage| drop(stage.rival.take()))),
    ("other-rules", USUAL, other_rules, "connected to it with other rules", "the same rules", Effect(|stage| drop(stage.second.take()))),
    ("lossy", USUAL, |stage| lossy(stage, "set_policy", r#"{"message-ttl":60000}"#), "policy \"p\" sets message-ttl = 60000", "rabbitmqctl set_policy", Ctl),
    ("lossy", USUAL, |stage| lossy(stage, "set_operator_policy", r#"{"max-length":5}"#), "operator policy \"p\" sets max-length = 5", "rabbitmqctl set_operator_policy", Ctl),
    ("lossy", "exchange = nova\npool = osnl\nqueue_type = quorum", |stage| { run_and_stop(stage); lossy(stage, "set_policy", r#"{"delivery-limit":20}"#); }, "policy \"p\" sets delivery-limit = 20", "rabbitmqctl set_policy", Ctl),
    ("differs", USUAL, |stage| stage.prepare(BrokerObjects { arguments: json!({"x-max-length": 9}), ..queue("", &[]) }), "found", "delete it", Effect(|stage| stage.vhost.delete_queue("osnl"))),
    ("transient-queue", USUAL, nova, "it is transient", "crudini --set /etc/nova/nova.conf oslo_messaging_rabbit amqp_durable_queues true", Effect(durable)),
    ("queue-missing", "queue = theirs", nothing, "it does not exist", "create it", Effect(|stage| stage.prepare(BrokerObjects { queue: "theirs".to_owned(), ..queue("", &[]) }))),
    ("permissions", USUAL, forbidden, "ACCESS_REFUSED", "rabbitmqctl set_permissions -p doctor-", Ctl),
    ("unreachable", USUAL, |stage| stage.log_in(&stage.vhost.url_for("guest", "wrong")), "login refused", "rabbitmqctl authenticate_user guest", Effect(usual)),
    ("left", USUAL, |stage| { run_and_stop(stage); stage.set("pool = osnl", "pool = mine"); }, "no listener reads it any more; it is empty", "rabbitmqctl delete_queue", Apply),
    ("no-rule-matches", USUAL, unmatched, "1 message received since the start, and no rule matched one", "osnl explain --unmatched", Effect(matched)),
];

#[test]
fn each_trouble_is_found_and_its_command_ends_it() {
    // The monitor sees the exchanges of all virtual hosts, so these must be the only stage.
    let (alone, beside): (Vec<&Trouble>, Vec<&Trouble>) =
        TROUBLES.iter().partition(|(kind, ..)| *kind == "exchange-missing");
    alone.into_iter().for_each(|trouble| Stage::new(trouble).play(trouble));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(trouble) = beside.get(next.fetch_add(1, Ordering::Relaxed)) {
                    Stage::new(trouble).play(trouble);
                }
            });
        }
    });
}
