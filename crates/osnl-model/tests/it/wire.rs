#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::collections::BTreeMap;
use std::path::Path;

use base64_of_fixture::decode as base64;
use osnl_model::{
    ContentInfo, DecodeError, Notification, Priority, parse_python_json, plain_body, read_head,
};
use serde_json::{Map, Value};

#[derive(Debug)]
enum Expectation {
    Read(Option<Priority>),
    Refused(&'static str),
}

fn without_callback() -> BTreeMap<u32, Expectation> {
    use Expectation::{Read, Refused};
    BTreeMap::from([
        (29, Read(None)),
        (32, Read(Some(Priority::parse("notice")))),
        (34, Read(None)),
        (35, Refused("priority is a number, not a text")),
        (36, Refused("the body is not readable JSON: expected ident at line 1 column 2")),
        (37, Refused("the body is empty")),
        (38, Refused("the body is an array, not an object")),
        (39, Refused("the body is a text, not an object")),
        (40, Refused("the body is a number, not an object")),
        (41, Refused("the body is null, not an object")),
        (42, Read(None)),
        (43, Refused("the text of oslo.message is not readable JSON: expected ident at line 1 column 2")),
        (44, Refused("the text of oslo.message is an array, not an object")),
        (45, Refused("oslo.message is an object, not a text")),
        (46, Refused("unsupported oslo.version \"1.0\": only \"2.0\" is known")),
        (47, Refused("unsupported oslo.version \"2.1\": only \"2.0\" is known")),
        (48, Refused("unsupported oslo.version \"3.0\": only \"2.0\" is known")),
        (49, Refused("oslo.version is a number, not a text")),
        (50, Refused("there is an oslo.message but no oslo.version")),
        (51, Refused("there is an oslo.version but no oslo.message")),
        (52, Refused("the body is not UTF-8: invalid byte at offset 41")),
        // oslo refuses a body that is not labelled as JSON.
        (53, Read(Some(Priority::Info))),
        (54, Read(Some(Priority::Info))),
        (55, Read(Some(Priority::Info))),
        (56, Refused("the body is not UTF-8: invalid byte at offset 0")),
        (57, Refused("the body is not readable JSON: expected value at line 1 column 1")),
        (58, Read(Some(Priority::Info))),
        (61, Refused("unsupported oslo.version \"3.0\": only \"2.0\" is known")),
        (63, Refused("the body begins with a byte order mark")),
        (64, Refused("the message is nested deeper than 120 levels, the most that any listener reads")),
    ])
}

#[test]
fn recorded_messages_are_read_as_the_real_listener_read_them() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let mut without_callback = without_callback();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case = parse_python_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let number = name[..2].parse().unwrap();
        let expected = without_callback.remove(&number);
        let callbacks = case["oslo_listener"]["callbacks"].as_array().unwrap();
        let result = match (callbacks.first(), expected) {
            (Some(callback), None) => check_callback(&case, callback),
            (None, Some(expected)) => check_expected(&case, &expected),
            (callback, expected) => Err(format!("callback {callback:?}, expected {expected:?}")),
        };
        wrong.extend(result.err().map(|difference| format!("{name}: {difference}")));
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(without_callback.is_empty(), "no fixture for {without_callback:?}");
    assert_eq!(cases, 65);
}

fn check_callback(case: &Value, callback: &Value) -> Result<(), String> {
    let read = read(case).map_err(|error| error.to_string())?;
    if let Some(summary) = callback.as_str() {
        let keys: Vec<_> = read.payload.as_object().unwrap().keys().map(|key| format!("'{key}'")).collect();
        let seen = format!("(large) keys=[{}]", keys.join(", "));
        return if seen == summary { Ok(()) } else { Err(format!("payload is {seen}")) };
    }
    let mut context = callback["ctxt"].as_object().unwrap().clone();
    context.remove("client_timeout");
    let metadata = Map::from_iter([
        ("message_id".to_owned(), Value::from(read.message_id)),
        ("timestamp".to_owned(), Value::from(read.timestamp)),
    ]);
    let endpoint = read.priority.as_ref().map(Priority::as_str);
    for (what, read, expected) in [
        ("endpoint", Value::from(endpoint), &callback["endpoint"]),
        ("event_type", Value::from(read.event_type), &callback["event_type"]),
        ("publisher_id", Value::from(read.publisher_id), &callback["publisher_id"]),
        ("payload", read.payload, &callback["payload"]),
        ("metadata", metadata.into(), &callback["metadata"]),
        ("context", read.context.into(), &context.into()),
    ] {
        if read != *expected {
            return Err(format!("{what} is {read}, expected {expected}"));
        }
    }
    Ok(())
}

fn check_expected(case: &Value, expected: &Expectation) -> Result<(), String> {
    match (read(case), expected) {
        (Ok(read), Expectation::Read(priority)) if read.priority == *priority => Ok(()),
        (Err(error), Expectation::Refused(message)) if error.to_string() == *message => Ok(()),
        (read, expected) => Err(format!("read as {read:?}, expected {expected:?}")),
    }
}

fn read(case: &Value) -> Result<Notification, DecodeError> {
    let raw = match case.get("body_text") {
        Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
        None => base64(case["body_base64"].as_str().unwrap()),
    };
    let info = ContentInfo {
        content_type: case["properties"].get("content_type").and_then(Value::as_str),
        content_encoding: case["properties"].get("content_encoding").and_then(Value::as_str),
        compression: case["headers"].get("compression").and_then(Value::as_str),
    };
    let body = plain_body(&raw, &info)?;
    let read = Notification::decode(&body);
    match &read {
        Ok(notification) => assert_eq!(read_head(&body), Ok(notification.head())),
        Err(DecodeError::NotJson { .. } | DecodeError::TooMuch(_)) => {}
        Err(error) => assert_eq!(read_head(&body).as_ref(), Err(error)),
    }
    read
}

mod base64_of_fixture {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn decode(text: &str) -> Vec<u8> {
        let sextets = text.bytes().filter_map(|byte| ALPHABET.iter().position(|&letter| letter == byte));
        let (mut bits, mut held, mut bytes) = (0usize, 0, Vec::new());
        for sextet in sextets {
            bits = (bits << 6 | sextet) & 0xffff;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
            }
        }
        bytes
    }
}
