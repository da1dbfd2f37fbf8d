//! Requests each address of a real daemon's API, and compares the answers with `openapi.json`:
//! every member, its type, and no other.

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use osnl_admin::api::{Parameter, ROUTES, ValueForm};
use osnl_testkit::{Authority, Notice, Protocols, RawMessage, Reply, ServerIdentity, TlsSink, closed_port};
use serde_json::{Value, json};

use self::schema::Document;
use crate::reloading::{LISTENER, Rig, instance};
use crate::snapshot::look_until;

const ADMIN: &str = "[admin]\nlisten = unix:HOME/admin.sock\nallow_changes = yes\n";

const RULES: &str = "[rule:deleted]\nevent_type = ^port\\.delete\\.end$\n\
                     actions = plain, refused, failing, away, hosts, slow, secure, paused, asking\n\
                     [rule:created]\nevent_type = ^port\\.create\\.end$\nguard = 1 per 1h\nactions = plain\n";

/// Served if a look at the queue, of which there is one in ten seconds, meets a message on its way.
const BY_CHANCE: [&str; 2] = ["ListenerStatus.queue_waiting_seconds", "ListenerStatus.queue_waiting_since"];

const NOT_SERVED: [(&str, &str); 53] = [
    ("Finding.broker", "no doctor finds a fault: tests/cli/doctor.rs"),
    ("Finding.command", "the same"),
    ("Finding.consequence", "the same"),
    ("Finding.deployers", "the same"),
    ("Finding.kind", "the same"),
    ("Finding.seen", "the same"),
    ("Finding.severity", "the same"),
    ("Finding.subject", "the same"),
    ("Finding.vhost", "the same"),
    ("ListenerStatus.silence", "the same"),
    ("DeliveryDetails.no_order", "each event has its key"),
    ("JournalStatus.reason", "the journal works"),
    ("JournalStatus.since", "the journal works"),
    ("JournalStatus.since_seconds", "the journal works"),
    ("JournalStatus.wal_held_seconds", "no reader holds the file: osnl-journal's sqlite/tests"),
    ("JournalStatus.wal_reader", "the same"),
    ("LagStatus.group", "RabbitMQ has no partitions"),
    ("LagStatus.messages", "RabbitMQ has no partitions"),
    ("LagStatus.partitions", "RabbitMQ has no partitions"),
    ("ListenerStatus.lag", "RabbitMQ has no partitions"),
    ("ListenerStatus.old_events_seconds", "the events are of today"),
    ("ListenerStatus.queue_created", "the queue was never missing"),
    ("ListenerStatus.queue_created_seconds", "the same"),
    ("ListenerStatus.queue_lossy", "the queue is durable and without a limit"),
    ("ListenerStatus.queue_remedy", "the queue is durable and without a limit"),
    ("ListenerStatus.stalled", "messages that wait move"),
    ("ManagementStatus.default_queue_type", "management_url is not set: tests/cli/management.rs"),
    ("ManagementStatus.queues", "the same"),
    ("ManagementStatus.seen_seconds", "the same"),
    ("ManagementStatus.version", "the same"),
    ("Message.unreadable", "the message of each delivery can be read"),
    ("PartitionLag.current_offset", "RabbitMQ has no partitions"),
    ("PartitionLag.end_offset", "RabbitMQ has no partitions"),
    ("PartitionLag.lag", "RabbitMQ has no partitions"),
    ("PartitionLag.lost", "RabbitMQ has no partitions"),
    ("PartitionLag.partition", "RabbitMQ has no partitions"),
    ("PartitionLag.reason", "RabbitMQ has no partitions"),
    ("PartitionLag.seen_seconds", "RabbitMQ has no partitions"),
    ("PartitionLag.topic", "RabbitMQ has no partitions"),
    ("ListenerStatus.never_received_seconds", "it receives: the unit tests of incidents"),
    ("ListenerStatus.standing_by_for", "no listener stands by"),
    ("DeliveryGroup.has_more", "ten thousand deliveries of one state are compared"),
    ("QueueStatus.consumers", "management_url is not set"),
    ("QueueStatus.durable", "management_url is not set"),
    ("QueueStatus.effective_policy", "management_url is not set"),
    ("QueueStatus.operator_policy", "management_url is not set"),
    ("QueueStatus.policies_known", "management_url is not set"),
    ("QueueStatus.policy", "management_url is not set"),
    ("QueueStatus.queue", "management_url is not set"),
    ("QueueStatus.type", "management_url is not set"),
    ("ReloadResult.warnings", "no option is doubtful"),
    ("TargetStatus.more_down_hosts", "one host is down"),
    ("TargetStatus.returns", "the journal is a file"),
];

struct Api {
    socket: PathBuf,
    document: Document,
    asked: BTreeSet<(String, String)>,
}

impl Api {
    #[track_caller]
    fn ask(&mut self, method: &str, path: &'static str, target: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, head, answer) = self.exchange(method, target, body);
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let answer =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{target}: {error}: {answer}"));
        self.document.check(method, path, status, &answer);
        self.asked.insert((method.to_owned(), path.to_owned()));
        (status, answer)
    }

    #[track_caller]
    fn get(&mut self, path: &'static str, target: &str) -> (u16, Value) {
        let (status, head, body) = self.exchange("HEAD", target, None);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or_default();
        assert!(
            body.is_empty() && length.parse().is_ok_and(|length: u64| length > 2),
            "{target}: {head}{body}"
        );
        let (got, answer) = self.ask("GET", path, target, None);
        assert_eq!(status, got, "{target}");
        (got, answer)
    }

    #[track_caller]
    fn got(&mut self, path: &'static str, target: &str) -> Value {
        let (status, answer) = self.get(path, target);
        assert_eq!(status, 200, "{target}: {answer}");
        answer
    }

    #[track_caller]
    fn post(&mut self, path: &'static str, target: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, target, Some(&body));
        assert_eq!(status, 200, "{target} {body}: {answer}");
        answer
    }

    fn exchange(&self, method: &str, target: &str, body: Option<&Value>) -> (u16, String, String) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
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
        (status, format!("{head}\r\n"), body.to_owned())
    }

    fn status(&mut self) -> Value {
        self.got("/status", "/status")
    }

    #[track_caller]
    fn wait(&mut self, missing: impl Fn(&Value) -> Vec<&'static str>) {
        let status = look_until(|| self.status(), |status| missing(status).is_empty());
        assert!(missing(&status).is_empty(), "{:?} in {status:#}", missing(&status));
    }
}

fn target<'a>(status: &'a Value, action: &str) -> &'a Value {
    status["targets"].as_array().unwrap().iter().find(|target| target["action"] == action).unwrap()
}

fn event(event_type: &str, key: usize) -> Notice {
    Notice {
        event_type: event_type.to_owned(),
        payload: json!({"port": {"id": instance(key), "name": format!("port {key}"), "device_id": instance(key), "host": "127.0.0.1"}}),
        context: Some(json!({"user_id": "u", "request_id": "req-1"})),
        ..Notice::default()
    }
}

fn actions(closed: u16, secure: &TlsSink, authority: &Authority) -> String {
    let http = |name: &str, more: &str| {
        format!("[action:{name}]\ndriver = http\nurl = SINK/{name}\nretry_interval = 1s\n{more}")
    };
    [
        http("plain", ""),
        http("refused", "max_attempts = 1\n"),
        http("failing", ""),
        http("away", "").replace("SINK", &format!("http://127.0.0.1:{closed}")),
        http("hosts", "allow_hosts = 127.0.0.1\n").replace("SINK/hosts", &format!("http://{{{{ payload.port.host }}}}:{closed}/")),
        http("slow", "timeout = 10m\n"),
        http("secure", &format!("ca_file = {}\n", authority.file().display()))
            .replace("SINK/secure", &secure.url("localhost", "/hook")),
        http("paused", ""),
        http("asking", "enrich = server\n"),
        format!(
            "[enrich:server]\nkind = server\nid = {{{{ payload.port.device_id }}}}\nauth_url = http://127.0.0.1:{closed}/v3\n\
             username = u\npassword = p\nproject_name = p\n"
        ),
    ]
    .concat()
}

#[test]
fn each_answer_of_a_daemon_is_what_the_document_describes() {
    let authority = Authority::new();
    let secure = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let closed = closed_port();
    let listeners = format!(
        "{LISTENER}max_body = 4KiB\n[listener:nova]\ntransport_url = rabbit://127.0.0.1:{closed}/\nexchange = nova\npool = osnl\n"
    );
    let actions = actions(closed, &secure, &authority);
    let mut rig = Rig::with("served", &[ADMIN, &listeners, RULES, &actions]);
    rig.sink.reply_when(|request| match request.target.rsplit('/').next() {
        Some("refused") => Some(Reply::Status(409)),
        Some("failing") => Some(Reply::Status(500)),
        Some("slow") => Some(Reply::Hang),
        _ => None,
    });
    let mut api = Api {
        socket: rig.home.path().join("admin.sock"),
        document: Document::read(),
        asked: BTreeSet::new(),
    };
    let paused = api.post("/actions/{action}/pause", "/actions/paused/pause", json!({}));
    assert_eq!(paused["changed"], true, "{paused}");

    rig.publisher.notify_all(&[
        event("port.delete.end", 1),
        event("port.delete.end", 1),
        event("port.create.end", 2),
        event("port.create.end", 3),
    ]);
    for id in ["m1", "m2"] {
        let padding = "x".repeat(8192);
        let body = json!({"event_type": "port.delete.end", "publisher_id": "network.h", "message_id": id, "payload": padding});
        rig.publisher.raw(&RawMessage {
            exchange: "neutron".into(),
            routing_key: "notifications.info".into(),
            body: body.to_string().into_bytes(),
            properties: json!({"content_type": "application/json", "content_encoding": "utf-8"}),
            headers: json!({"compression": "identity"}),
            ..RawMessage::default()
        });
    }
    api.wait(|status| {
        let target = |action: &str| target(status, action);
        let is_so = [
            ("quarantined", status["journal"]["quarantined"] == 2),
            ("connecting", status["listeners"][1]["attempts"].is_u64()),
            ("waiting for release", target("plain")["for_release"] == 1),
            ("delivered", target("plain")["done"] == 3),
            ("given up", target("refused")["dead"] == 2),
            ("failing", !target("failing")["failing"].as_array().unwrap().is_empty()),
            ("down", target("away")["state"] == "down"),
            ("host down", target("hosts")["down_hosts"].is_array()),
            ("under way", target("slow")["in_flight"] == 1),
            ("dependency", target("asking")["dependencies_down"].is_array()),
            ("certificate", !status["expiries"].as_array().unwrap().is_empty()),
        ];
        is_so.into_iter().filter(|(_, is_so)| !is_so).map(|(what, _)| what).collect()
    });
    lists_and_their_entries(&mut api);
    changes(&mut api);
    reloads(&mut api, &rig, &listeners, &actions);

    let asked: BTreeSet<(String, String)> =
        ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(api.asked, asked, "each address is asked");
    let members = api.document.members();
    let missing = members.difference(&api.document.served);
    let missing: BTreeSet<String> =
        missing.filter(|member| !BY_CHANCE.contains(&member.as_str())).cloned().collect();
    let expected: BTreeSet<String> = NOT_SERVED.iter().map(|(member, _)| (*member).to_owned()).collect();
    assert_eq!(missing, expected, "members that no answer has");
}

fn lists_and_their_entries(api: &mut Api) {
    let value = |name: &str, form: ValueForm| match (name, form) {
        ("limit", _) => "1",
        ("rule", _) => "deleted",
        ("action", _) => "plain",
        ("status", _) => "4xx",
        ("state", _) => "dead",
        ("order", _) => "newest",
        ("since" | "until", _) => "2026-01-01T00:00:00Z",
        ("id", ValueForm::Texts) | ("after", ValueForm::Text) => "1.0",
        (_, ValueForm::Number | ValueForm::Numbers | ValueForm::Count(_)) => "1",
        (_, ValueForm::Text | ValueForm::Texts) => "x",
        (_, ValueForm::Choice(words)) => words[0],
        (_, ValueForm::Flag | ValueForm::Object(_) | ValueForm::Objects) => panic!("{name} is in no list"),
    };
    for route in ROUTES.iter().filter(|route| !route.changes() && !route.path.contains('{')) {
        // Its own options are for the control socket.
        for Parameter { name, form, .. } in route.takes.iter().filter(|one| !one.is_own) {
            api.got(route.path, &format!("{}?{name}={}", route.path, value(name, *form)));
        }
        let (status, answer) = api.get(route.path, &format!("{}?nothing=1", route.path));
        assert_eq!(status, 400, "{answer}");
    }
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = api.got("/deliveries", &format!("/deliveries?limit=5{after}"));
        let of = |delivery: &Value| delivery["id"].as_str().unwrap().to_owned();
        ids.extend(page["deliveries"].as_array().unwrap().iter().map(of));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(ids.len(), 20, "{ids:?}");
    for id in &ids {
        let shown = api.got("/deliveries/{id}", &format!("/deliveries/{id}"));
        assert_eq!(shown["delivery"]["id"], **id);
    }
    assert_eq!(api.get("/deliveries/{id}", "/deliveries/99.0").0, 404);
    assert_eq!(api.get("/deliveries/{id}", "/deliveries/x").0, 400);
    let page = api.got("/quarantine", "/quarantine?limit=1");
    let next = api.got("/quarantine", &format!("/quarantine?after={}", page["next"]));
    for message in [&page, &next].map(|page| &page["messages"][0]["id"]) {
        api.got("/quarantine/{id}", &format!("/quarantine/{message}"));
    }
    assert_eq!(api.get("/quarantine/{id}", "/quarantine/99").0, 404);
}

fn changes(api: &mut Api) {
    let by_action = |action: &str| json!({"filter": {"action": action}});
    let of = |action: &str| -> Value { json!({"rule": "deleted", "action": action}) };
    let mut changed = BTreeMap::new();
    for (path, body) in [
        ("/deliveries/retry", json!({"filter": {"action": "refused"}, "dry_run": true})),
        (
            "/deliveries/retry",
            json!({"filter": {"action": "refused", "states": ["dead"]}, "out_of_order": true}),
        ),
        ("/deliveries/retry", json!({"filter": {"event": 1, "action": "plain"}})),
        ("/deliveries/discard", by_action("slow")),
        ("/deliveries/discard", json!({"filter": {"ids": ["1.0"]}})),
        ("/deliveries/release", json!({"filter": {"states": ["waiting for release"]}})),
        ("/deliveries/release", json!({"filter": {"ids": ["1.0"]}})),
        ("/deliveries/move", json!({"filter": {"action": "paused"}, "to": "plain"})),
        ("/deliveries/move", json!({"filter": {"ids": ["1.0"]}, "to": "plain"})),
        ("/quarantine/retry", json!({"messages": [{"id": 1, "deliveries": [of("plain")]}]})),
        ("/quarantine/discard", json!({"filter": {"ids": [2]}, "dry_run": true})),
        ("/quarantine/discard", json!({"filter": {"ids": [2]}})),
    ] {
        let answer = api.post(path, path, body);
        *changed.entry(path).or_insert(0) += answer["changed"].as_u64().unwrap();
    }
    assert!(
        changed.iter().all(|(path, changed)| *changed > 0 || *path == "/quarantine/retry"),
        "{changed:?}"
    );
    for keep_ids in [true, false] {
        let body = json!({"events": [{"event": 1, "deliveries": [of("plain")]}], "keep_ids": keep_ids});
        let replayed = api.post("/replay", "/replay", body);
        assert_eq!(replayed["appended"], u64::from(!keep_ids), "{replayed}");
    }
    let probed = api.post("/actions/{action}/probe", "/actions/away/probe", json!({}));
    assert!(probed["probed"] == true && probed["state"] == "down", "{probed}");
    let resumed = api.post("/actions/{action}/resume", "/actions/paused/resume", json!({}));
    assert_eq!(resumed["changed"], true, "{resumed}");
    for (path, target, body, expected) in [
        ("/actions/{action}/probe", "/actions/nothing/probe", json!({}), 404),
        ("/actions/{action}/pause", "/actions/nothing/pause", json!({}), 404),
        ("/deliveries/move", "/deliveries/move", json!({"filter": {}, "to": "nothing"}), 404),
        ("/deliveries/retry", "/deliveries/retry", json!({"filter": {"phases": ["dead"]}}), 400),
        ("/deliveries/discard", "/deliveries/discard", json!([]), 400),
        ("/replay", "/replay", json!({"events": [{"event": 99, "deliveries": [of("plain")]}]}), 404),
    ] {
        let (status, answer) = api.ask("POST", path, target, Some(&body));
        assert_eq!(status, expected, "{target} {body}: {answer}");
    }
}

fn reloads(api: &mut Api, rig: &Rig, listeners: &str, actions: &str) {
    let reload = |api: &mut Api, sections: &[&str]| {
        rig.write(sections);
        api.post("/reload", "/reload", json!({}))
    };
    let refused = reload(api, &[ADMIN, listeners, RULES, "[action:plain]\ndriver = nothing\n"]);
    assert!(refused["reloaded"] == false && refused["reason"] == "configuration", "{refused}");
    let status = api.status();
    assert_eq!(status["configuration"]["not_reloaded"]["reason"], "configuration", "{status}");
    let moved = listeners.replacen("pool = osnl", "pool = moved", 1);
    let done = reload(api, &[ADMIN, &moved, RULES, actions]);
    assert_eq!(done["reloaded"], true, "{done}");
    api.wait(|status| {
        let is_there = status["left_queues"].get(0).is_some_and(|left| left["delete"].is_string());
        if is_there { Vec::new() } else { vec!["delete"] }
    });
    let forget = |api: &mut Api, body: Value| api.post("/queues/{queue}/forget", "/queues/osnl/forget", body);
    let elsewhere = forget(api, json!({"vhost": "elsewhere"}));
    assert_eq!(elsewhere["forgotten"], json!([]), "{elsewhere}");
    let forgotten = forget(api, json!({}));
    assert_eq!(forgotten["forgotten"][0]["queue"], "osnl", "{forgotten}");
    assert_eq!(api.status()["left_queues"], json!([]));
}
