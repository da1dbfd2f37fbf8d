//! Asks each route of a real daemon, and compares the answer with the schema of the route's row.

mod schema;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use osnl_admin::api::ROUTES;
use osnl_testkit::{Notice, RawMessage, Reply};
use serde_json::{Value, json};

use self::schema::Document;
use crate::reloading::{LISTENER, Rig, instance};
use crate::snapshot::look_until;

const ADMIN: &str = "[admin]\nlisten = unix:HOME/admin.sock\nallow_changes = yes\n";

const RULES: &str = "[rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = plain, refused\n";

const ACTIONS: &str = "[action:plain]\ndriver = http\nurl = SINK/plain\n\
                       [action:refused]\ndriver = http\nurl = SINK/refused\nmax_attempts = 1\n";

struct Api {
    socket: PathBuf,
    document: Document,
}

impl Api {
    #[track_caller]
    fn ask(&self, method: &str, path: &str, target: &str, body: &Value) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let length = body.len();
        let request = format!(
            "{method} /api/v1{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{target}: {answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = serde_json::from_str(body).unwrap_or_else(|error| panic!("{target}: {error}: {body}"));
        self.document.check(method, path, status, &answer);
        (status, answer)
    }
}

fn publish(rig: &mut Rig) {
    rig.publisher.notify_all(&[Notice {
        event_type: "port.delete.end".to_owned(),
        payload: json!({"port": {"id": instance(1), "name": "port 1"}}),
        context: Some(json!({"user_id": "u", "request_id": "req-1"})),
        ..Notice::default()
    }]);
    rig.publisher.raw(&RawMessage {
        exchange: "neutron".into(),
        routing_key: "notifications.info".into(),
        body: "x".repeat(8192).into_bytes(),
        ..RawMessage::default()
    });
}

#[test]
fn each_answer_of_a_daemon_is_what_the_document_describes() {
    let listener = format!("{LISTENER}max_body = 4KiB\n");
    let mut rig = Rig::with("served", &[ADMIN, &listener, RULES, ACTIONS]);
    rig.sink.reply_when(|request| request.target.ends_with("refused").then_some(Reply::Status(409)));
    let api = Api { socket: rig.home.path().join("admin.sock"), document: Document::read() };
    publish(&mut rig);
    let is_ready = |status: &Value| {
        status["journal"]["quarantined"] == 1 && status["journal"]["dead"] == 1 && status["idle"] == true
    };
    let status = look_until(|| api.ask("GET", "/status", "/status", &Value::Null).1, is_ready);
    assert!(is_ready(&status), "{status:#}");

    let history = format!("/resources/{}/history", instance(1));
    let again = json!([{"rule": "deleted", "action": "plain"}]);
    let first = json!({"filter": {"ids": ["1.0"]}, "to": "plain"});
    let mut asked = BTreeSet::new();
    for (method, path, target, body, member, expected) in [
        ("GET", "/status", "/status", json!({}), "/journal/dead", json!(1)),
        ("GET", "/deliveries", "/deliveries?limit=1&order=newest", json!({}), "/totals/all", json!(2)),
        ("GET", "/deliveries", "/deliveries?state=dead", json!({}), "/next", Value::Null),
        ("GET", "/deliveries/groups", "/deliveries/groups", json!({}), "/groups/0/count", json!(1)),
        ("GET", "/deliveries/{id}", "/deliveries/1.1", json!({}), "/delivery/state", json!("dead")),
        ("GET", "/resources/{resource}/history", &history, json!({}), "/entries/0/kind", json!("received")),
        ("GET", "/quarantine", "/quarantine", json!({}), "/total", json!(1)),
        ("GET", "/quarantine/{id}", "/quarantine/1", json!({}), "/message/id", json!(1)),
        ("POST", "/deliveries/retry", "", json!({"filter": {}, "dry_run": true}), "/changed", json!(1)),
        ("POST", "/deliveries/release", "", json!({"filter": {"ids": ["1.0"]}}), "/refused", json!(1)),
        ("POST", "/deliveries/move", "", first, "/refused", json!(1)),
        ("POST", "/deliveries/discard", "", json!({"filter": {"action": "refused"}}), "/changed", json!(1)),
        ("POST", "/actions/{action}/probe", "/actions/plain/probe", json!({}), "/probed", json!(false)),
        ("POST", "/actions/{action}/pause", "/actions/plain/pause", json!({}), "/changed", json!(true)),
        ("POST", "/actions/{action}/resume", "/actions/plain/resume", json!({}), "/changed", json!(true)),
        (
            "POST",
            "/quarantine/retry",
            "",
            json!({"messages": [{"id": 9, "deliveries": again}]}),
            "/refused",
            json!(1),
        ),
        ("POST", "/quarantine/discard", "", json!({"filter": {"ids": [1]}}), "/changed", json!(1)),
        (
            "POST",
            "/replay",
            "",
            json!({"events": [{"event": 1, "deliveries": again}]}),
            "/appended",
            json!(1),
        ),
        ("POST", "/reload", "", json!({}), "/reloaded", json!(true)),
        ("POST", "/queues/{queue}/forget", "/queues/osnl/forget", json!({}), "/forgotten", json!([])),
        ("GET", "/gaps", "/gaps", json!({}), "/gaps", json!([])),
        ("POST", "/gaps/dismiss", "", json!({"all": true}), "/closed", json!([])),
        (
            "POST",
            "/gaps/verified",
            "",
            json!({"action": "plain", "kind": "port", "until": "2026-01-01T00:00:00Z"}),
            "/closed",
            json!([]),
        ),
    ] {
        let target = if target.is_empty() { path } else { target };
        let (status, answer) = api.ask(method, path, target, &body);
        assert_eq!(status, 200, "{target} {body}: {answer}");
        assert_eq!(answer.pointer(member), Some(&expected), "{target} {body}: {answer}");
        asked.insert((method, path));
    }
    assert_eq!(asked, ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect());
    for (path, target, expected) in [
        ("/deliveries/{id}", "/deliveries/99.0", 404),
        ("/deliveries/{id}", "/deliveries/x", 400),
        ("/resources/{resource}/history", "/resources/none/history", 404),
        ("/deliveries", "/deliveries?nothing=1", 400),
    ] {
        assert_eq!(api.ask("GET", path, target, &Value::Null).0, expected, "{target}");
    }
}
