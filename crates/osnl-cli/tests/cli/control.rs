use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, signal, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::osnl_of_any_user;

const SOON: Duration = Duration::from_secs(20);

struct Rig {
    home: TempDir,
    vhost: Vhost,
    sink: Sink,
    publisher: OsloPublisher,
    daemon: Option<Child>,
}

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Rig {
    fn start(name: &str, roles: &str) -> Self {
        let (home, sink) = (crate::private_folder().unwrap(), Sink::start());
        let vhost = Broker::shared().vhost(name);
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {}\n\
             exchange = neutron\ndeclare = create\npool = osnl\n[rule:r]\nactions = roles\n\
             [action:roles]\ndriver = k2hr3\napi_url = {}\n{roles}\n",
            home.path().display(),
            vhost.url(),
            sink.url("/v1/role"),
        );
        fs::write(home.path().join("a.conf"), text).unwrap();
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let mut rig = Self { home, vhost, sink, publisher, daemon: None };
        rig.run();
        rig
    }

    fn run(&mut self) {
        let mut command = self.command(&["run", "-c", "a.conf", "--log-file", "osnl.log"]);
        command.env("OS_DEFAULT__LOG_FORMAT", "json");
        let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.daemon = Some(daemon.unwrap());
        wait_until(SOON, "it listens", || self.status()["listeners"][0]["state"] == "listening");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = osnl_of_any_user();
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        command.env("STATE_DIRECTORY", self.home.path().join("default-state"));
        command.args(args);
        command
    }

    fn ask(&self, args: &[&str]) -> Answer {
        self.say(&[args, &["-c", "a.conf"]].concat())
    }

    fn say(&self, args: &[&str]) -> Answer {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        self.ask(&[args, &["--format", "json"]].concat()).json()
    }

    fn status(&self) -> Value {
        let asked = self.ask(&["status", "--format", "json"]);
        serde_json::from_str(&asked.stdout).unwrap_or_default()
    }

    fn wait(&self, of: &str, count: u64) {
        wait_until(SOON, &format!("{count} {of}"), || self.status()["targets"][0][of] == count);
    }

    fn publish(&mut self, instance: usize) {
        let id = format!("12345678-1234-5678-1234-{instance:012}");
        self.publisher.notify_all(&[Notice {
            exchange: "neutron".to_owned(),
            topic: "notifications".to_owned(),
            publisher_id: "network.node1".to_owned(),
            event_type: "port.delete.end".to_owned(),
            payload: json!({"port": {"device_id": id, "device_owner": "compute:nova", "admin_password": "S3CRET",
                                     "fixed_ips": [{"ip_address": "10.0.0.1"}]}}),
            ..Notice::default()
        }]);
    }

    fn stop(&mut self, name: &str) {
        let mut daemon = self.daemon.take().unwrap();
        signal(daemon.id(), name);
        daemon.wait().unwrap();
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

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    #[track_caller]
    fn expect(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(self.stdout.contains(stdout), "{stdout:?} in\n{}", self.stdout);
        assert!(self.stderr.contains(stderr), "{stderr:?} in\n{}", self.stderr);
    }
}

fn normal(mut value: Value) -> Value {
    fn walk(key: &str, value: &mut Value) {
        match value {
            Value::Object(object) => object.iter_mut().for_each(|(key, value)| walk(key, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(key, item)),
            Value::Null => {}
            Value::String(text) => match key {
                "received" | "ended" | "started" | "loaded" | "since" | "at" | "last_message" | "oldest"
                | "oldest_pending" | "paused_since" => {
                    assert!(text.ends_with('Z') && text.len() == 24, "{key}: {text}");
                    *text = "WHEN".to_owned();
                }
                "message_id" | "digest" | "timestamp" | "path" | "broker" | "version" | "target"
                | "consumer_tag" | "paused_by" | "what" => {
                    *text = key.to_uppercase();
                }
                _ => {}
            },
            Value::Number(_) => {
                if key.ends_with("seconds") || key == "pid" || key.ends_with("bytes") {
                    *value = json!("NUMBER");
                }
            }
            Value::Bool(_) => {}
        }
    }
    walk("", &mut value);
    value
}

fn refusing() -> impl Fn(&osnl_testkit::SinkRequest) -> Option<Reply> + Send + 'static {
    |request| request.target.contains("000000000001").then_some(Reply::Status(409))
}

#[test]
fn what_is_dead_is_shown_retried_in_order_and_discarded() {
    let mut rig = Rig::start("deliveries", "max_attempts = 1");
    rig.sink.reply_when(refusing());
    assert_eq!(rig.ask(&["status"]).code, Some(0), "{}", rig.ask(&["status"]).stdout);
    rig.publish(1);
    rig.publish(2);
    rig.wait("dead", 1);
    rig.wait("done", 1);

    let dead = json!({
        "id": "1.0", "state": "dead", "waits_for": null, "next_attempt": null,
        "next_attempt_seconds": null, "received": "WHEN", "age_seconds": "NUMBER", "ended": "WHEN", "action": "roles",
        "rule": "r", "event_type": "port.delete.end",        "key": "12345678-1234-5678-1234-000000000001", "resource_id": null, "resource_name": null,
        "failed_attempts": 1, "attempts_made": 1, "attempts_counted": 0, "attempts_allowed": 1,
        "reason": "status 409: Conflict", "last_answer": null, "queue": "osnl",
        "message_id": "MESSAGE_ID", "copies": 0, "took_millis": null
    });
    let listed = rig.json(&["deliveries", "list", "--state", "dead"]);
    let mut expected =
        json!({"deliveries": [dead], "totals": {"all": 1, "by_state": {"dead": 1}}, "next": null});
    for part in ["key", "resource_id", "reason", "attempts_counted", "queue", "took_millis"] {
        expected["deliveries"][0][part] = listed["deliveries"][0][part].clone();
    }
    assert_eq!(normal(listed.clone()), expected);
    assert!(listed["deliveries"][0]["reason"].as_str().unwrap().contains("409"));
    filters_and_pages(&mut rig);
    one_is_shown(&mut rig);
    a_retry_keeps_the_order(&mut rig);
    what_is_discarded_is_chosen_and_confirmed(&mut rig);

    let before = rig.json(&["deliveries", "list"]);
    rig.stop("TERM");
    assert!(!rig.home.path().join("control.sock").exists());
    let strip = |mut value: Value| {
        value["deliveries"].as_array_mut().unwrap().iter_mut().for_each(|row| row["age_seconds"] = json!(0));
        // Only a daemon knows the settings of its actions.
        value["deliveries"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|row| row["attempts_allowed"] = json!(null));
        value
    };
    assert_eq!(strip(rig.json(&["deliveries", "list"])), strip(before));
}

fn filters_and_pages(rig: &mut Rig) {
    let page = rig.json(&["deliveries", "list", "--limit", "1"]);
    assert_eq!((&page["next"], &page["totals"]["all"]), (&json!("2.0"), &json!(2)));
    assert_eq!(page["deliveries"][0]["id"], json!("2.0"));
    let page = rig.json(&["deliveries", "list", "--limit", "1", "--after", "2.0"]);
    assert_eq!((&page["next"], &page["deliveries"][0]["id"]), (&json!(null), &json!("1.0")));
    let page = rig.json(&["deliveries", "list", "--limit", "1", "--sort", "oldest"]);
    assert_eq!((&page["next"], &page["deliveries"][0]["id"]), (&json!("1.0"), &json!("1.0")));
    let message = page["deliveries"][0]["message_id"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        (&["--rule", "r"][..], 2),
        (&["--rule", "x"], 0),
        (&["--action", "roles", "--state", "delivered"], 1),
        (&["--event", "2"], 1),
        (&["--event-type", "port.delete.end", "--since", "1h"], 2),
        (&["--until", "1h"], 0),
        (&["--since", "2026-01-01T00:00:00Z", "1.0"], 1),
        (&["--resource", "nobody"], 0),
        (&["--resource", "12345678-1234-5678-1234-000000000001"], 1),
        (&["12345678-1234-5678-1234-000000000001"], 1),
        (&[&message], 1),
        (&["1"], 1),
        (&["--state", "pending"], 0),
        (&["--state", "done,waiting-for-release"], 1),
        (&["--status", "409"], 1),
        (&["--status", "2xx"], 1),
        (&["--text", "conflict"], 1),
    ] {
        let found = rig.json(&[&["deliveries", "list"], filter].concat());
        assert_eq!(found["totals"]["all"], expected, "{filter:?}");
        assert_eq!(found["deliveries"].as_array().unwrap().len(), expected, "{filter:?}");
    }
    rig.ask(&["deliveries", "list"]).expect(0, "2 deliveries: 1 dead, 1 delivered", "");
}

fn one_is_shown(rig: &mut Rig) {
    let shown = rig.json(&["deliveries", "show", "1.0"]);
    assert_eq!(shown["message"]["payload"]["port"]["admin_password"], "***");
    assert_eq!(shown["message"]["publisher_id"], "network.node1");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    assert!(shown["attempts"][0]["answer"].as_str().unwrap().contains("409"), "{shown}");
    assert!(shown["target"].as_str().unwrap().contains(&rig.sink.url("")), "{shown}");
    let request = shown["attempts"][0]["request"].as_str().unwrap();
    assert!(request.starts_with(&format!("DELETE {}", rig.sink.url("/v1/role"))), "{request}");
    assert!(shown["attempts"][0]["took_millis"].is_u64(), "{shown}");
    the_log_leads_to_it(rig);
    assert_eq!(shown["message"]["body_base64"], Value::Null);
    let text = rig.ask(&["deliveries", "show", "1.0"]);
    text.expect(0, "by rule r\n", "");
    let ageless =
        |text: &str| text.lines().filter(|line| !line.contains(" ago (")).collect::<Vec<_>>().join("\n");
    let of_resource = rig.ask(&["deliveries", "show", "12345678-1234-5678-1234-000000000001"]);
    assert_eq!(ageless(&of_resource.stdout), ageless(&text.stdout));
    assert!(!text.stdout.contains("S3CRET"));
    rig.ask(&["deliveries", "show", "1.0", "--raw"]).expect(0, "S3CRET", "");
    rig.ask(&["deliveries", "show", "9.0"]).expect(1, "", "there is no delivery 9.0");
    rig.ask(&["deliveries", "show", "nobody"]).expect(1, "", "no delivery is about nobody");
    rig.publish(2);
    rig.wait("done", 2);
    let several = rig.ask(&["deliveries", "show", "12345678-1234-5678-1234-000000000002"]);
    several.expect(1, "2 deliveries: 2 delivered", "several deliveries; name one of them by its id");
}

fn the_log_leads_to_it(rig: &Rig) {
    let log = fs::read_to_string(rig.home.path().join("osnl.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["message"] == "given up: dead letter").unwrap();
    assert_eq!((&line["level"], &line["target"]), (&json!("error"), &json!("osnl.delivery.outcomes")));
    let fields = &line["fields"];
    assert_eq!(
        (&fields["delivery.id"], &fields["rule.name"], &fields["attempt"]),
        (&json!("1.0"), &json!("r"), &json!(1))
    );
    let message = fields["message.id"].as_str().unwrap();
    rig.ask(&["deliveries", "show", message]).expect(0, "delivery    1.0", "");
}

/// A later delivery of the same resource is done, and a retry would undo its effect.
fn a_retry_keeps_the_order(rig: &mut Rig) {
    rig.sink.reply_when(|_| None);
    rig.publish(1);
    rig.wait("done", 3);
    rig.ask(&["deliveries", "retry", "1.0"]).expect(1, "4.0 of the same resource came later", "");
    let refused = rig.json(&["deliveries", "retry", "1.0", "2.0", "7.0"]);
    assert_eq!((&refused["changed"], &refused["refused"]), (&json!(0), &json!(3)), "{refused}");
    rig.ask(&["deliveries", "retry", "2.0"]).expect(1, "it is delivered", "");
    rig.ask(&["deliveries", "retry", "--all", "--out-of-order", "--dry-run"]).expect(
        0,
        "1 delivery would be retried: 1.0",
        "",
    );
    assert_eq!(rig.status()["targets"][0]["dead"], 1);
    rig.ask(&["deliveries", "retry", "1.0", "--out-of-order"]).expect(
        0,
        "1 delivery will be retried: 1.0",
        "",
    );
    rig.wait("done", 4);
}

fn what_is_discarded_is_chosen_and_confirmed(rig: &mut Rig) {
    rig.sink.reply_when(refusing());
    rig.publish(1);
    rig.wait("dead", 1);
    rig.ask(&["deliveries", "discard"]).expect(2, "", "give the ids of deliveries");
    rig.ask(&["deliveries", "discard", "--action", "roles"]).expect(
        2,
        "",
        "add --yes to discard 1 delivery, which osnl then never attempts again",
    );
    rig.ask(&["deliveries", "discard", "--action", "roles", "--dry-run"]).expect(
        0,
        "1 delivery would be discarded",
        "",
    );
    assert_eq!(rig.status()["targets"][0]["dead"], 1);
    let done = rig.json(&["deliveries", "discard", "--state", "dead", "--yes"]);
    assert_eq!(done, json!({"dry_run": false, "changed": 1, "ids": ["5.0"], "refused": 0, "refusals": []}));
    let reason = rig.json(&["deliveries", "show", "5.0"])["delivery"]["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("discarded by "), "{reason}");
    rig.ask(&["deliveries", "move", "1.0", "--to", "nobody"]).expect(
        1,
        "",
        "there is no action nobody; there are roles",
    );
}

fn beside_amqp(listener: &mut Value) {
    listener["management"] = json!({
        "status": "unknown", "reason": "management_url is not set",
        "remedy": "write in [listener:neutron] of an osnl.conf: management_url = https://HOST:15671/ (its user needs the tag \
                   monitoring)",
        "seen_seconds": null, "version": null, "default_queue_type": null, "queues": []
    });
    listener["missing_messages"] = json!(0);
    listener["consumer_tag"] = json!("CONSUMER_TAG");
    for never in
        ["never_received_seconds", "queue_created", "queue_created_seconds", "silence", "standing_by_for"]
    {
        listener[never] = Value::Null;
    }
}

#[test]
fn a_paused_target_waits_across_a_restart_and_status_says_so() {
    let mut rig = Rig::start("paused", "");
    rig.ask(&["actions", "pause", "nobody"]).expect(1, "", "there is no action nobody; there are roles");
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused", "");
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused already: ", "");
    rig.publish(1);
    rig.publish(1);
    rig.wait("pending", 2);
    let status = rig.ask(&["status"]);
    status.expect(1, "!    roles: paused by ", "");
    status.expect(1, "do   osnl actions resume roles\n", "");
    let lines: Vec<&str> = status.stdout.lines().collect();
    assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 130), "{}", status.stdout);
    let mut expected = json!({
        "verdict": "0 of 1 action delivers; 2 wait, the oldest 0 s", "numbers": {},
        "running": true, "healthy": false, "idle": false,
        "incidents": [{
            "kind": "action-paused", "severity": "warning", "subject": "action roles", "actions": ["roles"],
            "listeners": [], "what": "WHAT", "why": null, "since": "WHEN", "since_seconds": "NUMBER", "waiting": 2,
            "oldest_seconds": "NUMBER", "for_release": 0, "must_act": "operator",
            "to_do": "osnl actions resume roles", "by_itself": null, "symptoms": []
        }],
        "attention_age_seconds": "NUMBER",
        "version": "VERSION", "pid": "NUMBER", "started": "WHEN", "uptime_seconds": "NUMBER",
        "listeners": [{
            "name": "neutron", "state": "listening", "reason": null, "remedy": null, "since": "WHEN", "since_seconds": "NUMBER",
            "attempts": null, "next_attempt": null, "next_attempt_seconds": null, "queue_messages": 0, "consumers": 1,
            "own_consumers": 1, "exclusive": true, "queue_lossy": null, "queue_remedy": null, "unbound": false, "queue_seen_seconds": "NUMBER", "queue_waiting_since": null,
            "queue_waiting_seconds": null, "lag": null, "stalled": null, "broker": "BROKER", "queues": ["osnl"],
            "messages": 2, "reconnects": 0, "last_message": "WHEN", "last_message_seconds": "NUMBER",
            "last_event_age_seconds": "NUMBER", "old_events_seconds": null
        }],
        "configuration": {"loaded": "WHEN", "loaded_seconds": "NUMBER", "not_reloaded": null}, "left_queues": [],
        "targets": [{
            "action": "roles", "target": "TARGET", "configured": true, "state": "paused",
            "since": "WHEN", "paused_by": "PAUSED_BY", "failing": [], "more_failing": 0,
            "since_seconds": "NUMBER", "next_probe_seconds": null, "paused_since": "WHEN", "pending": 2,
            "oldest_pending": "WHEN", "oldest_pending_seconds": "NUMBER", "in_flight": 0, "for_release": 0, "dead": 0,
            "done": 0, "shadow": 0, "last_failure": null
        }],
        "journal": {
            "store": "sqlite", "path": "PATH", "state": "ok", "reason": null,
            "since": null, "since_seconds": null, "bytes": "NUMBER", "open_bytes": "NUMBER", "max_bytes": "NUMBER",
            "free_bytes": "NUMBER", "dead": 0, "max_dead": 10000, "max_pending": 1000000, "events": 2,
            "deliveries": 2, "oldest": "WHEN", "oldest_seconds": "NUMBER", "quarantined": 0
        },
        "expiries": [],
        "counters": {}
    });
    beside_amqp(&mut expected["listeners"][0]);
    let status = normal(rig.status());
    assert_eq!(status["counters"]["received"], 2);
    for part in ["counters", "numbers", "verdict"] {
        expected[part] = status[part].clone();
    }
    assert_eq!(status, expected);

    rig.stop("KILL");
    // A stopped daemon's file gives the same, without values that only a daemon knows.
    let stopped = rig.ask(&["status", "--format", "json"]);
    assert_eq!(stopped.code, Some(1));
    let stopped = stopped.json();
    assert_eq!((&stopped["running"], &stopped["pid"]), (&json!(false), &json!(null)));
    assert_eq!(
        (&stopped["targets"][0]["state"], &stopped["targets"][0]["pending"]),
        (&json!("paused"), &json!(2))
    );
    rig.ask(&["status"]).expect(1, "the daemon is stopped; this is what its journal holds", "");
    // The next start replaces the killed daemon's socket.
    assert!(rig.home.path().join("control.sock").exists());
    rig.run();
    rig.wait("pending", 2);
    assert_eq!(rig.status()["targets"][0]["state"], "paused");
    assert_eq!(rig.sink.requests().len(), 0);

    rig.stop("TERM");
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles is resumed", "");
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles was not paused", "");
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused", "");
    rig.run();
    assert_eq!(rig.sink.requests().len(), 0);
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles is resumed", "");
    rig.sink.wait_for(2, SOON);
    rig.wait("done", 2);
    assert_eq!(rig.ask(&["status"]).code, Some(0));
}

#[test]
fn a_target_that_is_away_is_shown_as_down_with_what_it_says() {
    let mut rig = Rig::start("away", "");
    rig.sink.stop();
    rig.publish(1);
    wait_until(SOON, "it is down", || {
        let state = rig.status()["targets"][0]["state"].clone();
        state == "down" || state == "probing"
    });
    let status = rig.status();
    assert_eq!(
        (&status["targets"][0]["pending"], &status["healthy"]),
        (&json!(1), &json!(false)),
        "{status}"
    );
    assert!(
        status["targets"][0]["last_failure"]["answer"].as_str().unwrap().contains("cannot connect"),
        "{status}"
    );
    assert!(
        status["incidents"][0]["what"].as_str().unwrap().starts_with("roles: the target is down for "),
        "{status}"
    );
    assert_eq!(status["incidents"][0]["kind"], "target-down");
    // A probe waits for its result, and a pause does not change the outage's begin.
    let probed = rig.ask(&["actions", "probe", "roles"]);
    probed.expect(1, "roles is still down: cannot connect", "");
    let since = rig.status()["targets"][0]["since"].clone();
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused", "");
    rig.ask(&["actions", "probe", "roles"]).expect(1, "roles is paused, and not probed", "");
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles is resumed", "");
    wait_until(SOON, "it is down again", || {
        matches!(rig.status()["targets"][0]["state"].as_str(), Some("down" | "probing"))
    });
    assert_eq!(rig.status()["targets"][0]["since"], since);
    let plug_in = rig.ask(&["status", "--format", "nagios"]);
    plug_in.expect(1, "OSNL WARNING - roles: the target is down for ", "");
    assert!(plug_in.stdout.contains(" pending=1;;;0 "), "{}", plug_in.stdout);
    // The operator may discard a claimed delivery, and wait for the result.
    rig.ask(&["deliveries", "discard", "1.0"]).expect(0, "1 delivery discarded: 1.0", "");
    assert_eq!(rig.status()["targets"][0]["pending"], 0);
    rig.sink.restart();
    rig.publish(2);
    wait_until(SOON, "it is pending or done", || {
        rig.status()["targets"][0]["pending"] != 0 || !rig.sink.requests().is_empty()
    });
    // A probe calls at once, and not after the next half minute.
    rig.ask(&["actions", "probe", "roles"]).expect(0, "roles is ok: ", "");
    rig.sink.wait_for(1, SOON);
    assert!(rig.sink.requests()[0].target.contains("000000000002"));
    rig.ask(&["actions", "list"]).expect(0, "roles  ok ", "");
}

/// The status must not be "all is well" while one host fails for ever and others work.
#[test]
fn a_resource_that_fails_again_and_again_is_an_incident() {
    let mut rig = Rig::start("failing", "retry_interval = 1s");
    rig.sink.reply_when(|request| request.target.contains("000000000001").then_some(Reply::Status(500)));
    rig.publish(2);
    rig.wait("done", 1);
    assert_eq!(rig.ask(&["status"]).code, Some(0));
    rig.publish(1);
    wait_until(SOON, "it is an incident", || !rig.status()["incidents"].as_array().unwrap().is_empty());
    let status = rig.status();
    let (incident, failing) = (&status["incidents"][0], &status["targets"][0]["failing"][0]);
    assert_eq!((&incident["kind"], &failing["id"]), (&json!("resource-failing"), &json!("2.0")), "{status}");
    assert!(incident["why"].as_str().unwrap().contains("500"), "{incident}");
    assert_eq!(incident["to_do"], "osnl deliveries show 2.0");
    assert!(failing["failed_attempts"].as_u64().unwrap() >= 5, "{failing}");
    rig.ask(&["status"]).expect(1, "!    roles: 12345678-1234-5678-1234-000000000001 fails for ", "");
    rig.ask(&["deliveries", "discard", "2.0"]).expect(0, "1 delivery discarded", "");
    assert_eq!(rig.ask(&["status"]).code, Some(0));
}

#[test]
fn the_file_of_a_stopped_daemon_is_changed_in_place() {
    let mut rig = Rig::start("stopped", "max_attempts = 1");
    rig.sink.reply_when(refusing());
    rig.publish(1);
    rig.wait("dead", 1);
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused", "");
    rig.publish(2);
    rig.publish(3);
    rig.wait("pending", 2);
    rig.stop("KILL");
    let journal = rig.home.path().join("journal.db").display().to_string();
    let home = rig.home.path().display().to_string();
    for place in [&["-c", "a.conf"][..], &["--state-dir", &home], &["--journal", &journal]] {
        let listed = rig.say(&[&["deliveries", "list", "--format", "json"], place].concat()).json();
        assert_eq!(listed["totals"]["by_state"], json!({"dead": 1, "ready": 2}), "{place:?}");
    }
    let at = |args: &[&str]| rig.say(&[args, &["--journal", &journal]].concat());
    at(&["deliveries", "move", "2.0", "--to", "other"]).expect(0, "1 delivery moved: 2.0", "");
    at(&["deliveries", "discard", "3.0"]).expect(0, "1 delivery discarded: 3.0", "");
    at(&["deliveries", "retry", "--state", "dead"]).expect(0, "1 delivery will be retried: 1.0", "");
    at(&["deliveries", "release", "2.0"]).expect(1, "2.0: it is ready", "");
    rig.ask(&["status"]).expect(1, "other: 1 delivery is orphaned", "");
    rig.ask(&["deliveries", "move", "--action", "other", "--to", "roles"]).expect(
        0,
        "1 delivery moved: 2.0",
        "",
    );
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles is resumed", "");
    rig.sink.reply_when(|_| None);
    rig.run();
    rig.wait("done", 2);
    let twice = |rig: &Rig| {
        let children: Vec<_> = (0..4)
            .map(|_| {
                let mut command = rig.command(&["actions", "pause", "roles", "-c", "a.conf"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    twice(&rig);
    rig.stop("TERM");
    twice(&rig);

    rig.say(&["status", "--state-dir", &format!("{home}/none")]).expect(69, "", "no daemon answers at");
    rig.say(&["deliveries", "list", "--journal", "none.db"]).expect(69, "", "there is no journal");
    rig.say(&["status", "-c", "none.conf"]).expect(78, "", "there is no such file");
    fs::write(rig.home.path().join("text.db"), "text, and enough of it to be looked at by somebody").unwrap();
    rig.say(&["status", "--journal", "text.db"]).expect(69, "", "is not a journal of osnl");
    assert!(rig.vhost.list_queues().iter().any(|queue| queue.name == "osnl"));
}

#[test]
fn a_daemon_without_a_file_says_what_can_be_had() {
    let mut rig = Rig::start("memory", "");
    rig.stop("TERM");
    let conf = rig.home.path().join("a.conf");
    let text = fs::read_to_string(&conf).unwrap().replace("allow_volatile = yes", "connection = memory://");
    fs::write(&conf, text).unwrap();
    rig.ask(&["status"]).expect(69, "", "its journal is in memory, of which nothing is left");
    rig.run();
    rig.ask(&["status"]).expect(0, "in memory: nothing outlives the process", "");
    rig.ask(&["actions", "pause", "roles"]).expect(0, "roles is paused", "");
    rig.publish(1);
    rig.publish(1);
    rig.wait("pending", 2);
    let listed = rig.json(&["deliveries", "list"]);
    assert_eq!(listed["totals"]["by_state"], json!({"ready": 1, "waiting": 1}));
    let refused = "memory:// keeps nothing that could be changed";
    rig.ask(&["deliveries", "discard", "--all", "--yes"]).expect(1, "", refused);
    let id = listed["deliveries"][0]["id"].as_str().unwrap().to_owned();
    rig.ask(&["deliveries", "show", &id]).expect(1, "", "memory:// keeps no history");
    rig.ask(&["actions", "resume", "roles"]).expect(0, "roles is resumed", "");
    rig.sink.wait_for(2, SOON);
}

/// A monitoring agent needs no write access to the journal. Only root can become another user, so
/// other runs check the mode.
#[test]
fn a_group_may_ask_and_change_nothing() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;

    const NOBODY: u32 = 65534;
    const GROUP: u32 = 65533;
    let mut rig = Rig::start("control-group", "");
    rig.stop("TERM");
    let is_root = fs::metadata(rig.home.path()).unwrap().uid() == 0;
    let group = if is_root { GROUP } else { fs::metadata(rig.home.path()).unwrap().gid() };
    let conf = rig.home.path().join("a.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replacen("[DEFAULT]\n", &format!("[DEFAULT]\ncontrol_group = {group}\n"), 1))
        .unwrap();
    rig.run();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&rig.home.path().join("control.sock")), mode(rig.home.path())), (0o660, 0o710));
    assert_eq!(mode(&rig.home.path().join("journal.db")), 0o600);
    if !is_root {
        return;
    }
    let ask = |gid: u32, args: &[&str]| {
        let mut command = rig.command(args);
        command.arg("--state-dir").arg(rig.home.path()).current_dir("/").uid(NOBODY).gid(gid);
        let answer = command.output().unwrap();
        (
            answer.status.code(),
            String::from_utf8(answer.stdout).unwrap() + &String::from_utf8(answer.stderr).unwrap(),
        )
    };
    let (code, text) = ask(GROUP, &["status"]);
    assert!(code == Some(0) && text.contains("listening"), "{code:?} {text}");
    let (code, text) = ask(GROUP, &["actions", "pause", "roles"]);
    assert!(code != Some(0) && text.contains("members of the group 65533 may only read"), "{code:?} {text}");
    let (code, text) = ask(NOBODY, &["status"]);
    assert!(code == Some(69) && !text.contains("listening"), "{code:?} {text}");
}
