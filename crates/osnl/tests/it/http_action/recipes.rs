//! Each recipe of `docs/http.md`, run on recorded notifications: the request must match the target's documentation.

use std::collections::BTreeSet;
use std::path::Path;

use osnl::native::{Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Reply, Sink, SinkRequest, fixture, wait_until};
use osnl_transport::MemoryBroker;
use serde_json::Value;

use crate::harness::{ListenerRig, SOON};

fn blocks() -> Vec<(String, Vec<String>)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
    let names = |block: &str| {
        let name = |line: &str| line.strip_prefix("[action:")?.strip_suffix(']').map(str::to_owned);
        block.lines().filter_map(name).collect::<Vec<_>>()
    };
    blocks.map(|block| (block.to_owned(), names(block))).collect()
}

fn placed(block: &str, sink: &Sink, openstack: &Openstack) -> String {
    let mut text = String::new();
    for line in block.lines() {
        let line = match line.split_once(" = ") {
            Some(("client_certificate" | "ca_file" | "cloud", _)) => continue,
            Some(("auth", "keystone")) => format!(
                "auth = keystone\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss",
                openstack.auth_url()
            ),
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

fn start(folder: &Path, block: &str, names: &[String], broker: &MemoryBroker) -> ListenerRig {
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
    let (nova, neutron) = (listener("nova", "versioned_notifications"), listener("neutron", "notifications"));
    let head = format!("[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n", folder.display());
    let text = format!("{head}{nova}{neutron}{rule}{block}");
    let loaded = load_texts(&[("recipe.conf".to_owned(), text)], &Sources::default());
    let conf = loaded.unwrap_or_else(|errors| panic!("{errors}\n{block}")).conf;
    ListenerRig::of(&conf, broker)
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
    let topic = if recording.ends_with("nova") { "versioned_notifications" } else { "notifications" };
    (Target::new(message["exchange"].as_str().unwrap(), topic), body)
}

fn compare(recipe: &str, sent: &SinkRequest, expected: &Value, openstack: &Openstack) {
    let line = [&expected["method"], &expected["target"]].map(|text| text.as_str().unwrap());
    assert_eq!([sent.method.as_str(), sent.target.as_str()], line, "{recipe}");
    for (name, value) in expected["headers"].as_object().unwrap() {
        match value.as_str().unwrap() {
            "TOKEN" => {
                assert!(sent.header(name).is_some_and(|token| openstack.believes(token)), "{recipe}: {name}")
            }
            value => assert_eq!(sent.header(name), Some(value), "{recipe}: {name}"),
        }
    }
    match expected.get("json") {
        Some(json) => assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), *json, "{recipe}"),
        None => {
            assert_eq!(
                std::str::from_utf8(&sent.body).unwrap(),
                expected["text"].as_str().unwrap(),
                "{recipe}"
            );
        }
    }
}

#[test]
fn each_recipe_sends_what_its_target_documents() {
    let fixture = fixture::json("http/recipes.json");
    let recipes = fixture["recipes"].as_array().unwrap();
    let blocks = blocks();
    let mut played = BTreeSet::new();
    for recipe in recipes {
        let name = recipe["recipe"].as_str().unwrap();
        let block = blocks.iter().find(|(_, names)| names.iter().any(|other| other == name));
        let (block, _) = block.unwrap_or_else(|| panic!("the page has no action {name}"));
        let (sink, openstack) = (Sink::start(), Openstack::start());
        let status = recipe["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap());
        sink.reply_with(match status {
            404 => {
                let body = r#"{"code": 404, "type": "zone_not_found"}"#.into();
                Reply::StatusWith { status, headers: Vec::new(), body }
            }
            _ => Reply::Status(status),
        });
        openstack.list("dns", "public", "RegionOne", &sink.url(""));
        let broker = MemoryBroker::new();
        let folder = tempfile::tempdir().unwrap();
        // Only this action of the block runs, so that all requests are its own.
        let daemon = start(folder.path(), &placed(block, &sink, &openstack), &[name.to_owned()], &broker);
        let (target, body) = message(&recipe["event"]);
        wait_until(SOON, "the queue is bound", || {
            broker.publish(&target, &Priority::Info, r#"{"event_type": "x", "payload": {}}"#) == 1
        });
        broker.publish(&target, &Priority::Info, body);
        daemon.wait_until(name, |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
        let sent = sink.requests();
        assert_eq!(sent.len(), 1, "{name}");
        compare(name, &sent[0], &recipe["request"], &openstack);
        played.insert(name);
    }
    let all: BTreeSet<&str> = blocks.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
    assert_eq!(played, all, "each recipe of the page is played");
}
