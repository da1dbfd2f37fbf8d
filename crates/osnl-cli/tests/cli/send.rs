use std::path::Path;

use osnl_testkit::{
    Broker, BrokerObjects, OsloListener, OsloPublisher, Pty, PublisherOptions, Vhost, closed_port, fixture,
};
use serde_json::{Value, json};

use crate::harness::{PROMPTLY, Place, SOON};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

struct Scene {
    place: Place,
    vhost: Vhost,
    peer: OsloPublisher,
}

impl Scene {
    fn new() -> Self {
        let vhost = Broker::shared().vhost("send");
        let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        peer.prepare(&BrokerObjects { queue: "q".to_owned(), ..BrokerObjects::default() });
        Self { place: Place::new(), vhost, peer }
    }

    fn send(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let url = self.vhost.url();
        run(&self.place, &[&["send", "--transport-url", &url], args].concat())
    }

    fn taken(&mut self) -> Vec<(String, Value)> {
        let mut bodies = Vec::new();
        while let Some(message) = self.peer.take("q") {
            bodies.push((message.routing_key, osnl_model::parse_python_json(&text(message.body)).unwrap()));
        }
        bodies
    }
}

fn run(place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let mut osnl = place.run(Path::new(OSNL), args);
    let code = osnl.wait(PROMPTLY).code();
    (code, osnl.stdout(), osnl.stderr())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn shown(text: &str, scene: &Scene) -> String {
    let vhost = scene.vhost.url();
    let vhost = vhost.rsplit('/').next().unwrap_or_default();
    let port = Broker::shared().port();
    let mut words: Vec<String> = Vec::new();
    for word in text.replace(&format!("127.0.0.1:{port} (virtual host {vhost})"), "BROKER").split(' ') {
        let is_id = word.len() == 36 && word.chars().filter(|c| *c == '-').count() == 4;
        let is_time = word.contains('.') && word.parse::<f64>().is_ok();
        words.push(if is_id {
            "ID".into()
        } else if is_time {
            "TIME".into()
        } else {
            word.into()
        });
    }
    words.join(" ")
}

#[test]
fn flags_make_a_notification_that_oslos_listener_reads() {
    let scene = Scene::new();
    let listener = OsloListener::start(&scene.vhost.url(), &[("x", "a"), ("x", "b")], None, false);
    let (code, stdout, stderr) = scene.send(&[
        "--exchange",
        "x",
        "--topic",
        "a",
        "--topic",
        "b",
        "--event-type",
        "port.delete.end",
        "--publisher-id",
        "network.é",
        "--priority",
        "error",
        "--payload",
        r#"{"z": 12345678901234567890123, "a": "😀"}"#,
        "--context",
        r#"{"user": "u", "auth_token": "S3CRET"}"#,
        "--driver",
        "messaging",
        "--mandatory",
    ]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        shown(&stdout, &scene),
        "confirmed: port.delete.end ID to exchange \"x\", key a.error\n\
         confirmed: port.delete.end ID to exchange \"x\", key b.error\n\
         2 of 2 messages confirmed by rabbit at BROKER in TIME s\n"
    );
    let received = listener.wait_for(2, SOON);
    for copy in &received {
        assert_eq!((&copy["priority"], &copy["publisher_id"]), (&json!("error"), &json!("network.é")));
        assert_eq!(copy["event_type"], "port.delete.end");
        assert_eq!(copy["payload_json"], "{\"z\": 12345678901234567890123, \"a\": \"\\ud83d\\ude00\"}");
        assert_eq!((&copy["ctxt"]["user"], &copy["ctxt"]["auth_token"]), (&json!("u"), &Value::Null));
    }
    assert_eq!(received[0]["metadata"], received[1]["metadata"]);
}

#[test]
fn a_file_of_any_form_is_sent_in_its_order_with_fresh_ids_or_its_own() {
    let mut scene = Scene::new();
    let recording = fixture::json("wire/03-v2-priority-info.json");
    let plain = r#"{"event_type": "e1", "priority": "INFO", "payload": {"n": 1}, "message_id": "m", "context": {"user": "u"}}"#;
    let lines = format!("{plain}\n\n{}\n{}\n", recording, recording["body_text"].as_str().unwrap());
    scene.place.write("all.jsonl", &lines);
    let recorded = recording["body_text"].as_str().unwrap().to_owned();
    let inner =
        |body: &Value| -> Value { serde_json::from_str(body["oslo.message"].as_str().unwrap()).unwrap() };

    let args = ["all.jsonl", "--exchange", "neutron", "--count", "3", "--format", "json"];
    let (code, stdout, stderr) = scene.send(&args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    let summary = &lines[9]["summary"];
    assert_eq!((&summary["confirmed"], &summary["messages"]), (&json!(9), &json!(9)));
    assert!(lines[..9].iter().all(|line| line["outcome"] == "confirmed"), "{stdout}");
    let bodies: Vec<Value> = scene.taken().iter().map(|(_, body)| inner(body)).collect();
    let events: Vec<&str> = bodies.iter().map(|body| body["event_type"].as_str().unwrap()).collect();
    assert_eq!(events, ["e1", "port.delete.end", "port.delete.end"].repeat(3));
    assert_eq!(bodies[0]["_context_user"], "u");
    assert_eq!(bodies[1]["payload"], inner(&serde_json::from_str(&recorded).unwrap())["payload"]);
    for key in ["message_id", "_unique_id"] {
        let ids: std::collections::BTreeSet<_> =
            bodies.iter().map(|body| body[key].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 9, "{key}");
    }

    scene.place.write("one.json", serde_json::to_string_pretty(&recording).unwrap());
    let (code, ..) = scene.send(&["one.json", "--keep-ids"]);
    assert_eq!(code, Some(0));
    assert_eq!(text(scene.peer.take("q").unwrap().body), recorded);

    let unreadable = fixture::path("wire/36-hand-not-json.json");
    let unreadable = unreadable.to_str().unwrap();
    let (code, _, stderr) = scene.send(&[unreadable]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--keep-ids sends it as it is"), "{stderr}");
    assert_eq!(scene.send(&[unreadable, "--keep-ids"]).0, Some(0));
    // A number that is no number for JSON is not replaced: other numbers keep their digits.
    let number = |value: &str| format!(r#"{{"event_type": "e", "payload": {{"v": {value}}}}}"#);
    let inner = json!({"oslo.version": "2.0", "oslo.message": number("-Infinity")}).to_string();
    let saved = json!({"body": inner}).to_string();
    for (text, word) in [(number("NaN"), "NaN"), (inner, "-Infinity"), (saved, "-Infinity")] {
        scene.place.write("number.json", text);
        let (code, _, stderr) = scene.send(&["number.json", "--exchange", "neutron"]);
        assert_eq!(code, Some(1));
        assert!(stderr.contains(&format!("JSON has no {word}; write null")), "{stderr}");
    }
    scene.place.write("number.json", number("1e400"));
    assert_eq!(scene.send(&["number.json", "--exchange", "neutron", "--driver", "messaging"]).0, Some(0));
    let recorded = fixture::json("wire/36-hand-not-json.json");
    assert_eq!(text(scene.peer.take("q").unwrap().body), recorded["body_text"].as_str().unwrap());
    assert!(text(scene.peer.take("q").unwrap().body).contains(r#"{"v": 1e400}"#));
}

#[test]
fn what_no_queue_takes_is_said_and_fails_if_asked_for() {
    let scene = Scene::new();
    let args = ["--exchange", "neutron", "--event-type", "e", "--priority", "warn"];
    let (code, stdout, stderr) = scene.send(&args);
    assert_eq!(code, Some(0));
    assert_eq!(
        shown(&stdout, &scene),
        "unrouted: e ID to exchange \"neutron\", key notifications.warn\n\
         0 of 1 message confirmed by rabbit at BROKER in TIME s\n"
    );
    assert_eq!(
        stderr,
        "osnl: warning: no queue took 1 of them: none is bound to exchange \"neutron\" with key \
         notifications.warn; bind one, or make what a service would with --declare\n"
    );
    let (code, _, stderr) = scene.send(&[&args[..], &["--mandatory", "--count", "3"]].concat());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("osnl: error: no queue took 3 of them"), "{stderr}");
    assert_eq!(scene.vhost.list_queues().len(), 1);
    assert_eq!(scene.send(&[&args[..], &["--mandatory", "--declare"]].concat()).0, Some(0));
    assert_eq!(scene.vhost.queue_depth("notifications.warn"), Some((1, 0)));

    let (code, _, stderr) = scene.send(&["--exchange", "nova", "--event-type", "e"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "osnl: error: publish to exchange \"nova\": it does not exist, and osnl may not create it (declare = \
         create) (1 of them)\nosnl: --declare creates a missing exchange and queue, as a service does\n"
    );
}

/// `--declare` mends only what is missing, and would create exchanges on a production broker.
#[test]
fn a_refused_message_has_the_remedy_for_its_reason() {
    let scene = Scene::new();
    let user = format!("{}-narrow", scene.vhost.name());
    scene.vhost.set_password(&user, "S3CRET");
    scene.vhost.set_permissions(&user, [".*", "^$", ".*"]);
    let url = scene.vhost.url_for(&user, "S3CRET");
    let permissions = format!("{user} '^()$' '^(neutron)$' '^()$'  # overwrites");
    let long = "x".repeat(300);
    for (exchange, reason, remedy) in [
        ("neutron", "403 ACCESS_REFUSED", Some(permissions.as_str())),
        (&long, "the exchange has 300 bytes, and AMQP allows 255", None),
    ] {
        let args = ["send", "--transport-url", &url, "--exchange", exchange, "--event-type", "e"];
        let (code, _, stderr) = run(&scene.place, &args);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("--declare"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1 + usize::from(remedy.is_some()), "{stderr}");
        assert!(stderr.contains(remedy.unwrap_or_default()), "{stderr}");
    }
}

#[test]
fn a_broker_that_is_away_or_refuses_us_is_69_and_no_password_is_shown() {
    let scene = Scene::new();
    let away = format!("rabbit://u:S3CRET@127.0.0.1:{}/", closed_port());
    let refused = scene.vhost.url().replace(":guest@", ":S3CRET@");
    for (url, expected) in [(&away, "Connection refused"), (&refused, "login refused for user \"guest\"")] {
        let args = ["send", "--transport-url", url, "--event-type", "e", "--count", "5"];
        let (code, stdout, stderr) = run(&scene.place, &args);
        assert_eq!(code, Some(69), "{stderr}");
        assert!(stderr.contains("cannot be reached") && stderr.contains(expected), "{stderr}");
        assert!(stdout.contains("0 of 5 messages"), "{stdout}");
        assert!(!format!("{stdout}{stderr}").contains("S3CRET"));
    }
}

#[test]
fn the_configurations_listener_says_where_and_a_file_may_hold_the_url() {
    let mut scene = Scene::new();
    let listener = |name: &str| {
        format!(
            "[listener:{name}]\ntransport_url = {}\nexchange = neutron\npool = {name}\n",
            scene.vhost.url()
        )
    };
    let rest = "[rule:r]\nevent_type = ^e$\nactions = d\n[action:d]\ndriver = dump\n";
    scene.place.write("one.conf", format!("{}{rest}", listener("a")));
    scene.place.write("two.conf", format!("{}{}{rest}", listener("a"), listener("b")));
    scene.place.write("url", format!("{}\n", scene.vhost.url()));
    let check = |args: &[&str], code: i32, expected: &str| {
        let (found, stdout, stderr) = run(&scene.place, &[&["send", "--event-type", "e"], args].concat());
        assert_eq!(found, Some(code), "{args:?}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(expected), "{args:?}: {stdout}{stderr}");
    };
    check(&["-c", "one.conf"], 0, "exchange \"neutron\", key notifications.info");
    check(&["-c", "two.conf", "--listener", "b"], 0, "1 of 1 message");
    check(&["-c", "two.conf"], 2, "there are several listeners; choose one with --listener: a, b");
    check(&["-c", "two.conf", "--listener", "c"], 1, "there is no listener c; there are a, b");
    check(&["-c", "none.conf"], 78, "none.conf");
    let file = format!("file://{}", scene.place.path("url").display());
    check(&["--transport-url", &file, "--exchange", "neutron"], 0, "1 of 1 message");
    check(&["--transport-url", "kafka://h:S3CRET@h/"], 2, "unknown transport \"kafka\"");
    check(&["--transport-url", "rabbit://u:p@h:S3CRET/"], 2, "invalid port of host 1");
    assert_eq!(scene.taken().len(), 3);
}

#[test]
fn a_rate_is_kept_and_many_messages_show_their_progress() {
    let mut scene = Scene::new();
    let begun = std::time::Instant::now();
    let args = ["--exchange", "neutron", "--event-type", "e", "--count", "6", "--rate", "10"];
    assert_eq!(scene.send(&args).0, Some(0));
    assert!(begun.elapsed().as_secs_f64() >= 0.5, "{:?}", begun.elapsed());
    assert_eq!(scene.taken().len(), 6);

    let url = scene.vhost.url();
    let many = ["--exchange", "neutron", "--event-type", "e", "--count", "40", "--rate", "20"];
    let args = [&["send", "--transport-url", &url], &many[..]].concat();
    let mut terminal = Pty::start(Path::new(OSNL), &args, &scene.place.path(""), (100, 24));
    assert_eq!(terminal.wait(SOON).code(), Some(0), "{}", terminal.text());
    let shown = terminal.text();
    assert!(shown.contains(" of 40 messages, ") && shown.contains("40 of 40 messages confirmed"), "{shown}");
}
