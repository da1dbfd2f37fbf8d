use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use serde_json::{Value, json};

use crate::harness::{Osnl, PROMPTLY, Place, SOON, instance, port_deleted};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

pub(crate) fn conf(place: &Place, transport_url: &str, api_url: &str) -> String {
    let state_dir = place.path("state");
    let audit = place.path("audit.jsonl");
    let (state_dir, audit) = (state_dir.display(), audit.display());
    format!(
        "[DEFAULT]\nstate_dir = {state_dir}\n[journal]\nallow_volatile = yes\nkeep_unmatched = 100\n\
         [listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\ndeclare = create\n\
         pool = osnl\n[listener:nova]\ntransport_url = {transport_url}\nexchange = nova\ndeclare = create\npool = osnl-nova\n\
         [rule:forget-ports]\nlisteners = neutron\nevent_type = ^port\\.delete\\.end$\nactions = roles, audit\n\
         [rule:errors]\nlisteners = neutron\npriorities = error, critical\nactions = audit\n\
         [rule:token]\nlisteners = neutron\nevent_type = ^port\npayload.adminPass = ^S3CRET\nactions = audit\n\
         [rule:servers]\nlisteners = nova\npayload.state = ^deleted$\nactions = audit\n\
         [rule:off]\nenabled = no\nactions = audit\n\
         [action:roles]\ndriver = k2hr3\napi_url = {api_url}\n\
         [action:audit]\ndriver = dump\npath = {audit}\n"
    )
}

pub(crate) fn run(place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let mut osnl = place.run(Path::new(OSNL), args);
    let code = osnl.wait(PROMPTLY).code();
    (code, osnl.stdout(), osnl.stderr())
}

#[track_caller]
pub(crate) fn said(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, stderr) = run(place, args);
    assert_eq!(stderr, "", "{args:?}");
    (code, stdout.replace(&place.path("").display().to_string(), "PLACE/"))
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn quiet(place: &Place) {
    place.write("a.conf", conf(place, "rabbit://u:S3CRET@127.0.0.1:9/", "https://k2hr3.example.com/v1/role"));
}

const EVENT: &str = r#"{"event_type": "port.delete.end", "publisher_id": "network.h1", "priority": "INFO", "message_id": "m-1",
 "timestamp": "2026-11-20 05:04:03.000001", "context": {"auth_token": "T0KEN", "user": "u"},
 "payload": {"adminPass": "T0KEN", "port": {"device_id": "12345678-1234-5678-1234-567812345678", "device_owner": "compute:nova",
  "fixed_ips": [{"ip_address": "10.0.0.1"}]}}}"#;

#[test]
fn a_request_by_template_is_shown_whole_and_without_secrets() {
    let place = Place::new();
    place.write(
        "a.conf",
        "[listener:neutron]\ntransport_url = rabbit://127.0.0.1:9/\nexchange = neutron\n\
         pool = osnl\n[rule:r]\nevent_type = ^port\nactions = chat\n\
         [action:chat]\ndriver = http\nurl = https://chat.example/hooks/{{ secret.hook }}\nsecret.hook = S3CRET\n\
         auth = bearer\ntoken = S3CRET\nidempotency_header =\n\
         body = {\"text\": \"port of {{ payload.port.device_id }}\",\n  \"pass\": \"{{ payload.adminPass }}\"}\n",
    );
    place.write("event.json", EVENT);
    let (code, text) = said(&place, &["explain", "-c", "a.conf", "event.json"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "event.json:1: port.delete.end from network.h1, info\n  message id m-1\n  rule r matches\n    \
             action chat for 12345678-1234-5678-1234-567812345678 would be called: POST https://chat.example/hooks/***\n      \
             User-Agent: osnl/{version}\n      Accept: */*\n      Accept-Encoding: identity\n      Content-Type: application/json\n      \
             Authorization: Bearer ***\n      \
             {{\"text\": \"port of 12345678-1234-5678-1234-567812345678\",\n      \"pass\": \"***\"}}\n"
        )
    );
    assert_eq!(code, Some(0));
    let (_, text) = said(&place, &["explain", "-c", "a.conf", "--format", "json", "event.json"]);
    let would = &json_lines(&text)[0]["rules"][0]["actions"][0]["would"];
    assert_eq!(would["headers"]["Authorization"], "Bearer ***");
    let (_, text) = said(&place, &["config", "show", "-c", "a.conf"]);
    assert!(text.contains("secret.hook = ***") && !text.contains("S3CRET"), "{text}");
}

/// Shows the enrichments' requests, with ids, or with the name of a value that was not requested.
/// No server listens, so no request can be made.
#[test]
fn what_would_be_asked_is_said_and_nobody_is_asked() {
    let place = Place::new();
    let cloud = "auth_url = http://127.0.0.1:9/v3\nusername = u\npassword = S3CRET\n";
    place.write(
        "a.conf",
        format!(
            "[listener:neutron]\ntransport_url = rabbit://127.0.0.1:9/\nexchange = neutron\n\
             pool = osnl\n[rule:r]\nevent_type = ^port\nactions = cmdb\n\
             [action:cmdb]\ndriver = http\nurl = https://cmdb/{{{{ server.name }}}}\nenrich = server, flavor, image, owner\n\
             when = server.metadata.Env == 'production'\nidempotency_header =\n\
             body = {{\"ram\": {{{{ flavor.ram }}}}, \"owner\": \"{{{{ owner.name|default('nobody') }}}}\"}}\n\
             [enrich:server]\nkind = server\n{cloud}[enrich:flavor]\nkind = flavor\n{cloud}\
             [enrich:image]\nkind = image\nid = {{{{ server.image.id }}}}\n{cloud}\
             [enrich:owner]\nkind = user\nid = {{{{ payload.port.owner }}}}\ndefault = {{\"name\": \"ops\"}}\n{cloud}"
        ),
    );
    place.write("event.json", EVENT);
    let (code, text) = said(&place, &["explain", "-c", "a.conf", "event.json"]);
    let id = "12345678-1234-5678-1234-567812345678";
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "event.json:1: port.delete.end from network.h1, info\n  message id m-1\n  rule r matches\n    \
             action cmdb for {id} would be called: POST https://cmdb/<server.name>\n      \
             User-Agent: osnl/{version}\n      Accept: */*\n      Accept-Encoding: identity\n      Content-Type: application/json\n      \
             {{\"ram\": <flavor.ram>, \"owner\": \"ops\"}}\n      \
             asks [enrich:server] for server {id}, at http://127.0.0.1:9/v3\n      \
             asks [enrich:flavor] for flavor <server.flavor.id>, at http://127.0.0.1:9/v3\n      \
             asks [enrich:image] for image <server.image.id>, at http://127.0.0.1:9/v3\n      \
             asks [enrich:owner] for nothing: the event has no payload.port.owner; it is {{\"name\":\"ops\"}}\n      \
             done if what was asked makes it true: server.metadata.Env == 'production'\n"
        )
    );
    assert_eq!(code, Some(0));
    let (_, text) = said(&place, &["explain", "-c", "a.conf", "--format", "json", "event.json"]);
    let action = &json_lines(&text)[0]["rules"][0]["actions"][0];
    let asks = json!([
        {"enrichment": "server", "kind": "server", "id": id, "cloud": "http://127.0.0.1:9/v3"},
        {"enrichment": "flavor", "kind": "flavor", "id": "<server.flavor.id>", "cloud": "http://127.0.0.1:9/v3"},
        {"enrichment": "image", "kind": "image", "id": "<server.image.id>", "cloud": "http://127.0.0.1:9/v3"},
        {"enrichment": "owner", "kind": "user", "id": null, "why": "the event has no payload.port.owner",
         "default": {"name": "ops"}, "cloud": "http://127.0.0.1:9/v3"},
    ]);
    assert_eq!(
        (&action["asks"], &action["provided"]),
        (&asks, &json!("server.metadata.Env == 'production'"))
    );
    let (_, text) = said(&place, &["check", "-c", "a.conf"]);
    for line in [
        "  asks       [enrich:server] for the server: the event's\n",
        "  asks       [enrich:flavor] for the flavor: that of server, else the event's\n",
        "  asks       [enrich:image] for the image: id {{ server.image.id }}\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn recordings_and_standard_input_are_read_in_every_framing() {
    let place = Place::new();
    quiet(&place);
    let mut all = String::new();
    for name in
        ["03-v2-priority-info", "08-v1-info", "25-v2-gzip", "05-v2-priority-error", "36-hand-not-json"]
    {
        all.push_str(&osnl_testkit::fixture::text(&format!("wire/{name}.json")));
    }
    let mut command = Command::new(OSNL);
    command.args(["explain", "-c", "a.conf", "-", "--format", "json"]).current_dir(place.path(""));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(all.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let verdicts: Vec<String> = json_lines(std::str::from_utf8(&output.stdout).unwrap())
        .iter()
        .map(|event| {
            assert!(event["event"]["name"].as_str().unwrap().starts_with("stdin:"));
            let words =
                event["rules"].as_array().unwrap().iter().map(|rule| rule["verdict"].as_str().unwrap());
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            "fires fails fails not-heard disabled",
            "fires fails fails not-heard disabled",
            "fires fails fails not-heard disabled",
            "fires fires fails not-heard disabled",
            "unreadable unreadable unreadable not-heard disabled",
        ]
    );
    place.write("all.json", all);
    let (code, text, _) = run(&place, &["explain", "-c", "a.conf", "all.json", "--limit", "2"]);
    assert!(code == Some(0) && text.ends_with("\n1 of 2 events match a rule\n"), "{text}");
}

pub(crate) fn port(n: usize) -> Notice {
    let mut payload = port_deleted(n);
    payload["port"]["device_owner"] = json!("compute:nova");
    payload["adminPass"] = json!("T0KEN");
    Notice {
        publisher_id: "network.h1".to_owned(),
        event_type: "port.delete.end".to_owned(),
        payload,
        ..Notice::default()
    }
}

fn server(state: &str) -> Notice {
    Notice {
        exchange: "nova".to_owned(),
        publisher_id: "compute.h1".to_owned(),
        event_type: "compute.instance.update".to_owned(),
        payload: json!({"state": state, "instance_id": instance(7), "adminPass": "T0KEN"}),
        ..Notice::default()
    }
}

pub(crate) fn listening(place: &Place) -> Osnl {
    let osnl = place.run(Path::new(OSNL), &["run", "-c", "a.conf"]);
    wait_until(SOON, "both listen", || osnl.stderr().matches("listening at").count() == 2);
    osnl
}

#[test]
fn a_running_daemons_journal_ring_and_counts_are_explained() {
    let place = Place::new();
    let vhost = Broker::shared().vhost("explained");
    let sink = Sink::start();
    place.write("a.conf", conf(&place, &vhost.url(), &sink.url("/v1/role")));
    let osnl = listening(&place);
    // The first message creates the file; counts are written within a second.
    wait_until(SOON, "the counts are written", || place.path("state/journal.db.rules").exists());
    let (code, stdout, stderr) = run(&place, &["explain", "-c", "a.conf", "--unmatched"]);
    assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("no unmatched event yet since 20"), "{stderr}");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let created = Notice { event_type: "port.create.end".to_owned(), ..port(1) };
    let network = Notice { event_type: "network.create.end".to_owned(), ..port(2) };
    publisher.notify_all(&[network.clone(), network, created, server("active"), port(3)]);
    sink.wait_for(1, SOON);
    wait_until(SOON, "the ring is written", || {
        said_lines(&place, &["explain", "-c", "a.conf", "--unmatched", "--format", "json"]) == 4
    });

    let (code, text) = said(&place, &["explain", "-c", "a.conf", "--unmatched", "^network", "--limit", "1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("unmatched: network.create.end from network.h1, info, received 20"),
        "{text}"
    );
    assert_eq!(lines.len(), 7, "{text}");
    assert_eq!(code, Some(1));
    let (_, text) = said(
        &place,
        &["explain", "-c", "a.conf", "--unmatched=^(port|compute)", "--rule", "token", "--rule", "servers"],
    );
    assert!(
        text.contains("rule token does not match: payload.adminPass is \"***\", which does not match \"***\" (at the time)"),
        "{text}"
    );
    assert!(
        text.contains("rule servers does not match: payload.state is \"active\", which does not match \"^deleted$\" (at the time)"),
        "{text}"
    );

    the_journal_is_explained(&place);

    wait_until(SOON, "the counts are written", || {
        // A rule counts an event after the rule before it.
        let counts = said(&place, &["explain", "-c", "a.conf", "--counts"]).1;
        ["forget-ports of listener neutron: 4", "token of listener neutron: 4", "servers of listener nova: 1"]
            .iter()
            .all(|rule| counts.contains(&format!("{rule} tested")))
    });
    osnl.stop();
    for name in ["journal.db.unmatched", "journal.db.rules"] {
        let text = place.read(&format!("state/{name}"));
        assert!(!text.contains("T0KEN") && !text.contains("S3CRET"), "{name}: {text}");
    }
    let unmatched = said_lines(&place, &["explain", "-c", "a.conf", "--format", "json", "--unmatched"]);
    assert_eq!(unmatched, 4, "they outlive the daemon");
}

fn the_journal_is_explained(place: &Place) {
    let (code, text) = said(place, &["explain", "-c", "a.conf", "--journal", "--rule", "forget-ports"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("event 1: port.delete.end from network.h1, info, received 20"), "{text}");
    assert!(
        text.contains(&format!("roles for {} would be called: DELETE http://127.0.0.1:", instance(3))),
        "{text}"
    );
    let ids =
        |args: &[&str]| said_lines(place, &[&["explain", "-c", "a.conf", "--format", "json"], args].concat());
    assert_eq!(ids(&["--id", "1.0", "--id", "1"]), 1);
    assert_eq!(ids(&["--since", "1h", "--event-type", "port.delete.end", "--fired", "forget-ports"]), 1);
    assert_eq!(ids(&["--resource", &instance(3)]), 1);
    let (code, stdout, stderr) = run(place, &["explain", "-c", "a.conf", "--until", "1h"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(1), "", "osnl: there is no such event\n"));
    let (code, _, stderr) = run(place, &["explain", "-c", "a.conf", "--id", "9"]);
    assert!(code == Some(1) && stderr.contains("the journal holds no event 9"), "{stderr}");
    let (code, _, stderr) = run(place, &["explain", "-c", "a.conf", "--id", "nobody"]);
    assert!(code == Some(1) && stderr.contains("the journal holds nothing about nobody"), "{stderr}");
}

fn said_lines(place: &Place, args: &[&str]) -> usize {
    let (_, stdout, stderr) = run(place, args);
    assert!(!stdout.contains("T0KEN") && !stderr.contains("T0KEN"), "{stdout}{stderr}");
    stdout.lines().count()
}
