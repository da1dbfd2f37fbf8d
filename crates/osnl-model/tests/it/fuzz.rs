//! The fuzz targets' assertions, bounded: recorded messages, mutated at random, and URLs of odd pieces.
//!
//! `cargo xtask fuzz` looks further, see CONTRIBUTING.md. Here nothing is needed beyond cargo.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic anywhere")]

#[path = "../../../../fuzz/entries.rs"]
mod entries;

#[path = "../../../osnl-testkit/src/hostile.rs"]
#[expect(unreachable_pub, reason = "a module of another crate")]
mod hostile;

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use osnl_model::{Emission, parse_python_json};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// The bodies of the recorded messages that are text, and no longer than a mutation can matter in.
fn bodies() -> &'static [Vec<u8>] {
    static BODIES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BODIES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
        let texts = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = texts.map(|path| parse_python_json(&std::fs::read_to_string(path).unwrap()).unwrap());
        let mut bodies: Vec<Vec<u8>> =
            texts.filter_map(|message| Some(message["body_text"].as_str()?.as_bytes().to_vec())).collect();
        bodies.retain(|body| body.len() < 20_000);
        bodies.sort();
        assert!(bodies.len() > 40, "{} bodies", bodies.len());
        bodies
    })
}

/// Coverage guides inputs to the words that they are refused with.
#[test]
fn a_url_that_is_the_words_of_its_own_refusal_is_no_finding() {
    entries::transport_url(b"invalid scheme: the URL must begin like rabbit:// Scheme");
}

/// Payloads of versioned notifications, a few of each class that the target reads.
fn payloads() -> &'static [Vec<u8>] {
    static PAYLOADS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PAYLOADS.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/emission/captures2/ironic.json");
        let recording = parse_python_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = recording["cases"].as_object().unwrap().values();
        let bodies = cases.filter_map(|case| case[0]["body_text"].as_str());
        // As text, with the order of the keys.
        let payloads: Vec<Vec<u8>> = bodies
            .map(|body| Emission::read(body.as_bytes()).unwrap().payload.get().as_bytes().to_vec())
            .collect();
        assert!(payloads.len() > 70, "{} payloads", payloads.len());
        payloads
    })
}

/// The recorded notifications of thirteen services, without their envelopes.
fn notifications() -> &'static [Value] {
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
                found.extend(messages.map(|message| message["decoded_message"].clone()));
            }
        }
        assert_eq!(found.len(), 949);
        found
    })
}

/// A value in the place of any value, or of a whole object.
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

/// The value at a place, all of them counted from the outside in.
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
enum Mutation {
    Replace(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, usize),
    Copy(Index, Index, usize),
    Cut(Index),
}

/// The pieces that JSON, Python's JSON, envelopes and compressed data stumble over.
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

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (at(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (at(), 1..16_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (at(), at(), 1..64_usize).prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
        at().prop_map(Mutation::Cut),
    ]
}

fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
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

/// The pieces of texts with secrets: names, signs, quotes of each kind, brackets, tokens.
fn text_pieces() -> impl Strategy<Value = String> {
    let pieces = [
        "password",
        "token",
        "x",
        "S",
        " ",
        "\n",
        "  ",
        "\r\n",
        ":",
        "=",
        ",",
        ";",
        "&",
        "|",
        ">",
        "<",
        "</",
        "/>",
        "--",
        "-",
        "\"",
        "'",
        "\\\"",
        "\\",
        "\\\\",
        "u'",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "f(",
        "a=",
        "1",
        "None",
        "null",
        "***",
        "://",
        "@",
        "/",
        "?",
        "#",
        "eyJa",
        ".",
        "gAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "Authorization",
        "Bearer ",
        "é",
        "\u{a0}",
        "key",
        "value",
        "\"key\":",
        "\"value\":",
        "'a':",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn hostile_bodies_hold_what_the_targets_assert() {
    for body in hostile::bodies("x.y", 4096) {
        let info = osnl_model::ContentInfo { compression: body.compression, ..Default::default() };
        entries::budgets(&body.bytes);
        if let Ok(plain) = osnl_model::plain_body(&body.bytes, &info) {
            entries::envelope(&plain);
            entries::readers(&plain);
            entries::budgets(&plain);
        }
    }
    for (_, text) in hostile::texts(2048) {
        entries::masking(text.as_bytes());
        entries::python_literals(text.as_bytes());
    }
}

#[test]
fn recorded_messages_hold_what_the_targets_assert() {
    for body in bodies() {
        entries::envelope(body);
        entries::compressed(body);
    }
    payloads().iter().for_each(|payload| entries::versioned(payload));
    notifications().iter().for_each(|message| entries::readers(message.to_string().as_bytes()));
}

proptest! {
    // A failure is printed with its input; files of seeds are for crates that have a lib.rs beside their tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages(which in any::<Index>(), mutations in vec(mutation(), 1..6)) {
        entries::envelope(&mutated(which.get(bodies()).clone(), &mutations));
    }

    #[test]
    fn texts_with_secrets(text in text_pieces()) {
        entries::masking(text.as_bytes());
        entries::python_literals(text.as_bytes());
    }

    #[test]
    fn mutated_messages_in_small_budgets(which in any::<Index>(), mutations in vec(mutation(), 0..6)) {
        entries::budgets(&mutated(which.get(bodies()).clone(), &mutations));
    }

    #[test]
    fn mutated_payloads(which in any::<Index>(), mutations in vec(mutation(), 0..3)) {
        entries::versioned(&mutated(which.get(payloads()).clone(), &mutations));
    }

    /// Another service's event type over a payload, and values of other kinds in it.
    #[test]
    fn notifications_with_foreign_values(
        which in any::<Index>(),
        event_of in option::of(any::<Index>()),
        changes in vec((any::<Index>(), foreign()), 0..4),
    ) {
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
        entries::readers(message.to_string().as_bytes());
    }

    #[test]
    fn mutated_compressed_messages(which in any::<Index>(), gzip: bool, mutations in vec(mutation(), 0..3)) {
        let body = which.get(bodies());
        let bytes = if gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
        } else {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
        };
        entries::compressed(&mutated(bytes, &mutations));
    }

    #[test]
    fn urls_of_odd_pieces(pieces in vec(prop_oneof![
        prop::sample::select(vec![
            "rabbit", "kombu", "amqp", "://", ":", "/", "//", "?", "#", "@", ",", "&", "=", "%", "%2F", "%40", "%ff", "+",
            "[", "]", "[::1]", "fe80::1", "5672", "99999", "user", "S3CRET", "h", "ssl=1", "password=S3CRET", " ", "é",
        ]).prop_map(str::to_owned),
        "\\PC{0,4}",
    ], 0..16)) {
        entries::transport_url(pieces.concat().as_bytes());
    }

    #[test]
    fn texts_of_odd_pieces(pieces in vec(prop_oneof![
        prop::sample::select(vec![
            "password", "=", ":", " ", "'", "\"", "\\", "S3CRET", "token", "{", "}", "[", "]", "(", ")", ",", "None", "u'a'",
            "b'\\xff'", "://", "@", "--os-password", "Bearer", "gAAAAA", "eyJa.eyJb.c", "1e999", "NaN", "\n", "<password>",
            "-----BEGIN PRIVATE KEY-----", "chpasswd:",
        ]).prop_map(str::to_owned),
        "\\PC{0,4}",
    ], 0..24)) {
        entries::masking(pieces.concat().as_bytes());
        entries::python_literals(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..64)) {
        entries::transport_url(&bytes);
        entries::envelope(&bytes);
        entries::versioned(&bytes);
        entries::readers(&bytes);
        entries::compressed(&bytes);
        entries::masking(&bytes);
        entries::python_literals(&bytes);
        entries::budgets(&bytes);
    }
}
