//! Comparison of this crate with oslo.config on small files, as recorded in `fixtures/config`; `live` uses
//! the real oslo.config.

mod live;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::sections::{Layers, Schema, SectionDef, normalized};
use super::{Ini, Kind, OptionDef, Value, ValueOrigin};

const LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "error", "notset"]);
const LIBS_LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "error"]);

const TEXT: Kind = Kind::Form("text");

/// The options as k2hr3_osnl and the recording register them, without osnl's additions.
static SCHEMA: Schema = Schema::oslo(
    &[
        SectionDef::new(
            "DEFAULT",
            "",
            &[
                typed("debug_level", LEVELS).or("info"),
                typed("log_file", TEXT).or("sys.stderr"),
                typed("libs_debug_level", LIBS_LEVELS).or("warn"),
            ],
        ),
        SectionDef::new(
            "oslo_messaging_notifications",
            "",
            &[
                typed("event_type", TEXT).or(r"^port\.delete\.end$"),
                typed("publisher_id", TEXT).or("^network.*$"),
                typed("context", Kind::Dict),
                typed("metadata", Kind::Dict),
                typed("payload", Kind::Dict),
                typed("transport_url", TEXT).or("rabbit://guest:guest@127.0.0.1:5672/"),
                typed("topic", TEXT).or("notifications"),
                typed("exchange", TEXT).or("neutron"),
                typed("executor", TEXT).or("threading"),
                typed("pool", TEXT).or("k2hr3_osnl"),
                typed("allow_requeue", Kind::Bool).or("true"),
            ],
        ),
        SectionDef::new(
            "k2hr3",
            "",
            &[
                typed("api_url", TEXT).or("https//localhost/v1/role"),
                typed("timeout_seconds", Kind::Integer).or("30"),
                typed("max_retries", Kind::Integer).or("5"),
                typed("retry_interval_seconds", Kind::Integer).or("60"),
                typed("allow_self_signed_cert", Kind::Bool).or("false"),
                typed("requeue_on_error", Kind::Bool).or("false"),
            ],
        ),
    ],
    &[],
);

const fn typed(name: &'static str, kind: Kind) -> OptionDef {
    OptionDef::typed(name, kind, "")
}

fn cases() -> Vec<Json> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/config/ini-differential.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn files_read_as_oslo_reads_them() {
    let cases = cases();
    assert!(cases.len() > 400, "only {} cases", cases.len());
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let (ini, errors) = Ini::parse("f", text);
        if let Some(refused) = case.get("refused") {
            let first = errors.first().unwrap_or_else(|| panic!("oslo refuses {text:?}: {refused}"));
            check_refusal(text, refused, first.0.line.unwrap(), &first.0.problem);
            continue;
        }
        assert_eq!(errors, [], "oslo accepts {text:?}");
        let mut sections: BTreeMap<String, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        for section in &ini.sections {
            let keys = sections.entry(normalized(&section.name)).or_default();
            for entry in &section.entries {
                keys.entry(&entry.key).or_default().push(&entry.value);
            }
        }
        assert_eq!(json!(sections), case["sections"], "{text:?}");
        check_values(text, &ini, case["values"].as_object().unwrap());
    }
}

fn check_refusal(text: &str, refused: &Json, line: u32, problem: &str) {
    let theirs = refused["line"].as_u64().unwrap();
    let line = u64::from(line);
    if text.starts_with('\u{feff}') {
        // oslo takes the mark for the beginning of a key.
        assert_eq!((line, problem), (1, "the file begins with a byte order mark"), "{text:?}");
        return;
    }
    let expected = match refused["message"].as_str().unwrap() {
        "Section must be started before assignment" => {
            // oslo names the line at which the value ends, this crate the line of the key.
            assert!(line <= theirs, "{text:?}");
            assert_eq!(problem, "the option is before the first section", "{text:?}");
            return;
        }
        "No ':' or '=' found in assignment" => "the line has neither `=` nor `:`",
        "Key cannot be empty" => "there is no name before the `=` or `:`",
        "Unexpected continuation line" => {
            "the line begins with a space, but there is no value above it to continue"
        }
        "Invalid section (must end with ])" => "the section has no `]` at the end of its line",
        "Empty section name" => "the section has no name",
        other => panic!("a refusal nobody has thought of: {other}"),
    };
    // `[` alone lacks both end and name; oslo reports the end.
    assert_eq!((line, problem), (theirs, expected), "{text:?}");
}

fn check_values(text: &str, ini: &Ini, values: &serde_json::Map<String, Json>) {
    let mut layers = Layers::new(&SCHEMA);
    let _ = layers.apply(ini);
    for (name, expected) in values {
        let (group, option) = name.split_once('.').unwrap();
        assert_ne!(layers.origin(group, option), ValueOrigin::Default, "{name} of {text:?}");
        let ours = match layers.read(group, option) {
            Ok(reading) => match reading.value {
                None => Json::Null,
                Some(Value::Text(text)) => json!(text),
                Some(Value::Bool(value)) => json!(value),
                Some(Value::Integer(number)) => json!(number),
                Some(Value::Dict(pairs)) => json!(pairs.into_iter().collect::<BTreeMap<_, _>>()),
            },
            Err(error) => {
                assert!(expected.get("raises").is_some(), "{name} of {text:?}: {error}, oslo: {expected}");
                continue;
            }
        };
        assert_eq!(&ours, expected, "{name} of {text:?}");
    }
}
