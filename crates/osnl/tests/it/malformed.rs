//! Each malformed body through the library's listener, one test each. The rows are those of the table of
//! `docs/reference/malformed.md`.

use std::fmt;
use std::sync::Arc;

use osnl::notification_listener::{
    Handler, MemoryBroker, NotificationFilter, NotificationListener, Pattern, Target,
};
use osnl_model::{ContentInfo, plain_body};
use osnl_testkit::{fixture, until};
use osnl_transport::Properties;
use serde_json::{Value, json};

use crate::bodies;
use crate::harness::SOON;

#[derive(Debug, PartialEq)]
enum Ours {
    Notified,
    Acknowledged,
    SetAside(&'static str),
}

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notified => f.write_str("notified, acknowledged"),
            Self::Acknowledged => f.write_str("acknowledged, no endpoint is notified"),
            Self::SetAside(reason) => write!(f, "quarantined: {reason}"),
        }
    }
}

type Body = (Vec<u8>, Properties);

macro_rules! rows {
    ($($name:ident: $body:literal, $oslo:literal, $input:expr => $ours:expr;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                use Ours::*;
                check($input, $ours).await;
            }
        )*

        fn rows() -> Vec<String> {
            use Ours::*;
            vec![$(format!("| {} | {} | {} |", $body, $oslo, $ours),)*]
        }
    };
}

rows! {
    not_matched: "fine, but no filter matches", "acknowledged, silently", plain(&message("other", "INFO")) => Acknowledged;
    fine_bare: "fine, bare (`messaging`)", "callback, acknowledged", plain(&message("x", "INFO")) => Notified;
    fine_enveloped: "fine, in the envelope (`messagingv2`)", "callback, acknowledged", plain(&v2(&message("x", "INFO"))) => Notified;
    not_json: "not JSON", "dropped", plain("not json") => SetAside("the body is not readable JSON: expected ident at line 1 column 2");
    empty_inner: "empty text under `oslo.message`", "dropped", plain(&v2("")) => SetAside("the text of oslo.message is not readable JSON: EOF while parsing a value at line 1 column 0");
    inner_not_json: "text under `oslo.message` is not JSON", "dropped", plain(&v2("nope")) => SetAside("the text of oslo.message is not readable JSON: expected ident at line 1 column 2");
    inner_array: "text under `oslo.message` is an array", "dropped", plain(&v2("[]")) => SetAside("the text of oslo.message is an array, not an object");
    invalid_utf8: "invalid UTF-8", "dropped", (b"{\"event_type\": \"\xff\"}".to_vec(), json_properties()) => SetAside("the body is not UTF-8: invalid byte at offset 16");
    byte_order_mark: "begins with a byte order mark", "dropped", plain(&format!("\u{feff}{}", message("x", "INFO"))) => SetAside("the body begins with a byte order mark");
    too_deep: "nested deeper than 120 levels (oslo: about 1000)", "dropped", plain(&with("payload", &format!("{}{}", "[".repeat(3000), "]".repeat(3000)))) => SetAside("the message is nested deeper than 120 levels, the most that any listener reads");
    array: "JSON array", "dropped", plain("[]") => SetAside("the body is an array, not an object");
    text: "JSON text", "dropped", plain("\"x\"") => SetAside("the body is a text, not an object");
    number: "JSON number", "dropped", plain("7") => SetAside("the body is a number, not an object");
    null: "JSON null", "dropped", plain("null") => SetAside("the body is null, not an object");
    empty_object: "`{}`", "acknowledged, warning", plain("{}") => Acknowledged;
    no_priority: "no `priority`", "acknowledged, warning", plain(&without("priority")) => Acknowledged;
    unknown_priority: "an unknown priority", "acknowledged, warning", plain(&message("x", "NOTICE")) => Acknowledged;
    zero_length: "no bytes at all", "taken as `{}`: acknowledged, warning", plain("") => SetAside("the body is empty");
    priority_null: "`priority` is null", "given back and redelivered at once, without end", plain(&with("priority", "null")) => Acknowledged;
    priority_number: "`priority` is a number", "given back and redelivered at once, without end", plain(&with("priority", "3")) => SetAside("priority is a number, not a text");
    priority_elsewhere: "priority differs from the routing key", "the one in the body decides", plain(&message("x", "ERROR")) => Notified;
    no_event_type: "`event_type` missing, with a filter on it", "no match: acknowledged", plain(&without("event_type")) => Acknowledged;
    event_type_null: "`event_type` is null, with a filter on it", "no match: acknowledged", plain(&with("event_type", "null")) => Acknowledged;
    publisher_id_missing: "`publisher_id` missing, without a filter on it", "callback, acknowledged", plain(&without("publisher_id")) => Notified;
    publisher_id_null: "`publisher_id` is null, without a filter on it", "callback, acknowledged", plain(&with("publisher_id", "null")) => Notified;
    no_payload: "`payload` missing", "callback with None, acknowledged", plain(&without("payload")) => Notified;
    no_payload_filtered: "`payload` missing, with a filter on it", "given back and redelivered at once, without end", filtered(&without("payload")) => Acknowledged;
    payload_number_filtered: "`payload` is a number, with a filter on it", "given back and redelivered at once, without end", filtered(&with("payload", "7")) => Acknowledged;
    payload_list_filtered: "`payload` is a list that holds the filter's key", "given back and redelivered at once, without end", filtered(&with("payload", "[\"key\"]")) => Acknowledged;
    payload_text_filtered: "`payload` is a text that holds the filter's key", "given back and redelivered at once, without end", filtered(&with("payload", "\"a key\"")) => Acknowledged;
    payload_other_filtered: "`payload` is a list or text without the filter's key", "no match: acknowledged", filtered(&with("payload", "[]")) => Acknowledged;
    no_unique_id: "`_unique_id` missing", "callback, no check for duplicates", plain(&without("_unique_id")) => Notified;
    same_unique_id: "`_unique_id` of one of the last 16 acknowledged", "neither acknowledged nor given back: stays with the connection", plain(&message("x", "INFO")) => Notified;
    version_1_0: "`oslo.version` \"1.0\"", "dropped", plain(&v2(&message("x", "INFO")).replace("2.0", "1.0")) => SetAside("unsupported oslo.version \"1.0\": only \"2.0\" is known");
    version_2_1: "`oslo.version` \"2.1\"", "dropped", plain(&v2(&message("x", "INFO")).replace("2.0", "2.1")) => SetAside("unsupported oslo.version \"2.1\": only \"2.0\" is known");
    version_3_0: "`oslo.version` \"3.0\"", "dropped", plain(&v2(&message("x", "INFO")).replace("2.0", "3.0")) => SetAside("unsupported oslo.version \"3.0\": only \"2.0\" is known");
    version_2: "`oslo.version` \"2\"", "dropped", plain(&v2(&message("x", "INFO")).replace("2.0", "2")) => SetAside("unsupported oslo.version \"2\": only \"2.0\" is known");
    version_empty: "`oslo.version` is empty", "dropped", plain(&v2(&message("x", "INFO")).replace("2.0", "")) => SetAside("unsupported oslo.version \"\": only \"2.0\" is known");
    version_number: "`oslo.version` is a number", "dropped", plain(&v2(&message("x", "INFO")).replace("\"2.0\"", "2.0")) => SetAside("oslo.version is a number, not a text");
    version_alone: "`oslo.version` without `oslo.message`", "taken as bare: acknowledged, warning", plain("{\"oslo.version\": \"2.0\"}") => SetAside("there is an oslo.version but no oslo.message");
    message_alone: "`oslo.message` without `oslo.version`", "taken as bare: acknowledged, warning", plain("{\"oslo.message\": \"{}\"}") => SetAside("there is an oslo.message but no oslo.version");
    message_object: "`oslo.message` is an object", "dropped", plain("{\"oslo.version\": \"2.0\", \"oslo.message\": {}}") => SetAside("oslo.message is an object, not a text");
    duplicate_keys: "a key twice", "the last one counts", plain(&with("payload", "{\"key\": 1, \"key\": \"v\"}")) => Notified;
    duplicate_head: "`event_type` twice, and only the last is wanted", "the last one counts: callback", plain(&message("other", "INFO").replace("\"_unique_id\"", "\"event_type\": \"x\", \"_unique_id\"")) => Notified;
    nan: "`NaN`, `Infinity`", "read, callback", plain(&with("payload", "[NaN, Infinity, -Infinity]")) => Notified;
    content_type_absent: "content type absent", "dropped, even if it is JSON", labelled(None) => Notified;
    content_type_text: "content type `text/plain`", "dropped, even if it is JSON", labelled(Some("text/plain")) => Notified;
    content_type_binary: "content type `application/octet-stream`", "dropped, even if it is JSON", labelled(Some("application/octet-stream")) => Notified;
    content_type_unknown: "content type unknown", "dropped, even if it is JSON", labelled(Some("application/x-nonsense")) => Notified;
    pickle: "pickle, labelled so", "dropped", recorded("56-hand-content-type-pickle") => SetAside("the body is not UTF-8: invalid byte at offset 0");
    yaml: "YAML, labelled so", "dropped", recorded("57-hand-content-type-yaml") => SetAside("the body is not readable JSON: expected value at line 1 column 1");
    encoding_absent: "content encoding absent", "callback, acknowledged", recorded("59-hand-content-encoding-absent") => Notified;
    encoding_latin_1: "content encoding `latin-1`", "callback, acknowledged", recorded("60-hand-content-encoding-latin-1") => Notified;
    encoding_utf_16: "content encoding `utf-16`, `utf-32`, or `utf-8-sig`, and so encoded", "callback, acknowledged", wide(Some("utf-16")) => Notified;
    encoding_not_named: "UTF-16 or UTF-32 under another content encoding, or none", "dropped", wide(None) => SetAside("the body is not readable JSON: key must be a string at line 1 column 2");
    encoding_unknown: "content encoding unknown", "callback, acknowledged", encoded("klingon") => Notified;
    compressed_zlib: "compressed, `application/x-gzip` (which is zlib)", "callback, acknowledged", compressed("application/x-gzip", ZLIB) => Notified;
    compressed_bz2: "compressed, `application/x-bz2`", "callback, acknowledged", compressed("application/x-bz2", BZ2) => Notified;
    compressed_unknown: "compressed in a way that is not known", "dropped", compressed("application/x-lzma", BZ2) => SetAside("unsupported compression \"application/x-lzma\"; osnl reads gzip, zlib, and bz2");
    compressed_damaged: "compressed and damaged", "dropped", compressed("application/x-bz2", &BZ2[..BZ2.len() - 8]) => SetAside("the compressed body is damaged or cut off");
    compressed_bomb: "a decompression bomb (more than 4 MiB)", "decompressed", compressed("application/x-bz2", BZ2_OF_8_MB) => SetAside("the body has more than 4194304 bytes when decompressed, the limit (option max_body)");
    too_large: "larger than 4 MiB", "callback, acknowledged", padded(&message("x", "INFO"), 5_000_000) => SetAside("the body has 5000000 bytes; the limit is 4194304 (option max_body)");
    too_large_not_matched: "larger than 4 MiB, but no filter matches", "acknowledged, silently", padded(&message("other", "INFO"), 5_000_000) => Acknowledged;
    too_many_values: "more than 500,000 values", "callback, acknowledged", plain(&with("payload", &format!("[{}0]", "0,".repeat(500_000)))) => SetAside("the message has more than 500000 values, the limit (it grows with option max_body)");
    too_much_memory: "small objects that take more than 24 MiB", "callback, acknowledged", plain(&with("payload", &format!("[{}0]", "{\"\":0},".repeat(60_000)))) => SetAside("the message takes more than 25165824 bytes of memory when decoded, the limit (6 times option max_body)");
    too_many_resources: "a bulk request of more than 10,000 resources", "callback, acknowledged", plain(&with("event_type", "\"port.create.end\"").replace("{\"key\": \"v\"}", &format!("{{\"ports\": [{}{{}}]}}", "{},".repeat(10_000)))) => SetAside("the message has 10001 resources; the limit is 10000 (it grows with option max_body)");
}

const BZ2: &str = "425a6839314159265359903f1e430000191f805004001001218000a625d56a2000545068d1a0c80d089ea9a69ea68fd4468db544e6c19f316b3a12ac988263dce0274d7bc45350f5545bec48fb035f177245385090903f1e43";
const ZLIB: &str = "789cab564a2d4bcd2b892fa92c4855b25250aa50d251502a28cacc2fca2ca9040978fab9f983c5122b73f213538042d5b5b500e28c113e";
const BZ2_OF_8_MB: &str =
    "425a6839314159265359257e87e6003d464040c00000400008200030cc09aa69a8a921b522a4878bb9229c284812bf43f300";

/// Each message is delivered twice, and must have the same fate both times.
async fn check((body, properties): Body, ours: Ours) {
    let filtered = properties.compression.as_deref() == Some("");
    let broker = MemoryBroker::new();
    let target = Target::new("neutron", "notifications");
    let filter = NotificationFilter {
        event_type: Some(Pattern::new(r"^(x|port\.delete\.end|[a-z.]+\.end)$").unwrap()),
        payload: filtered.then(|| ("key".to_owned(), Pattern::new("").unwrap())).into_iter().collect(),
        ..NotificationFilter::default()
    };
    let running = NotificationListener::on(Arc::new(broker.transport()))
        .target(target)
        .pool("pool")
        .allow_requeue(true)
        .endpoint(Handler::new(|_| async {}).filter(filter))
        .build()
        .unwrap()
        .start();
    running.listening().await;
    for _ in 0..2 {
        broker.publish_raw("neutron", "notifications.info", body.clone().into(), properties.clone());
    }
    let counters = running.counters();
    let settled = || counters.delivered.get() + counters.unmatched.get() + counters.quarantined.get();
    until(SOON, "both messages to be settled", async || settled() >= 2).await;
    let became = match (counters.delivered.get(), counters.unmatched.get(), counters.quarantined.get()) {
        (2, 0, 0) => "notified, acknowledged".to_owned(),
        (0, 2, 0) => "acknowledged, no endpoint is notified".to_owned(),
        (0, 0, 2) => {
            let aside = running.set_aside();
            assert!(aside.iter().all(|message| message.received.body == body), "with its bytes");
            format!("quarantined: {}", aside[0].reason)
        }
        other => format!("{other:?}"),
    };
    assert_eq!(became, ours.to_string());
    running.stop();
    running.wait().await.unwrap();
    assert_eq!(broker.ready("pool"), 0, "acknowledged");
}

fn json_properties() -> Properties {
    Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        compression: None,
    }
}

fn plain(body: &str) -> Body {
    (body.as_bytes().to_vec(), json_properties())
}

fn padded(body: &str, bytes: usize) -> Body {
    plain(&format!("{body}{}", " ".repeat(bytes - body.len())))
}

/// An empty name of a compression is none; here it marks a filter on the payload's key.
fn filtered(body: &str) -> Body {
    (body.as_bytes().to_vec(), Properties { compression: Some(String::new()), ..json_properties() })
}

fn labelled(content_type: Option<&'static str>) -> Body {
    let content_type = content_type.map(Into::into);
    (message("x", "INFO").into_bytes(), Properties { content_type, ..json_properties() })
}

fn encoded(content_encoding: &'static str) -> Body {
    (
        message("x", "INFO").into_bytes(),
        Properties { content_encoding: Some(content_encoding.into()), ..json_properties() },
    )
}

fn wide(content_encoding: Option<&'static str>) -> Body {
    let body = message("x", "INFO").encode_utf16().flat_map(u16::to_le_bytes).collect();
    (body, Properties { content_encoding: content_encoding.map(Into::into), ..json_properties() })
}

fn compressed(name: &str, hex: &str) -> Body {
    let bytes = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    (bytes, Properties { compression: Some(name.to_owned()), ..json_properties() })
}

fn recorded(name: &str) -> Body {
    let case = fixture::json(&format!("wire/{name}.json"));
    (fixture::body(&case), bodies::properties(&case))
}

fn message(event_type: &str, priority: &str) -> String {
    format!(
        r#"{{"message_id": "m", "publisher_id": "p", "event_type": "{event_type}", "priority": "{priority}", "payload": {{"key": "v"}}, "timestamp": "t", "_unique_id": "u"}}"#
    )
}

fn v2(message: &str) -> String {
    format!(r#"{{"oslo.version": "2.0", "oslo.message": {}}}"#, json!(message))
}

fn with(key: &str, value: &str) -> String {
    let (before, rest) = field(key);
    let after = &rest[rest.find(", \"").unwrap()..];
    format!("{before}\"{key}\": {value}{after}")
}

fn without(key: &str) -> String {
    let (before, rest) = field(key);
    let after = rest.find(", \"").map_or("}", |at| &rest[at + 2..]);
    let before = if after == "}" { before.trim_end_matches(", ") } else { &before };
    format!("{before}{after}")
}

fn field(key: &str) -> (String, String) {
    let whole = message("x", "INFO");
    let (before, rest) = whole.split_at(whole.find(&format!("\"{key}\"")).unwrap());
    (before.to_owned(), rest.to_owned())
}

/// A body as hexadecimal, and the name of its encoding, one of each to a line.
const READS: &str = r#"
import json, sys
from amqp.abstract_channel import AbstractChannel
from kombu.message import Message
class Content: pass
channel = AbstractChannel.__new__(AbstractChannel)
channel.is_closing, channel.auto_decode = False, True
def read(line):
    body, encoding = line
    content = Content()
    content.body, content.content_encoding = bytes.fromhex(body), encoding
    try:
        channel.dispatch_method(None, None, content)
    except Exception:
        pass  # The body is decoded before the method is found unknown.
    try:
        return Message(content.body, content_type='application/json', content_encoding=encoding).payload
    except Exception:
        return None
print(json.dumps([read(line) for line in json.load(sys.stdin)]))
"#;

#[test]
fn encodings_are_read_as_the_real_python_reads_them() {
    let text = "{\"é仮\u{1f600}\": \"x\"}";
    let units = |width: usize, is_big: bool, mark: &str| -> Vec<u8> {
        let marked = format!("{mark}{text}");
        let numbers: Vec<u32> = match width {
            2 => marked.encode_utf16().map(u32::from).collect(),
            _ => marked.chars().map(u32::from).collect(),
        };
        let bytes = |number: u32| match is_big {
            true => number.to_be_bytes()[4 - width..].to_vec(),
            false => number.to_le_bytes()[..width].to_vec(),
        };
        numbers.into_iter().flat_map(bytes).collect()
    };
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for mark in ["", "\u{feff}"] {
        bodies.push(format!("{mark}{text}").into_bytes());
        bodies.extend([(2, true), (2, false), (4, true), (4, false)].map(|(n, big)| units(n, big, mark)));
    }
    let cut: Vec<_> = bodies.iter().map(|body| body[..body.len() - 1].to_vec()).collect();
    bodies.extend(cut);
    let encodings = "utf-8 utf-8-sig UTF_8_SIG utf-16 u16 UTF_16 utf-16-le UTF-16BE utf-32 U32 utf-32-le utf_32_be UTF-32LE";
    let cases: Vec<(String, &str)> = bodies
        .iter()
        .flat_map(|body| {
            let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            encodings.split(' ').map(move |encoding| (hex.clone(), encoding))
        })
        .collect();
    let real: Vec<Option<Value>> =
        serde_json::from_str(&osnl_testkit::python(READS, &json!(cases).to_string())).unwrap();
    let mut wrong = Vec::new();
    let ours = bodies.iter().flat_map(|body| encodings.split(' ').map(move |encoding| (body, encoding)));
    for ((body, encoding), real) in ours.zip(&real) {
        let info = ContentInfo { content_encoding: Some(encoding), ..ContentInfo::default() };
        let plain = plain_body(body, &info).ok();
        let read = plain.and_then(|plain| serde_json::from_slice::<Value>(&plain).ok());
        // UTF-8 is read under any name, so that no readable message is lost.
        let is_utf_8 = !body.contains(&0) && serde_json::from_slice::<Value>(body).is_ok();
        if read != *real && !(is_utf_8 && real.is_none()) {
            wrong.push(format!("{encoding} {}: {read:?}, Python {real:?}", body.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((cases.len(), real.iter().flatten().count() > 25), (real.len(), true), "{real:?}");
}

#[test]
fn the_manual_has_these_rows_and_no_other() {
    let manual = fixture::path("../docs/reference/malformed.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let in_table = |line: &&str| line.starts_with("| ");
    let mut written: Vec<&str> =
        manual.lines().skip_while(|line| !in_table(line)).take_while(in_table).collect();
    assert!(written.len() > 2, "a table with a heading");
    written.drain(..2);
    assert_eq!(written.join("\n"), rows().join("\n"));
}
