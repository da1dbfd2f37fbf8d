#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::path::Path;
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

pub(crate) fn notifications() -> &'static [Value] {
    static NOTIFICATIONS: OnceLock<Vec<Value>> = OnceLock::new();
    NOTIFICATIONS.get_or_init(|| {
        let mut found = Vec::new();
        for folder in ["captures", "captures2"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/emission").join(folder);
            let mut paths: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            for path in paths {
                let recording: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                let messages = recording["cases"].as_object().unwrap().values();
                let messages = messages.flat_map(|case| case.as_array().unwrap());
                found.extend(messages.map(|message| {
                    let body = serde_json::from_str(message["body_text"].as_str().unwrap()).unwrap();
                    notification(body)
                }));
            }
        }
        assert_eq!(found.len(), 949);
        found
    })
}

fn notification(body: Value) -> Value {
    match body["oslo.message"].as_str() {
        Some(inner) => serde_json::from_str(inner).unwrap(),
        None => body,
    }
}

fn foreign() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("2026-13-99T99:99:99Z"),
        json!("::ffff:999"),
        json!("{'a': ("),
        json!([]),
        json!([null, {}, [[]]]),
        json!({}),
        json!({"nova_object.name": 7, "nova_object.data": []}),
        json!({"ironic_object.name": "X", "ironic_object.data": {"uuid": {}}}),
        json!({"port": {"id": [], "fixed_ips": {"ip_address": 4}}}),
        json!({"typeURI": "x", "target": [], "resource_info": {}}),
    ])
}

fn value_at<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| value_at(item, at)),
        Value::Object(members) => members.values_mut().find_map(|member| value_at(member, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, usize),
    Copy(Index, Index, usize),
    Cut(Index),
}

const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud83d",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\0",
    b"\x1f\x8b",
    b"\x78\x9c",
    b"\"oslo.version\": \"2.0\",",
    b"\"priority\": 1,",
    b"\"event_type\": \"x\",",
    b"{}",
    b"\"ironic_object.version\": \"1.99\",",
    b"\"ironic_object.changes\": [1],",
    b"\"uuid\": null,",
    b"\"extra\": [],",
];

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (at(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (at(), 1..16_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (at(), at(), 1..64_usize).prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
        at().prop_map(Mutation::Cut),
    ]
}

pub(crate) fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let places = bytes.len() + 1;
        let up_to = |at: usize, length: usize, bytes: &[u8]| at..(at + length).min(bytes.len());
        match mutation {
            Mutation::Replace(at, byte) => {
                if let Some(place) = bytes.get_mut(at.index(places)) {
                    *place = *byte;
                }
            }
            Mutation::Insert(at, piece) => {
                let at = at.index(places);
                bytes.splice(at..at, piece.iter().copied());
            }
            Mutation::Remove(at, length) => {
                let range = up_to(at.index(places), *length, &bytes);
                bytes.drain(range);
            }
            Mutation::Copy(from, to, length) => {
                let piece = bytes[up_to(from.index(places), *length, &bytes)].to_vec();
                let at = to.index(places);
                bytes.splice(at..at, piece);
            }
            Mutation::Cut(at) => bytes.truncate(at.index(places)),
        }
    }
    bytes
}

pub(crate) fn with_foreign_values() -> impl Strategy<Value = Value> {
    let changes = vec((any::<Index>(), foreign()), 0..4);
    (any::<Index>(), option::of(any::<Index>()), changes).prop_map(|(which, event_of, changes)| {
        let mut message = which.get(notifications()).clone();
        if let Some(other) = event_of {
            message["event_type"] = other.get(notifications())["event_type"].clone();
        }
        for (at, value) in changes {
            let mut at = at.index(count(&message["payload"]));
            if let Some(place) = value_at(&mut message["payload"], &mut at) {
                *place = value;
            }
        }
        message
    })
}
