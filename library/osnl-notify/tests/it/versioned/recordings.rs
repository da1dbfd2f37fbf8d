//! The recordings: Python's payloads, and JSON in Python's form.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use osnl_notify::versioned::Json;
use serde::{Deserialize, Serialize as _};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;
use serde_json::{Serializer, Value};

#[derive(Deserialize)]
struct Recording {
    cases: BTreeMap<String, Vec<Raw>>,
}

#[derive(Deserialize)]
struct Raw {
    exchange: String,
    routing_key: String,
    body_text: String,
}

#[derive(Deserialize)]
struct Inner {
    event_type: String,
    publisher_id: Option<String>,
    priority: String,
    payload: Box<RawValue>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) case: String,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) event_type: String,
    pub(crate) publisher_id: String,
    pub(crate) priority: String,
    /// The payload, byte for byte.
    pub(crate) payload: String,
    pub(crate) class: Option<String>,
}

pub(crate) fn messages(name: &str) -> Vec<Message> {
    let recording: Recording = serde_json::from_str(&text(name)).unwrap();
    let cases = recording.cases.into_iter();
    cases.flat_map(|(case, raws)| raws.into_iter().map(move |raw| message(&case, raw))).collect()
}

pub(crate) fn case(name: &str, case: &str) -> Vec<Message> {
    let found: Vec<Message> = messages(name).into_iter().filter(|message| message.case == case).collect();
    assert!(!found.is_empty(), "no case {case} in {name}");
    found
}

pub(crate) fn text(name: &str) -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = manifest.join("../fixtures").join(name);
    let path = if own.exists() { own } else { manifest.join("../../fixtures/emission").join(name) };
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

fn message(case: &str, raw: Raw) -> Message {
    let outer: Value = serde_json::from_str(&raw.body_text).unwrap();
    let inner = outer.get("oslo.message").and_then(Value::as_str).unwrap_or(&raw.body_text);
    let inner: Inner = serde_json::from_str(inner).unwrap();
    let payload = inner.payload.get().to_owned();
    let form: Value = serde_json::from_str(&payload).unwrap();
    let class = form.as_object().and_then(|form| form.iter().find(|(key, _)| key.ends_with("_object.name")));
    Message {
        case: case.to_owned(),
        exchange: raw.exchange,
        routing_key: raw.routing_key,
        event_type: inner.event_type,
        publisher_id: inner.publisher_id.unwrap_or_default(),
        priority: inner.priority,
        class: class.and_then(|(_, name)| name.as_str()).map(str::to_owned),
        payload,
    }
}

/// JSON text as Python's `json.dumps` writes it: blanks after commas and colons, ASCII only.
pub(crate) fn as_python(json: &str) -> String {
    let json: Json = serde_json::from_str(json).unwrap();
    let mut bytes = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut bytes, Python)).unwrap();
    String::from_utf8(bytes).unwrap()
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => writer.write_all(&[byte])?,
                Ok(_) | Err(_) => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}
