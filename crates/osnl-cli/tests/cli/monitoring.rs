use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use osnl_testkit::{
    Authority, Notice, Protocols, RawMessage, Reply, ServerIdentity, TlsSink, free_port, wait_until,
};
use serde_json::Value;

use crate::reloading::{LISTENER, RULE, Rig, SOON, notice};

const ADMIN: &str = "[admin]\nlisten = 127.0.0.1:0\n";
const ACTION: &str = "[action:roles]\ndriver = http\nurl = SINK\nretry_interval = 1s\nmax_attempts = 1\n";

pub(crate) fn monitored(name: &str, sections: &[&str]) -> (Rig, String) {
    let rig = Rig::with(name, &[&[ADMIN], sections].concat());
    let log = rig.log();
    let address = address(&log).unwrap_or_else(|| panic!("{log}"));
    (rig, address)
}

pub(crate) fn address(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("the admin endpoint listens"))?;
    let (_, behind) = line.split_once("127.0.0.1:")?;
    let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub(crate) fn sample(address: &str, name: &str) -> Option<String> {
    let (_, metrics) = get(address, "/metrics");
    metrics.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
}

struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    fn start(rig: &Rig, target: &str) -> Self {
        let home = rig.home.path();
        let rules = fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packaging/prometheus/osnl.rules.yml"
        ));
        let rules = rules.unwrap();
        let rules: Vec<String> = rules
            .lines()
            .map(|line| match line.split_once("for: ") {
                Some((before, _)) => format!("{before}for: 1s"),
                None => line.replace("[2m]", "[2s]"),
            })
            .collect();
        fs::write(home.join("osnl.rules.yml"), rules.join("\n")).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [osnl.rules.yml]\n\
             scrape_configs: [{{job_name: osnl, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(home.join("prometheus.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let log = fs::File::create(home.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", "--log.level=warn"])
            .args(["--enable-feature=exemplar-storage", &format!("--web.listen-address={address}")])
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; cargo xtask setup installs it"));
        let prometheus = Self { child, address };
        wait_until(SOON, "Prometheus answers", || TcpStream::connect(&prometheus.address).is_ok());
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = get(&self.address, path);
        if status == 503 {
            // Prometheus still replays its log.
            return Value::Null;
        }
        serde_json::from_str::<Value>(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))["data"]
            .take()
    }

    fn firing(&self) -> Vec<String> {
        let alerts = self.ask("/api/v1/alerts");
        let alerts = alerts["alerts"].as_array().into_iter().flatten();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_a_daemon_and_knows_a_delivery_by_its_exemplar() {
    let (mut rig, admin) = monitored("monitoring-exemplar", &[LISTENER, RULE, ACTION]);
    let prometheus = Prometheus::start(&rig, &admin);
    assert_eq!(get(&admin, "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(get(&admin, "/readyz").0, 200);
    rig.publish([(1, 1), (2, 2)]);
    wait_until(SOON, "both are delivered", || {
        sample(&admin, "osnl_deliveries_ended_total{action=\"roles\",outcome=\"delivered\"}").as_deref()
            == Some("2")
    });
    for (name, expected) in [
        ("osnl_messages_received_total{listener=\"neutron\"}", "2"),
        ("osnl_messages_matched_total{listener=\"neutron\"}", "2"),
        ("osnl_message_receipt_delay_seconds_count{listener=\"neutron\"}", "2"),
        ("osnl_message_append_delay_seconds_count{listener=\"neutron\"}", "2"),
        ("osnl_delivery_effect_delay_seconds_count{action=\"roles\"}", "2"),
        ("osnl_delivery_attempts_total{action=\"roles\",result=\"ok\"}", "2"),
        ("osnl_rule_matches_total{rule=\"r\"}", "2"),
        ("osnl_listener_state{listener=\"neutron\",state=\"listening\"}", "1"),
        ("osnl_target_state{action=\"roles\",state=\"ok\"}", "1"),
    ] {
        // The parts of a daemon count one after another, so a scrape may see some counts before others.
        wait_until(SOON, &format!("{name} {expected}"), || sample(&admin, name).as_deref() == Some(expected));
    }
    wait_until(SOON, "the queue has its reader", || {
        sample(&admin, "osnl_queue_consumers{listener=\"neutron\",queue=\"osnl\"}").as_deref() == Some("1")
    });
    let query =
        "/api/v1/query_exemplars?query=osnl_delivery_effect_delay_seconds_bucket&start=0&end=9999999999";
    let mut ids = Vec::new();
    wait_until(SOON, "the exemplar is there", || {
        let found = prometheus.ask(query);
        let exemplars =
            found.as_array().into_iter().flatten().flat_map(|series| series["exemplars"].as_array());
        ids = exemplars
            .flatten()
            .map(|one| one["labels"]["delivery_id"].as_str().unwrap().to_owned())
            .collect();
        !ids.is_empty()
    });
    let (code, shown, said) = rig.ask(&["deliveries", "show", &ids[0]]);
    assert!(code == Some(0) && shown.contains("delivered"), "{ids:?}: {shown}{said}");
    // A scrape that takes longer than its interval counts as a missing daemon until the next one.
    wait_until(SOON, "no alert fires", || prometheus.firing().is_empty());
}

/// Labels hold names of the configuration; events give `osnl_events_total` alone its labels, in bounded number.
#[test]
fn a_thousand_event_types_and_resources_make_no_further_series() {
    let rule = RULE.replace("^port\\.delete\\.end$", "^port");
    let (mut rig, admin) = monitored("monitoring-series", &[LISTENER, &rule, ACTION]);
    let series = || -> BTreeSet<String> {
        let (_, metrics) = get(&admin, "/metrics");
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        let (types, samples): (Vec<_>, Vec<_>) =
            samples.partition(|line| line.starts_with("osnl_events_total{"));
        assert!(types.len() <= 501, "{}", types.len());
        samples.into_iter().map(|sample| sample.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let event = |event_type: String, key: usize| Notice { event_type, ..notice(key, key) };
    let done = |rig: &Rig, count: u64| {
        wait_until(SOON, "all are delivered", || rig.target("roles")["done"] == count);
    };
    rig.publisher.notify_all(&[event("port.delete.end".to_owned(), 0), event("other.type".to_owned(), 0)]);
    done(&rig, 1);
    wait_until(SOON, "the broker was asked", || {
        series().iter().any(|one| one.starts_with("osnl_queue_messages"))
    });
    let before = series();
    let many: Vec<Notice> = (1..=1000).map(|n| event(format!("port.type{n}.\u{202e}\"{{}}"), n)).collect();
    rig.publisher.notify_all(&many);
    done(&rig, 1001);
    wait_until(SOON, "all are counted", || {
        sample(&admin, "osnl_rule_matches_total{rule=\"r\"}").as_deref() == Some("1001")
    });
    assert_eq!(series(), before);
}

#[test]
fn a_broken_target_raises_alerts_that_end_with_a_retry() {
    let (mut rig, admin) = monitored("monitoring-night", &[LISTENER, RULE, ACTION]);
    let prometheus = Prometheus::start(&rig, &admin);
    let fires = |name: &str| prometheus.firing().iter().any(|firing| firing == name);
    rig.sink.reply_with(Reply::Status(400));
    rig.publish([(0, 0)]);
    wait_until(SOON, "the dead letter raises an alert", || {
        rig.target("roles")["dead"] == 1 && fires("OsnlAttention")
    });
    rig.sink.reply_with(Reply::Status(503));
    rig.publish((1..20).map(|n| (n, n)));
    let told = || {
        let alerts = prometheus.ask("/api/v1/alerts");
        let alerts: Vec<Value> = alerts["alerts"].as_array().into_iter().flatten().cloned().collect();
        alerts
            .iter()
            .any(|alert| alert["annotations"]["summary"].to_string().contains("target-down: status 503"))
    };
    wait_until(SOON, "the target is down, and the one alert for it says why", || {
        told() && prometheus.firing() == ["OsnlAttention", "OsnlAttention"]
    });
    let (status, body) = get(&admin, "/readyz");
    assert!(status == 200 && body.contains("roles: the target is down") && body.contains("503"), "{body}");
    assert!(rig.ask(&["status"]).1.contains("roles: the target is down"));
    rig.sink.reply_with(Reply::Status(204));
    let (code, _, said) = rig.ask(&["deliveries", "retry", "--action", "roles"]);
    assert_eq!(code, Some(0), "{said}");
    wait_until(SOON, "all is delivered", || rig.target("roles")["done"] == 20);
    wait_until(SOON, "no alert fires", || prometheus.firing().is_empty());
    let (status, body) = get(&admin, "/readyz");
    assert!(status == 200 && body.contains("\"incidents\":[]"), "{body}");
    // The log has one line for each change of the target's state, however many attempts fail.
    for line in ["the target is down; ", "the target answers again"] {
        assert_eq!(rig.log().matches(line).count(), 1, "{line}: {}", rig.log());
    }
}

/// A message published before the exchange is bound reaches no queue of osnl.
#[test]
fn a_queue_that_no_exchange_fills_is_not_ready_and_needs_attention() {
    let listener = "[listener:neutron]\ntransport_url = URL\nexchange = neutron\npool = osnl\n";
    let (mut rig, admin) = monitored("monitoring-unbound", &[listener, RULE, ACTION]);
    let attention = || {
        let (status, text) = get(&admin, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with("osnl_attention{kind=\"exchange-missing\""));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(status == 200 && lines.len() <= 1, "{lines:?}");
        lines.into_iter().next()
    };
    // Each listener and each daemon has the same labels but for its own name.
    let label = "subject=\"exchange neutron at 127.0.0.1:";
    let reason = "listener=\"neutron\",reason=\"what is published before osnl is bound to it reaches";
    let is_missed = || attention().is_some_and(|line| line.contains(label) && line.contains(reason));
    wait_until(SOON, "the exchange is missed", || get(&admin, "/readyz").0 == 503);
    let (_, body) = get(&admin, "/readyz");
    let reason = "bound to 0 of 1 exchanges: exchange \\\"neutron\\\" does not exist yet";
    assert!(body.contains(reason) && body.contains("\"state\":\"listening\""), "{body}");
    wait_until(SOON, "that is a metric", is_missed);
    // The service creates its exchange with its first notification.
    rig.publish([(0, 0)]);
    wait_until(SOON, "the queue is bound", || get(&admin, "/readyz").0 == 200);
    wait_until(SOON, "the metric ends", || attention().is_none());
}

#[test]
fn counts_of_a_queue_end_with_the_connection() {
    let (rig, admin) = monitored("monitoring-lost", &[LISTENER, RULE, ACTION]);
    let user = rig.vhost.name().to_owned();
    rig.vhost.set_password(&user, "before");
    fs::write(rig.home.path().join("url"), rig.vhost.url_for(&user, "before")).unwrap();
    rig.write(&[ADMIN, &LISTENER.replace("URL", "file://HOME/url"), RULE, ACTION]);
    rig.reload(0);
    rig.listening("neutron");
    let series = || {
        let (_, metrics) = get(&admin, "/metrics");
        metrics.lines().filter(|line| line.starts_with("osnl_queue_")).count()
    };
    wait_until(SOON, "the broker has told its counts", || series() == 2);
    assert_eq!(rig.listener("neutron")["queue_messages"], 0);
    rig.vhost.set_password(&user, "behind");
    wait_until(SOON, "the login is refused", || {
        let listener = rig.listener("neutron");
        // A connection that the broker was about to list is not among those that are closed.
        if listener["state"] != "connecting" {
            rig.vhost.close_all_connections("the password has changed");
        }
        !listener["remedy"].is_null()
    });
    let listener = rig.listener("neutron");
    assert_eq!(
        (&listener["queue_messages"], &listener["consumers"]),
        (&Value::Null, &Value::Null),
        "{listener}"
    );
    assert_eq!(series(), 0);
    let (_, said, _) = rig.ask(&["status", "--format", "nagios"]);
    assert!(said.contains(" queue_messages=U;;;0 "), "{said}");
    let (_, said, _) = rig.ask(&["status"]);
    let row =
        said.lines().find(|line| line.contains("neutron  connecting")).unwrap_or_else(|| panic!("{said}"));
    let cells: Vec<&str> = row.split_whitespace().rev().take(3).collect();
    assert_eq!(cells, ["osnl", "-", "-"], "{row}");
}

#[test]
fn a_daemon_that_stands_by_is_ready() {
    let (mut rig, first) = monitored("monitoring-standby", &[LISTENER, RULE, ACTION]);
    let text = fs::read_to_string(rig.home.path().join("a.conf")).unwrap();
    let text = text.replace("/state", "/other").replace("/log", "/other.log");
    fs::write(rig.home.path().join("b.conf"), text).unwrap();
    let mut command = rig.command(&["run", "-c", "b.conf"]);
    let _second = Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let log = || fs::read_to_string(rig.home.path().join("other.log")).unwrap_or_default();
    wait_until(SOON, "the second one listens", || address(&log()).is_some());
    let second = address(&log()).unwrap();
    let state = |address: &str| -> (u16, Value) {
        let (status, body) = get(address, "/readyz");
        (status, serde_json::from_str::<Value>(&body).unwrap()["listeners"][0].take())
    };
    wait_until(SOON, "the second one stands by", || state(&second).1["state"] == "standby");
    let (status, listener) = state(&second);
    assert_eq!((status, &listener["ready"]), (200, &true.into()), "{listener}");
    assert_eq!(state(&first).1["state"], "listening");
    let is_in = |state: &str| {
        sample(&second, &format!("osnl_listener_state{{listener=\"neutron\",state=\"{state}\"}}"))
    };
    assert_eq!((is_in("standby").as_deref(), is_in("listening").as_deref()), (Some("1"), Some("0")));
    wait_until(SOON, "the queue has two consumers", || {
        sample(&second, "osnl_queue_consumers{listener=\"neutron\",queue=\"osnl\"}").as_deref() == Some("2")
    });
    drop(rig.daemon.take().map(Daemon));
    wait_until(SOON, "the second one takes over", || state(&second).1["state"] == "listening");
    assert_eq!(state(&second).0, 200);
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_listener_and_a_rule_with_an_expectation_fall_silent_and_speak_again() {
    let listener = format!("{LISTENER}expect = 1 per 10s\n");
    let rule = format!("{RULE}expect = 2 per 10s\n");
    let (mut rig, admin) = monitored("monitoring-silence", &[&listener, &rule, ACTION]);
    let silent = |kind: &str, name: &str| {
        sample(&admin, &format!("osnl_stream_silent{{kind=\"{kind}\",name=\"{name}\"}}"))
    };
    wait_until(SOON, "the listener is silent", || silent("listener", "neutron").as_deref() == Some("1"));
    let said = rig.ask(&["status"]).1;
    assert!(
        said.contains("listener neutron: silent, none since the start\nwhy  expected are 1 per 10s\n"),
        "{said}"
    );
    rig.publish([(1, 1)]);
    wait_until(SOON, "the listener speaks", || silent("listener", "neutron").as_deref() == Some("0"));
    assert_eq!(silent("rule", "r").as_deref(), Some("1"));
    wait_until(SOON, "the log has both changes", || {
        let log = rig.log();
        log.contains("a stream is silent") && log.contains("a silent stream has messages again")
    });
    rig.publish([(2, 2), (3, 3)]);
    wait_until(SOON, "the rule speaks", || silent("rule", "r").as_deref() == Some("0"));
}

#[test]
fn a_canary_comes_back_and_no_other_rule_sees_it() {
    // A canary is lost after three intervals, and one may need some seconds on a slow machine.
    let canary = "[canary]\nlistener = neutron\nevery = 3s\n";
    let all = "[rule:r]\nactions = roles\n";
    let (mut rig, admin) = monitored("monitoring-canary", &[LISTENER, all, ACTION, canary]);
    let count = |result: &str| -> u64 {
        let name = format!("osnl_canaries_total{{result=\"{result}\"}}");
        sample(&admin, &name).map_or(0, |count| count.parse().unwrap())
    };
    wait_until(SOON, "canaries come back", || count("returned") >= 3);
    rig.publish([(1, 1)]);
    wait_until(SOON, "the event is delivered", || rig.target("roles")["done"] == 1);
    assert_eq!((count("refused"), count("lost")), (0, 0));
    assert_eq!(sample(&admin, "osnl_canary_late").as_deref(), Some("0"));
    wait_until(SOON, "the event is counted", || {
        sample(&admin, "osnl_rule_matches_total{rule=\"r\"}").as_deref() == Some("1")
    });
    assert_eq!(rig.sink.requests().len(), 1);
    let said = rig.ask(&["check"]).1;
    assert!(
        said.contains("osnl needs write permission on the first exchange, and readers bound with #"),
        "{said}"
    );
    // A reload keeps the canary, but a change of its section needs a restart.
    rig.apply(&[ADMIN, LISTENER, &RULE.replace("end$", "(start|end)$"), ACTION, canary]);
    let before = count("returned");
    wait_until(SOON, "canaries come back after a reload", || count("returned") > before + 1);
    rig.write(&[ADMIN, LISTENER, RULE, ACTION, &canary.replace("3s", "4s")]);
    assert!(rig.reload(1).contains("[canary] every: has changed, which needs a restart"));
}

#[test]
fn a_target_has_the_end_of_its_certificate_and_a_plug_in_its_restarts() {
    let authority = Authority::new();
    let target = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let (url, ca) = (target.url("localhost", "/hook"), authority.file().display().to_string());
    let actions = format!(
        "[action:roles]\ndriver = http\nurl = {url}\nca_file = {ca}\n\
         [action:plugin]\ndriver = exec\ncommand = /bin/cat\nmode = stream\n"
    );
    let rule = RULE.replace("actions = roles", "actions = roles, plugin");
    let (mut rig, admin) = monitored("monitoring-certificate", &[LISTENER, &rule, &actions]);
    let name = "osnl_target_certificate_expiry_timestamp_seconds{action=\"roles\"}";
    assert_eq!(sample(&admin, name), None, "nothing has been called");
    assert_eq!(sample(&admin, "osnl_plugin_restarts_total{action=\"roles\"}"), None);
    assert_eq!(sample(&admin, "osnl_plugin_restarts_total{action=\"plugin\"}").as_deref(), Some("0"));
    rig.publish([(1, 1)]);
    wait_until(SOON, "the certificate is known", || sample(&admin, name).is_some());
    let ends: u64 = sample(&admin, name).unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(ends > now, "{ends}");
}

#[test]
fn an_address_that_is_taken_ends_the_start() {
    let (rig, admin) = monitored("monitoring-taken", &[LISTENER, RULE, ACTION]);
    let text = fs::read_to_string(rig.home.path().join("a.conf")).unwrap();
    let text = text.replace("listen = 127.0.0.1:0", &format!("listen = {admin}")).replace("/state", "/other");
    fs::write(rig.home.path().join("b.conf"), text).unwrap();
    let output = rig.command(&["run", "-c", "b.conf"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(
        said.contains(&format!("[admin] listen: {admin}: ")) && said.contains("name another address"),
        "{said}"
    );
}

#[test]
fn a_trace_of_the_publisher_goes_on_and_a_forged_one_does_not() {
    let (mut rig, _) = monitored("monitoring-traceparent", &[LISTENER, RULE, RETRYING]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let valid = format!("00-{trace}-00f067aa0ba902b7-00");
    let given: Vec<Value> = vec![
        valid.clone().into(),
        format!("{valid}\r\nX-Forged: 1").into(),
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)).into(),
        valid.to_uppercase().into(),
        "x".repeat(1 << 20).into(),
        serde_json::json!({"a": 1}),
        Value::Null,
    ];
    for (n, given) in given.iter().enumerate() {
        let body = serde_json::json!({
            "event_type": "port.delete.end", "publisher_id": "network.h", "message_id": format!("m{n}"),
            "timestamp": "2026-11-20 06:36:22.662155", "priority": "INFO", "payload": notice(n, n).payload,
            "_context_traceparent": given,
        });
        rig.publisher.raw(&RawMessage {
            exchange: "neutron".into(),
            routing_key: "notifications.info".into(),
            body: body.to_string().into_bytes(),
            ..RawMessage::default()
        });
        let requests = rig.sink.wait_for(n + 1, SOON);
        let sent = requests[n].header("traceparent").unwrap();
        let parts: Vec<&str> = sent.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{sent}");
        assert!(sent.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{sent}");
        // osnl's span is new within the publisher's trace, and keeps its sampled flag.
        assert_eq!((parts[1] == trace, parts[3] == "00"), (n == 0, n == 0), "{sent}");
        assert!(parts[2] != "00f067aa0ba902b7" && parts[1] != "0".repeat(32), "{sent}");
        assert_eq!(requests[n].header("x-forged"), None);
    }
}

const RETRYING: &str = "[action:roles]\ndriver = http\nurl = SINK\nretry_interval = 1s\n";
