//! Each recipe and configuration of [`FILES`], run on recorded notifications: the request must match the target's
//! documentation.
//!
//! A recipe has its requests in `fixtures/http/recipes.json`, and its receiver in `receivers.json` beside that file.

mod receiver;

use std::collections::BTreeSet;
use std::path::Path;

use osnl::native::{Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Reply, Sink, SinkRequest, fixture, wait_until};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use self::receiver::{Bulk, faults, lines, standing_in};
use crate::harness::{DaemonRig, SOON, framed};

/// Configurations of `examples/coming-from` that replace another site's listener: `docs/coming-from.md` links to them.
const FILES: [&str; 5] =
    ["designate-sink.conf", "hermes.conf", "osism.conf", "understack.conf", "webhook-forwarder.conf"];
const MOST_LINES: usize = 60;

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn actions(conf: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("[action:")?.strip_suffix(']').map(str::to_owned);
    conf.lines().filter_map(name).collect()
}

/// Returns the blocks of `docs/http.md` and the files of `examples/recipes`, each with the names of its actions.
fn recipes() -> Vec<(String, Vec<String>)> {
    let page = read("docs/http.md");
    let blocks = page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut recipes: Vec<String> = blocks.map(str::to_owned).collect();
    let folder = std::fs::read_dir(format!("{}/../../examples/recipes", env!("CARGO_MANIFEST_DIR"))).unwrap();
    recipes.extend(folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()));
    // A broker of Kafka needs a feature: crates/osnl-cli/tests/kafka plays that recipe.
    recipes.retain(|recipe| !recipe.contains("kafka://"));
    recipes.into_iter().map(|recipe| (recipe.clone(), actions(&recipe))).collect()
}

fn placed(block: &str, sink: &Sink, openstack: &Openstack, folder: &Path) -> String {
    let mut text = String::new();
    for line in block.lines() {
        let line = match line.split_once(" = ") {
            None if line.starts_with("[listener:") => format!("{line}\ndeclare = create"),
            Some(("client_certificate" | "ca_file" | "cloud", _)) => continue,
            Some(("auth", "keystone")) => format!(
                "auth = keystone\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss",
                openstack.auth_url()
            ),
            Some(("command", command)) => {
                format!("command = {}", command.replace("/usr/bin/", &format!("{}/", folder.display())))
            }
            Some(("url", url)) if url.starts_with("https://") => {
                let path = url.trim_start_matches("https://");
                format!("url = {}", sink.url(&path[path.find('/').unwrap()..]))
            }
            Some((option, "file:///etc/osnl/slack-hook")) => format!("{option} = T0/B0/slack-hook"),
            Some((option, value)) => match value.strip_prefix("file:///etc/osnl/") {
                Some(file) => format!("{option} = in {file}"),
                None => line.to_owned(),
            },
            None => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn start(folder: &Path, block: &str, names: &[String], broker: &MemoryBroker) -> DaemonRig {
    let rule = match block.contains("[rule:") {
        true => String::new(),
        false => {
            format!("[rule:r]\nevent_type = ^(instance|floatingip)\\.\nactions = {}\n", names.join(", "))
        }
    };
    let listener = |exchange: &str, topic: &str| {
        format!(
            "[listener:{exchange}]\ntransport_url = rabbit://mq/\nexchange = {exchange}\ntopics = {topic}\ndeclare = create\n\
             priorities = info\npool = {exchange}\n"
        )
    };
    let listeners = match block.contains("[listener:") {
        true => String::new(),
        false => listener("nova", "versioned_notifications") + &listener("neutron", "notifications"),
    };
    let head = format!("[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n", folder.display());
    let text = format!("{head}{listeners}{rule}{block}");
    let loaded = load_texts(&[("recipe.conf".to_owned(), text)], &Sources::default());
    let conf = loaded.unwrap_or_else(|errors| panic!("{errors}\n{block}")).conf;
    DaemonRig::from_conf(&conf, broker)
}

fn message(event: &Value) -> (Target, String) {
    let recording = event["recording"].as_str().unwrap();
    let recorded = fixture::json(&format!("emission/{recording}.json"));
    let case = event["case"].as_str().unwrap();
    let number = usize::try_from(event["message"].as_u64().unwrap()).unwrap();
    let message = &recorded["cases"][case][number];
    let mut body = message["body_text"].as_str().unwrap_or_else(|| panic!("no {event}")).to_owned();
    if let Some(pair) = event["replaced"].as_array() {
        let [before, after] = [0, 1].map(|n| pair[n].as_str().unwrap());
        assert!(body.contains(before), "{event}");
        body = body.replace(before, after);
    }
    let topic = message["routing_key"].as_str().unwrap().strip_suffix(".info").unwrap();
    (Target::new(message["exchange"].as_str().unwrap(), topic), body)
}

fn compare(recipe: &str, sent: &SinkRequest, expected: &Value, openstack: &Openstack) {
    let line = [&expected["method"], &expected["target"]].map(|text| text.as_str().unwrap());
    assert_eq!([sent.method.as_str(), sent.target.as_str()], line, "{recipe}");
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        match value.as_str().unwrap() {
            "TOKEN" => {
                assert!(sent.header(name).is_some_and(|token| openstack.believes(token)), "{recipe}: {name}")
            }
            value => assert_eq!(sent.header(name), Some(value), "{recipe}: {name}"),
        }
    }
    let body = std::str::from_utf8(&sent.body).unwrap();
    let found = match (expected.get("json"), expected.get("lines")) {
        (Some(json), _) => (serde_json::from_str(body).unwrap(), json),
        (None, Some(written)) => (Value::Array(lines(body)), written),
        (None, None) => (body.into(), &expected["text"]),
    };
    assert_eq!(found.0, *found.1, "{recipe}\n{}", found.0);
}

fn play(
    entry: &Value,
    block: &str,
    names: &[String],
    openstack: &Openstack,
    folder: &Path,
) -> Vec<SinkRequest> {
    let sink = Sink::start();
    let status = entry["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap());
    match (entry["receiver"].as_str(), status) {
        (Some("opensearch"), _) => {
            let bulk = Bulk::default();
            sink.reply_when(move |request| Some(bulk.reply(request)));
        }
        (Some(receiver), 200) => sink.reply_when(standing_in(receiver)),
        (_, 404) => {
            let body = r#"{"code": 404, "type": "zone_not_found"}"#.into();
            sink.reply_with(Reply::StatusWith { status, headers: Vec::new(), body });
        }
        (_, _) => sink.reply_with(Reply::Status(status)),
    }
    openstack.list("dns", "public", "RegionOne", &sink.url(""));
    let broker = MemoryBroker::new();
    let daemon = start(folder, &placed(block, &sink, openstack, folder), names, &broker);
    let (target, body) = message(&entry["event"]);
    wait_until(SOON, "the queue is bound", || broker.publish(&target, &Priority::Info, body.clone()) == 1);
    let requests = expected(entry).len();
    let delivered = entry["delivered"].as_u64().unwrap_or(requests as u64);
    daemon.wait_until(&format!("{delivered} delivered of {entry}"), |c| {
        c.delivered.get() == delivered && c.matched.get() + c.unmatched.get() == 1
    });
    daemon.stop().unwrap();
    let mut sent = sink.requests();
    sent.sort_by_key(|request| (request.target.clone(), request.body.clone()));
    assert_eq!(sent.len(), requests, "{entry}: {sent:?}");
    if let Some(receiver) = entry["receiver"].as_str().filter(|receiver| *receiver != "opensearch") {
        sent.iter().for_each(|request| assert_eq!(faults(receiver, request), [""; 0], "{entry}"));
    }
    sent
}

fn expected(entry: &Value) -> Vec<Value> {
    entry["requests"].as_array().cloned().unwrap_or_else(|| vec![entry["request"].clone()])
}

#[test]
fn each_recipe_sends_what_its_target_documents() {
    let fixture = fixture::json("http/recipes.json");
    let blocks = recipes();
    let mut played = BTreeSet::new();
    for entry in fixture["recipes"].as_array().unwrap() {
        let Some(name) = entry["recipe"].as_str() else { continue };
        let block = blocks.iter().find(|(_, names)| names.iter().any(|other| other == name));
        let (block, _) = block.unwrap_or_else(|| panic!("no page or file has an action {name}"));
        let (openstack, folder) = (Openstack::start(), tempfile::tempdir().unwrap());
        // Only this action of the block runs, so that all requests are its own.
        let sent = play(entry, block, &[name.to_owned()], &openstack, folder.path());
        compare(name, &sent[0], &expected(entry)[0], &openstack);
        played.insert(name);
    }
    let all: BTreeSet<&str> = blocks.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
    assert_eq!(played, all, "each recipe is played");
}

#[test]
fn each_configuration_replaces_another_listener() {
    let fixture = fixture::json("http/recipes.json");
    let mut played = BTreeSet::new();
    for entry in fixture["recipes"].as_array().unwrap() {
        let Some(file) = entry["file"].as_str() else { continue };
        let block = read(&format!("examples/coming-from/{file}"));
        let count = block.lines().count();
        assert!(count <= MOST_LINES, "{file}: {count} lines");
        let (openstack, folder) = (Openstack::start(), tempfile::tempdir().unwrap());
        let program = receiver::program(folder.path(), "redis-cli");
        let sent = play(entry, &block, &actions(&block), &openstack, folder.path());
        for (sent, expected) in sent.iter().zip(expected(entry)) {
            compare(file, sent, &expected, &openstack);
        }
        if let Some(arguments) = entry["program"].as_str() {
            let (found, input) = program.read();
            let input: Value = serde_json::from_str(&input).unwrap();
            let (_, body) = message(&entry["event"]);
            let notification = osnl_model::Notification::decode(body.as_bytes()).unwrap();
            assert_eq!(found, arguments);
            let read = [&input["event_type"], &input["payload"]];
            assert_eq!(read, [&json!(notification.event_type.as_deref()), &notification.payload]);
        }
        played.insert(file);
    }
    assert_eq!(played, FILES.into(), "each file is played");
}

#[test]
fn a_bulk_answer_fails_exactly_the_events_that_it_names() {
    let (sink, openstack, folder) = (Sink::start(), Openstack::start(), tempfile::tempdir().unwrap());
    let bulk = Bulk::default();
    sink.reply_when(move |request| Some(bulk.reply(request)));
    let blocks = recipes();
    let (block, names) = blocks.iter().find(|(_, names)| names[..] == ["opensearch"]).unwrap();
    // Calls are a second apart, so the second one has all events that the first did not have.
    let block =
        format!("{}rate = 1 per 1s\nretry_interval = 0s\n", placed(block, &sink, &openstack, folder.path()));
    let broker = MemoryBroker::new();
    let daemon = start(folder.path(), &block, names, &broker);
    let target = Target::new("nova", "versioned_notifications");
    let publish = |id: &str| {
        let body = framed("compute.host1", "instance.delete.end", &json!({"instance_id": id}));
        broker.publish(&target, &Priority::Info, body)
    };
    wait_until(SOON, "the queue is bound", || publish("vm-0") == 1);
    for id in ["vm-1", "malformed", "vm-2", "crowded", "vm-3"] {
        publish(id);
    }
    daemon.wait_until("all have ended", |c| c.delivered.get() == 5 && c.dead.get() == 1);
    let dead = daemon.log().into_iter().find(|line| line.contains("dead letter")).unwrap();
    assert!(dead.contains("status 400, Bad Request") && dead.contains("failed to parse field"), "{dead}");
    daemon.stop().unwrap();
    let sent: Vec<usize> = sink
        .requests()
        .iter()
        .map(|request| request.body.iter().filter(|b| **b == b'\n').count() / 2)
        .collect();
    let (all, last) = (sent.iter().sum::<usize>(), sent.last());
    assert_eq!((all, last), (7, Some(&1)), "each event once, and then the one that was to wait: {sent:?}");
    assert!(sent.len() <= 3, "a call has all events that are there: {sent:?}");
}
