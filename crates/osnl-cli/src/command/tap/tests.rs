use jiff::Timestamp;
use osnl_model::{Budget, is_secret_key, parse_python_json};
use osnl_testkit::fixture;
use osnl_transport::{TapMessage, TapProperties};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::event::EventFilter;
use super::writer::{Arrivals, BodyPart, EventWriter, WriterTotals};
use crate::flags::OutputFormat;

fn recorded(message: &Value) -> TapMessage {
    let text = |of: &Value| of.as_str().map(str::to_owned);
    let properties = &message["properties"];
    TapMessage {
        exchange: text(&message["exchange"]).unwrap(),
        routing_key: text(&message["routing_key"]).unwrap(),
        body: fixture::body(message).into(),
        cut: None,
        properties: TapProperties {
            content_type: text(&properties["content_type"]),
            content_encoding: text(&properties["content_encoding"]),
            headers: message["headers"].as_object().cloned().unwrap_or_default(),
            ..TapProperties::default()
        },
    }
}

fn wire() -> Vec<(String, TapMessage)> {
    let read = |(name, text): (String, String)| (name, recorded(&parse_python_json(&text).unwrap()));
    fixture::wire().into_iter().map(read).collect()
}

pub(super) fn services() -> Vec<TapMessage> {
    let files = [
        "captures/glance.json",
        "captures/keystone-cadf.json",
        "captures/neutron.json",
        "captures/nova.json",
        "captures2/designate.json",
    ];
    let mut messages = Vec::new();
    for file in files {
        // The recorder's own event types become a type of nova.
        let text =
            fixture::text(&format!("emission/{file}")).replace("probe.update", "aggregate.update_prop");
        let recording: Value =
            serde_json::from_str(&text.replace("ProbePayload", "AggregatePayload")).unwrap();
        let cases = recording["cases"].as_object().unwrap();
        messages.extend(cases.values().flat_map(|case| case.as_array().unwrap()).map(recorded));
    }
    messages
}

fn message(body: impl Into<Vec<u8>>) -> TapMessage {
    TapMessage {
        exchange: "nova".into(),
        routing_key: "notifications.info".into(),
        body: body.into().into(),
        cut: None,
        properties: TapProperties::default(),
    }
}

fn writer(format: OutputFormat, body: BodyPart) -> EventWriter {
    EventWriter {
        wanted: EventFilter::default(),
        format,
        body,
        colour: false,
        rates: None,
        save: None,
        count: None,
    }
}

fn write(writer: EventWriter, messages: &[TapMessage]) -> (String, WriterTotals) {
    let (sender, receiver) = mpsc::channel(4);
    let seen = Arrivals { messages: messages.to_vec(), at: Timestamp::UNIX_EPOCH };
    sender.try_send(seen).unwrap_or_else(|_| panic!("the channel is new"));
    drop(sender);
    let mut out = Vec::new();
    let written = writer.run(receiver, &mut out);
    (String::from_utf8(out).unwrap(), written)
}

#[test]
fn each_recorded_form_is_one_line() {
    let wire = wire();
    let check = |name: &str, expected: &str| {
        let (_, message) = wire.iter().find(|(file, _)| file.starts_with(name)).unwrap();
        let (out, _) = write(writer(OutputFormat::Text, BodyPart::Hidden), std::slice::from_ref(message));
        assert_eq!(out, format!("{expected}\n"), "{name}");
    };
    check(
        "16-",
        "2026-11-20T06:36:22.705816 nova versioned_notifications.info INFO instance.delete.end nova-compute:node1 \
         project=- user=- id=12345678-1234-5678-1234-567812345678 name=vm1 InstanceActionPayload/1.8",
    );
    check(
        "36-",
        "1970-01-01T00:00:00.000000 neutron notifications.info unreadable: the body is not readable JSON: \
         expected ident at line 1 column 2: 18 bytes: 74 68 69 73 20 69 73 20 ...",
    );
    check("37-", "1970-01-01T00:00:00.000000 neutron notifications.info unreadable: the body is empty: ");
    let (out, written) = write(
        writer(OutputFormat::Text, BodyPart::Hidden),
        &wire.iter().map(|(_, m)| m.clone()).collect::<Vec<_>>(),
    );
    assert_eq!((out.lines().count(), written.shown), (wire.len(), wire.len() as u64), "a line for each");
    assert_eq!(written.unreadable, out.lines().filter(|line| line.contains(" unreadable: ")).count() as u64);
    assert!(written.unreadable > 15 && written.unreadable < 30, "{}", written.unreadable);
}

#[test]
fn what_services_were_recorded_with_is_recognised() {
    let services = services();
    let (out, written) = write(writer(OutputFormat::Text, BodyPart::Hidden), &services);
    assert_eq!((written.shown, written.unreadable), (services.len() as u64, 0));
    for line in [
        " CADF",
        " name=\"web 1\" InstanceActionPayload/1.9",
        " nova notifications.info INFO compute.instance.create.end compute.",
        " neutron notifications.info INFO floatingip.update.end network.",
        " dns.zone.create ",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    let nameless: Vec<&str> =
        out.lines().filter(|line| line.contains(" id=- ") && !line.contains(" aggregate.")).collect();
    assert!(
        nameless.len() * 20 < services.len(),
        "{} without an id:\n{}",
        nameless.len(),
        nameless.join("\n")
    );
}

fn plant(value: &mut Value, secrets: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            let a_pair = object.contains_key("value");
            for (key, value) in object {
                if !(is_secret_key(key) || key == "key" && !a_pair) {
                    plant(value, secrets);
                } else if !value.is_object() && !value.is_array() {
                    match value.as_str() {
                        Some(text) if text.len() > 5 => secrets.push(text.to_owned()),
                        Some(_) | None => *value = json!("gAAAAAB-S3CRET"),
                    }
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(super) fn planted() -> (Vec<TapMessage>, Vec<String>) {
    let mut secrets = vec!["gAAAAAB-S3CRET".to_owned()];
    let mut messages: Vec<TapMessage> = Vec::new();
    for mut message in services().into_iter().chain(wire().into_iter().map(|(_, message)| message)) {
        let mut changed = message.body.to_vec();
        if let Ok(Value::Object(mut outer)) = serde_json::from_slice(&message.body) {
            let enveloped = outer.get("oslo.message").and_then(Value::as_str).map(str::to_owned);
            let inner = enveloped.map(|text| serde_json::from_str::<Value>(&text));
            match inner {
                Some(Ok(mut inner @ Value::Object(_))) => {
                    plant(&mut inner, &mut secrets);
                    inner["_context_auth_token"] = json!("gAAAAAB-S3CRET");
                    inner["_context_note"] = json!("amqp://nova:gAAAAAB-S3CRET@mq:5672//");
                    outer.insert("oslo.message".into(), json!(inner.to_string()));
                    changed = Value::Object(outer).to_string().into_bytes();
                }
                Some(Ok(_) | Err(_)) => {}
                None => {
                    let mut bare = Value::Object(outer);
                    plant(&mut bare, &mut secrets);
                    bare["_context_auth_token"] = json!("gAAAAAB-S3CRET");
                    changed = bare.to_string().into_bytes();
                }
            }
        }
        // Once whole, and once cut in the middle of the last secret: unreadable, but with secrets.
        message.body = changed.clone().into();
        message.properties.headers = Map::new();
        messages.push(message.clone());
        message.body = changed[..changed.len().saturating_sub(3)].to_vec().into();
        messages.push(message);
    }
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() > 2, "{secrets:?}");
    (messages, secrets)
}

#[test]
fn no_secret_of_any_recording_is_in_any_form_of_the_output() {
    let (messages, secrets) = planted();
    for (format, body) in [
        (OutputFormat::Text, BodyPart::Hidden),
        (OutputFormat::Text, BodyPart::Masked),
        (OutputFormat::Json, BodyPart::Hidden),
        (OutputFormat::Json, BodyPart::Masked),
    ] {
        let (out, written) = write(writer(format, body), &messages);
        assert_eq!(written.shown, messages.len() as u64);
        assert!(written.unreadable * 2 >= written.shown, "half of them are cut off: {written:?}");
        for secret in &secrets {
            let line = out.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret} in {format:?} {body:?}");
        }
    }
    let (raw, _) = write(writer(OutputFormat::Text, BodyPart::Raw), &messages);
    assert!(raw.contains("gAAAAAB-S3CRET"), "the test plants what it looks for");
}

#[test]
fn no_value_of_a_body_that_cannot_be_read_is_shown() {
    let bodies = [
        "(dp0\nVpassword\np1\nVhunter2\np2\ns.",
        "{'password': 'hunter2'}",
        "{\"password\": hunter2",
        "{\"name\": \"hunter2",
        "password: hunter2",
        "password=hunter2&name=hunter2",
        "<password>hunter2</password>",
    ];
    let messages: Vec<TapMessage> = bodies.iter().map(|body| message(*body)).collect();
    for format in [OutputFormat::Text, OutputFormat::Json] {
        let (out, written) = write(writer(format, BodyPart::Masked), &messages);
        assert_eq!(written.unreadable, bodies.len() as u64);
        assert!(!out.contains("hunter2"), "{out}");
        assert!(out.contains("32 bytes: 28 64 70 30 0a 56 70 61 ..."), "{out}");
    }
}

#[test]
fn a_message_cannot_talk_to_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\r\n\u{9b}2J\u{202e}";
    let notification = json!({"event_type": evil, "publisher_id": evil, "priority": evil, "timestamp": evil,
        "payload": {"id": evil, "name": evil, evil: evil}, "_context_project_id": evil, "_context_user": evil});
    let mut bodies = vec![message(notification.to_string()), message(format!("{evil} no JSON"))];
    for message in &mut bodies {
        message.exchange = evil.to_owned();
        message.routing_key = evil.to_owned();
    }
    for (format, body) in [
        (OutputFormat::Text, BodyPart::Hidden),
        (OutputFormat::Text, BodyPart::Masked),
        (OutputFormat::Text, BodyPart::Raw),
        (OutputFormat::Json, BodyPart::Raw),
    ] {
        let (out, _) = write(writer(format, body), &bodies);
        let wild = out.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(wild, None, "{format:?} {body:?}\n{}", out.escape_debug());
        if format == OutputFormat::Json {
            let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(objects[0]["event_type"], evil);
        }
    }
    let (out, _) = write(writer(OutputFormat::Text, BodyPart::Hidden), &bodies);
    assert_eq!(out.lines().count(), 2);
}

#[test]
fn what_costs_too_much_is_shown_with_the_flag_that_reads_it() {
    let body = |values: usize| json!({"event_type": "e", "payload": {"list": vec![0; values]}}).to_string();
    let small = Budget { body: 6000, values: 1000, ..Budget::DEFAULT };
    for (values, budget, expected) in [
        (100, small, None),
        (
            1500,
            small,
            Some(
                "more than 1000 values, the limit (it grows with option max_body); raise it with --max-body",
            ),
        ),
        (3000, small, Some("6039 bytes; the limit is 6000 (option max_body); raise it with --max-body")),
        (3000, Budget::DEFAULT, None),
    ] {
        for format in [OutputFormat::Text, OutputFormat::Json] {
            let wanted = EventFilter { budget, ..EventFilter::default() };
            let (out, written) =
                write(EventWriter { wanted, ..writer(format, BodyPart::Hidden) }, &[message(body(values))]);
            assert_eq!(written.unreadable, u64::from(expected.is_some()), "{out}");
            assert!(expected.is_none_or(|expected| out.contains(expected)), "{out}");
        }
    }
}

#[test]
fn what_cannot_be_written_ends_it_and_is_said_unless_the_reader_has_gone() {
    struct BrokenPipe(std::io::ErrorKind);
    impl std::io::Write for BrokenPipe {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let check = |kind, expected: Option<&str>| {
        let (sender, receiver) = mpsc::channel(4);
        let seen = Arrivals { messages: vec![message("{}")], at: Timestamp::UNIX_EPOCH };
        sender.try_send(seen).unwrap_or_else(|_| panic!("the channel is new"));
        let written = writer(OutputFormat::Text, BodyPart::Hidden).run(receiver, &mut BrokenPipe(kind));
        assert_eq!(written.failure.as_deref(), expected);
        assert!(sender.is_closed());
    };
    check(std::io::ErrorKind::BrokenPipe, None);
    check(std::io::ErrorKind::StorageFull, Some("standard output: no storage space"));
}

#[tokio::test(start_paused = true)]
async fn only_the_first_connection_has_a_limit() {
    let limit = Some(std::time::Duration::from_secs(5));
    let ends = |voice: super::TapVoice| async move {
        tokio::time::timeout(std::time::Duration::from_secs(3600), super::unconnected(limit, &voice))
            .await
            .is_ok()
    };
    assert!(ends(super::TapVoice::new(true)).await);
    let lost = super::TapVoice::new(true);
    lost.standing().host = "mq1:5672".to_owned();
    assert!(!ends(lost).await);
}
