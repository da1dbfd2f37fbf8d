//! `osnl check`, `osnl config show` and `osnl run`: outputs, exit statuses, and that a shown
//! configuration runs like its source.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::{
    Broker, DeclaredBinding, DeclaredQueue, Exchange, Notice, OsloPublisher, PublisherOptions, Sink, Vhost,
    fixture, wait_until,
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

fn osnl(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn show_tells_layers_apart_and_hides_passwords() {
    let home = crate::private_folder().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "k.conf",
        "[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@localhost/\n[k2hr3]\napi_url = http://h/\nx = y\n",
    );
    write("k2hr3-osnl.conf.d/a.conf", "[k2hr3]\ntimeout_seconds = 7\napi_url = http://other/\n");
    let show = |more: &[&str]| {
        let mut command = osnl(&home);
        command.args(["config", "show", "--k2hr3-osnl", "k.conf"]).args(more);
        command.env("OS_K2HR3__MAX_RETRIES", "1").output().unwrap()
    };
    let output = show(&[]);
    assert_eq!(text(&output.stderr), "osnl: warning: k.conf:5: [k2hr3] x: unknown option, ignored\n");
    let shown = text(&output.stdout);
    let place = home.path().display();
    for lines in [
        "# Secrets are hidden as ***".to_owned(),
        "# k.conf:2, [oslo_messaging_notifications] transport_url\ntransport_url = rabbit://u:***@localhost/\n"
            .to_owned(),
        "# k.conf:4, [k2hr3] api_url\napi_url = http://h/\n".to_owned(),
        format!("# {place}/k2hr3-osnl.conf.d/a.conf:2, [k2hr3] timeout_seconds\ntimeout = 7s\n"),
        "# environment OS_K2HR3__MAX_RETRIES, [k2hr3] max_retries, and the first attempt\nmax_attempts = 2\n"
            .to_owned(),
    ] {
        assert!(shown.contains(&lines), "{lines}\n{shown}");
    }
    let open = text(&show(&["--show-secrets"]).stdout);
    assert!(open.contains("rabbit://u:hunter2@localhost/") && !open.contains("***"), "{open}");
    write("native.conf", &open);
    let again = osnl(&home).args(["config", "show", "--show-secrets", "-c", "native.conf"]).output().unwrap();
    let values = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let again = values(&text(&again.stdout));
    assert!(values(&open).iter().all(|line| again.contains(line)), "{again:?}");
}

struct DaemonRun(Child);

impl Drop for DaemonRun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Topology = (Vec<Exchange>, Vec<DeclaredQueue>, Vec<DeclaredBinding>);

fn topology(vhost: &Vhost) -> Topology {
    let exchanges =
        vhost.list_exchanges().into_iter().filter(|e| !e.name.is_empty() && !e.name.starts_with("amq."));
    (exchanges.collect(), vhost.list_queues(), vhost.list_bindings())
}

fn observe(
    mut command: Command,
    vhost: &Vhost,
    sink: &Sink,
    exchange: &str,
    topic: &str,
) -> (Topology, Vec<String>) {
    let daemon = DaemonRun(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let consumed = || vhost.list_queues().into_iter().find(|queue| queue.consumers == 1);
    wait_until(SOON, "the queue is consumed", || consumed().is_some());
    let declared = topology(vhost);
    let queue = declared.1[0].name.clone();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let recorded = fixture::json("k2hr3/requests.json");
    let ids = ["neutron-v4-v6", "neutron-fixed-ips-empty", "nova-versioned", "nova-legacy"];
    let vectors = recorded["vectors"].as_array().unwrap();
    let chosen = vectors.iter().filter(|v| ids.iter().any(|id| v["id"] == *id));
    let notices: Vec<Notice> = chosen
        .map(|vector| Notice {
            exchange: exchange.to_owned(),
            topic: topic.to_owned(),
            publisher_id: vector["publisher_id"].as_str().unwrap().to_owned(),
            event_type: vector["event_type"].as_str().unwrap().to_owned(),
            payload: vector["payload"].clone(),
            ..Notice::default()
        })
        .collect();
    assert_eq!(notices.len(), ids.len());
    publisher.notify_all(&notices);
    wait_until(SOON, "everything is settled", || vhost.queue_depth(&queue) == Some((0, 0)));
    drop(daemon);
    // Concurrent requests have no fixed order, so the targets are sorted.
    let mut targets: Vec<String> = sink.requests().into_iter().map(|request| request.target).collect();
    targets.sort();
    (declared, targets)
}

#[test]
fn what_is_shown_declares_and_requests_what_the_legacy_file_does() {
    let folder = fixture::path("k2hr3/conf/expected.json");
    let folder = folder.parent().unwrap();
    for (file, exchange, topic, requests) in [
        ("01-minimal-neutron.conf", "neutron", "notifications", 2),
        ("02-nova-versioned.conf", "nova", "versioned_notifications", 1),
        ("03-nova-legacy.conf", "nova", "notifications", 1),
        ("05-several-hosts-vhost.conf", "neutron", "notifications", 2),
        // RabbitMQ drops line ends from names.
        ("15-syntax-corners.conf", "neutron", "notifications_b", 2),
    ] {
        let home = crate::private_folder().unwrap();
        let file = folder.join(file);
        let (old, new) = (Broker::shared().vhost("legacy"), Broker::shared().vhost("shown"));
        let (old_sink, new_sink) = (Sink::start(), Sink::start());
        // The recorded files name hosts that do not exist here, so the environment overrides them.
        let state = home.path().join("state");
        let with = |mut command: Command, vhost: &Vhost, sink: &Sink| {
            command.env("STATE_DIRECTORY", &state);
            command.env("OS_OSLO_MESSAGING_NOTIFICATIONS__TRANSPORT_URL", vhost.url());
            command.env("OS_K2HR3__API_URL", sink.url("/v1/role"));
            command
        };
        let mut legacy = with(osnl(&home), &old, &old_sink);
        legacy.args(["k2hr3-osnl", "-c"]).arg(&file);
        let mut show = with(osnl(&home), &new, &new_sink);
        let shown =
            show.args(["config", "show", "--show-secrets", "--k2hr3-osnl"]).arg(&file).output().unwrap();
        let native = home.path().join("native.conf");
        fs::write(&native, &shown.stdout).unwrap();
        let mut run = osnl(&home);
        run.args(["run", "--config-file"]).arg(&native).env("STATE_DIRECTORY", &state);
        let (declared, targets) = observe(legacy, &old, &old_sink, exchange, topic);
        assert_eq!(
            observe(run, &new, &new_sink, exchange, topic),
            (declared, targets.clone()),
            "{}",
            file.display()
        );
        assert_eq!(targets.len(), requests, "{}: {targets:?}", file.display());
    }
}

#[test]
fn run_stays_up_where_the_login_is_refused() {
    let home = crate::private_folder().unwrap();
    let log = home.path().join("osnl.log");
    let port = Broker::shared().port();
    let text = fs::read_to_string(examples().join("k2hr3.conf")).unwrap();
    let hosts = "rabbit://osnl:secret@mq1.example.com:5671,osnl:secret@mq2.example.com:5671/?tls=verify";
    assert!(text.contains(hosts));
    let text = text.replace(hosts, &format!("rabbit://nobody:hunter2@127.0.0.1:{port}/"));
    fs::write(home.path().join("a.conf"), text.replace("https://k2hr3.example.com", "http://127.0.0.1:9"))
        .unwrap();
    let mut command = osnl(&home);
    command.env("OS_DEFAULT__STATE_DIR", home.path()).env("OS_JOURNAL__ALLOW_VOLATILE", "true");
    command.args(["run", "-c", "a.conf", "--log-file"]).arg(&log);
    let mut daemon = DaemonRun(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let attempts = || {
        let status = osnl(&home)
            .args(["status", "--format", "json", "--state-dir"])
            .arg(home.path())
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        status["listeners"][0]["attempts"].as_u64().unwrap_or_default()
    };
    wait_until(SOON, "a second attempt", || attempts() >= 2);
    assert!(said().contains("login refused"), "{}", said());
    assert!(daemon.0.try_wait().unwrap().is_none(), "{}", said());
    assert!(!said().contains("hunter2"), "{}", said());
}

#[test]
fn values_are_printed_for_scripts_with_where_they_came_from() {
    let place = crate::harness::Place::new();
    place.write("a.conf", crate::explain::conf(&place, "rabbit://u:S3CRET@localhost/", "https://h/"));
    let show = |more: &[&str]| {
        let args = [&["config", "show", "-c", "a.conf", "--format", "json"], more].concat();
        let (code, text) = crate::explain::said(&place, &args);
        assert_eq!(code, Some(0));
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let section = |name: &str| {
            let sections = shown["sections"].as_array().unwrap();
            sections.iter().find(|section| section["section"] == name).unwrap()["options"].clone()
        };
        (section("listener:neutron")[0].clone(), section("rule:errors"))
    };
    let (url, rule) = show(&[]);
    let expected = serde_json::json!(
        {"name": "transport_url", "value": "rabbit://u:***@h:5672/", "from": "a.conf:7"}
    );
    assert_eq!(
        (url["name"].clone(), url["from"].clone()),
        (expected["name"].clone(), expected["from"].clone())
    );
    assert!(!url.to_string().contains("S3CRET"), "{url}");
    assert!(
        rule.to_string().contains(r#"{"from":"a.conf:22","name":"priorities","value":"error, critical"}"#),
        "{rule}"
    );
    assert!(show(&["--show-secrets"]).0["value"].as_str().unwrap().contains("S3CRET"));
}
