//! The fuzz targets' assertions with a bounded number of inputs: randomly mutated recordings, and
//! URLs of odd pieces.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic anywhere")]

#[path = "../../../../fuzz/entries.rs"]
mod entries;

#[path = "../../../osnl-testkit/src/hostile.rs"]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "a module of another crate, of which bodies and texts are used"
)]
mod hostile;

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use osnl_model::parse_python_json;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::mutation::{mutated, mutation, notifications, with_foreign_values};

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

#[test]
fn a_url_that_is_the_words_of_its_own_refusal_is_no_finding() {
    entries::transport_url(b"invalid scheme: the URL must begin like rabbit:// Scheme");
}

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
    notifications().iter().for_each(|message| entries::readers(message.to_string().as_bytes()));
}

proptest! {
    // A failure prints its input. proptest stores seeds only for crates with a lib.rs beside their
    // tests.
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
    fn notifications_with_foreign_values(message in with_foreign_values()) {
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
        entries::readers(&bytes);
        entries::compressed(&bytes);
        entries::masking(&bytes);
        entries::python_literals(&bytes);
        entries::budgets(&bytes);
    }
}
