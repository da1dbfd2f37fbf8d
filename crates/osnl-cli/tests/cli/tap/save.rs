use std::os::unix::fs::PermissionsExt as _;

use osnl_testkit::{RawMessage, fixture};
use serde_json::{Value, json};

use super::{HOSTILE, Rig, event};
use crate::harness::PROMPTLY;

fn recorded() -> Vec<RawMessage> {
    let mut messages = Vec::new();
    for (_, text) in fixture::wire() {
        let message = osnl_model::parse_python_json(&text).unwrap();
        let body = fixture::body(&message);
        // `osnl send` replaces a token with null by design.
        if String::from_utf8_lossy(&body).contains("_context_auth_token\\\": \\\"") {
            continue;
        }
        let mut properties = json!({"delivery_mode": 2, "priority": 0});
        for key in ["content_type", "content_encoding"] {
            if message["properties"][key].is_string() {
                properties[key] = message["properties"][key].clone();
            }
        }
        let compression = &message["headers"]["compression"];
        let headers = if compression.is_string() { json!({"compression": compression}) } else { json!({}) };
        messages.push(RawMessage {
            exchange: "nova".to_owned(),
            routing_key: "notifications.info".to_owned(),
            body,
            properties,
            headers,
            ..RawMessage::default()
        });
    }
    assert!(messages.len() > 40, "{}", messages.len());
    messages
}

#[test]
fn what_is_saved_is_sent_again_byte_for_byte_and_explained_and_replayed() {
    let mut rig = Rig::with_nova("tap-again");
    let messages = recorded();
    let count = messages.len().to_string();
    let save = |rig: &Rig, file: &str| rig.listening(&["-e", "nova", "-n", &count, "--save", file]);
    let saved = |rig: &Rig, file: &str| -> Vec<Value> {
        let read = |line| {
            let mut saved: Value = serde_json::from_str(line).unwrap();
            saved["received"] = Value::Null;
            saved
        };
        rig.place.read(file).lines().map(read).collect()
    };
    let mut tap = save(&rig, "first.jsonl");
    messages.iter().for_each(|message| rig.publisher.raw(message));
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    let first = saved(&rig, "first.jsonl");
    for (saved, message) in first.iter().zip(&messages) {
        match saved["body"].as_str() {
            Some(body) => assert_eq!(body.as_bytes(), message.body),
            None => assert!(std::str::from_utf8(&message.body).is_err(), "{saved}"),
        }
    }

    let osnl = std::path::Path::new(env!("CARGO_BIN_EXE_osnl"));
    let mut tap = save(&rig, "second.jsonl");
    let url = rig.vhost.url();
    let args = ["send", "--transport-url", &url, "--keep-ids", "--rate", "500", "first.jsonl"];
    let mut sent = rig.place.run(osnl, &args);
    assert_eq!(sent.wait(PROMPTLY).code(), Some(0), "{}", sent.stderr());
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    // The broker may confirm in any order, but messages are sent in the file's order.
    for (again, first) in saved(&rig, "second.jsonl").iter().zip(&first) {
        assert_eq!(again, first);
    }

    rig.place.write(
        "osnl.conf",
        format!(
            "[listener:nova]\ntransport_url = {url}\nexchange = nova\npool = osnl\n[rule:r]\nevent_type = ^instance\\.delete\n\
             actions = d\n[action:d]\ndriver = dump\npath = d\n"
        ),
    );
    for command in ["explain", "replay"] {
        let told = |file: &str| {
            let mut told = rig.place.run(osnl, &[command, "-c", "osnl.conf", file]);
            assert_eq!(told.wait(PROMPTLY).code(), Some(0), "{command}: {}", told.stderr());
            told.stdout()
        };
        let first = told("first.jsonl");
        assert!(first.contains("rule r matches"), "{command}: {first}");
        let without_times = |text: &str| {
            text.lines().filter(|line| !line.contains("received")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_times(&told("second.jsonl")), without_times(&first), "{command}");
    }

    rig.place.write("one.jsonl", rig.place.read("first.jsonl").lines().next().unwrap());
    let mut tap = rig.listening(&["-e", "nova", "-n", "1", "--format", "json"]);
    let mut sent = rig.place.run(osnl, &["send", "--transport-url", &url, "one.jsonl"]);
    assert_eq!(sent.wait(PROMPTLY).code(), Some(0), "{}", sent.stderr());
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    let again: Value = serde_json::from_str(&tap.stdout()).unwrap();
    let id = again["message_id"].as_str().unwrap();
    assert!(!first[0]["body"].as_str().unwrap().contains(id), "{again}");
}

#[test]
fn what_is_saved_is_as_it_was_received_and_for_its_owner_only() {
    let mut rig = Rig::with_nova("tap-save");
    let mut tap = rig.listening(&["-e", "nova", "--save", "s.jsonl", "-n", "2", "--format", "json"]);
    rig.publisher.notify(&event(1));
    rig.publisher.raw(&RawMessage {
        exchange: "nova".into(),
        body: b"\xff\x1b]0;owned\x07".to_vec(),
        headers: json!({"compression": "none-such", "n": 7}),
        ..RawMessage::default()
    });
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    let saved: Vec<Value> =
        rig.place.read("s.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(saved.len(), 2);
    let theirs = rig
        .publisher
        .take("notifications.info")
        .and_then(|_| rig.publisher.take("notifications.info"))
        .unwrap();
    assert_eq!(saved[0]["body"].as_str().unwrap().as_bytes(), theirs.body, "byte for byte, secrets included");
    assert_eq!(saved[0]["properties"], theirs.properties);
    assert_eq!(
        (&saved[0]["exchange"], &saved[0]["routing_key"]),
        (&json!("nova"), &json!("notifications.info"))
    );
    assert_eq!(saved[1]["body_base64"], "/xtdMDtvd25lZAc=");
    assert_eq!(saved[1]["properties"]["headers"], json!({"compression": "none-such", "n": 7}));
    let printed: Vec<Value> = tap.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        printed[0]["payload"],
        json!({"instance_id": "i-1", "display_name": "vm 1", "adminPass": "***", "note": HOSTILE})
    );
    assert_eq!(printed[0]["resource"], json!({"id": "i-1", "ids": ["i-1"], "name": "vm 1"}));
    assert_eq!(printed[1]["body_escaped"], "11 bytes: ff 1b 5d 30 3b 6f 77 6e ...");
    assert_eq!(
        printed[1]["unreadable"],
        "unsupported compression \"none-such\"; osnl reads gzip, zlib, and bz2"
    );
    assert!(!tap.stdout().contains("S3CRET") && !tap.stderr().contains("S3CRET"));

    let file = rig.place.path("s.jsonl");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = rig.tap(&["--save", "s.jsonl"]).refused();
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("others may read it (mode 0644)") && stderr.contains("chmod 600"), "{stderr}");

    let own = rig.place.path("journal.db.saved");
    let (folder, url) = (own.parent().unwrap().display(), rig.vhost.url());
    rig.place.write(
        "osnl.conf",
        format!(
            "[DEFAULT]\nstate_dir = {folder}\n[listener:nova]\ntransport_url = {url}\nexchange = nova\npool = osnl\n\
             [rule:r]\nevent_type = ^instance\\.delete\nactions = d\n[action:d]\ndriver = dump\npath = d\n"
        ),
    );
    let (code, stderr) = rig.tap(&["-c", "osnl.conf", "--save", "journal.db.saved"]).refused();
    assert_eq!((code, own.exists()), (Some(78), false), "{stderr}");
    assert!(stderr.contains("belongs to the journal itself"), "{stderr}");
}
